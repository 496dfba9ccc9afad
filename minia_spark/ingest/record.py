"""One listed file to its images, decoded, with their rows of ``images`` and ``rejects``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import Rejected
from minia_spark.images.care import Care, with_care
from minia_spark.images.container import Part
from minia_spark.images.decode import Decoded, decode
from minia_spark.images.guard import walked
from minia_spark.images.identity import content_hash, image_id_of, uri_of
from minia_spark.images.reader import Sourced, absolute_path, images_of_file, is_file_of_images
from minia_spark.ingest.labels import MatchKeys, match_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageRecord", "RejectRecord", "decoded_of_file", "records_of_file"]


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
    folder : str or None
        The folder that directly holds it, as in an image_id; None at the top.
    position : (float, float) or None
        Right ascension and declination of its middle, in degrees, where its header says.
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
    folder: str | None
    position: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RejectRecord:
    """An image that cannot be used: where it is and why."""

    uri: str
    reason: str
    detail: str


def decoded_of_file(
    root: bytes,
    path: bytes,
    *,
    max_bytes: int,
    max_archive_members: int = 1_000_000,
    max_archive_ratio: int = 100,
    part: Part = Part(),  # noqa: B008 - frozen
    care: Care = Care.NONE,
    **options: Any,
) -> Iterator[tuple[ImageRecord, Decoded] | RejectRecord]:
    """Read and decode every image of a listed file, each once.

    Lazy, and nothing of an image is kept after the next one was asked for: as long as the caller
    drops what it got, one image is in memory at a time.

    Parameters
    ----------
    root, path, max_bytes, max_archive_members, max_archive_ratio, part
        As for :func:`~minia_spark.images.reader.images_of_file`.
    care : Care
        Where decoders run, those of files of images too.
    **options
        The other parameters of :func:`~minia_spark.images.decode.decode`, by keyword.

    Yields
    ------
    (ImageRecord, Decoded) or RejectRecord
        One for a plain file, one for each image of a file of images. Bad bytes never raise.
    """
    limits = {
        "max_bytes": max_bytes,
        "max_archive_members": max_archive_members,
        "max_archive_ratio": max_archive_ratio,
    }
    for image in _images(root, path, care, part=part, **limits):
        try:
            yield _decoded(image, max_bytes=max_bytes, care=care, **options)
        except Rejected as rejected:
            yield RejectRecord(image.uri, rejected.reason, rejected.detail)


def records_of_file(
    root: bytes, path: bytes, **options: Any
) -> Iterator[ImageRecord | RejectRecord]:
    """Yield what :func:`decoded_of_file` does, without the pixels."""
    return map(_without_pixels, decoded_of_file(root, path, **options))


def _images(root: bytes, path: bytes, care: Care, **options: Any) -> Iterator[Sourced]:
    """Yield the images of a file; up to the one, if any, that its reader does not survive."""
    images = images_of_file(root, path, **options)
    absolute = absolute_path(root, path)
    if care is Care.GUARD and is_file_of_images(absolute):
        try:
            for _ in walked(root, path, **options):
                yield from itertools.islice(images, 1)
        except Rejected as rejected:
            yield Sourced(image_id_of(path or absolute), uri_of(absolute), rejected)
            return
    while True:
        with with_care(care):
            image = next(images, None)
        if image is None:
            return
        yield image


def _without_pixels(
    found: tuple[ImageRecord, Decoded] | RejectRecord,
) -> ImageRecord | RejectRecord:
    return found if isinstance(found, RejectRecord) else found[0]


def _decoded(image: Sourced, *, max_bytes: int, **options: Any) -> tuple[ImageRecord, Decoded]:
    if isinstance(image.data, Rejected):
        raise image.data
    decoded = decode(image.data, max_bytes=max_bytes, **options)
    record = ImageRecord(
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
        folder=image.folder,
        position=decoded.position,
    )
    return record, decoded
