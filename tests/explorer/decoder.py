"""Reads the map's files back with plain loops, as slowly and differently as can be."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from pathlib import Path

CALL = re.compile(r"minia_map\.(part|site)\((\{.*\}),\[([^\[\]]*)\]\);\n", re.DOTALL)
SIZES = {1: "B", 2: "H", 4: "I"}


def script(data: bytes):
    """Return head and blobs of a script."""
    text = data.decode("ascii")
    assert "<" not in text
    found = CALL.fullmatch(text)
    assert found is not None, text[:200]
    blobs = [base64.b64decode(one.strip('"')) for one in found[3].split(",") if one]
    return json.loads(found[2]), blobs


def unpacked(blob: bytes, width: int) -> list[int]:
    return [one for (one,) in struct.iter_unpack("<" + SIZES[width], blob)]


def values(head, blobs):
    """Return what a part says of each of its points."""
    kind, n = head["kind"], head["n"]
    if kind == "positions":
        both = unpacked(blobs[0], 2)
        return list(zip(both[:n], both[n:], strict=True))
    if kind == "places":
        return unpacked(blobs[0], 4)
    if kind == "number":
        return [one for (one,) in struct.iter_unpack("<f", blobs[0])]
    if kind == "category":
        names = [None, *head["values"]]
        return [names[code] for code in unpacked(blobs[0], head["width"])]
    if kind == "tags":
        codes = iter(unpacked(blobs[1], head["width"]))
        names = [None, *head["values"]]
        found = [[names[next(codes)] for _ in range(k)] for k in unpacked(blobs[0], head["wide"])]
        assert next(codes, None) is None
        return found
    if kind == "texts":
        units = zlib.decompress(blobs[1]).decode().encode("utf-16-le")
        found, at = [], 0
        for length in unpacked(zlib.decompress(blobs[0]), 4):
            found.append(units[2 * at : 2 * (at + length)].decode("utf-16-le"))
            at += length + 1
        assert len(found) == n
        return found
    assert kind == "pictures"
    return blobs


class Page:
    """A written page, read back."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.head, _ = script((folder / "map-data.js").read_bytes())

    def column(self, names):
        return [
            value
            for name in names
            for value in values(*script((self.folder / "map" / name).read_bytes()))
        ]

    def rows(self):
        """Return image -> everything that the page knows of it."""
        head = self.head
        found = {}
        for batch in head["batches"]:
            names = self.column(batch["names"])
            assert len(names) == batch["n"]
            columns = {"batch": [batch["name"]] * len(names)}
            for number, own in enumerate(head["maps"]):
                x0, y0, x1, y1 = own["box"]
                columns[own["name"]] = [
                    None
                    if (x, y) == (65535, 65535)
                    else (x0 + (x1 - x0) * x / 65534, y0 + (y1 - y0) * y / 65534)
                    for x, y in self.column(batch["maps"][number])
                ]
            for number, own in enumerate(head["fields"]):
                columns[own["name"]] = self.column(batch["fields"][number])
            if batch["links"]:
                columns["link"] = self.column(batch["links"])
            if batch["places"]:
                columns["place"] = self.column(batch["places"])
            for i, name in enumerate(names):
                found[batch["name"], name] = {key: column[i] for key, column in columns.items()}
        return found

    def order(self, batch=0):
        return self.column(self.head["batches"][batch]["names"])

    def files(self):
        return {path.name: path.read_bytes() for path in (self.folder / "map").iterdir()}
