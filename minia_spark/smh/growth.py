"""Groups of words grown from links, in NumPy: what the native engine is validated with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.ragged import offsets_of, positions_of_rows
from minia_spark.smh.arrays import MalformedError, WordLinks

__all__ = ["grow_groups"]

_MAX_WORDS = 1 << 20
_ONE_LINK = 1 << 41
"""Above any sum of strengths: each is at most 2**20, and so is the number of a word's links."""
_MEMBER = 1 << 62


def grow_groups(
    links: WordLinks,
    *,
    density: float = 0.5,
    min_size: int = 3,
    max_similarity: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> list[NDArray[np.uint32]]:
    """Grow groups of words; see :func:`minia_spark.mining.consensus.grow`, which checks.

    Raises
    ------
    MalformedError
        When more than 2**20 words are linked.
    """
    words, ends = np.unique(np.stack([links.first, links.second]), return_inverse=True)
    if len(words) > _MAX_WORDS:
        raise MalformedError(f"{len(words)} words are linked; the limit is {_MAX_WORDS}")
    first, second = ends.reshape(2, -1)
    growth = _Growth(first, second, links.strength, len(words), density)
    covered = np.zeros(len(links), dtype=np.bool_)
    groups = []
    starts = np.flatnonzero(links.strong)
    # stable: equally strong ones stay in ascending order
    starts = starts[np.argsort(-links.strength[starts], kind="stable")].tolist()
    for number, start in enumerate(starts):
        if progress is not None:
            progress(number, len(starts))
        if covered[start]:
            continue
        members, within = growth.group(int(first[start]), int(second[start]))
        covered[within] = True
        if len(members) >= min_size:
            groups.append(words[members])
    return _distinct(groups, max_similarity)


class _Growth:
    """Grows groups of words, given as numbers from 0 whose order is that of the words.

    A word's links into a group are one integer, their number in the upper half and the sum of
    their strengths in the lower one, so that the larger comes first; members are far below all
    others.
    """

    def __init__(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        strength: NDArray[np.int64],
        words: int,
        density: float,
    ) -> None:
        order = np.argsort(np.concatenate([first, second]), kind="stable")
        number = np.tile(np.arange(len(first)), 2)[order]
        self._links = number
        self._others = np.concatenate([second, first])[order]
        self._values = strength[number] + _ONE_LINK
        self._offsets = offsets_of(np.bincount(np.concatenate([first, second]), minlength=words))
        self._bounds = self._offsets.tolist()
        self._inward = np.zeros(words, dtype=np.int64)
        self._density = density

    def group(self, first: int, second: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Grow the group of two linked words: its members, ascending, and the links within it."""
        inward = self._inward
        inward[:] = 0
        for word in (first, second):
            self._move(word, 1)
        members = [first, second]
        while True:
            best = int(inward.argmax())  # of equal ones the first
            if int(inward[best]) // _ONE_LINK < max(2.0, self._density * len(members)):
                break
            members.append(best)
            self._move(best, 1)
        own = np.sort(np.array(members, dtype=np.int64))
        while True:
            held = inward[own] + _MEMBER
            worst = len(own) - 1 - int(held[::-1].argmin())  # of equal ones the last
            if int(held[worst]) // _ONE_LINK >= self._density * (len(own) - 1):
                break
            self._move(int(own[worst]), -1)
            own = np.delete(own, worst)
        _, places = positions_of_rows(self._offsets, own)
        return own, self._links[places[inward[self._others[places]] < 0]]

    def _move(self, word: int, sign: int) -> None:
        """Let a word join the group, or leave it for -1."""
        self._inward[word] -= sign * _MEMBER
        part = slice(self._bounds[word], self._bounds[word + 1])
        self._inward[self._others[part]] += sign * self._values[part]


def _distinct(groups: list[NDArray[np.uint32]], max_similarity: float) -> list[NDArray[np.uint32]]:
    kept: list[NDArray[np.uint32]] = []
    holders: dict[int, list[int]] = {}
    for group in groups:
        common: dict[int, int] = {}
        for word in group.tolist():
            for number in holders.get(word, ()):
                common[number] = common.get(number, 0) + 1
        if any(
            shared >= max_similarity * (len(group) + len(kept[number]) - shared)
            for number, shared in common.items()
        ):
            continue
        for word in group.tolist():
            holders.setdefault(word, []).append(len(kept))
        kept.append(group)
    return kept
