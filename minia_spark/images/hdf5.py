"""Images inside an HDF5 file: datasets of many images each, read one image at a time.

A dataset is a stack of images where its shape is (images, height, width), with or without a last
dimension of 1 or 3, or one image where it is (height, width, 3). Eight-bit numbers become PNG,
deeper ones FITS, both without compression and the same bytes everywhere, so that all else about an
image is as with a file of its own. Other datasets (labels, positions) are passed over.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np

from minia_spark.base.errors import Rejected
from minia_spark.images.bounds import bounded_memory
from minia_spark.images.container import Container, Held, Limits, Part, check_size
from minia_spark.images.failures import refusing
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    import h5py
    from numpy.typing import NDArray

__all__ = ["HdfImages", "fits_of", "png_of"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_COLOURS = 3
_MOST_CHUNK_BYTES = 64 << 20
_SPARE_BYTES = 512 << 20
_DEEPEST = 32
_STORED = 65_535
"""Bytes of a block of a deflate stream that is not compressed."""
_BLOCK, _CARD = 2880, 80
_BITS = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


class _Stack(NamedTuple):
    """A dataset of images."""

    name: bytes
    data: h5py.Dataset
    images: int


class HdfImages(Container):
    """The images of one HDF5 file; fragments are ``dataset=NAME&row=R``, NAME percent-encoded.

    Raises
    ------
    Rejected
        ``corrupt`` if the file cannot be opened, ``not_an_image`` if no dataset holds images.
    """

    title = "an HDF5 file"
    fragment = re.compile(r"dataset=([^&=#]*)&row=(\d{1,18})")
    names_are_below = True

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        import h5py  # noqa: PLC0415 - takes a third of a second

        self._limits = limits
        self._most_bytes = _SPARE_BYTES + 4 * limits.max_bytes
        with refusing("The HDF5 file"), bounded_memory(self._most_bytes):
            self._file = h5py.File(file, "r", rdcc_nbytes=_MOST_CHUNK_BYTES)
            told: list[str] = []
            self._stacks = list(self._found(told))
        if not self._stacks:
            raise Reason.NOT_AN_IMAGE.reject(
                "An HDF5 file of images has a dataset of numbers of the shape (images, height, "
                "width) or (images, height, width, 3); this one has "
                f"{', '.join(told[:5]) or 'none'}."
            )
        self._check_total(os.fstat(file.fileno()).st_size)

    @staticmethod
    def recognises(start: bytes) -> bool:
        """By the first eight bytes."""
        return start.startswith(_MAGIC)

    def images(self, part: Part) -> Iterator[Held]:
        """Yield a contiguous share of every dataset: what lies in one chunk is unpacked once."""
        first = 0
        for stack in self._stacks:
            rows = (stack.images * (part.number + i) // part.of for i in (0, 1))
            for row in range(*rows):
                name = stack.name + b"/%06d" % row
                fragment = f"dataset={quote_from_bytes(stack.name)}&row={row}"
                try:
                    yield Held(name, fragment, self._image(stack, row), first + row)
                except Rejected as rejected:
                    yield Held(name, fragment, rejected, first + row)
            first += stack.images

    def read(self, *place: str) -> bytes:
        """Return the bytes of an image."""
        name, row = unquote_to_bytes(place[0]), int(place[1])
        for stack in self._stacks:
            if stack.name == name and row < stack.images:
                return self._image(stack, row)
        shown = name.decode(errors="replace")[:100]
        raise Reason.CORRUPT.reject(
            f"The HDF5 file has no image {row} of dataset {shown!r}; the file has changed."
        )

    def _found(self, told: list[str]) -> Iterator[_Stack]:
        """Yield the datasets of images, by name; others are named in `told`.

        Only what lies in the file itself: links to other files, and links by name, are passed over.
        """
        import h5py  # noqa: PLC0415

        seen, objects = set(), 0
        waiting: list[tuple[bytes, Any, int]] = [(b"", self._file, 0)]
        while waiting:
            path, group, depth = waiting.pop()
            below = []
            for name in group:
                objects += 1
                if objects > self._limits.max_archive_members:
                    raise Reason.FILE_LIMIT.reject(
                        f"The HDF5 file has more than {objects - 1} objects "
                        "(ingest.max_archive_members)."
                    )
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                found = group[name]
                address = h5py.h5o.get_info(found.id).addr
                if address in seen:  # a second name, or a circle
                    continue
                seen.add(address)
                own = path + name.encode("utf-8", "surrogateescape")
                if isinstance(found, h5py.Group):
                    if depth < _DEEPEST:
                        below.append((own + b"/", found, depth + 1))
                elif isinstance(found, h5py.Dataset):
                    count = _images_in(found)
                    if count is None:
                        shown = own.decode(errors="replace")[:40]
                        told.append(f"{shown} {found.shape} {str(found.dtype)[:20]}")
                    else:
                        _check_own(found)
                        yield _Stack(own, found, count)
            waiting += reversed(below)

    def _check_total(self, packed: int) -> None:
        """Refuse a file that unpacks to far more than it has, or has too many images."""
        count = sum(stack.images for stack in self._stacks)
        if count > self._limits.max_archive_members:
            raise Reason.FILE_LIMIT.reject(
                f"The HDF5 file has {count} images; the limit is "
                f"{self._limits.max_archive_members} (ingest.max_archive_members)."
            )
        total = sum(stack.data.nbytes for stack in self._stacks)
        ratio = self._limits.max_archive_ratio
        if total > max(ratio * packed, self._limits.max_bytes):
            raise Reason.FILE_LIMIT.reject(
                f"The HDF5 file unpacks to more than {ratio} times its own size "
                "(ingest.max_archive_ratio)."
            )

    def _image(self, stack: _Stack, row: int) -> bytes:
        data = stack.data
        size = data.nbytes // max(1, stack.images)
        check_size(size, self._limits.max_bytes)
        shown = stack.name.decode(errors="replace")[:100]
        with refusing(f"Image {row} of dataset {shown!r}"), bounded_memory(self._most_bytes):
            whole = stack.images == 1 and data.ndim == _COLOURS and data.shape[-1] == _COLOURS
            pixels = np.asarray(data[()] if whole else data[row])
        if pixels.ndim == _COLOURS and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        if pixels.dtype == np.uint8:
            return png_of(pixels)
        if pixels.ndim == _COLOURS:
            raise Reason.UNSUPPORTED_COLOUR.reject(
                f"The image has three colours of {pixels.dtype}; colour is read in eight bits "
                "(uint8), other numbers in grey."
            )
        return fits_of(pixels)


def _images_in(data: h5py.Dataset) -> int | None:
    """Return how many images a dataset holds; None: it is none of images."""
    shape = data.shape
    if shape is None or data.dtype.kind not in "uif" or data.dtype.itemsize > 8 or 0 in shape[1:]:
        return None
    if len(shape) == 4 and shape[-1] in (1, _COLOURS):
        return int(shape[0])
    if len(shape) == _COLOURS:
        return 1 if shape[-1] == _COLOURS and shape[0] > 0 else int(shape[0])
    return None


def _check_own(data: h5py.Dataset) -> None:
    """Refuse a dataset whose numbers lie in other files, or whose chunks are too large."""
    if data.external or data.is_virtual:
        raise Reason.OUTSIDE_ROOT.reject("The numbers of a dataset lie in other files.")
    if data.chunks is not None:
        size = int(np.prod([int(n) for n in data.chunks], dtype=object)) * data.dtype.itemsize
        if size > _MOST_CHUNK_BYTES:
            raise Reason.FILE_LIMIT.reject(
                f"A dataset is stored in pieces of {size} bytes; the limit is {_MOST_CHUNK_BYTES}: "
                "write it anew with chunks of one image."
            )


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of pixels, shape (height, width) or (height, width, 3), not compressed."""
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    raw = lines.tobytes()
    stream = [b"\x78\x01"]
    for start in range(0, len(raw), _STORED):
        piece = raw[start : start + _STORED]
        is_last = start + _STORED >= len(raw)
        stream.append(struct.pack("<BHH", is_last, len(piece), len(piece) ^ 0xFFFF) + piece)
    stream.append(struct.pack(">I", zlib.adler32(raw)))
    kind = 2 if pixels.ndim == _COLOURS else 0
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", b"".join(stream)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def fits_of(pixels: NDArray[Any]) -> bytes:
    """Return a FITS file of numbers, shape (height, width), the first row at its start.

    Unsigned numbers are shifted as the standard has it; half precision becomes single, and eight
    bits with a sign sixteen.
    """
    kind = pixels.dtype.kind + str(pixels.dtype.itemsize)
    cards = [("SIMPLE", "T")]
    shift = 0
    if kind in ("f2", "i1"):
        kind = {"f2": "f4", "i1": "i2"}[kind]
    elif kind in ("u2", "u4", "u8"):
        kind = f"i{kind[1]}"
        shift = 1 << (8 * int(kind[1]) - 1)
        # the highest bit turned is the same as the shift
        pixels = (pixels ^ pixels.dtype.type(shift)).view(pixels.dtype.str.replace("u", "i"))
    cards += [("BITPIX", str(_BITS[kind])), ("NAXIS", "2")]
    cards += [("NAXIS1", str(pixels.shape[1])), ("NAXIS2", str(pixels.shape[0]))]
    if shift:
        cards += [("BZERO", str(shift)), ("BSCALE", "1")]
    text = "".join(f"{name:<8}= {value:>20}".ljust(_CARD) for name, value in cards)
    text += "END".ljust(_CARD)
    head = text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode()
    data = pixels.astype(f">{kind}").tobytes()
    return head + data + bytes(-len(data) % _BLOCK)
