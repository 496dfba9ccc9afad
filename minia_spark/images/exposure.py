"""The images of a FITS exposure, one a CCD, read one by one and never more than asked for.

Row 0 of an array is the first row of the file: a position (x, y) is the FITS pixel (x + 1, y + 1).
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import math
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from minia_spark.base.errors import Rejected
from minia_spark.base.files import open_regular
from minia_spark.images.failures import sentence
from minia_spark.images.fits import check_counts
from minia_spark.images.guard import read_guarded
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXPOSURE_ENDINGS", "Ccd", "ccds", "is_packed", "open_exposure", "read_ccd"]

EXPOSURE_ENDINGS = tuple(
    kind + packed for packed in ("", ".gz", ".bz2", ".fz") for kind in (".fits", ".fit", ".fts")
)
"""How names of exposures end, whatever the case."""

_BULKY = ("COMMENT", "HISTORY", "CONTINUE", "")
_PACKED = {b"\x1f\x8b": gzip, b"BZ": bz2}
_START = b"SIMPLE  ="
_BLOCK = 2880
_END = re.compile(rb"END {77}")
_MOST_HEADER = 4 << 20
_PRIMARY = fits.PrimaryHDU().header.tostring().encode()


@dataclass(frozen=True)
class Ccd:
    """What the headers tell of one image of an exposure.

    Attributes
    ----------
    hdu : int
        Number of the extension in the file; 0 is the primary one.
    name : str
        EXTNAME, or the number; names that a file has twice get the number after a comma.
    width, height : int
        In pixels.
    header : mapping of str to str
        The file's keywords and the extension's own, which win; without comments.
    """

    hdu: int
    name: str
    width: int
    height: int
    header: Mapping[str, str]


def is_packed(path: Path) -> bool:
    """Tell whether a whole file is compressed by gzip or bzip2, by its content.

    Such a file is unpacked from its start for whatever is wanted of it.
    """
    with open_regular(path) as file:
        return file.read(2) in _PACKED


@contextlib.contextmanager
def open_exposure(path: Path, *, max_bytes: int) -> Iterator[fits.HDUList]:
    """Open a FITS file, plain, gzipped or bzipped; pixels are read when asked for.

    Raises
    ------
    Rejected
        It is not FITS (``not_an_image``, ``unsupported_format``), is empty, unpacks to more than
        `max_bytes` (``file_limit``), or its headers are damaged.
    OSError
        It cannot be read.
    """
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = _unpacked(file, max_bytes)
        _check_header_at(content, 0)
        try:
            hdus = fits.open(content, memmap=False, lazy_load_hdus=True)
        except MemoryError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(error) from error
        except Exception as error:  # astropy raises anything on hostile headers
            raise _damaged(error) from error
        with hdus:
            yield hdus


def _unpacked(file: IO[bytes], max_bytes: int) -> IO[bytes]:
    start = file.read(len(_START))
    if not start:
        raise Reason.EMPTY_FILE.reject("The file has no bytes.")
    file.seek(0)
    packer = _PACKED.get(start[:2])
    if packer is not None:
        try:
            with packer.open(file, "rb") as unpacked:
                content = unpacked.read(max_bytes + 1)
        except MemoryError as error:
            raise Reason.OUT_OF_MEMORY.reject(
                "Unpacking the file takes more memory than the worker has; give workers more."
            ) from error
        except (EOFError, OSError, ValueError, zlib.error) as error:
            raise Reason.CORRUPT.reject(
                f"The compressed stream is damaged: {sentence(error)}"
            ) from error
        if len(content) > max_bytes:
            raise Reason.FILE_LIMIT.reject(f"The file unpacks to more than {max_bytes} bytes.")
        file, start = io.BytesIO(content), content[: len(_START)]
    if start != _START:
        raise Reason.NOT_AN_IMAGE.reject(
            "The file is not FITS; an exposure is FITS, plain or packed by fpack, gzip or bzip2."
        )
    return file


def ccds(hdus: fits.HDUList, *, max_pixels: int) -> Iterator[Ccd | tuple[int, Rejected]]:
    """Yield what the headers of an open exposure tell, extension after extension.

    A primary extension without pixels is where other extensions' common keywords stand, and is
    passed over. Axes of length one before the last two are dropped.

    Parameters
    ----------
    hdus : HDUList
    max_pixels : int
        Largest width times height.

    Yields
    ------
    Ccd, or (number of the extension, Rejected)
        Why it gives no image: ``no_image_data`` for a table, an empty extension or a cube,
        ``zero_sized``, ``pixel_limit``, ``truncated``, ``corrupt``.
    """
    seen: dict[str, int] = {}
    number = -1
    common: Mapping[str, str] = {}
    while True:
        number += 1
        try:
            if number:
                _check_next(hdus[number - 1])
            hdu = hdus[number]
        except Rejected as verdict:
            yield number, verdict
            return
        except IndexError:
            return
        except Exception as error:
            yield number, _damaged(error)
            return
        try:
            if number == 0:
                common = _keywords(hdu.header)
            if number == 0 and not hdu.shape and hdu.is_image:
                continue
            height, width = _shape(hdu, number, max_pixels)
            header = {**common, **_keywords(hdu.header)}
            name = str(hdu.name)
        except Rejected as verdict:
            yield number, verdict
            continue
        except Exception as error:
            yield number, _damaged(error)
            continue
        name = name if name not in ("", "PRIMARY") else str(number)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name},{number}"
        yield Ccd(number, name, width, height, header)


def _check_next(before: Any) -> None:
    """Check the header after an extension, before astropy reads it."""
    place = before.fileinfo()
    _check_header_at(place["file"], place["datLoc"] + place["datSpan"])


def _check_header_at(file: Any, start: int) -> None:
    known = file.tell()
    file.seek(start)
    cards = b""
    while len(cards) < _MOST_HEADER and (block := file.read(_BLOCK)):
        cards += block
        if _END.search(block):
            break
    file.seek(known)
    check_counts(cards)


def _shape(hdu: Any, number: int, max_pixels: int) -> tuple[int, int]:
    if not hdu.is_image:
        raise Reason.NO_IMAGE_DATA.reject(f"Extension {number} is a table.")
    if not hdu.shape:
        raise Reason.NO_IMAGE_DATA.reject(f"Extension {number} has no pixels.")
    if len(hdu.shape) < 2 or math.prod(hdu.shape[:-2]) != 1:
        raise Reason.NO_IMAGE_DATA.reject(
            f"Extension {number} is an array of shape {hdu.shape}; a CCD has two dimensions."
        )
    height, width = hdu.shape[-2:]
    if height <= 0 or width <= 0:
        raise Reason.ZERO_SIZED.reject(f"The header gives {width} x {height} pixels.")
    largest = height * width
    if isinstance(hdu, fits.CompImageHDU):
        largest = max(largest, math.prod(hdu.tile_shape))
    if largest > max_pixels:
        raise Reason.PIXEL_LIMIT.reject(
            f"The header asks for {largest} pixels; the limit is {max_pixels}."
        )
    if not isinstance(hdu, fits.CompImageHDU):
        place = hdu.fileinfo()
        end, available = place["datLoc"] + hdu.size, place["file"].size
        if end > available:
            raise Reason.TRUNCATED.reject(
                f"The image ends at byte {end}, the file at byte {available}."
            )
    return int(height), int(width)


def _keywords(header: fits.Header) -> dict[str, str]:
    """Return the keywords with their values as text; cards that cannot be read are left out."""
    found = {}
    for card in header.cards:
        with contextlib.suppress(Exception):
            if card.keyword not in _BULKY and not isinstance(card.value, fits.card.Undefined):
                found[card.keyword] = str(card.value)
    return found


def read_ccd(hdus: fits.HDUList, hdu: int) -> NDArray[np.float32]:
    """Return the pixels of an extension that :func:`ccds` found.

    Compressed tiles are unpacked by a process of its own (:mod:`.guard`).

    Returns
    -------
    float32 array, shape (height, width), C-contiguous, in the machine's byte order
        After BSCALE and BZERO; BLANK is NaN, and so is what is infinite.

    Raises
    ------
    Rejected
        ``truncated`` or ``corrupt``; ``out_of_memory``; ``decoder_failed`` where the decoder of
        compressed tiles crashed or took longer than a minute.
    """
    try:
        image = hdus[hdu]
        data = _unpacked_tiles(image) if isinstance(image, fits.CompImageHDU) else image.data
        if data is None:
            raise Reason.NO_IMAGE_DATA.reject(f"Extension {hdu} has no pixels.")
        pixels = np.ascontiguousarray(np.asarray(data).reshape(image.shape[-2:]), dtype=np.float32)
    except Rejected:
        raise
    except MemoryError as error:
        raise Reason.OUT_OF_MEMORY.reject(
            f"Reading extension {hdu} takes more memory than the worker has; give workers more."
        ) from error
    except Exception as error:
        raise _damaged(error) from error
    return np.where(np.isfinite(pixels), pixels, np.float32(np.nan))


def _unpacked_tiles(image: fits.CompImageHDU) -> NDArray[Any]:
    """Return the pixels of an extension in compressed tiles, as if it were alone in its file."""
    place = image.fileinfo()
    place["file"].seek(place["hdrLoc"])
    raw = place["file"].read(place["datLoc"] + place["datSpan"] - place["hdrLoc"])
    largest = max(math.prod(image.shape), math.prod(image.tile_shape))
    return read_guarded(_PRIMARY + raw, "fits", max_pixels=largest)


def _damaged(error: Exception) -> Rejected:
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "buffer is smaller" in text:
        return Reason.TRUNCATED.reject(f"The FITS file ends early: {sentence(error)}")
    return Reason.CORRUPT.reject(f"The FITS reader says: {sentence(error)}")
