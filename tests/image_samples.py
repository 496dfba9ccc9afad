"""Small image files for the tests: good ones of every format, and ten kinds of broken ones."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from PIL import Image

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# what the tests decode with; small enough that a few bytes can go over the limits
LIMITS: dict[str, Any] = {
    "max_pixels": 1_000_000,
    "max_bytes": 1 << 20,
    "fits_interval": "zscale",
    "fits_stretch": "asinh",
}


def picture(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """Smooth blobs and some noise, uint8 (height, width, 3)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = generator.normal(20, 4, (height, width, 3))
    for _ in range(4):
        cy, cx = generator.uniform(0, height), generator.uniform(0, width)
        blob = 200 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 12)
        image += blob[..., None] * generator.uniform(0.5, 1, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Encode by Pillow."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def fits_bytes(*hdus: Any) -> bytes:
    """Write HDUs; the first array or HDU is the primary one."""
    units = [
        h
        if isinstance(h, fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU | fits.CompImageHDU)
        else (fits.PrimaryHDU(h) if i == 0 else fits.ImageHDU(h))
        for i, h in enumerate(hdus)
    ]
    if not isinstance(units[0], fits.PrimaryHDU):
        units.insert(0, fits.PrimaryHDU())
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(units).writeto(out)
    return out.getvalue()


def counts(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """A deep float image: sky of 1000, noise of 10, sources."""
    noise = np.random.default_rng(seed).normal(1000, 10, (height, width))
    return (noise + 20.0 * picture(height, width, seed)[..., 0]).astype(np.float32)


def header_card(key: str, value: object) -> bytes:
    """One FITS card of 80 bytes."""
    return f"{key:<8}= {value!s:>20}".ljust(80).encode()


def fits_header(*cards: tuple[str, object]) -> bytes:
    """A hand-written FITS header, padded to 2880 bytes."""
    text = header_card("SIMPLE", "T") + b"".join(header_card(*card) for card in cards)
    text += b"END".ljust(80)
    return text + b" " * (-len(text) % 2880)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header asks for this size, with hardly any data."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose frame header asks for this size."""
    data = bytearray(saved(picture(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_with(data: bytes, **values: int) -> bytes:
    """Overwrite the value of tags (``t256=...``) in the first directory of a little-endian TIFF."""
    out = bytearray(data)
    (start,) = struct.unpack_from("<I", out, 4)
    (entries,) = struct.unpack_from("<H", out, start)
    for i in range(entries):
        at = start + 2 + 12 * i
        (tag,) = struct.unpack_from("<H", out, at)
        if f"t{tag}" in values:
            struct.pack_into("<HII", out, at + 2, 4, 1, values[f"t{tag}"])
    return bytes(out)


def parquet_of(images: list[bytes], **options) -> bytes:
    """A Parquet file of images, called ``0.png`` and so on."""
    column = pa.array(
        [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(images)],
        type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    out = io.BytesIO()
    pq.write_table(pa.table({"image": column}), out, **options)
    return out.getvalue()


def good_files() -> dict[str, bytes]:
    """Fifty files, every one an image."""
    files: dict[str, bytes] = {}
    for seed in range(5):
        colour = picture(seed=seed)
        grey = colour[..., 0]
        deep = counts(seed=seed)
        rgba = np.dstack([colour, grey])
        files |= {
            f"colour{seed}.jpg": saved(colour, "JPEG", progressive=bool(seed % 2)),
            f"grey{seed}.jpeg": saved(grey, "JPEG"),
            f"colour{seed}.png": saved(colour, "PNG"),
            f"alpha{seed}.png": saved(rgba, "PNG"),
            f"deep{seed}.png": saved(deep.astype(np.uint16), "PNG"),
            f"colour{seed}.tif": saved(
                colour,
                "TIFF",
                compression=["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"][seed],
            ),
            f"deep{seed}.tiff": saved(deep, "TIFF"),
            f"deep{seed}.fits": fits_bytes(deep),
            f"scaled{seed}.fit.gz": gzip.compress(fits_bytes(deep.astype(np.uint16)), mtime=0),
            f"packed{seed}.fits.bz2": bz2.compress(fits_bytes(fits.CompImageHDU(deep))),
        }
    return files


def broken_files() -> dict[str, tuple[str, bytes]]:
    """Fifty files of ten kinds: name -> (expected reason, content)."""
    colour, deep = picture(), counts()
    jpeg, png = saved(colour, "JPEG"), saved(colour, "PNG")
    tiff, fit = saved(colour, "TIFF", compression="tiff_lzw"), fits_bytes(deep)
    packed = gzip.compress(fit, mtime=0)
    cmyk = Image.fromarray(colour).convert("CMYK")
    idat = png.index(b"IDAT") + 20
    huffman = jpeg.index(b"\xff\xc4") + 5  # sixteen counts of codes of each length
    random_bytes = random.Random(0).randbytes(5000)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    kinds: dict[str, list[bytes]] = {
        "empty_file": [b""] * 5,
        "not_an_image": [
            b"galaxy,label\n1,spiral\n",
            b"\0" * 4096,
            b"<html><script>alert(1)</script></html>",
            b"\x01" + random_bytes,
            b"#!/bin/sh\nexit 1\n",
        ],
        "truncated": [
            jpeg[: len(jpeg) // 2],
            png[: len(png) // 2],
            tiff[: len(tiff) // 2],
            fit[: len(fit) // 2],
            packed[: len(packed) // 2],
        ],
        "corrupt": [
            png[:idat] + bytes([png[idat] ^ 0xFF]) + png[idat + 1 :],
            jpeg[:huffman] + b"\xff" * 16 + jpeg[huffman + 16 :],
            tiff_with(tiff, t259=60000),
            fit.replace(b"BITPIX  =                  -32", b"BITPIX  =                  -31"),
            packed[:40] + bytes(b ^ 0xFF for b in packed[40:60]) + packed[60:],
        ],
        "pixel_limit": [
            jpeg_of_size(65_500, 65_500),
            png_of_size(50_000, 50_000),
            tiff_with(saved(colour, "TIFF"), t256=50_000, t257=50_000),
            fits_header(("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 50_000), ("NAXIS2", 50_000)),
            png_of_size(2**31 - 1, 2**31 - 1),
        ],
        "file_limit": [
            start + b"\0" * LIMITS["max_bytes"]
            for start in (jpeg, png, tiff, fit, bz2.compress(fit))
        ],
        "zero_sized": [
            png_of_size(0, 10),
            png_of_size(10, 0),
            jpeg_of_size(32, 0),
            tiff_with(saved(colour, "TIFF"), t256=0),
            fits_header(("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 10)),
        ],
        "unsupported_colour": [
            saved(cmyk, "JPEG"),
            saved(cmyk, "TIFF"),
            saved(cmyk, "TIFF", compression="tiff_lzw"),
            saved(Image.new("LAB", (8, 8)), "TIFF"),
            saved(Image.new("CMYK", (3, 5)), "JPEG"),
        ],
        "unsupported_format": [
            saved(colour, "GIF"),
            saved(colour, "WEBP"),
            saved(colour, "BMP"),
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            gzip.compress(jpeg, mtime=0),
        ],
        "several_images": [
            fits_bytes(None, deep, deep),
            fits_bytes(deep, deep),
            bz2.compress(fits_bytes(None, deep, table, deep)),
            fits_bytes(fits.CompImageHDU(deep), fits.CompImageHDU(deep)),
            saved(
                Image.fromarray(colour),
                "TIFF",
                save_all=True,
                append_images=[Image.fromarray(colour)],
            ),
        ],
    }
    endings = ["jpg", "png", "tif", "fits", "jpeg"]
    return {
        f"{reason}{i}.{endings[i]}": (reason, content)
        for reason, contents in kinds.items()
        for i, content in enumerate(contents)
    }
