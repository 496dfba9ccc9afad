"""How structures stand out, and which show the same pattern: in the same images, or turned.

A visual word looks in one direction. What lies left of one galaxy and above another makes other
words there, and so other structures, without a word or an image in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from minia_spark.features.turns import TURNS
from minia_spark.mining.model import Structures, incidence

__all__ = ["Likeness", "leaders", "likeness", "patterns", "shared_images", "strength"]

_STRONG, _WEAK = 3.0, 1.5  # times as many images as by chance
_LEAST_SURPRISE = 2.0
_LOT = 256  # structures whose images are compared with those of all leaders at once
_SAME = 1 / 3
"""Least Jaccard similarity of the images of two structures that are shown as one: half of the
images of each, where they have as many, are in both."""
_NEAR = 0.01
"""A word looks like this share of all words, those nearest to it."""
_BLOCK = 512  # words whose distances to all others are there at a time
_LEAST = 2 / 3 - 1e-9
"""Least likeness that counts, of strong structures,"""
_LEAST_OF_OTHERS = 0.75
"""and of others: their words are less sure."""


def strength(lift: float | None, surprise: float | None) -> str:
    """Return how far an established structure stands out: strong, moderate or weak.

    Strong from three times as many images as by chance on; weak below one and a half times, or
    where chance makes as many once in less than a hundred times.

    Parameters
    ----------
    lift : float or None
        Its images beside those that chance makes, broad differences of images included where these
        are known; None counts as weak.
    surprise : float or None
        None: not known, or beyond what can be told.
    """
    if lift is None or lift < _WEAK or (surprise is not None and surprise < _LEAST_SURPRISE):
        return "weak"
    return "strong" if lift >= _STRONG else "moderate"


@dataclass(frozen=True)
class Likeness:
    """How alike structures look, pair by pair.

    Attributes
    ----------
    shares : csr_array of float64, shape (k, k)
        Symmetric: the smaller of two shares, of the words of the one that look like a word of the
        other, and the reverse. Below two thirds, and on the diagonal, it is 0 and not stored.
    turns : csr_array of int64, shape (k, k)
        For the same pairs, 1 + the place in `TURNS` of what is to be done to the images of the
        row's structure so that they look like the column's: the first that gives the most.
    """

    shares: csr_array
    turns: csr_array

    def of(self, number: int) -> list[tuple[int, float]]:
        """Return the structures that look like one, by number, and how much."""
        here = slice(self.shares.indptr[number], self.shares.indptr[number + 1])
        found = zip(
            self.shares.indices[here].tolist(), self.shares.data[here].tolist(), strict=True
        )
        return sorted(found)

    def turn(self, one: int, other: int) -> str | None:
        """Return the one of `TURNS` that makes one look like another; None: they do not."""
        return TURNS[int(self.turns[one, other]) - 1] if self.shares[one, other] else None


def likeness(
    structures: Structures, centres: NDArray[np.float64], turns: NDArray[np.int64]
) -> Likeness:
    """Compare structures by what their words look like, as they are, turned and mirrored.

    Two words look alike if the one, after the turn, is among the hundredth of all words that are
    nearest to the other's centre. Of structures of words that are drawn by chance, two pairs of a
    thousand have a likeness of two thirds or more (3 to 9 words each, 2,000 words, 8 turns).

    Parameters
    ----------
    structures : Structures
        k structures.
    centres : float64 array, shape (K, D)
        Of the words; whole numbers make distances exact.
    turns : int64 array, shape (t, D)
        See :func:`minia_spark.features.turns.turns_of`; (1, 0): none are known, only the words as
        they are are compared.
    """
    count = len(structures)
    used = np.unique(structures.items)
    member = incidence(structures, used)
    sizes = np.maximum(structures.sizes, 1)
    own = centres[used]
    shares, places = csr_array((count, count)), csr_array((count, count), dtype=np.int64)
    for turn, row in enumerate(turns if turns.shape[1] else np.arange(centres.shape[1])[None]):
        near = _near(own[:, row], centres, used)
        held, holding = (_held(member, one, sizes) for one in (near, csr_array(near.T)))
        found = csr_array(held.minimum(csr_array(holding.T)))
        found.setdiag(0)
        found.data[found.data < _LEAST] = 0
        found.eliminate_zeros()
        better = csr_array(found > shares)
        shares = csr_array(shares.maximum(found))
        places = csr_array(places - places.multiply(better) + better.astype(np.int64) * (turn + 1))
    # a word may be among those near to another, and the other not among those near to it
    both = csr_array(shares.minimum(csr_array(shares.T)))
    both.eliminate_zeros()
    both.sort_indices()
    return Likeness(both, places)


def _near(
    turned: NDArray[np.float64], centres: NDArray[np.float64], used: NDArray[np.uint32]
) -> csr_array:
    """Return which of the words in use are among those nearest to each turned one."""
    nearest = max(1, int(_NEAR * len(centres)))
    halves = np.square(centres).sum(axis=1) / 2
    blocks = [csr_array((0, len(used)), dtype=np.int64)]
    for start in range(0, len(turned), _BLOCK):
        apart = halves - turned[start : start + _BLOCK] @ centres.T
        limit = np.partition(apart, nearest - 1, axis=1)[:, nearest - 1 : nearest]
        blocks.append(csr_array((apart <= limit)[:, used].astype(np.int64)))
    return csr_array(vstack(blocks))


def _held(member: csr_array, near: csr_array, sizes: NDArray[np.int64]) -> csr_array:
    """Return the share of each structure's words that have one near them in each other one."""
    any_near = csr_array((near @ member.T) > 0).astype(np.float64)
    return csr_array((member @ any_near) / sizes[:, None])


def leaders(images: Sequence[NDArray[np.int64]], apart: Sequence[bool]) -> list[int | None]:
    """Return, for each structure in much the same images as one before it, the number of that one.

    Going through the structures in their order, each one joins the first of those before it, of
    which none joined another, that has a Jaccard similarity of images of a third or more; else it
    may lead others itself.

    Parameters
    ----------
    images : sequence of int64 arrays
        The images of every structure, as numbers from 0; an image once a structure.
    apart : sequence of bool
        Structures that neither lead nor join.

    Returns
    -------
    list of int or None
        None: it stands by itself.
    """
    found: list[int | None] = []
    leading: list[int] = []
    for start in range(0, len(images), _LOT):  # so that few of the counts are there at a time
        block = images[start : start + _LOT]
        here = list(range(start, start + len(block)))
        shared = shared_images(block, [images[k] for k in (*leading, *here)])
        candidates = np.array([*leading, *here])
        for row, own in enumerate(block, start):
            part = slice(shared.indptr[row - start], shared.indptr[row - start + 1])
            others, both = candidates[shared.indices[part]], shared.data[part]
            sizes = np.array([len(images[k]) for k in others.tolist()])
            near = others[(both >= _SAME * (len(own) + sizes - both)) & (others < row)].tolist()
            led = (k for k in near if not apart[row] and not apart[k] and found[k] is None)
            found.append(next(led, None))
        leading += [k for k in here if found[k] is None and not apart[k]]
    return found


def patterns(
    alike: Likeness,
    images: Sequence[int | None],
    order: Sequence[int],
    *,
    strong: Sequence[bool],
    apart: Sequence[bool],
) -> list[int | None]:
    """Return, for each structure that shows the pattern of one before it, the number of that one.

    Strong ones that are alike show one pattern, and so do those alike through others of them. Every
    other one joins that of the structure that it is most like, by three quarters at least, of the
    strong ones and those that began a pattern (of equal ones, the first). One that is in much the
    same images as another goes where that one is. Else it begins a pattern itself.

    Parameters
    ----------
    alike : Likeness
        Of k structures.
    images : sequence of int or None
        As :func:`leaders` returns them.
    order : sequence of int
        All structures, the best first; one goes before those that are in its images, and the strong
        ones before all others.
    strong : sequence of bool
    apart : sequence of bool
        Those that neither begin nor join.

    Returns
    -------
    list of int or None
        None: it began a pattern, or stands by itself.
    """
    place = {number: at for at, number in enumerate(order)}
    first = list(range(len(order)))  # what each joined, which may have joined another

    def began(number: int) -> int:
        while first[number] != number:
            number = first[number]
        return number

    for number in order:
        leader = images[number]
        if leader is not None:
            first[number] = leader
        if apart[number]:
            continue
        near = [
            (one, share)
            for one, share in alike.of(number)
            if place[one] < place[number] and not apart[one]
        ]
        if strong[number]:
            for one, _ in near:
                if strong[one]:
                    ends = sorted((began(number), began(one)), key=place.__getitem__)
                    first[ends[1]] = ends[0]
        elif leader is None:
            near = [
                (one, share)
                for one, share in near
                if share >= _LEAST_OF_OTHERS and (strong[one] or began(one) == one)
            ]
            if near:
                first[number] = min(near, key=lambda told: (-told[1], place[told[0]]))[0]
    found = [began(number) for number in range(len(order))]
    return [None if one == number else one for number, one in enumerate(found)]


def shared_images(
    images: Sequence[NDArray[np.int64]], others: Sequence[NDArray[np.int64]]
) -> csr_array:
    """Return how many images each of one list has in common with each of the other."""
    count = 1 + max((int(one.max()) for one in (*images, *others) if len(one)), default=-1)
    member, other = (_membership(rows, count) for rows in (images, others))
    shared = (member @ other.T).tocsr()
    shared.sort_indices()
    return shared


def _membership(rows: Sequence[NDArray[np.int64]], count: int) -> csr_array:
    columns = np.concatenate([np.zeros(0, np.int64), *rows])
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in rows], dtype=np.int64)])
    ones = np.ones(len(columns), np.int64)
    return csr_array((ones, columns, offsets), shape=(len(rows), count))
