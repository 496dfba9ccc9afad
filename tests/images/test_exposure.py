"""The images of an exposure, read one by one."""

from __future__ import annotations

import bz2
import gzip
import os

import numpy as np
import pytest
from astropy.io import fits

from minia_spark.base.errors import Rejected
from minia_spark.images import guard
from minia_spark.images.exposure import Ccd, ccds, is_packed, open_exposure, read_ccd
from minia_spark.images.fits import read_fits

LIMITS = {"max_pixels": 10_000}


def written(path, *hdus, **header):
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    fits.HDUList([primary, *hdus]).writeto(path)
    return path


def contents(path, **limits):
    """Return what is in a file: (name, pixels) of every image, (hdu, reason) of what is none."""
    found = []
    with open_exposure(path, max_bytes=1 << 20) as hdus:
        for one in ccds(hdus, **(LIMITS | limits)):
            if isinstance(one, Ccd):
                found.append((one.name, read_ccd(hdus, one.hdu)))
            else:
                found.append((one[0], one[1].reason))
    return found


def image(value=1.0, name="", shape=(4, 5), dtype=np.float32):
    return fits.ImageHDU(np.full(shape, value, dtype), name=name)


def test_an_image_an_extension(tmp_path):
    path = written(tmp_path / "e.fits", image(1, "A"), image(2, "B"), image(3), image(4, "A"))
    found = contents(path)
    assert [name for name, _ in found] == ["A", "B", "3", "A,4"]
    assert [pixels[0, 0] for _, pixels in found] == [1, 2, 3, 4]
    assert all(pixels.shape == (4, 5) for _, pixels in found)


def test_x_counts_columns_from_zero(tmp_path):
    """FITS pixel (3, 2), third column and second row, is (x, y) = (2, 1)."""
    hdu = image(0)
    hdu.data[1, 2] = 9
    ((_, pixels),) = contents(written(tmp_path / "e.fits", hdu))
    assert pixels[1, 2] == 9


def test_headers_are_joined(tmp_path):
    hdu = image(1, "A")
    hdu.header["GAIN"] = 2.5
    hdu.header["FILTER"] = "own"
    path = written(tmp_path / "e.fits", hdu, EXPTIME=30.0, FILTER="r")
    with open_exposure(path, max_bytes=1 << 20) as hdus:
        (one,) = ccds(hdus, **LIMITS)
    assert one.header["EXPTIME"] == "30.0"
    assert one.header["GAIN"] == "2.5"
    assert one.header["FILTER"] == "own"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, ">f8"])
def test_every_type_becomes_float32(tmp_path, dtype):
    hdu = fits.ImageHDU(np.arange(20).reshape(4, 5).astype(dtype))
    ((_, pixels),) = contents(written(tmp_path / "e.fits", hdu))
    assert pixels.dtype == np.float32
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, np.arange(20).reshape(4, 5))


def test_blank_and_infinite_are_nan(tmp_path):
    hdu = fits.ImageHDU(np.array([[1.0, np.inf], [np.nan, 2.0]], np.float32))
    ((_, pixels),) = contents(written(tmp_path / "e.fits", hdu))
    np.testing.assert_array_equal(np.isnan(pixels), [[False, True], [True, False]])


def test_fpack(tmp_path):
    data = np.random.default_rng(0).integers(0, 1000, (60, 70)).astype(np.int16)
    path = written(tmp_path / "e.fits.fz", fits.CompImageHDU(data, name="N1"))
    ((name, pixels),) = contents(path)
    assert name == "N1"
    np.testing.assert_array_equal(pixels, data)
    assert not is_packed(path)


@pytest.mark.parametrize("packer", [gzip, bz2])
def test_packed_as_a_whole(tmp_path, packer):
    path = written(tmp_path / "e.fits", image(1, "A"), image(2, "B"))
    path.write_bytes(packer.compress(path.read_bytes()))
    assert is_packed(path)
    assert [name for name, _ in contents(path)] == ["A", "B"]


def test_what_is_no_image_stands_beside_what_is(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    cube, big = fits.ImageHDU(np.zeros((2, 4, 5))), image(0, "big", (200, 200))
    path = written(
        tmp_path / "e.fits",
        table,
        image(1, "A"),
        fits.ImageHDU(),
        cube,
        big,
    )
    found = contents(path)
    assert found[0] == (1, "no_image_data")
    assert found[1][0] == "A"
    assert found[2:] == [(3, "no_image_data"), (4, "no_image_data"), (5, "pixel_limit")]


def test_an_axis_of_length_one_is_dropped(tmp_path):
    ((_, pixels),) = contents(written(tmp_path / "e.fits", fits.ImageHDU(np.ones((1, 4, 5)))))
    assert pixels.shape == (4, 5)


def test_a_file_that_ends_early(tmp_path):
    path = written(tmp_path / "e.fits", image(1, "A"), image(2, "B", (60, 60)))
    path.write_bytes(path.read_bytes()[:-8_000])
    (name, pixels), refused = contents(path)
    assert (name, pixels[0, 0]) == ("A", 1)
    assert refused == (2, "truncated")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not_an_image"),
        (gzip.compress(b"no FITS"), "not_an_image"),
        (gzip.compress(b"SIMPLE  =" + bytes(2 << 20)), "file_limit"),
        (gzip.compress(b"SIMPLE  =" + bytes(9_000))[:-9], "corrupt"),
        (b"SIMPLE  =" + bytes(9_000), "corrupt"),
    ],
    ids=["empty", "JPEG", "gzip of none", "too much", "gzip cut off", "zeros"],
)
def test_what_is_no_exposure(tmp_path, content, reason):
    path = tmp_path / "e.fits"
    path.write_bytes(content)
    with pytest.raises(Rejected, match=reason):
        contents(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "e.fits")
    with pytest.raises(OSError, match="no regular file"):
        contents(tmp_path / "e.fits")


@pytest.mark.parametrize("kind", ["RICE_1", "HCOMPRESS_1", "GZIP_2"])
def test_compressed_tiles_are_unpacked_by_a_guard_to_the_same(tmp_path, kind):
    draw = np.random.default_rng(1)
    ccd = draw.integers(0, 900, (40, 50)).astype(np.int16)
    noise = draw.normal(100, 5, (40, 50)).astype(np.float32)
    packed = [
        fits.CompImageHDU(ccd, compression_type=kind, name="A"),
        fits.CompImageHDU(noise, compression_type=kind, name="B"),
    ]
    path = written(tmp_path / "e.fits.fz", *packed, image(3))
    with fits.open(path) as hdus:
        wanted = [hdus[number].data.astype(np.float32) for number in (1, 2, 3)]
    (_, first), (_, second), (_, third) = contents(path)
    assert all(map(np.array_equal, (first, second, third), wanted))


def test_tiles_that_ask_for_too_much_or_kill_their_decoder(tmp_path, monkeypatch):
    ccd = np.arange(2000, dtype=np.int16).reshape(40, 50)
    path = written(tmp_path / "e.fits", fits.CompImageHDU(ccd), fits.CompImageHDU(ccd))
    data = path.read_bytes()
    rows = b"NAXIS2  =                   40"
    assert data.count(rows) == 2
    path.write_bytes(data.replace(rows, b"NAXIS2  =           4294967295", 1))
    with open_exposure(path, max_bytes=1 << 20) as hdus, pytest.raises(Rejected) as refused:
        read_ccd(hdus, 1)
    assert refused.value.reason in ("out_of_memory", "truncated", "corrupt")
    path.write_bytes(data)
    asked, left = guard._asked, iter(range(1))

    def killed_once(child, *given):
        if next(left, None) is not None:
            child.kill()
        return asked(child, *given)

    monkeypatch.setattr(guard, "_asked", killed_once)
    with open_exposure(path, max_bytes=1 << 20) as hdus:
        with pytest.raises(Rejected, match=r"decoder_failed: .* crashed \(SIGKILL\)"):
            read_ccd(hdus, 1)
        assert np.array_equal(read_ccd(hdus, 2), ccd)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("key", [b"NAXIS   =", b"ZNAXIS  =", b"TFIELDS ="])
def test_axes_and_columns_that_nobody_could_count_are_refused(tmp_path, key, place):
    """astropy would count up to them, which takes centuries."""
    path = tmp_path / "e.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.ones((40, 40), "f4"))]).writeto(path)
    data = path.read_bytes()
    at = [n for n in range(0, len(data), 80) if data[n : n + 9] == key][place]
    path.write_bytes(data[: at + 9] + b" 99999999999999999999 " + data[at + 31 :])
    with pytest.raises(Rejected, match=r"gives .* 99999999999999999999; FITS has at most 999"):
        read_fits(path.read_bytes(), max_pixels=10_000)
    try:
        found = contents(path)
    except Rejected as verdict:
        found = [(1, verdict.reason)]
    assert found == [(1, "corrupt")]


def test_a_damaged_name_costs_its_extension_and_no_other(tmp_path):
    path = written(tmp_path / "e.fits", image(1, "CCD1"), image(2, "CCD2"))
    path.write_bytes(path.read_bytes().replace(b"EXTNAME = 'CCD1", b"EXTNAME = ~'CD1", 1))
    (first, (second, _)) = contents(path)
    assert (first, second) == ((1, "corrupt"), "CCD2")


def test_what_unpacks_to_more_than_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "e.fits.gz"
    path.write_bytes(gzip.compress(b"SIMPLE  =" + b" " * 1000))

    def read(*_):
        raise MemoryError

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    with pytest.raises(Rejected, match="out_of_memory"), open_exposure(path, max_bytes=1 << 20):
        pass
