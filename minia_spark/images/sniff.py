"""Which format bytes are in, by their first bytes alone: names and extensions are not trusted."""

from __future__ import annotations

from typing import Literal

from minia_spark.images.reasons import Reason

__all__ = ["ACCEPTED", "Format", "sniff"]

Format = Literal["jpeg", "png", "tiff", "fits", "gzip", "bzip2"]

ACCEPTED = "JPEG, PNG, TIFF and FITS (plain, gzip or bzip2) are read"

_READ: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),  # BigTIFF
    (b"MM\x00+", "tiff"),
    (b"SIMPLE  =", "fits"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
)

_KNOWN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypcrx", "Canon raw"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\x00\x00\x01\x00", "Windows icon"),
    (0, b"XISF0100", "XISF"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5, and not read as a file of images here"),
    (0, b"#ASDF", "ASDF"),
    (0, b"%PDF-", "PDF"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DirectDraw surface"),
    (0, b"PK\x03\x04", "a ZIP archive, and not read as one here"),
    (0, b"\xfd7zXZ\x00", "xz archive"),
    (0, b"(\xb5/\xfd", "Zstandard archive"),
    (0, b"PAR1", "Parquet, and not read as a container here"),
    (0, b"BM", "BMP"),  # two letters of evidence only, hence after all others
)


def sniff(data: bytes) -> Format:
    """Return the format of `data` (at least its first 32 bytes).

    Raises
    ------
    Rejected
        ``unsupported_format`` for a format that is recognised but not read, ``not_an_image`` for
        everything else.
    """
    for magic, name in _READ:
        if data.startswith(magic):
            return name
    for offset, magic, title in _KNOWN:
        if data.startswith(magic, offset):
            raise Reason.UNSUPPORTED_FORMAT.reject(f"The content is {title}; {ACCEPTED}.")
    start = data[:8].hex(" ")
    raise Reason.NOT_AN_IMAGE.reject(f"The first bytes, {start}, begin no image; {ACCEPTED}.")
