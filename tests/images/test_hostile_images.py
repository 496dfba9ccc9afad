"""Hostile bytes: everything is an image or a refusal, quietly, and within bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_samples import zipped
from astropy.io import fits
from image_samples import (
    LIMITS,
    broken_files,
    fits_bytes,
    good_files,
    parquet_of,
    picture,
    png_of_size,
    saved,
)
from mutations import mutants

from minia_spark.base.errors import Rejected
from minia_spark.images import guard
from minia_spark.images.bounds import bounded_memory
from minia_spark.images.care import Care
from minia_spark.images.container import Part
from minia_spark.images.decode import decode
from minia_spark.images.identity import uri_of
from minia_spark.images.reasons import Reason
from minia_spark.ingest.record import ImageRecord, RejectRecord, decoded_of_file, records_of_file

REASONS = {str(reason) for reason in Reason}


def check_words(rejected: Rejected | RejectRecord) -> None:
    assert rejected.reason in REASONS
    assert rejected.detail.isprintable()


def outcomes(count: int, seed: int) -> tuple[int, dict[str, int]]:
    images, reasons = 0, {}
    for data in mutants(list(good_files().values()), count, seed):
        try:
            decoded = decode(data, **LIMITS)
        except Rejected as rejected:
            check_words(rejected)
            reasons[rejected.reason] = reasons.get(rejected.reason, 0) + 1
        else:
            assert decoded.pixels.dtype == "uint8"
            assert 1 <= decoded.width * decoded.height <= LIMITS["max_pixels"]
            images += 1
    return images, reasons


def test_mutated_files_are_images_or_refused_and_nothing_is_printed(capfd):
    images, reasons = outcomes(300, seed=1)
    assert images + sum(reasons.values()) == 300
    assert images > 30
    assert {"truncated", "corrupt", "pixel_limit"} <= set(reasons)
    assert capfd.readouterr() == ("", "")


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(4))
def test_many_mutated_files(seed, capfd):
    images, reasons = outcomes(2000, seed=100 + seed)
    assert images + sum(reasons.values()) == 2000
    assert capfd.readouterr() == ("", "")


def parquet_outcomes(tmp_path, count: int, seed: int) -> dict[str, int]:
    images = [content for name, content in good_files().items() if name.endswith(".png")]
    files = [
        parquet_of(images, row_group_size=4),
        parquet_of(images, row_group_size=100, compression="zstd"),
        parquet_of(images[:3], compression="none", use_dictionary=False),
    ]
    path = tmp_path / "mutant.parquet"
    seen = {"images": 0, "rejects": 0}
    for data in mutants(files, count, seed):
        path.write_bytes(data)
        for record in records_of_file(str(tmp_path).encode(), path.name.encode(), **LIMITS):
            if isinstance(record, ImageRecord):
                seen["images"] += 1
            else:
                assert isinstance(record, RejectRecord)
                check_words(record)
                seen["rejects"] += 1
    return seen


def test_mutated_parquet_files_are_images_or_refused(tmp_path, capfd):
    seen = parquet_outcomes(tmp_path, 100, seed=2)
    assert min(seen.values()) > 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.heavy
def test_many_mutated_parquet_files(tmp_path):
    assert min(parquet_outcomes(tmp_path, 2000, seed=3).values()) > 400


# What headers claim here would need 7.5 GB and more; the process may take 400 MB beyond its start.
BOMBS = textwrap.dedent(
    """
    import resource, struct, sys
    from image_samples import fits_header, jpeg_of_size, picture, png_of_size, saved, tiff_with
    from minia_spark.base.errors import Rejected
    from minia_spark.images.decode import decode

    side = 50_000
    decode(saved(picture(), "TIFF", compression="tiff_lzw"))
    cards = ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", side), ("NAXIS2", side)
    bombs = {
        "png": png_of_size(side, side),
        "png square": png_of_size(2**31 - 1, 2**31 - 1),
        "jpeg": jpeg_of_size(side, side),
        "tiff": tiff_with(saved(picture(), "TIFF"), t256=side, t257=side, t278=side),
        "tiff lzw": tiff_with(
            saved(picture(), "TIFF", compression="tiff_lzw"), t256=side, t257=side, t278=side
        ),
        "fits": fits_header(*cards),
        "fits cube": fits_header(*cards[:1], ("NAXIS", 3), *cards[2:], ("NAXIS3", 1)),
    }
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 400 * 2**20,) * 2)
    for name, data in bombs.items():
        try:
            decode(data)
        except Rejected as rejected:
            print(name, rejected.reason)
    """
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_bombs_are_refused_without_taking_the_memory(tmp_path, pytestconfig):
    root = pytestconfig.rootpath
    done = subprocess.run(
        [sys.executable, "-c", BOMBS],
        cwd=root / "tests",
        env={"PYTHONPATH": f"{root}:{root / 'tests'}", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert all(line.endswith(" pixel_limit") for line in lines), lines


def test_fixed_breakage_is_silent_too(capfd):
    for _, content in broken_files().values():
        with pytest.raises(Rejected):
            decode(content, **LIMITS)
    assert capfd.readouterr() == ("", "")


def test_lack_of_memory_is_told_as_what_it_is(monkeypatch):
    from PIL import PngImagePlugin

    def fail(*_):
        raise MemoryError

    png = good_files()["colour0.png"]
    assert decode(png).channels == 3
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(Rejected, match=r"out_of_memory: .* bytes takes more .* ingest\.max_pixels"):
        decode(png)


@pytest.mark.parametrize("error", [cv2.error("code -215"), RecursionError("too deep"), KeyError(1)])
def test_a_decoder_that_fails_as_it_never_should_costs_one_image(monkeypatch, tmp_path, error):
    def fail(*_, **__):
        raise error

    for name in ("deep0.fits", "colour0.png"):
        (tmp_path / name).write_bytes(good_files()[name])
    monkeypatch.setattr("minia_spark.images.decode.to_uint8", fail)
    root = str(tmp_path).encode()
    (bad,) = records_of_file(root, b"deep0.fits", **LIMITS)
    assert isinstance(bad, RejectRecord)
    assert bad.reason == "decoder_failed"
    assert bad.uri.endswith("/deep0.fits")
    assert bad.detail.startswith(f"{type(error).__name__} in a decoder, which is a defect: ")
    (good,) = records_of_file(root, b"colour0.png", **LIMITS)
    assert isinstance(good, ImageRecord)


def test_a_file_too_large_for_the_memory_is_one_reject(monkeypatch, tmp_path):
    """pyarrow says so of a damaged page that claims to be huge."""

    def fail(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 8589934592 failed")

    (tmp_path / "a.parquet").write_bytes(parquet_of([good_files()["colour0.png"]]))
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", fail)
    (only,) = records_of_file(str(tmp_path).encode(), b"a.parquet", **LIMITS)
    assert isinstance(only, RejectRecord)
    assert (only.reason, only.uri[-9:]) == ("out_of_memory", "a.parquet")


def test_a_bound_on_memory_holds_inside_only():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory(64 << 20):
        bytearray(32 << 20)
        with pytest.raises(MemoryError):
            bytearray(128 << 20)
        with pytest.raises(MemoryError):
            np.ones(16 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    bytearray(128 << 20)


def packed(tile: bytes) -> bytes:
    """A FITS file of 64 x 64 pixels in gzipped tiles, of which the first is another one."""
    plain = fits_bytes(fits.CompImageHDU(np.zeros((64, 64), np.int32), compression_type="GZIP_1"))
    with fits.open(io.BytesIO(plain), disable_image_compression=True) as hdus:
        tiles = np.empty(64, dtype=object)
        tiles[:] = [np.frombuffer(tile, np.uint8)] * 64
        column = fits.Column("COMPRESSED_DATA", "1PB()", array=tiles)
        table = fits.BinTableHDU.from_columns(fits.ColDefs([column]), header=hdus[1].header)
        return fits_bytes(fits.PrimaryHDU(), table)


def test_tiles_that_unpack_to_a_gibibyte():
    data = packed(gzip.compress(bytes(1 << 30), 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        Rejected, match="out_of_memory: Unpacking the image takes more than 256 MiB"
    ):
        decode(data)
    child = guard._children[os.getpid(), "decode"].process
    status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    assert int(line.split()[1]) < 600 << 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def test_a_decoder_that_crashes_or_hangs_costs_one_image(monkeypatch):
    good = fits_bytes(fits.CompImageHDU(np.arange(4096, dtype=np.int32).reshape(64, 64)))
    assert decode(good).pixels.shape == (64, 64)
    child = guard._children[os.getpid(), "decode"].process
    os.kill(child.pid, signal.SIGSTOP)
    monkeypatch.setattr(guard, "SECONDS", 0.3)
    with pytest.raises(Rejected, match=r"decoder_failed: .* took longer than 0\.3 s; the file may"):
        decode(good)
    monkeypatch.undo()
    asked = guard._asked

    def killed(process, *given):
        process.kill()
        return asked(process, *given)

    monkeypatch.setattr(guard, "_asked", killed)
    with pytest.raises(Rejected, match=r"decoder_failed: .* crashed \(SIGKILL\)"):
        decode(good)
    monkeypatch.undo()
    assert decode(good).pixels.mean() > 0


def test_the_guarded_decoder_says_what_the_other_says():
    whole = fits_bytes(fits.CompImageHDU(np.arange(4096, dtype=np.int16).reshape(64, 64)))
    for data in (whole, whole[:6000], packed(b"no gzip"), packed(gzip.compress(b"short"))):
        told = []
        for read in (guard.read_fits, partial(guard.read_guarded, kind="fits")):
            try:
                told.append(read(data, max_pixels=5000).tolist())
            except Rejected as rejected:
                told.append(str(rejected))
        assert told[0] == told[1]
    with pytest.raises(Rejected, match="pixel_limit"):
        guard.read_guarded(whole, "fits", max_pixels=100)


@pytest.mark.parametrize("name", sorted(good_files())[::7])
def test_with_a_guard_every_image_is_the_same(name):
    plain, guarded = (decode(good_files()[name], care=care) for care in (Care.NONE, Care.GUARD))
    assert (plain.format, plain.stretch, plain.warning) == (
        guarded.format,
        guarded.stretch,
        guarded.warning,
    )
    assert np.array_equal(plain.pixels, guarded.pixels)


def test_with_a_guard_what_is_wrong_is_the_same():
    files = [good_files()["colour0.png"], png_of_size(9_000, 9_000)]
    for data in (*(d[: len(d) // 2] for d in good_files().values()), *files):
        told = set()
        for care in Care:
            try:
                decode(data, care=care)
                told.add("an image")
            except Rejected as rejected:
                told.add(str(rejected))
        assert len(told) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_guarded_decoder_that_dies_costs_one_image(kind, monkeypatch):
    data = saved(picture(), kind)
    assert decode(data, care=Care.GUARD).format == kind.lower()
    os.kill(guard._children[os.getpid(), "decode"].process.pid, signal.SIGSTOP)
    monkeypatch.setattr(guard, "SECONDS", 0.3)
    with pytest.raises(Rejected, match=rf"decoder_failed: The decoder of {kind} took longer than"):
        decode(data, care=Care.GUARD)
    monkeypatch.undo()
    assert decode(data, care=Care.GUARD).format == kind.lower()


HANGS = """
import sys
from minia_spark.images import care, decode
care.ALARM_SECONDS = 0.3
def forever(*_, **__):
    while True:
        sum(range(1 << 24))  # one call of code in C: no handler of Python's would run
decode.read_raster = forever
decode.decode(b"\\xff\\xd8\\xff", care=care.Care.ALARM)
"""


def test_an_alarm_ends_the_process():
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM


def test_no_alarm_is_left():
    decode(saved(picture(), "PNG"), care=Care.ALARM)
    with pytest.raises(Rejected):
        decode(b"\xff\xd8\xff", care=Care.ALARM)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


class TestFilesOfImages:
    @pytest.fixture
    def place(self, tmp_path):
        files = good_files()
        (tmp_path / "a.parquet").write_bytes(parquet_of([files["colour0.png"]] * 5))
        members = {f"{number}.png": files["colour1.png"] for number in range(3)}
        (tmp_path / "a.zip").write_bytes(zipped({"empty.png": b""} | members))
        return tmp_path

    @pytest.mark.parametrize("name", ["a.parquet", "a.zip"])
    @pytest.mark.parametrize("of", [1, 2])
    def test_with_a_guard_they_hold_the_same(self, place, name, of):
        for number in range(of):
            told = [
                list(records_of_file(os.fsencode(place), name.encode(), care=care,
                                     part=Part(number, of), **LIMITS))
                for care in Care
            ]  # fmt: skip
            assert told[0] == told[1] == told[2]

    def test_a_reader_that_dies_costs_the_rest_of_the_file(self, place, monkeypatch):
        asked, left = guard._next, iter(range(2))

        def dying(child):
            if next(left, None) is None:
                child.kill()
                child.wait()
                raise ValueError("no answer")
            return asked(child)

        monkeypatch.setattr(guard, "_next", dying)
        root = os.fsencode(place)
        *images, last = records_of_file(root, b"a.parquet", care=Care.GUARD, **LIMITS)
        assert [image.image_id for image in images] == ["0.png", "1.png"]
        assert (last.reason, last.uri) == ("decoder_failed", uri_of(root + b"/a.parquet"))
        assert last.detail.startswith("The reader of a file of images crashed (SIGKILL)")
        monkeypatch.undo()
        assert len(list(records_of_file(root, b"a.zip", care=Care.GUARD, **LIMITS))) == 4

    def test_who_stops_early_leaves_no_answers_behind(self, place):
        root = os.fsencode(place)
        found = decoded_of_file(root, b"a.parquet", care=Care.GUARD, **LIMITS)
        next(found)
        found.close()
        assert len(list(records_of_file(root, b"a.zip", care=Care.GUARD, **LIMITS))) == 4


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.heavy)])
def test_mutated_tiles_of_every_kind(count):
    values = (np.arange(4096) % 251).astype(np.int32).reshape(64, 64)
    kinds = ("RICE_1", "HCOMPRESS_1", "GZIP_1", "GZIP_2", "PLIO_1")
    base = [fits_bytes(fits.CompImageHDU(values, compression_type=kind)) for kind in kinds]
    base += [fits_bytes(fits.CompImageHDU(values + 0.5, compression_type=k)) for k in kinds[:2]]
    images, slowest = 0, 0.0
    for data in mutants(base, count, 11):
        start = time.monotonic()
        try:
            decode(data, max_pixels=1_000_000, fits_checksums="warn")
            images += 1
        except Rejected as rejected:
            check_words(rejected)
        slowest = max(slowest, time.monotonic() - start)
    assert images > count / 10
    assert slowest < 60


PEAK_OF_A_FILE = """
import resource, sys
from minia_spark.ingest.record import records_of_file
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
found = [r.reason for r in records_of_file(b"/", sys.argv[1].encode(), max_bytes=1 << 30)]
print(sorted(set(found)), len(found), peak() - before)
"""


@pytest.mark.heavy
def test_a_dictionary_page_that_every_row_repeats(tmp_path):
    """6.5 KB that unpack to 64 MiB, 200 times: each copy is looked at and dropped."""
    values = pa.array([bytes(64 << 20)], pa.binary())
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), values)
    file = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"image.bytes": column}), file, compression="zstd", store_schema=False)
    assert file.stat().st_size < 20_000
    command = [sys.executable, "-c", PEAK_OF_A_FILE, str(file)[1:]]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    reasons, count, peak_mib = told.rsplit(maxsplit=2)
    assert (reasons, count) == ("['not_an_image']", "200")
    assert int(peak_mib) < 700
