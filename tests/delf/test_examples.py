"""Images that become records, and those that do not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from image_samples import picture, saved
from PIL import Image

from minia_spark.base.errors import Rejected
from minia_spark.delf.examples import picture_of, record_of
from minia_spark.images.decode import decode

WITHOUT = "TensorFlow is not installed: pip install 'minia-spark[networks]'"


def test_a_jpeg_stays_as_it_is():
    data = saved(picture(24, 32), "JPEG")
    found = picture_of(data)
    assert (found.jpeg, found.width, found.height) == (data, 32, 24)


def test_what_exif_turns_is_turned():
    """TensorFlow does not know EXIF: the record must show what everything else here sees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(picture(24, 32), "JPEG", exif=exif)
    found = picture_of(data)
    assert (found.width, found.height) == (24, 32)
    assert not Image.open(io.BytesIO(found.jpeg)).getexif()
    shown = decode(found.jpeg).pixels.astype(int)
    assert np.abs(shown - decode(data).pixels).mean() < 3
    exif[0x0112] = 1
    upright = saved(picture(24, 32), "JPEG", exif=exif)
    assert picture_of(upright).jpeg == upright


def test_another_format_becomes_jpeg():
    found = picture_of(saved(picture(24, 32), "PNG"))
    assert found.jpeg.startswith(b"\xff\xd8\xff")
    assert decode(found.jpeg).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (saved(picture()[..., 0], "JPEG"), "not_rgb"),
        (saved(Image.fromarray(picture()).convert("CMYK"), "JPEG"), "unsupported_colour"),
        (saved(picture(), "JPEG")[:-200], "truncated"),
        (b"", "empty_file"),
        (b"nothing", "not_an_image"),
    ],
    ids=["grey", "cmyk", "truncated", "empty", "text"],
)
def test_what_is_rejected(data, reason):
    with pytest.raises(Rejected, match=reason):
        picture_of(data)


def test_a_record_read_back():
    tf = pytest.importorskip("tensorflow", reason=WITHOUT)
    data = saved(picture(24, 32), "JPEG")
    record = record_of("galäxy", 7, picture_of(data))
    assert record == record_of("galäxy", 7, picture_of(data))
    found = tf.train.Example.FromString(record).features.feature
    assert {
        key: list(getattr(value, value.WhichOneof("kind")).value) for key, value in found.items()
    } == {
        "image/height": [24],
        "image/width": [32],
        "image/colorspace": [b"RGB"],
        "image/channels": [3],
        "image/class/label": [7],
        "image/format": [b"JPEG"],
        "image/id": ["galäxy".encode()],
        "image/encoded": [data],
    }
