"""Files of networks: which one it is, told by its content."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from minia_spark.base.files import open_regular

__all__ = ["RANDOM", "identity_of", "sha256_of", "side_file"]

RANDOM = "random"
"""In place of a file: weights that mean nothing."""


def side_file(model: str) -> Path:
    """Return the file beside a network that says what it takes."""
    return Path(model).with_suffix(".yaml")


def identity_of(path: str | None) -> str | None:
    """Return what tells whether results by a file are still valid: the hash of its content.

    None for none; of what cannot be read its path: a run that needs it says what is wrong.
    """
    if path is None or path == RANDOM:
        return path
    try:
        return sha256_of(Path(path))
    except OSError:
        return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; OSError where it cannot be read."""
    known = path.stat()
    return _hashed(path, known.st_mtime_ns, known.st_size)


@functools.lru_cache(maxsize=32)
def _hashed(path: Path, _modified: int, _size: int) -> str:
    with open_regular(path) as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
        return found.hexdigest()
