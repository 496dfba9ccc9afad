"""What became of every structure from one run to another.

Two structures are *related* when they share more than half of the words of the smaller one. Related
structures are paired one to one, the most similar first (Jaccard; ties go to the earlier older and
then to the earlier newer structure). A pair is one structure that went on. What is left without a
partner was split from or merged into a related one, was born, or is gone. What was born or split
off is compared in the same way with the structures that ended in earlier runs: it may be one of
them that returned.

Between two codebooks the words of the older run are first replaced by the newer words that they
went to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from minia_spark.mining.model import ItemRows, incidence

__all__ = [
    "ENDS",
    "Event",
    "Fate",
    "WordRows",
    "chosen",
    "compose",
    "inherited",
    "mapped",
    "maps_of",
]
__all__ += ["returned", "trace", "word_rows"]


class Event(StrEnum):
    """What happened to a structure."""

    BORN = "born"
    SAME = "same"
    GROWN = "grown"
    SHRUNK = "shrunk"
    CHANGED = "changed"
    SPLIT = "split"
    RETURNED = "returned"
    MERGED = "merged"
    GONE = "gone"


ENDS = (Event.MERGED, Event.GONE)
"""What happens to a structure that no longer is there."""

_WENT_ON = (Event.SAME, Event.GROWN, Event.SHRUNK, Event.CHANGED)
_NEW = (Event.BORN, Event.SPLIT)


@dataclass(frozen=True)
class Fate:
    """What became of one structure.

    Attributes
    ----------
    event : Event
        ``same``, ``grown`` (words came), ``shrunk`` (words went), ``changed`` (both): it went on.
        ``split``: a newer structure that came out of `older`, which went on as another one.
        ``merged``: an older structure that ended in `newer`. ``born`` and ``gone``: no relation.
        ``returned``: one that had ended before goes on.
    older, newer : int or None
        Place in the older and in the newer list; of what returned, among those that had ended.
    gained, lost : int
        Words that came and went; of a structure without a partner, all of them.
    """

    event: Event
    older: int | None
    newer: int | None
    gained: int
    lost: int


@dataclass(frozen=True, eq=False)
class WordRows:
    """Words of structures, without anything else.

    Attributes
    ----------
    offsets : int64 array, shape (n + 1,)
        Row i holds ``items[offsets[i]:offsets[i + 1]]``.
    items : uint32 array, shape (nnz,)
        Distinct and ascending within a row.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets) - 1

    def lists(self) -> list[NDArray[np.uint32]]:
        """Return the items of each row."""
        return np.split(self.items, self.offsets[1:-1]) if len(self) else []


def mapped(rows: ItemRows, word_map: NDArray[np.integer]) -> WordRows:
    """Replace every word by the one it went to; words that went to the same one become one.

    Parameters
    ----------
    rows : Structures or other rows of items
        Items are below K.
    word_map : integer array, shape (K,)

    Raises
    ------
    ValueError
        An item is not in the map.
    """
    if len(rows.items) and int(rows.items.max()) >= len(word_map):
        raise ValueError(f"word {int(rows.items.max())} in a map of {len(word_map)} words")
    count = len(rows.offsets) - 1
    owners = np.repeat(np.arange(count, dtype=np.int64), np.diff(rows.offsets))
    items = np.asarray(word_map, dtype=np.int64)[rows.items]
    width = int(items.max(initial=0)) + 1
    keys = np.unique(owners * width + items)
    sizes = np.bincount(keys // width, minlength=count)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return WordRows(offsets, (keys % width).astype(np.uint32))


def chosen(rows: ItemRows, places: Sequence[int]) -> WordRows:
    """Return some of the rows, in the order of `places`, with their items ascending."""
    found = [np.sort(rows.items[rows.offsets[i] : rows.offsets[i + 1]]) for i in places]
    return word_rows(found)


def word_rows(lists: Sequence[NDArray[np.integer]]) -> WordRows:
    """Return rows of these items, which ascend within a row."""
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return WordRows(offsets, np.concatenate([[], *lists]).astype(np.uint32))


def maps_of(table: pa.Table) -> dict[tuple[str, str], NDArray[np.integer]]:
    """Return what table ``word_map`` holds: (version, next version) to where each word went."""
    maps = {}
    for step in table.group_by(["older_version", "newer_version"]).aggregate([]).to_pylist():
        rows = table.filter(
            (pc.field("older_version") == step["older_version"])
            & (pc.field("newer_version") == step["newer_version"])
        )
        words = rows.sort_by("older_word")["newer_word"].to_numpy()
        maps[step["older_version"], step["newer_version"]] = words
    return maps


def compose(
    maps: Mapping[tuple[str, str], NDArray[np.integer]], older: str, newer: str
) -> NDArray[np.integer] | None:
    """Return the map from one codebook to a later one, over those in between.

    Parameters
    ----------
    maps : mapping
        (version, next version) -> where each word went, shape (K,).
    older, newer : str
        Versions; different ones.

    Returns
    -------
    integer array, shape (K of the older,), or None
        Over the fewest codebooks (of equal ways the first by versions); None: there is no way.
    """
    reached: dict[str, NDArray[np.integer]] = {}
    border: dict[str, NDArray[np.integer] | None] = {older: None}
    while border and newer not in reached:
        following: dict[str, NDArray[np.integer]] = {}
        for (before, after), step in sorted(maps.items(), key=lambda item: item[0]):
            if before in border and after not in reached and after != older:
                way = border[before]
                following.setdefault(after, step if way is None else step[way])
        reached |= following
        border = dict(following)
    return reached.get(newer)


def trace(
    older: ItemRows, newer: ItemRows, word_map: NDArray[np.integer] | None = None
) -> list[Fate]:
    """Tell what became of every structure.

    Parameters
    ----------
    older, newer : Structures or other rows of items
        Of the earlier and the later run, in words of the same codebook unless there is a map.
    word_map : integer array, shape (K,), or None
        For each word of the older run's codebook, the word of the newer one's that it went to.
        Words that came and went are then counted in the newer codebook.

    Returns
    -------
    list of Fate
        One for every newer structure, in its order, then one for every older structure that did
        not go on, in its order.

    Raises
    ------
    ValueError
        A word of the older run is not in the map.
    """
    if word_map is not None:
        older = mapped(older, word_map)
    old_sizes, new_sizes = np.diff(older.offsets), np.diff(newer.offsets)
    relations = _relations(older, newer)
    partner_of_new: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    nearest_old: dict[int, int] = {}
    nearest_new: dict[int, int] = {}
    for _, old, new, shared in relations:
        nearest_old.setdefault(new, old)
        nearest_new.setdefault(old, new)
        if old not in taken and new not in partner_of_new:
            taken.add(old)
            partner_of_new[new] = old, shared
    fates = []
    for new, size in enumerate(new_sizes.tolist()):
        if new in partner_of_new:
            old, shared = partner_of_new[new]
            gained, lost = size - shared, int(old_sizes[old]) - shared
            fates.append(Fate(_change(gained, lost), old, new, gained, lost))
        else:
            event = Event.SPLIT if new in nearest_old else Event.BORN
            fates.append(Fate(event, nearest_old.get(new), new, size, 0))
    for old, size in enumerate(old_sizes.tolist()):
        if old not in taken:
            event = Event.MERGED if old in nearest_new else Event.GONE
            fates.append(Fate(event, old, nearest_new.get(old), 0, size))
    return fates


def returned(fates: Sequence[Fate], ended: ItemRows, newer: ItemRows) -> list[Fate]:
    """Find among what was born or split off the structures that had ended in earlier runs.

    Parameters
    ----------
    fates : sequence of Fate
        As :func:`trace` returns them.
    ended, newer : Structures or other rows of items
        Those that had ended, and the newer ones; in words of the same codebook.

    Returns
    -------
    list of Fate
        The same, with ``returned`` in place of ``born`` and ``split`` where one of them goes on.
    """
    fresh = [f.newer for f in fates if f.newer is not None and f.event in _NEW]
    back = {
        fresh[found.newer]: found
        for found in trace(ended, chosen(newer, fresh))
        if found.newer is not None and found.event in _WENT_ON
    }
    return [
        replace(back[fate.newer], event=Event.RETURNED, newer=fate.newer)
        if fate.newer in back and fate.event in _NEW
        else fate
        for fate in fates
    ]


def inherited(
    fates: Sequence[Fate], older_ids: Sequence[str], state: int, ended_ids: Sequence[str] = ()
) -> list[str]:
    """Give every structure the id that stays with it from run to run.

    Parameters
    ----------
    fates : sequence of Fate
        As :func:`trace` and :func:`returned` return them.
    older_ids : sequence of str
        Of the older structures.
    state : int
        Number of the state in which the newer structures are published.
    ended_ids : sequence of str
        Of the structures that had ended.

    Returns
    -------
    list of str
        One for each fate: a structure that went on or returned keeps its id, one that was born or
        split off in state 7 as number 3 is ``7.3``, and one that ended takes its id with it.
    """

    def own(fate: Fate) -> str:
        if fate.older is None or fate.event is Event.SPLIT:
            return f"{state}.{fate.newer}"
        return (ended_ids if fate.event is Event.RETURNED else older_ids)[fate.older]

    return list(map(own, fates))


def _change(gained: int, lost: int) -> Event:
    if gained:
        return Event.CHANGED if lost else Event.GROWN
    return Event.SHRUNK if lost else Event.SAME


def _relations(older: ItemRows, newer: ItemRows) -> list[tuple[Fraction, int, int, int]]:
    """Return (1 - Jaccard, older, newer, shared words) of related pairs, most similar first."""
    old_sizes, new_sizes = np.diff(older.offsets), np.diff(newer.offsets)
    columns: NDArray[np.uint32] = np.unique(np.concatenate([older.items, newer.items]))
    both = (incidence(older, columns) @ incidence(newer, columns).T).tocoo()
    smaller = np.minimum(old_sizes[both.row], new_sizes[both.col])
    related = 2 * both.data > smaller
    found = []
    for old, new, shared in zip(
        both.row[related].tolist(),
        both.col[related].tolist(),
        both.data[related].tolist(),
        strict=True,
    ):
        union = int(old_sizes[old] + new_sizes[new]) - shared
        found.append((1 - Fraction(shared, union), old, new, shared))  # exact: no rounding in ties
    return sorted(found)
