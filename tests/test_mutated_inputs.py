"""Damaged files of every kind that is read: an image, a reject, or one message.

Images, FITS exposures, Parquet, archives, labels, features of minIA, corpora, settings, states. In
a process of its own, by the functions that workers and commands call, with the limits that are the
default: a crash, a hang or its peak of memory is what is measured.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_samples import MAKERS
from astropy.io import fits
from image_samples import fits_bytes, good_files, parquet_of, picture, saved
from mutations import mutants

from minia_spark.images.reasons import Reason

SEED = 15
FEW, MANY = 224, 5390
SECONDS, MOST_MIB = 60, 1024
GUARD_SAYS = ("terminate called after", "  what():")
"""The last words of a guard whose Arrow came upon what it did not foresee."""


def images() -> list[bytes]:
    others = [saved(picture(), kind) for kind in ("GIF", "WEBP", "BMP", "JPEG2000")]
    return [*good_files().values(), *others]


def tiles() -> list[bytes]:
    values = (np.arange(4096) % 251).astype(np.int32).reshape(64, 64)
    kinds = ("RICE_1", "HCOMPRESS_1", "GZIP_1", "GZIP_2", "PLIO_1")
    return [fits_bytes(fits.CompImageHDU(values, compression_type=kind)) for kind in kinds]


def exposures() -> list[bytes]:
    ccd = picture()[..., 0].astype(np.int16)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    plain = fits_bytes(None, fits.ImageHDU(ccd, name="CCD1"), table, ccd.astype(np.float32))
    packed = fits_bytes(fits.CompImageHDU(ccd), fits.CompImageHDU(ccd))
    return [plain, packed, gzip.compress(plain, mtime=0), bz2.compress(packed)]


def parquet() -> list[bytes]:
    files = list(good_files().values())[:12]
    made = [
        parquet_of(files, row_group_size=4, compression=packing)
        for packing in ("none", "snappy", "zstd")
    ]
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 20, pa.int32()), pa.array(files[:2]))
    flat = pa.table({"image.bytes": values, "image.path": [f"{i}.png" for i in range(40)]})
    sink = pa.BufferOutputStream()
    pq.write_table(flat, sink, store_schema=False)
    return [*made, sink.getvalue().to_pybytes()]


def stacks() -> list[bytes]:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    made = []
    for options in ({}, {"chunks": (2, 16, 16, 3), "compression": "gzip", "shuffle": True}):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            file.create_dataset("images", data=colours, **options)
            file.create_dataset("more/deep", data=colours[..., 0].astype(np.uint16))
            file["ans"] = np.arange(6)
        made.append(stream.getvalue())
    return made


def archives() -> list[bytes]:
    members = list(good_files().items())[:6]
    return [make(members) for make in MAKERS.values()] + [MAKERS["zip"](members, compression=0)]


def labels() -> list[bytes]:
    rows = "\n".join(f"{i}.png,spiral {i % 3},{i}.5,-{i}.25" for i in range(50))
    plain = f"image_id,label,ra,dec\n{rows}\n".encode()
    quoted = 'name,class\n"a, b.png","x ""y"""\nc.png,é\n'.encode()
    return [plain, quoted, gzip.compress(plain, mtime=0), b"exposure_id,quality\na.fits,good\n"]


def features() -> list[bytes]:
    rows = "\n".join(f"{i},{i}.5,2,{i // 4}.png" for i in range(12))
    numbers = "\n".join(" ".join(str((i * j) % 256) for j in range(128)) for i in range(12))
    return [f"location_x,location_y,size,image_name\n{rows}\n\0{numbers}\n".encode()]


def corpora() -> list[bytes]:
    return [b"".join(b"3 %d:1 %d:2 %d:1\n" % (i, i + 1, i + 7) for i in range(60))]


def settings() -> list[bytes]:
    return [
        (Path(__file__).parents[1] / "conf" / "minia.yaml").read_bytes()[:6000],
        b"codebook:\n  size: 100\nfeatures:\n  extractors: [sift, surf]\nspark:\n  conf:\n"
        b"    spark.ui.enabled: 'false'\nmining: {tables: 12, tuple_size: 2}\n",
        b'{"ingest": {"max_pixels": 1000, "labels": {"file": null}}}',
    ]


def states() -> list[bytes]:
    entry = (
        '{"table":"words","batch":"b1","stage":"words","run":"r","path":"words/run=r","rows":3,'
        '"fingerprint":"f","digest":"d"}'
    )
    text = '{"format":3,"version":1,"parent":0,"run":"r","settings":{"a":{"b":1}},"entries":[%s]}'
    return [(text % ",".join([entry] * 4)).encode()]


def read_images_with_a_guard(file: Path) -> str:
    """As workers do after one died: Arrow's reader of Parquet aborts on what it did not foresee."""
    from minia_spark.images.care import Care

    return read_images(file, care=Care.GUARD)


def read_images(file: Path, **options: Any) -> str:
    from minia_spark.images.care import Care
    from minia_spark.ingest.record import RejectRecord, records_of_file
    from minia_spark.ingest.settings import IngestSettings

    options = IngestSettings().read_options() | {"care": Care.ALARM} | options
    found = list(records_of_file(os.fsencode(file.parent), os.fsencode(file.name), **options))
    refused = [one for one in found if isinstance(one, RejectRecord)]
    for one in refused:
        assert one.reason in set(map(str, Reason)), one
        assert one.detail.isprintable(), one
    return "rejects" if len(refused) == len(found) else "some" if refused else "whole"


def read_exposure(file: Path) -> str:
    from minia_spark.base.errors import Rejected
    from minia_spark.images.exposure import Ccd, ccds, open_exposure, read_ccd

    good, refused = 0, []
    try:
        with open_exposure(file, max_bytes=512 << 20) as hdus:
            for one in ccds(hdus, max_pixels=50_000_000):
                try:
                    if not isinstance(one, Ccd):
                        raise one[1]
                    assert read_ccd(hdus, one.hdu).shape == (one.height, one.width)
                    good += 1
                except Rejected as rejected:
                    refused.append(rejected)
    except Rejected as rejected:
        refused.append(rejected)
    assert all(one.detail.isprintable() for one in refused), refused
    return "rejects" if not good else "some" if refused else "whole"


def read_labels_of(file: Path) -> None:
    from minia_spark.exposures import label_file
    from minia_spark.ingest.labels import check_labels, label_batches

    if file.read_bytes().startswith(b"exposure_id"):
        label_file.read_labels(file)
    else:
        check_labels(file)
        for batch in label_batches(file):
            batch.validate(full=True)


def read_features(file: Path) -> None:
    from minia_spark.engine.stage import Source
    from minia_spark.imports.rows import parse
    from minia_spark.imports.sources import beginning_of

    table, _, numbers = file.read_bytes().partition(b"\0")
    csv, txt = file.with_suffix(".csv"), file.with_suffix(".txt")
    csv.write_bytes(table)
    txt.write_bytes(numbers)
    beginning = beginning_of(Source(csv, companion=txt))
    lines = (table[beginning.header_bytes :].split(b"\n"), numbers.split(b"\n"))
    rows = list(zip(*lines, strict=False))
    texts = [b"".join(line + b"\n" for line in lines) for lines in zip(*rows, strict=True)]
    parts, bad = parse(beginning.form, 1, *texts)
    assert sum(len(part.x) for part in parts) + len(bad) == len(rows)


def read_corpus(file: Path) -> None:
    from minia_spark.base.bags import read_bags

    with file.open("rb") as lines:
        for bags in read_bags(lines):
            assert bags.offsets[-1] == len(bags.items)


def read_settings(file: Path) -> None:
    from minia_spark.rooms import HOUSE

    HOUSE.load_settings(file, ())


def read_state(file: Path) -> None:
    from minia_spark.warehouse.warehouse import Warehouse

    place = file.parent / "W" / "catalogue" / "000000000001.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(file.read_bytes())
    house = Warehouse(str(file.parent / "W"))
    list(house.damaged(house.require().entries))


KINDS: dict[str, tuple[Callable[[], list[bytes]], Callable[[Path], str | None], int]] = {
    "images": (images, read_images, 4),
    "tiles": (tiles, read_images, 1),
    "exposures": (exposures, read_exposure, 1),
    "parquet": (parquet, read_images_with_a_guard, 1),
    "stacks": (stacks, read_images_with_a_guard, 1),
    "archives": (archives, read_images, 1),
    "labels": (labels, read_labels_of, 1),
    "features": (features, read_features, 1),
    "corpora": (corpora, read_corpus, 1),
    "settings": (settings, read_settings, 1),
    "states": (states, read_state, 1),
}
"""What files are made of, how they are read, and how many of fourteen are of the kind."""


def peak_mib(status: Path) -> int:
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) >> 10


def read_all(count: int, folder: str) -> None:
    """Read damaged files; print of each kind what became of them, and the slowest and the peak."""
    from minia_spark.base.errors import MiniaError
    from minia_spark.images import guard

    slowest, name = 0.0, ""
    for kind, (make, read, share) in KINDS.items():
        found: Counter[str] = Counter()
        good = make()
        number = count * share // 14
        for data in (*good[:3], *mutants(good, number - len(good[:3]), SEED)):
            file = Path(folder) / f"{kind}-{found.total()}"
            file.write_bytes(data)
            start = time.monotonic()
            try:
                found[read(file) or "whole"] += 1
            except MiniaError as error:
                text = str(error)
                assert text, file
                found["message"] += 1
            except BaseException:
                print(f"{file} is kept", *traceback.format_exc().splitlines()[-12:], sep="\n")
                raise
            taken = time.monotonic() - start
            if taken > slowest:
                slowest, name = taken, file.name
            file.unlink()
        print(kind, *(f"{what}={many}" for what, many in sorted(found.items())))
    children = [child.process.pid for child in guard._children.values() if child.process]
    places = ["self", *map(str, children)]
    peaks = [peak_mib(Path("/proc") / place / "status") for place in places]
    print("slowest", name, f"{slowest:.2f}", "peak", *peaks)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.heavy)])
def test_an_image_a_reject_or_one_message(pytestconfig, tmp_path, count):
    root = pytestconfig.rootpath
    command = f"import test_mutated_inputs as t; t.read_all({count}, {str(tmp_path)!r})"
    paths = [str(root), str(root / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=root / "tests",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert done.returncode == 0, (done.returncode, signal.SIGALRM, left, done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if not line.startswith(GUARD_SAYS)]
    assert said == []
    *kinds, last = done.stdout.splitlines()
    print(done.stdout)
    total = 0
    for line, kind in zip(kinds, KINDS, strict=True):
        name, *words = line.split()
        found = {what: int(many) for what, many in (word.split("=") for word in words)}
        assert name == kind
        total += sum(found.values())
        assert found["whole"] > 0
        assert len(found) > 1, line
    assert total == sum(count * share // 14 for _, _, share in KINDS.values()) >= count - len(KINDS)
    _, _, seconds, _, *peaks = last.split()
    assert float(seconds) < SECONDS
    assert len(peaks) > 1  # of the guard too
    assert max(map(int, peaks)) < MOST_MIB
