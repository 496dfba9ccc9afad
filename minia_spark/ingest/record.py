"""One listed file to its rows of ``images`` and ``rejects``: the kernel of the ingest stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minia_spark.base.errors import Rejected
from minia_spark.images.decode import decode
from minia_spark.images.identity import content_hash
from minia_spark.images.reader import Sourced, images_of_file
from minia_spark.ingest.labels import MatchKeys, match_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageRecord", "RejectRecord", "records_of_file"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A readable image.

    Attributes
    ----------
    image_id, uri : str
        Its name and where its bytes are.
    width, height : int
        In pixels.
    channels : int
        1 or 3.
    format : str
        ``jpeg``, ``png``, ``tiff`` or ``fits``.
    stretch : str or None
        How deeper counts became eight bits, e.g. ``zscale+asinh``.
    content_hash : str
        SHA-256 of the encoded bytes, hexadecimal.
    size_bytes : int
        Of the encoded bytes.
    keys : MatchKeys
        What a row of labels may call it.
    """

    image_id: str
    uri: str
    width: int
    height: int
    channels: int
    format: str
    stretch: str | None
    content_hash: str
    size_bytes: int
    keys: MatchKeys


@dataclass(frozen=True, slots=True)
class RejectRecord:
    """An image that cannot be used: where it is and why."""

    uri: str
    reason: str
    detail: str


def records_of_file(
    root: bytes,
    path: bytes,
    *,
    max_pixels: int,
    max_bytes: int,
    fits_interval: str,
    fits_stretch: str,
) -> Iterator[ImageRecord | RejectRecord]:
    """Read and decode every image of a listed file; one record each.

    Parameters
    ----------
    root, path : bytes
        The absolute input folder, and the file's path below it.
    max_pixels, max_bytes, fits_interval, fits_stretch
        As for :func:`~minia_spark.images.decode.decode`.

    Yields
    ------
    ImageRecord or RejectRecord
        One for a plain file, one for each row of a Parquet file. Bad bytes never raise.
    """
    for image in images_of_file(root, path, max_bytes=max_bytes):
        try:
            yield _record(
                image,
                max_pixels=max_pixels,
                max_bytes=max_bytes,
                fits_interval=fits_interval,
                fits_stretch=fits_stretch,
            )
        except Rejected as rejected:
            yield RejectRecord(image.uri, rejected.reason, rejected.detail)


def _record(
    image: Sourced, *, max_pixels: int, max_bytes: int, fits_interval: str, fits_stretch: str
) -> ImageRecord:
    if isinstance(image.data, Rejected):
        raise image.data
    decoded = decode(
        image.data,
        max_pixels=max_pixels,
        max_bytes=max_bytes,
        fits_interval=fits_interval,
        fits_stretch=fits_stretch,
    )
    return ImageRecord(
        image_id=image.image_id,
        uri=image.uri,
        width=decoded.width,
        height=decoded.height,
        channels=decoded.channels,
        format=decoded.format,
        stretch=decoded.stretch,
        content_hash=content_hash(image.data),
        size_bytes=len(image.data),
        keys=match_keys(image.image_id),
    )
