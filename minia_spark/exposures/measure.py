"""How far cells and flags agree with a truth that is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

__all__ = ["balanced_accuracy", "purity"]


def purity(members: Iterable[tuple[int, str]]) -> float:
    """Return the share of exposures that are of the most frequent class of their cell.

    Parameters
    ----------
    members : iterable of (int, str)
        Cell and true class of every exposure, at least one.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for cell, name in members:
        counts[cell][name] += 1
    right = sum(found.most_common(1)[0][1] for found in counts.values())
    return right / sum(found.total() for found in counts.values())


def balanced_accuracy(pairs: Sequence[tuple[str, str | None]]) -> float:
    """Return the mean over the classes of the share of each that was found.

    Parameters
    ----------
    pairs : sequence of (str, str or None)
        True class and what was found, at least one.
    """
    every = Counter(true for true, _ in pairs)
    right = Counter(true for true, found in pairs if found == true)
    return sum(right[name] / number for name, number in every.items()) / len(every)
