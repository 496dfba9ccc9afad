"""What waits in an inbox: sub-folders and lists of files, each to become a batch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minia_spark.base.errors import InputError
from minia_spark.engine.sources import entries_of
from minia_spark.engine.stage import Source
from minia_spark.images.contents import Contents, hash_files
from minia_spark.images.identity import image_id_of, uri_of
from minia_spark.images.listing import SKIPPED_NAMES, Listed, ListingDigest
from minia_spark.warehouse.records import Arrival, is_batch_name

__all__ = ["LISTS", "UNFINISHED", "Candidate", "batch_name_of", "look"]

LISTS = (b".txt", b".list")
UNFINISHED = (b".part", b".tmp")
_NOT_OURS = SKIPPED_NAMES | {b"lost+found"}


def batch_name_of(name: bytes) -> str:
    """Return the batch that a folder or list of this name becomes.

    A name that a batch may have stays. Any other, whatever bytes are in it, becomes one: what is
    not a letter, digit, ``.``, ``_`` or ``-`` turns into ``_``, and eight digits of its hash keep
    it apart from others that then look the same.
    """
    text = name.decode("ascii", "replace")
    if is_batch_name(text):
        return text
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-")[:80] or "batch"
    return f"{plain}-{hashlib.sha256(name).hexdigest()[:8]}"


@dataclass(frozen=True)
class Candidate:
    """A folder or list in the inbox.

    Attributes
    ----------
    path : bytes
        Absolute.
    batch : str
        What it is to be called.
    source : Source
    follow_links_outside : bool
        Whether links may lead out of the inbox.
    """

    path: bytes
    batch: str
    source: Source
    follow_links_outside: bool

    def _entries(self) -> Iterator[Listed]:
        return entries_of(self.source, follow_links_outside=self.follow_links_outside)

    @property
    def title(self) -> str:
        """Its name in the inbox, fit to print."""
        return image_id_of(os.path.basename(self.path))  # noqa: PTH119 - bytes

    @property
    def place(self) -> str:
        """What the ledger knows it by."""
        return uri_of(self.path)

    @cached_property
    def listing(self) -> ListingDigest:
        """Names, sizes and times of its files.

        Raises
        ------
        InputError
            It cannot be read, or is a link out of the inbox that may not be followed.
        """
        if os.path.realpath(self.path) != self.path and not self.follow_links_outside:
            raise InputError(
                f"{self.title} is a link that leaves the inbox (ingest.follow_links_outside allows "
                "it)"
            )
        digest = ListingDigest()
        for entry in self._entries():
            digest.add(entry.path, entry.size_bytes, entry.mtime_ns)
        return digest

    @cached_property
    def contents(self) -> Contents:
        """Digests of the bytes of its files; all of them are read."""
        root = os.path.realpath(os.fsencode(self.source.place))
        return hash_files(root, self._entries())

    def changed_ns(self) -> int:
        """Return when something in it changed last, by the clock of its file system.

        A file's time of modification may have been set by who copied it; that of a folder's own
        entry cannot be.
        """
        times = [entry.mtime_ns for entry in self._entries()]
        if self.source.files is not None:
            times.append(os.stat(self.path).st_ctime_ns)  # noqa: PTH116 - bytes
        else:
            times += [os.stat(place).st_ctime_ns for place, _, _ in os.walk(self.path)]  # noqa: PTH116
        return max(times)

    def arrival(self, same_as: str | None = None) -> Arrival:
        """Return it as the ledger is to know it."""
        return Arrival(
            place=self.place,
            batch=self.batch,
            listing=self.listing.hexdigest(),
            named=self.contents.named,
            unnamed=self.contents.unnamed,
            same_as=same_as,
        )


def look(inbox: Path, *, follow_links_outside: bool) -> tuple[list[Candidate], int]:
    """Return what waits in the inbox, and how many other files lie there.

    Sub-folders, and files called ``*.txt`` or ``*.list``, in natural order: ``night2`` comes before
    ``night10``. Left out are names that begin with a dot or end in ``.part`` or ``.tmp``: they are
    still being written. A link to something else in the inbox is passed over.

    Raises
    ------
    InputError
        The inbox is not there or cannot be read.
    """
    top = os.path.realpath(os.fsencode(inbox))
    try:
        with os.scandir(top) as scan:
            entries = sorted(scan, key=lambda entry: _natural(entry.name))
    except OSError as error:
        shown = image_id_of(os.fsencode(inbox))
        raise InputError(f"the inbox {shown} cannot be read: {error.strerror}") from None
    found = list(_candidates(top, entries, follow_links_outside))
    others = sum(not _is_folder(entry) and not _is_left_out(entry.name) for entry in entries)
    return found, others - sum(candidate.source.files is not None for candidate in found)


def _candidates(
    top: bytes, entries: list[os.DirEntry[bytes]], outside: bool
) -> Iterator[Candidate]:
    for entry in entries:
        if _is_left_out(entry.name):
            continue
        path = top + b"/" + entry.name
        if entry.is_symlink() and os.path.realpath(path).startswith(top + b"/"):
            continue
        if _is_folder(entry):
            source = Source(Path(os.fsdecode(path)))
            yield Candidate(path, batch_name_of(entry.name), source, outside)
        elif entry.name.endswith(LISTS):
            source = Source(Path(os.fsdecode(top)), Path(os.fsdecode(path)))
            name = entry.name.rpartition(b".")[0]
            yield Candidate(path, batch_name_of(name), source, outside)


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    """Tell whether it is, or leads to, a folder; a link that leads in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_left_out(name: bytes) -> bool:
    return name.startswith(b".") or name.endswith(UNFINISHED) or name in _NOT_OURS


def _natural(name: bytes) -> tuple[list[bytes | int], bytes]:
    """Return a key that sorts digits by value: they stand at the odd places of the list."""
    parts = re.split(rb"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
