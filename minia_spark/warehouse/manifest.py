"""Which files an entry is made of: noted when it is complete, compared before anybody relies on it.

::

    <table>/run=<run>/.../_manifest.json    every file's name, bytes, rows and SHA-256

The entry itself holds a digest of names and sizes. So one listing tells whether its folder is as it
was; the manifest is opened only to say what is wrong, and for rows and hashes. Names that begin
with ``_`` or ``.`` are no data, as in every reader of Parquet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.storage import Storage

__all__ = ["NAME", "at_once", "damage", "full_damage", "write_manifest"]

NAME = "_manifest.json"
_HASHED_BYTES = 1 << 30
"""Larger entries, and those of remote stores, are not read again for their hashes."""
_PARQUET = ".parquet"
_LOOKS_AT_ONCE = 16
_ENTRIES_A_PIECE = 8

_Found = TypeVar("_Found")


def write_manifest(storage: Storage, path: str) -> tuple[str, int]:
    """Write down which files a folder holds, which nobody will change any more.

    Parameters
    ----------
    storage : Storage
    path : str
        The folder, relative to the warehouse.

    Returns
    -------
    digest : str
        Of names and sizes.
    rows : int
        Of its Parquet files together, from their footers.
    """
    sizes = _sizes(storage, path)
    hashed = storage.local is not None and sum(sizes.values()) <= _HASHED_BYTES
    total, files = 0, []
    for name, size in sizes.items():
        rows = _rows(storage, f"{path}/{name}") if name.endswith(_PARQUET) else None
        total += rows or 0
        sha256 = _sha256(storage, f"{path}/{name}") if hashed else None
        files.append({"name": name, "bytes": size, "rows": rows, "sha256": sha256})
    data = json.dumps({"files": files}, indent=0)
    storage.write(f"{path}/{NAME}", data.encode())
    return _digest(sizes), total


def at_once(look: Callable[[Entry], _Found], entries: Sequence[Entry]) -> Iterator[_Found]:
    """Yield what a look at each entry finds, in order; several at once: stores take their time."""
    pieces = [entries[n : n + _ENTRIES_A_PIECE] for n in range(0, len(entries), _ENTRIES_A_PIECE)]
    if len(pieces) < 2:
        yield from map(look, entries)
        return
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        for found in pool.map(lambda piece: [look(entry) for entry in piece], pieces):
            yield from found


def damage(storage: Storage, entry: Entry) -> str | None:
    """Say in a few words what is wrong with an entry's files, by one listing; None: nothing is."""
    sizes = _sizes(storage, entry.path)
    if not sizes:
        return "missing or empty"
    if not entry.files or _digest(sizes) == entry.files:  # of an older version: there is no digest
        return None
    noted = {file["name"]: file["bytes"] for file in _noted(storage, entry)}
    if not noted:
        return f"not as {entry.stage} wrote it"
    wrong = [f"{name} is missing" for name in sorted(noted.keys() - sizes.keys())]
    wrong += [f"{name} was added" for name in sorted(sizes.keys() - noted.keys())]
    wrong += [
        f"{name} has {sizes[name]:,} bytes, not {noted[name]:,}"
        for name in sorted(noted.keys() & sizes.keys())
        if noted[name] != sizes[name]
    ]
    return ", ".join(wrong[:3]) + (f" and {len(wrong) - 3:,} more" if len(wrong) > 3 else "")


def full_damage(storage: Storage, entry: Entry, *, hashes: bool) -> Iterator[str]:
    """Yield what is wrong with an entry whose listing is as it was.

    Parameters
    ----------
    storage, entry
    hashes : bool
        Read every byte, for the hashes, and every value where there are none; else footers alone.
    """
    noted = {file["name"]: file for file in _noted(storage, entry)}
    if entry.files and not noted:
        yield f"{NAME} is missing or damaged"
    total = 0
    for name in _sizes(storage, entry.path):
        file = noted.get(name, {})
        path = f"{entry.path}/{name}"
        try:
            if name.endswith(_PARQUET):
                rows = _rows(storage, path)
                total += rows
                if file.get("rows") not in (None, rows):
                    yield f"{name} has {rows:,} rows, not {file['rows']:,}"
            known = file.get("sha256")
            if hashes and known is not None and _sha256(storage, path) != known:
                yield f"{name} has other bytes than were written"
            elif hashes and known is None and name.endswith(_PARQUET):
                _read_all(storage, path)
        except (OSError, pa.ArrowException) as error:
            yield f"{name} cannot be read: {str(error).splitlines()[0]}"
    if entry.rows not in (None, total):
        yield f"{total:,} rows, not {entry.rows:,}"


def _sizes(storage: Storage, path: str) -> dict[str, int]:
    """Return the bytes of the files that are data, by name."""
    found = storage.sizes(path, recursive=True)
    return {n: size for n, size in sorted(found.items()) if _is_data(n)}


def _is_data(name: str) -> bool:
    return not any(part.startswith(("_", ".")) for part in name.split("/"))


def _digest(sizes: Mapping[str, int]) -> str:
    text = "".join(f"{name}\0{size}\n" for name, size in sizes.items())
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _noted(storage: Storage, entry: Entry) -> list[dict[str, Any]]:
    """Return what the manifest says; nothing when it cannot be understood."""
    try:
        files = json.loads(storage.read(f"{entry.path}/{NAME}"))["files"]
        whole = all({"name", "bytes", "rows", "sha256"} <= file.keys() for file in files)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    return list(files) if whole else []


def _rows(storage: Storage, path: str) -> int:
    with storage.filesystem.open_input_file(storage.full(path)) as file:
        return int(pq.read_metadata(file).num_rows)


def _sha256(storage: Storage, path: str) -> str:
    found = hashlib.sha256()
    with storage.filesystem.open_input_file(storage.full(path)) as file:
        while piece := file.read(1 << 22):
            found.update(piece)
    return found.hexdigest()


def _read_all(storage: Storage, path: str) -> None:
    with storage.filesystem.open_input_file(storage.full(path)) as file:
        for _ in pq.ParquetFile(file).iter_batches():
            pass
