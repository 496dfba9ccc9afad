"""Bytes to pixels: the one decoder of ingest, features and page, so that all see the same image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import Rejected
from minia_spark.images.care import Care, with_care
from minia_spark.images.failures import sentence
from minia_spark.images.fits import is_compressed, read_fits, unpack, wrong_checksum
from minia_spark.images.guard import read_guarded
from minia_spark.images.identity import content_hash
from minia_spark.images.position import position_of_fits
from minia_spark.images.raster import read_raster
from minia_spark.images.reasons import Reason
from minia_spark.images.sniff import sniff
from minia_spark.images.stretch import to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.images.reader import ImageReader

__all__ = ["Decoded", "decode", "decode_known"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image in memory.

    Attributes
    ----------
    pixels : uint8 array, shape (height, width) for grey or (height, width, 3) for RGB
        C-contiguous.
    format : str
        ``jpeg``, ``png``, ``tiff`` or ``fits``.
    stretch : str or None
        How deeper counts became eight bits, e.g. ``zscale+asinh``; None if the file had 8 bits.
    warning : str or None
        What is wrong with the file although it can be read.
    position : (float, float) or None
        Right ascension and declination of its middle, in degrees; None where that is not known, or
        was not asked for.
    """

    pixels: NDArray[np.uint8]
    format: str
    stretch: str | None
    warning: str | None = None
    position: tuple[float, float] | None = None

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.pixels.shape[0])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return 1 if self.pixels.ndim == 2 else 3


def decode(
    data: bytes,
    *,
    max_pixels: int = 50_000_000,
    max_bytes: int = 512 << 20,
    fits_interval: str = "zscale",
    fits_stretch: str = "asinh",
    fits_checksums: str = "ignore",
    fits_positions: bool = False,
    care: Care = Care.NONE,
) -> Decoded:
    """Decode an image of any accepted format, recognised by its content.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_pixels : int
        Largest width times height; checked in the header, before pixels are decoded.
    max_bytes : int
        Largest size of the file, and of what a compressed FITS file unpacks to.
    fits_interval, fits_stretch : str
        Keys of :data:`~minia_spark.images.stretch.INTERVALS` and ``STRETCHES``; used for FITS and
        for grey TIFF and PNG of more than eight bits.
    fits_checksums : {"ignore", "warn", "reject"}
        What is done where a FITS file has checksums that are wrong.
    fits_positions : bool
        Whether to look where on the sky a FITS image is.
    care : Care
        Where the decoder runs.

    Returns
    -------
    Decoded

    Raises
    ------
    Rejected
        With a word of :class:`~minia_spark.images.reasons.Reason`; whatever the bytes are, no
        other exception leaves. ``out_of_memory`` says nothing about the bytes but their number.
    """
    if not data:
        raise Reason.EMPTY_FILE.reject("The file has 0 bytes.")
    if len(data) > max_bytes:
        raise Reason.FILE_LIMIT.reject(
            f"The file has {len(data)} bytes; the limit is {max_bytes} (ingest.max_file_mib)."
        )
    try:
        with with_care(care):
            kind, values, unpacked = _read(
                data, max_pixels=max_pixels, max_bytes=max_bytes, care=care
            )
        warning = None
        if kind == "fits" and fits_checksums != "ignore":
            warning = wrong_checksum(unpacked)
            if warning is not None and fits_checksums == "reject":
                raise Reason.CORRUPT.reject(f"{warning} (ingest.fits_checksums)")
        name = None
        if values.dtype != np.uint8 or kind == "fits":
            values, name = to_uint8(values, interval=fits_interval, stretch=fits_stretch)
        position = position_of_fits(unpacked) if kind == "fits" and fits_positions else None
        return Decoded(np.ascontiguousarray(values), kind, name, warning, position)
    except Rejected:
        raise
    except MemoryError as error:
        raise Reason.OUT_OF_MEMORY.reject(
            f"Decoding the {len(data)} bytes takes more memory than the worker has; give workers "
            "more, or lower ingest.max_pixels, and ingest the batch again."
        ) from error
    except Exception as error:  # one image must not end the run, and its name is known only here
        raise Reason.DECODER_FAILED.reject(
            f"{type(error).__name__} in a decoder, which is a defect: {sentence(error)}"
        ) from error


def decode_known(reader: ImageReader, uri: str, known_hash: str, **options: Any) -> Decoded:
    """Read and decode an image that was ingested earlier.

    Parameters
    ----------
    reader : ImageReader
        Kept open by the caller: images of one container that are asked for in order cost one pass.
    uri, known_hash : str
        As in the row of table ``images`` (`known_hash` is its ``content_hash``).
    **options
        As for :func:`decode`, by keyword; :meth:`IngestSettings.decode_options` gives them.

    Raises
    ------
    Rejected
        As :meth:`ImageReader.read` and :func:`decode`; ``unreadable`` if the bytes are other ones
        than they were.
    """
    data = reader.read(uri)
    if content_hash(data) != known_hash:
        raise Reason.UNREADABLE.reject(
            "The file has changed since it was ingested; ingest the batch again."
        )
    return decode(data, **options)


def _read(
    data: bytes, *, max_pixels: int, max_bytes: int, care: Care
) -> tuple[str, NDArray[Any], bytes]:
    """Return the format, the values, and the file as it is unpacked."""
    kind = sniff(data)
    if kind in ("jpeg", "png", "tiff"):
        if care is Care.GUARD:
            return kind, read_guarded(data, kind, max_pixels=max_pixels), data
        return kind, read_raster(data, kind, max_pixels=max_pixels), data
    if kind != "fits":
        data = unpack(data, kind, max_bytes=max_bytes)
    if care is Care.GUARD or is_compressed(data):
        return "fits", read_guarded(data, "fits", max_pixels=max_pixels), data
    return "fits", read_fits(data, max_pixels=max_pixels), data
