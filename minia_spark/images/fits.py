"""FITS by astropy: the one two-dimensional image of a file, plain or compressed, bounded.

Row 0 of the array is the first row of the file, so that a position (x, y) is the FITS pixel
(x + 1, y + 1); pictures therefore stand upside down against viewers that put it at the bottom.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import Rejected
from minia_spark.images.bounds import bounded_memory
from minia_spark.images.failures import sentence
from minia_spark.images.reasons import Reason
from minia_spark.images.sniff import ACCEPTED

if TYPE_CHECKING:
    from astropy.io import fits
    from numpy.typing import NDArray

__all__ = ["check_counts", "is_compressed", "only_image", "read_fits", "unpack", "wrong_checksum"]

_START = b"SIMPLE  ="
_COUNTS = (b"NAXIS   =", b"ZNAXIS  =", b"TFIELDS =")
_MOST = 999
_CARD_BYTES = 80
_SPARE_BYTES = 256 << 20
_BYTES_A_PIXEL = 48  # eight for a double, and copies while it is unpacked and scaled


def unpack(data: bytes, kind: str, *, max_bytes: int) -> bytes:
    """Unpack gzip or bzip2 bytes that hold a FITS file, and never more than `max_bytes`.

    Parameters
    ----------
    data : bytes
        The compressed file; several members one after another count as one, as for gunzip.
    kind : {"gzip", "bzip2"}
        The compression.
    max_bytes : int
        Unpacking stops here.

    Raises
    ------
    Rejected
        ``file_limit``, ``truncated``, ``corrupt``, or ``unsupported_format`` if it is not FITS.
    """
    opener = bz2.open if kind == "bzip2" else gzip.open
    try:
        with opener(io.BytesIO(data), "rb") as file:
            start = file.read(len(_START))
            if start != _START:
                raise Reason.UNSUPPORTED_FORMAT.reject(
                    f"The {kind} file holds something other than FITS; {ACCEPTED}."
                )
            content = start + file.read(max_bytes + 1 - len(start))
    except EOFError as error:
        raise Reason.TRUNCATED.reject(f"The {kind} stream ends early.") from error
    except (zlib.error, OSError, ValueError) as error:
        raise Reason.CORRUPT.reject(f"The {kind} stream is damaged: {sentence(error)}") from error
    if len(content) > max_bytes:
        raise Reason.FILE_LIMIT.reject(
            f"The {kind} file unpacks to more than {max_bytes} bytes (ingest.max_file_mib)."
        )
    return content


def read_fits(data: bytes, *, max_pixels: int) -> NDArray[Any]:
    """Return the only two-dimensional image of a FITS file, scaled as its header says.

    Axes of length one before the last two are dropped. Tile-compressed images (fpack) are images
    too. Sizes are checked against the headers before any pixel is read.

    Parameters
    ----------
    data : bytes
        An uncompressed FITS file.
    max_pixels : int
        Limit on the image, and on a tile of a compressed one.

    Returns
    -------
    array, shape (height, width)
        In the file's type and byte order, after BSCALE and BZERO; BLANK is NaN.

    Raises
    ------
    Rejected
        ``no_image_data``, ``several_images``, ``zero_sized``, ``pixel_limit``, ``truncated`` or
        ``corrupt``.
    """
    check_counts(data)
    from astropy.io import fits  # noqa: PLC0415 - a second to load, which most images do without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True) as hdus:
                image = only_image(hdus)
                _check_header(image, len(data), max_pixels)
                return _pixels(image)
        except (Rejected, MemoryError):
            raise
        except Exception as error:  # astropy raises anything on hostile headers
            raise _failure(error, data) from error


def check_counts(data: bytes) -> None:
    """Refuse headers that give more axes or columns than the 999 of the FITS standard 4.0.

    astropy counts up to what they give, for ever if that has twenty digits.

    Parameters
    ----------
    data : bytes
        A FITS file, or headers of one.

    Raises
    ------
    Rejected
        ``corrupt``.
    """
    for key in _COUNTS:
        at = data.find(key)
        while at >= 0:
            value = data[at + len(key) : at + _CARD_BYTES].partition(b"/")[0].strip().lstrip(b"+")
            if at % _CARD_BYTES == 0 and value.isdigit() and int(value) > _MOST:
                told = f"{key.decode()} {value[:30].decode()}"
                raise Reason.CORRUPT.reject(f"The header gives {told}; FITS has at most {_MOST}.")
            at = data.find(key, at + 1)


def only_image(hdus: fits.HDUList) -> Any:
    """Return the HDU with the only two-dimensional image of a file; Rejected: not just one."""
    images = []
    others = []
    for number, hdu in enumerate(hdus):
        if not hdu.is_image:
            others.append(f"a table in extension {number}")
        elif len(hdu.shape) >= 2 and math.prod(hdu.shape[:-2]) == 1:
            images.append(hdu)
        elif hdu.shape:
            others.append(f"an array of shape {hdu.shape} in extension {number}")
        if len(images) > 1:
            raise Reason.SEVERAL_IMAGES.reject(
                "The FITS file has several two-dimensional images, as an exposure of several CCDs "
                "has; such files are for the exposure map. Write one file for each image here."
            )
    if not images:
        found = f"only {', '.join(others[:3])}" if others else "only headers"
        raise Reason.NO_IMAGE_DATA.reject(f"No two-dimensional image in the FITS file, {found}.")
    return images[0]


def _check_header(hdu: Any, available: int, max_pixels: int) -> None:
    from astropy.io import fits  # noqa: PLC0415

    height, width = hdu.shape[-2:]
    if height <= 0 or width <= 0:
        raise Reason.ZERO_SIZED.reject(f"The header gives {width} x {height} pixels.")
    if height * width > max_pixels:
        raise Reason.PIXEL_LIMIT.reject(
            f"The header asks for {width} x {height} pixels; the limit is {max_pixels} "
            "(ingest.max_pixels)."
        )
    if isinstance(hdu, fits.CompImageHDU):
        tile = math.prod(hdu.tile_shape)
        if tile > max_pixels:
            raise Reason.PIXEL_LIMIT.reject(
                f"A compressed tile of {tile} pixels; the limit is {max_pixels} "
                "(ingest.max_pixels)."
            )
    else:
        end = hdu.fileinfo()["datLoc"] + hdu.size
        if end > available:
            raise Reason.TRUNCATED.reject(
                f"The FITS image ends at byte {end}, the file at byte {available}."
            )


def _pixels(image: Any) -> NDArray[Any]:
    """Return the pixels; what unpacks to far more than the header says is refused."""
    shape = image.shape[-2:]
    bound = _SPARE_BYTES + _BYTES_A_PIXEL * math.prod(shape)
    try:
        with bounded_memory(bound):
            return np.asarray(image.data).reshape(shape)
    except MemoryError as error:
        raise Reason.OUT_OF_MEMORY.reject(
            f"Unpacking the image takes more than {bound >> 20} MiB, which is more than "
            f"{shape[1]} x {shape[0]} pixels can need, or than the worker has."
        ) from error


def is_compressed(data: bytes) -> bool:
    """Tell whether a FITS file may hold an image in compressed tiles (fpack)."""
    return b"ZIMAGE  =" in data


def wrong_checksum(data: bytes) -> str | None:
    """Say which checksum of a FITS file is wrong; None: none is, or there is none.

    Parameters
    ----------
    data : bytes
        An uncompressed FITS file that can be read.

    Notes
    -----
    The FITS standard 4.0, section 4.4.2.7 and appendix J: the sum of an HDU's 32-bit words in one's
    complement is all ones where it has ``CHECKSUM``; ``DATASUM`` is that of its data alone.
    """
    if b"CHECKSUM=" not in data and b"DATASUM =" not in data:
        return None
    from astropy.io import fits  # noqa: PLC0415

    with (
        warnings.catch_warnings(),
        fits.open(
            io.BytesIO(data), memmap=False, lazy_load_hdus=True, disable_image_compression=True
        ) as hdus,
    ):
        warnings.simplefilter("ignore")
        for number, hdu in enumerate(hdus):
            place = hdu.fileinfo()
            start, middle = place["hdrLoc"], place["datLoc"]
            end = middle + place["datSpan"]
            noted = str(hdu.header.get("DATASUM", "")).strip()
            if noted.isdigit() and int(noted) != _sum_of_words(data[middle:end]):
                return f"DATASUM of HDU {number} is wrong: its data were changed or damaged."
            whole = "CHECKSUM" in hdu.header
            if whole and _sum_of_words(data[start:end]) not in (0, 0xFFFFFFFF):
                return f"CHECKSUM of HDU {number} is wrong: it was changed or damaged."
    return None


def _sum_of_words(data: bytes) -> int:
    """Return the sum of 32-bit words in one's complement."""
    padded = data if len(data) % 4 == 0 else data + bytes(-len(data) % 4)
    total = int(np.frombuffer(padded, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _failure(error: Exception, data: bytes) -> Rejected:
    if b"END     " not in data or len(data) < 2880:
        return Reason.TRUNCATED.reject(f"The FITS header is not closed in {len(data)} bytes.")
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return Reason.TRUNCATED.reject(f"The FITS file ends early: {sentence(error)}")
    return Reason.CORRUPT.reject(f"The FITS reader says: {sentence(error)}")
