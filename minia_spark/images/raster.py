"""JPEG, PNG and TIFF by Pillow, hardened: bounded, silent, and every failure named.

Pixel values are taken as they are stored; colour profiles are not applied. Of an animated PNG or a
multi-picture JPEG the first picture counts. Orientation given by EXIF is applied, as in any viewer.
"""

from __future__ import annotations

import ctypes
import io
import logging
import struct
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageFile, _imaging
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from minia_spark.base.errors import Rejected
from minia_spark.images.failures import sentence
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_raster"]

RasterFormat = Literal["jpeg", "png", "tiff"]

# The plugins by name instead of Image.open: no other format can be reached, and their own messages
# say what is wrong where Image.open only says that it cannot identify.
_PLUGINS: dict[RasterFormat, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "tiff": TiffImageFile,
}
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"})

_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SUBFILE_TAG = 254
_PREVIEW, _MASK = 1, 4  # bits of the TIFF tag NewSubfileType
_SAMPLE_FORMAT_TAG = 339
_STRIPS = ((273, 279), (324, 325))  # tags of (offsets, byte counts) of strips and of tiles
_TILE_SHAPE_TAGS = (322, 323)
_MAX_PAGES = 64
_TIFF_TYPE_BYTES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True)) | {
    16: 8,
    17: 8,
    18: 8,
}

# Each scan of a progressive JPEG goes over all pixels: thousands of tiny ones are a known attack.
_MAX_SCANS = 100


def _silence_decoders() -> None:
    """Keep Pillow's logger and libtiff from writing to stderr; what they say is in the reject."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # libtiff prints every error of a damaged file. The copy that Pillow uses is found through
    # Pillow's own module; where it is linked without exported names, its lines stay.
    pillow = ctypes.CDLL(_imaging.__file__)
    for setter in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        function = getattr(pillow, setter, None)
        if function is not None:
            function.restype = ctypes.c_void_p
            function(None)


_silence_decoders()


def read_raster(data: bytes, kind: RasterFormat, *, max_pixels: int) -> NDArray[Any]:
    """Decode JPEG, PNG or TIFF bytes.

    Parameters
    ----------
    data : bytes
        The whole file, already recognised as `kind`.
    kind : {"jpeg", "png", "tiff"}
        Only this decoder is tried.
    max_pixels : int
        Checked against the header before any pixel memory is taken.

    Returns
    -------
    array
        uint8 of shape (height, width) for grey or (height, width, 3) for RGB; for grey of more
        than 8 bits the values themselves (integers or float32, shape (height, width)). One-bit
        images become 0 and 255, palettes become RGB, colour of 16 bits keeps its upper 8 (so
        Pillow), transparent pixels are laid over black.

    Raises
    ------
    Rejected
        ``zero_sized``, ``pixel_limit``, ``unsupported_colour``, ``unsupported_format``,
        ``several_images`` (TIFF of several full pages), ``truncated`` or ``corrupt``.
    """
    image = _PLUGINS[kind].__new__(_PLUGINS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # two steps, so that the size that the header gave can be seen when opening fails
            type(image).__init__(image, io.BytesIO(data))
            _check_header(image, data, kind, max_pixels)
            image.load()
            return _pixels(image, kind)
        except (Rejected, MemoryError):
            # A lack of memory is no damage of the file: decode() says so. What a header can ask for
            # is bounded above.
            raise
        except Exception as error:  # decoders raise anything on hostile bytes
            raise _failure(error, image, data, kind) from error


def _check_header(image: ImageFile.ImageFile, data: bytes, kind: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(width, height, max_pixels)
    if image.mode not in _DEEP_MODES | _GREY_MODES | _COLOUR_MODES:
        raise Reason.UNSUPPORTED_COLOUR.reject(
            f"The colour model is {image.mode}; grey, RGB and palettes are read, with or without "
            "transparency. Convert the image to RGB."
        )
    if kind == "jpeg" and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Reason.CORRUPT.reject(f"The JPEG has more than {_MAX_SCANS} scans.")
    if isinstance(image, TiffImageFile):
        _check_tiff(image, max_pixels)


def _too_large(width: int, height: int, max_pixels: int) -> Rejected:
    return Reason.PIXEL_LIMIT.reject(
        f"The header asks for {width} x {height} pixels; the limit is {max_pixels} "
        "(ingest.max_pixels)."
    )


def _check_tiff(image: TiffImageFile, max_pixels: int) -> None:
    tile = [image.tag_v2.get(tag, 0) for tag in _TILE_SHAPE_TAGS]
    if tile[0] * tile[1] > max_pixels:
        raise _too_large(tile[0], tile[1], max_pixels)
    if image.tag_v2.get(_SUBFILE_TAG, 0) & _PREVIEW:
        raise Reason.UNSUPPORTED_FORMAT.reject(
            "The first page of the TIFF is a preview, as in camera raw files; convert it to a "
            "plain TIFF."
        )
    for page in range(1, _MAX_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        if not image.tag_v2.get(_SUBFILE_TAG, 0) & (_PREVIEW | _MASK):
            raise Reason.SEVERAL_IMAGES.reject(
                "The TIFF has several full pages; write one file for each image."
            )
    if image.tell() != 0:
        image.seek(0)


def _pixels(image: ImageFile.ImageFile, kind: str) -> NDArray[Any]:
    picture: Image.Image = image
    if kind != "tiff":  # Pillow turns a TIFF itself
        turn = _ORIENTATIONS.get(_orientation(image))
        picture = image if turn is None else image.transpose(turn)
    if image.mode in _DEEP_MODES:
        return _deep(np.asarray(picture), image)
    grey = image.mode in _GREY_MODES
    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture.convert("RGBA"))
    wanted = "L" if grey else "RGB"
    return np.asarray(picture if picture.mode == wanted else picture.convert(wanted))


def _orientation(image: ImageFile.ImageFile) -> Any:
    try:
        return image.getexif().get(_ORIENTATION_TAG)
    except MemoryError:
        raise
    except Exception:  # damaged metadata is no reason to refuse whole pixels
        return None


def _deep(values: NDArray[Any], image: ImageFile.ImageFile) -> NDArray[Any]:
    if isinstance(image, TiffImageFile) and image.mode == "I":
        unsigned = image.tag_v2.get(_SAMPLE_FORMAT_TAG, (1,))[0] == 1
        if unsigned:  # Pillow has no unsigned 32-bit mode: the bits are right, the sign is not
            return values.astype(np.int32, copy=False).view(np.uint32)
    return values


def _failure(
    error: Exception, image: ImageFile.ImageFile, data: bytes, kind: RasterFormat
) -> Rejected:
    if image.mode and 0 in image.size:
        width, height = image.size
        return Reason.ZERO_SIZED.reject(f"The header gives {width} x {height} pixels.")
    if isinstance(error, Image.DecompressionBombError):
        return Reason.PIXEL_LIMIT.reject(sentence(error))
    if _ends_early(data, kind, image):
        return Reason.TRUNCATED.reject(
            f"The {kind.upper()} ends after {len(data)} bytes, before its content does."
        )
    return Reason.CORRUPT.reject(f"The {kind.upper()} decoder says: {sentence(error)}")


def _ends_early(data: bytes, kind: RasterFormat, image: ImageFile.ImageFile) -> bool:
    if kind == "jpeg":
        return not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9")
    if kind == "png":
        return b"IEND" not in data[-64:]
    return _tiff_ends_early(data, image)


def _tiff_ends_early(data: bytes, image: ImageFile.ImageFile) -> bool:
    """Whether the first directory, or anything that it points to, lies beyond the last byte."""
    big = data[2:4] in (b"+\0", b"\0+")
    order = "<" if data[:2] == b"II" else ">"
    count, entry, inline = ("Q", "HHQQ", 8) if big else ("H", "HHII", 4)
    try:
        start = ImageFileDirectory_v2(data[: 16 if big else 8]).next
        (entries,) = struct.unpack_from(order + count, data, start)
        start += struct.calcsize(count)
        for i in range(min(entries, 0xFFFF)):
            at = start + i * struct.calcsize("<" + entry)
            _, kind, values, offset = struct.unpack_from(order + entry, data, at)
            size = values * _TIFF_TYPE_BYTES.get(kind, 0)
            if size > inline and offset + size > len(data):
                return True
    except (struct.error, OverflowError, SyntaxError):
        return True
    tags = getattr(image, "tag_v2", {})
    for offsets, counts in _STRIPS:
        ends = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        if any(offset + count > len(data) for offset, count in ends):
            return True
    return False
