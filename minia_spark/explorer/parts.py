"""Parts of the map's data: arrays as scripts, which a page from the file system may load.

A browser lets such a page load scripts and images, and nothing else: no fetch, no modules. So every
array is a classic script that calls one function with a head in JSON and blobs in base64:
little-endian numbers as they are, texts deflated. No name or label is ever used as a name of
something, in a script or in the file system, and all scripts are plain ASCII.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "ABSENT",
    "POINTS",
    "category",
    "digest",
    "hash_order",
    "in_script",
    "morton",
    "number",
    "positions",
    "quantised",
    "script",
    "tags",
    "texts",
]

POINTS = 1 << 16
"""Points of a part; the last one of a batch has what is left."""
ABSENT = 65_535
"""Coordinate, x and y, of a point that is not on a map."""
_STEPS = ABSENT - 1
_TYPES = {1: "<u1", 2: "<u2", 4: "<u4"}

Part = tuple[Mapping[str, Any], Sequence[bytes]]
"""Head and blobs."""


def digest(*values: str | bytes, size: int = 8) -> str:
    """Return a hash of some values, in small hexadecimal letters: fit for a file's name."""
    found = hashlib.blake2b(digest_size=size)
    for value in values:
        encoded = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        found.update(len(encoded).to_bytes(8, "little"))
        found.update(encoded)
    return found.hexdigest()


def hash_order(image_ids: pa.StringArray) -> NDArray[np.int64]:
    """Return the order of images by a hash of their names.

    The first images of a batch are then a fair sample of it, and the order depends neither on the
    one in which they came nor on the other images.

    Parameters
    ----------
    image_ids : string array, shape (n,)
        All different.

    Returns
    -------
    int64 array, shape (n,)
        Indices.
    """
    names = image_ids.to_pylist()
    keys = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
            for name in names
        ),
        np.uint64,
        len(names),
    )
    order = np.argsort(keys, kind="stable")
    ties = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if len(ties):  # of 64 bits: hardly ever
        order = np.asarray(sorted(order.tolist(), key=lambda i: (int(keys[i]), names[i])))
    return order.astype(np.int64)


def quantised(
    positions: NDArray[np.float64], box: tuple[float, float, float, float]
) -> NDArray[np.uint16]:
    """Return positions as whole numbers within a box.

    Parameters
    ----------
    positions : float array, shape (n, 2)
        x and y; NaN: not on the map.
    box : tuple
        Smallest x and y, largest x and y; all positions are inside.

    Returns
    -------
    uint16 array, shape (n, 2)
        0 at the box's smallest, 65,534 at its largest x or y; `ABSENT` twice for NaN. Half a step,
        1 / 131,068 of the box's side, is the largest error.
    """
    low, high = np.array(box[:2]), np.array(box[2:])
    there = np.isfinite(positions).all(axis=1)
    found = np.full(positions.shape, ABSENT, np.uint16)
    steps = (positions[there] - low) / (high - low) * _STEPS
    if len(steps) and (steps.min() < 0 or steps.max() > _STEPS):
        raise ValueError(f"positions lie outside of the box {box}")
    found[there] = np.floor(steps + 0.5)
    return found


def morton(points: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Return the place of each point on a Morton curve: near ones there are near on the map.

    Parameters
    ----------
    points : uint16 array, shape (n, 2)
    """

    def spread(values: NDArray[np.uint16]) -> NDArray[np.uint32]:
        bits = values.astype(np.uint32)
        for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
            bits = (bits | (bits << np.uint32(shift))) & np.uint32(mask)
        return bits

    return spread(points[:, 0]) | (spread(points[:, 1]) << np.uint32(1))


def positions(points: NDArray[np.uint16]) -> Part:
    """Return the part of so many positions, shape (n, 2): all x, then all y."""
    return {"kind": "positions", "n": len(points)}, [
        np.ascontiguousarray(points.T).astype("<u2").tobytes()
    ]


def category(values: pa.StringArray) -> Part:
    """Return the part of one value a point: codes into its own list of values; 0: none."""
    names, codes = _coded(values)
    width = _width(len(names))
    return (
        {"kind": "category", "n": len(values), "values": names, "width": width},
        [codes.astype(_TYPES[width]).tobytes()],
    )


def tags(values: pa.ListArray) -> Part:
    """Return the part of several values a point: how many each has, and their codes from 1 on."""
    counts = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    names, codes = _coded(values.flatten().cast(pa.string()))
    width, wide = _width(len(names)), _width(int(counts.max(initial=0)))
    return (
        {"kind": "tags", "n": len(values), "values": names, "width": width, "wide": wide},
        [counts.astype(_TYPES[wide]).tobytes(), codes.astype(_TYPES[width]).tobytes()],
    )


def number(values: pa.FloatingPointArray) -> Part:
    """Return the part of one number a point, in single precision; NaN: none."""
    plain = values.cast(pa.float32()).to_numpy(zero_copy_only=False)
    return {"kind": "number", "n": len(values)}, [plain.astype("<f4").tobytes()]


def texts(values: pa.StringArray) -> Part:
    """Return the part of a text a point; a missing one is empty.

    The first blob has the length of every text in UTF-16 units, as scripts count; the second one
    all texts with line feeds between them, in UTF-8. Both are deflated.
    """
    listed = [value or "" for value in values.to_pylist()]
    lengths = np.fromiter((len(t.encode("utf-16-le")) // 2 for t in listed), "<u4", len(listed))
    blobs = (lengths.tobytes(), "\n".join(listed).encode())
    return {"kind": "texts", "n": len(listed)}, [zlib.compress(blob, 6) for blob in blobs]


def script(call: str, head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """Return a script that calls ``minia_map.<call>(head, [blobs])``."""
    coded = ",".join(f'"{base64.b64encode(blob).decode()}"' for blob in blobs)
    return f"minia_map.{call}({in_script(head)},[{coded}]);\n".encode("ascii")


def in_script(value: Any) -> str:
    """Return a value as JSON that may stand in a script, in a page too: ASCII, no ``<``."""
    found = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e")


def _coded(values: pa.StringArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the sorted values, and each as its place there from 1 on; 0: missing."""
    encoded = pc.dictionary_encode(values)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    seen = encoded.dictionary.to_pylist()
    names = sorted(seen)
    places = {name: place for place, name in enumerate(names, start=1)}
    order = np.array([0, *(places[name] for name in seen)], np.int64)
    found = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return names, order[found + 1]


def _width(most: int) -> int:
    """Return the bytes of an unsigned number up to `most`."""
    return next(width for width in (1, 2, 4) if most < 1 << (8 * width))
