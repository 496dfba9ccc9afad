"""Damaged files of a generated survey: every one is an image or a reject, no worker dies."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import rows_of
from image_samples import fits_bytes, saved
from mutations import mutants

from minia_spark.images.reasons import Reason
from minia_spark.sky.survey import Survey, generate

COUNT, FEW = 2000, 60
SEED = 4

MEMORY_MIB = 64
"""What decoding may take at its peak beyond what the process had before its first damaged file: a
few times what the largest image that is allowed takes."""
LIMITS = {"max_pixels": 2_000_000, "max_bytes": 8 << 20}
SETTINGS = ("ingest.max_pixels=2000000", "ingest.max_file_mib=8")


def survey_files() -> list[bytes]:
    """Return images of a survey in every format that is read."""
    files = []
    for index, (_, image, _) in enumerate(generate(Survey(side_px=96), range(12))):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        deep = grey.astype(np.float32) * 16 + index
        compression = ["raw", "tiff_lzw", "tiff_adobe_deflate"][index % 3]
        files += [
            saved(image, "JPEG", quality=90, progressive=bool(index % 2)),
            saved(image, "PNG"),
            saved(image, "TIFF", compression=compression),
            fits_bytes(deep),
            gzip.compress(fits_bytes(deep.astype(np.int16)), mtime=0),
        ]
    return files


def peak_kib() -> int:
    """Return the largest memory that this process ever held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def decode_all(count: int) -> None:
    """Decode damaged files; print how many were images, the reasons of the others, the memory."""
    from collections import Counter

    from minia_spark.base.errors import Rejected
    from minia_spark.images.decode import decode

    files = survey_files()
    for data in files:  # whatever is loaded late is loaded now
        decode(data, **LIMITS)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at what is held now
    before = peak_kib()
    found: Counter[str] = Counter()
    for data in mutants(files, count, SEED):
        try:
            decoded = decode(data, **LIMITS)
        except Rejected as rejected:
            found[rejected.reason] += 1
        else:
            assert 1 <= decoded.width * decoded.height <= LIMITS["max_pixels"]
            found["image"] += 1
    print(
        (peak_kib() - before) // 1024,
        *(f"{name}={number}" for name, number in sorted(found.items())),
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("count", [400, pytest.param(COUNT, marks=pytest.mark.heavy)])
def test_all_are_decoded_or_refused_in_bounded_memory(pytestconfig, count):
    """In a process of its own: its peak is what is measured, and it must not be killed."""
    root = pytestconfig.rootpath
    done = subprocess.run(
        [sys.executable, "-c", f"import test_mutated_survey as t; t.decode_all({count})"],
        cwd=root / "tests" / "ingest",
        env={
            "PYTHONPATH": f"{root}:{root / 'tests'}:{root / 'tests' / 'ingest'}",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    grown, *words = done.stdout.split()
    found = {name: int(number) for name, number in (word.split("=") for word in words)}
    assert sum(found.values()) == count
    assert set(found) <= {"image", *map(str, Reason)}
    assert {"corrupt", "truncated", "pixel_limit", "zero_sized", "not_an_image"} <= set(found)
    assert found["image"] > count / 10
    assert int(grown) < MEMORY_MIB


@pytest.mark.parametrize("count", [FEW, pytest.param(COUNT, marks=pytest.mark.heavy)])
def test_through_spark(published, tmp_path: Path, count: int):
    """Tables name every file once; features finds readable whatever ingest found readable."""
    folder, location = tmp_path / "images", tmp_path / "W"
    folder.mkdir()
    for number, data in enumerate(mutants(survey_files(), count, SEED)):
        (folder / f"{number:04d}").write_bytes(data)
    published(location, "ingest", "b1", *SETTINGS, source=folder)
    images = [name for (name,) in rows_of(location, "images", "image_id")]
    rejects = rows_of(location, "rejects", "uri", "reason", "detail")
    names = images + [uri.rpartition("/")[2] for uri, _, _ in rejects]
    assert sorted(names) == [f"{number:04d}" for number in range(count)]
    assert {reason for _, reason, _ in rejects} <= set(map(str, Reason))
    assert all(detail.isprintable() for _, _, detail in rejects)
    made = published(location, "features", "b1", *SETTINGS)
    assert made.counts["images"] == len(images) > count / 10
    assert made.counts["rejects"] == 0
