"""Images as TensorFlow's records, with the features that DELF's training reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL.JpegImagePlugin import JpegImageFile

from minia_spark.base.networks import load_tensorflow
from minia_spark.delf.copies import as_jpeg
from minia_spark.delf.reasons import Reason
from minia_spark.images.decode import decode
from minia_spark.images.sniff import sniff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Picture", "picture_of", "record_of", "rgb_of"]

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Picture:
    """An image that can be used.

    Attributes
    ----------
    width, height : int
        In pixels.
    jpeg : bytes
        The file as it is; encoded anew where it is of another format, or where EXIF says that it is
        to be turned, which TensorFlow does not do.
    """

    width: int
    height: int
    jpeg: bytes


def rgb_of(data: bytes) -> NDArray[np.uint8]:
    """Decode an image of three colours, uint8 of shape (height, width, 3).

    Raises
    ------
    Rejected
        ``not_rgb``, or as :func:`minia_spark.images.decode.decode`.
    """
    pixels = decode(data).pixels
    if pixels.ndim != 3:
        raise Reason.NOT_RGB.reject("The image is grey; convert it to RGB.")
    return pixels


def picture_of(data: bytes) -> Picture:
    """Check a file and return its image.

    Raises
    ------
    Rejected
        As :func:`rgb_of`.
    """
    pixels = rgb_of(data)
    height, width = pixels.shape[:2]
    kept = sniff(data) == "jpeg" and not _is_turned(data)
    return Picture(width, height, data if kept else as_jpeg(pixels))


def _is_turned(data: bytes) -> bool:
    try:
        found = JpegImageFile(io.BytesIO(data)).getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged metadata, which decode() passes over too
        return False
    return found in range(2, 9)


def record_of(name: str, label: int, picture: Picture) -> bytes:
    """Return a serialised ``tf.train.Example``; the same bytes for the same arguments."""
    tf = load_tensorflow()

    def ints(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def text(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    feature = {
        "image/height": ints(picture.height),
        "image/width": ints(picture.width),
        "image/colorspace": text(b"RGB"),
        "image/channels": ints(3),
        "image/class/label": ints(label),
        "image/format": text(b"JPEG"),
        "image/id": text(name.encode()),
        "image/encoded": text(picture.jpeg),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # entries of a map have no order of their own
    found: bytes = example.SerializeToString(deterministic=True)
    return found
