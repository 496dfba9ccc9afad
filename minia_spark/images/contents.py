"""What files hold, whatever they are called: to notice batches that changed or came twice."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.images.listing import Listed, ListingDigest
from minia_spark.images.reader import absolute_path, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Contents", "hash_files"]

_THREADS = 8  # hashing frees the interpreter; more only make a slow disk seek
_FILES_AT_ONCE = 4096


class Contents(NamedTuple):
    """Digests of the same files; neither depends on their order.

    Attributes
    ----------
    named : str
        Of names and bytes: other when a file is added, removed, renamed or changed.
    unnamed : str
        Of the bytes alone: equal for copies under other names.
    """

    named: str
    unnamed: str


def hash_files(root: bytes, entries: Iterable[Listed]) -> Contents:
    """Read files and return their digests.

    Parameters
    ----------
    root : bytes
        Absolute path of the folder.
    entries : iterable of Listed
        What of it counts. An entry that was refused, or cannot be read, counts by its name.

    Returns
    -------
    Contents
    """
    named, unnamed = ListingDigest(), ListingDigest()
    rest = iter(entries)
    with ThreadPoolExecutor(_THREADS) as pool:
        while piece := list(itertools.islice(rest, _FILES_AT_ONCE)):
            hashes = pool.map(lambda entry: _content(root, entry), piece)
            for entry, (hashed, size_bytes) in zip(piece, hashes, strict=True):
                named.add(hashed + entry.path, size_bytes, 0)
                unnamed.add(hashed, size_bytes, 0)
    return Contents(named.hexdigest(), unnamed.hexdigest())


def _content(root: bytes, entry: Listed) -> tuple[bytes, int]:
    """Return 32 bytes for what an entry holds, and its size; no two that cannot be read agree."""
    if entry.rejected is None:
        try:
            with open_regular(absolute_path(root, entry.path)) as file:
                return hashlib.file_digest(file, "sha256").digest(), file.tell()
        except (Rejected, OSError):
            pass
    return hashlib.sha256(entry.path).digest(), -1
