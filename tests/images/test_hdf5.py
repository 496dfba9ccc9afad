"""HDF5 stacks: what comes out is what was put in; what is not read is told in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.base.errors import Rejected
from minia_spark.images.container import Part
from minia_spark.images.decode import decode
from minia_spark.images.fits import read_fits
from minia_spark.images.hdf5 import fits_of, png_of
from minia_spark.images.reader import ImageReader, images_of_file

h5py = pytest.importorskip("h5py")

RNG = np.random.default_rng(4)
COLOURS = RNG.integers(0, 256, (7, 12, 9, 3)).astype(np.uint8)
GREY = RNG.integers(0, 256, (3, 8, 8, 1)).astype(np.uint8)
LIMITS = {"max_bytes": 1 << 20}


def written(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name.replace("__", "/"), data=values)
    return bytes(path)


def found(path, **options):
    return list(images_of_file(bytes(path.parent), path.name.encode(), **LIMITS, **options))


def test_every_image_as_it_was(tmp_path):
    path = tmp_path / "stack.h5"
    written(path, images=COLOURS, more__grey=GREY, ans=np.arange(7), votes=RNG.random((7, 3)))
    images = found(path)
    names = [f"stack.h5/images/{i:06d}" for i in range(7)]
    assert [i.image_id for i in images] == names + [f"stack.h5/more/grey/{i:06d}" for i in range(3)]
    assert {i.folder for i in images} == {"images", "grey"}
    for image, pixels in zip(images, [*COLOURS, *GREY[..., 0]], strict=True):
        assert np.array_equal(decode(image.data).pixels, pixels)
    with ImageReader(**LIMITS) as reader:
        for image in images[::-1]:
            assert reader.read(image.uri) == image.data


@pytest.mark.parametrize("of", [1, 2, 3, 20])
def test_parts_share_the_images(tmp_path, of):
    path = tmp_path / "a.h5"
    written(path, images=COLOURS, grey=GREY)
    parts = [found(path, part=Part(number, of)) for number in range(of)]
    assert sorted(i.uri for p in parts for i in p) == sorted(i.uri for i in found(path))


@pytest.mark.parametrize("kind", ["u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_deep_numbers_are_kept(kind):
    values = (RNG.random((5, 4)) * 100 - (0 if kind[0] == "u" else 50)).astype(kind)
    if kind[0] == "u":
        values[0, 0] = np.iinfo(kind).max
    known = read_fits(fits_of(values), max_pixels=100)
    assert np.array_equal(known, values.astype(known.dtype))


def test_png_of_more_than_a_block():
    pixels = RNG.integers(0, 256, (200, 150, 3)).astype(np.uint8)
    assert np.array_equal(decode(png_of(pixels)).pixels, pixels)
    assert np.array_equal(decode(png_of(pixels[:, :, 0])).pixels, pixels[:, :, 0])


def test_deep_images_are_stretched_like_fits(tmp_path):
    path = tmp_path / "deep.h5"
    written(path, images=RNG.normal(100, 5, (2, 16, 16)).astype(np.float32))
    first = decode(found(path)[0].data)
    assert first.format == "fits"
    assert first.stretch == "zscale+asinh"


def refused(path, **options):
    (only,) = found(path, **options)
    assert isinstance(only.data, Rejected)
    return only.data


def test_what_holds_no_images(tmp_path):
    path = tmp_path / "a.h5"
    written(path, ans=np.arange(7), names=np.array([b"a", b"b"]))
    told = refused(path)
    assert told.reason == "not_an_image"
    assert "this one has ans (7,) int64, names (2,)" in told.detail


def test_a_damaged_file(tmp_path):
    path = tmp_path / "a.h5"
    data = written(path, images=COLOURS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path).reason == "corrupt"
    assert data


def test_numbers_in_other_files_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)))
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (1, 16, 16), "u1", external=[(str(secret), 0, 256)])
    assert refused(path).reason == "outside_root"
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(secret), "/images")
        file["again"] = h5py.SoftLink("/images")
        file["images"] = COLOURS
        file["circle"] = file["/"]
    assert len(found(path)) == 7


def test_what_unpacks_to_too_much(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:  # nothing of it is there
        file.create_dataset("images", (10**6, 100, 100), "u1", chunks=(1, 100, 100))
    assert "more than 100 times its own size" in refused(path).detail
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (200, 1000, 1000), "u1", chunks=(100, 1000, 1000))
    assert "pieces of 100000000 bytes" in refused(path).detail
    written(path, images=COLOURS)
    assert "7 images; the limit is 6" in refused(path, max_archive_members=6).detail
    large = list(images_of_file(bytes(tmp_path), b"a.h5", max_bytes=300))
    assert {i.data.reason for i in large} == {"file_limit"}


def test_colours_of_other_numbers(tmp_path):
    path = tmp_path / "a.h5"
    written(path, images=RNG.random((2, 8, 8, 3)))
    assert {i.data.reason for i in found(path)} == {"unsupported_colour"}
    written(path, image=COLOURS[0])  # one image alone
    (only,) = found(path)
    assert np.array_equal(decode(only.data).pixels, COLOURS[0])


def test_an_image_that_is_gone(tmp_path):
    path = tmp_path / "a.h5"
    written(path, images=COLOURS)
    uri = found(path)[-1].uri
    written(path, images=COLOURS[:2])
    with ImageReader(**LIMITS) as reader, pytest.raises(Rejected, match="the file has changed"):
        reader.read(uri)
