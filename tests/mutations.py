"""Damaged copies of files, made by seed: what disks, networks and attackers do to them."""

from __future__ import annotations

import contextlib
import random
import re
import struct
from collections.abc import Iterator

from image_samples import png_chunk, tiff_with

GIANT = [0, 1, 0x7FFF, 0xFFFF, 50_000, 2**31 - 1, 2**32 - 1]


def flip_bits(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def flip_header_bits(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    for _ in range(draw.choice([1, 2, 4])):
        data[draw.randrange(min(400, len(data)))] ^= 1 << draw.randrange(8)
    return data


def truncate(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    return data[: draw.randrange(len(data))]


def swap_header(data: bytearray, draw: random.Random, files: list[bytes]) -> bytearray:
    length = draw.choice([4, 8, 16, 64, 512, 2880])
    return bytearray(draw.choice(files)[:length]) + data[length:]


def giant_number(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    order, size = draw.choice("<>"), draw.choice("HI")
    number = draw.choice(GIANT) & (0xFFFF if size == "H" else 0xFFFFFFFF)
    at = draw.randrange(max(1, min(draw.choice([40, 600]), len(data)) - 4))
    data[at : at + struct.calcsize(size)] = struct.pack(order + size, number)
    return data


def giant_card(data: bytearray, draw: random.Random, files: list[bytes]) -> bytearray:
    """Replace a number that stands as text, as in a FITS header."""
    card = data.find(b"= ", draw.randrange(min(draw.choice([400, 2000]), len(data))))
    if card < 0:
        return giant_number(data, draw, files)
    number = draw.choice([*GIANT, -1, -32, 10**18])
    data[card + 2 : card + 30] = f"{number:>18}".ljust(28).encode()
    return data


def giant_frame(data: bytearray, draw: random.Random, files: list[bytes]) -> bytearray:
    """Ask for another width and height, in a header that is otherwise right, checksum and all."""
    width, height = (draw.choice([*GIANT, 2000, 30_000]) for _ in range(2))
    frame = re.search(rb"\xff[\xc0\xc2]\x00\x11", data)
    if data.startswith(b"\x89PNG"):
        body = struct.pack(">II", width, height) + data[24:29]
        data[8:33] = png_chunk(b"IHDR", body)
    elif data.startswith(b"II*\0"):
        with contextlib.suppress(struct.error):  # it was damaged before
            data = bytearray(tiff_with(bytes(data), t256=width, t257=height, t278=height))
    elif data.startswith(b"\xff\xd8") and frame:
        size = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
        data[frame.end() + 1 : frame.end() + 5] = size
    else:
        for axis, value in ((b"NAXIS1  = ", width), (b"NAXIS2  = ", height)):
            at = data.find(axis)
            if at >= 0:
                data[at + 10 : at + 30] = f"{value:>20}".encode()
    return data


def duplicate(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    start, length = draw.randrange(len(data)), draw.choice([1, 12, 100, 2880])
    return data[: start + length] + data[start:]


def erase(data: bytearray, draw: random.Random, _: list[bytes]) -> bytearray:
    start, length = draw.randrange(len(data)), draw.choice([1, 12, 100, 2880])
    return data[:start] + data[start + length :]


MUTATIONS = [
    flip_bits,
    flip_header_bits,
    truncate,
    swap_header,
    giant_number,
    giant_card,
    giant_frame,
    duplicate,
    erase,
]


def mutants(files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged files, one or two mutations each."""
    draw = random.Random(seed)
    for number in range(count):
        data = bytearray(files[number % len(files)])
        for _ in range(draw.choice([1, 1, 2])):
            data = draw.choice(MUTATIONS)(data, draw, files) or bytearray(b"\0")
        yield bytes(data)
