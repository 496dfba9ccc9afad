"""Decoys: random collections with all the totals of a real one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import offsets_of, positions_of_rows
from minia_spark.smh.arrays import Documents

__all__ = ["bags_of", "decoy", "shuffled"]

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def shuffled(images: Bags, *, seed: int, rounds: int = 16) -> Bags:
    """Make a decoy: exchange words between images and keep all totals.

    Parameters
    ----------
    images : Bags
        n images; words distinct within an image.
    seed : int
        0 to 2**64 - 1; the decoy depends on it and on the images in their order.
    rounds : int
        In a round every image trades with another one. Of 302,000 occurrences in 2,246 texts,
        0.1 % more than by chance are in their place after 16, and nothing measurable is left of
        what occurred together.

    Returns
    -------
    Bags
        Same number of words in every image and of images of every word; words ascend. A word's
        count stays with the word.

    Raises
    ------
    SettingsError
        When `rounds` is negative.

    Notes
    -----
    In a round the images are paired at random (of an odd number, one sits out). The words that
    only one of a pair has are put together and dealt out again, to each image as many as it gave:
    the global curveball of C. J. Carstens, A. Berger, G. Strona, "Curveball: a new generation of
    sampling algorithms for graphs with fixed degree sequence" (arXiv:1609.05137), after G. Strona
    et al., Nature Communications 5 (2014) 4114. Every round can be undone by an equally probable
    one, so the chain is symmetric and tends to the uniform distribution over all matrices with
    these totals. A collection in pieces (e.g. partitions by a hash of the image's name) can be
    shuffled piece by piece: totals are kept in each.
    """
    if rounds < 0:
        raise SettingsError(f"rounds must not be negative, got {rounds}")
    random = np.random.default_rng(seed)
    table = sparse.csr_array(
        (images.counts.astype(np.uint64), images.items.astype(np.int64), images.offsets),
        shape=(len(images), int(images.items.max(initial=0)) + 1),
    )
    table.sort_indices()
    rows = np.arange(len(images))
    for _ in range(rounds):
        order = random.permutation(len(images))
        table, rows = _traded(table, order, random), rows[order]
    table = table[np.argsort(rows)]
    return Bags(images.offsets, table.indices.astype(np.uint32), table.data.astype(np.uint32))


def _traded(
    table: sparse.csr_array, order: NDArray[np.int64], random: np.random.Generator
) -> sparse.csr_array:
    """Order the rows and let each of the first half trade with one of the second."""
    half = len(order) // 2
    first, second, rest = (
        table[part] for part in (order[:half], order[half : 2 * half], order[2 * half :])
    )
    second.data <<= _HALF
    both = first + second  # merged rows, the counts of the first low and of the second high
    given, taken = both.data & _LOW > 0, both.data > _LOW
    single = given != taken
    places, starts = np.flatnonzero(single), _sums(single)[both.indptr]
    chosen = _random_parts(starts, np.diff(_sums(single & given)[both.indptr]), random)
    given[places], taken[places] = chosen, ~chosen
    counts = both.data[places]
    both.data[places] = counts | counts << _HALF | counts >> _HALF  # whoever has the word now
    to_first, to_second = np.flatnonzero(given), np.flatnonzero(taken)
    words = [both.indices[to_first], both.indices[to_second], rest.indices]
    held = [both.data[to_first] & _LOW, both.data[to_second] >> _HALF, rest.data]
    offsets = offsets_of(np.diff(table.indptr)[order])
    return sparse.csr_array((np.concatenate(held), np.concatenate(words), offsets), table.shape)


def _sums(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of flags set before each place, and in all: shape (n + 1,)."""
    return offsets_of(flags.view(np.int8))


def _random_parts(
    offsets: NDArray[np.int64], wanted: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose the wanted number of entries of every row, each choice equally probable.

    They are those with the smallest of random keys. Rows of similar length are sorted together;
    there is a last key for the rows of which all is chosen.
    """
    chosen = np.zeros(offsets[-1], dtype=np.bool_)
    sizes = np.diff(offsets)
    _, widths = np.frexp(sizes)  # 2**(width - 1) <= size < 2**width
    for width in np.unique(widths[sizes > 0]).tolist():
        rows = np.flatnonzero(widths == width)
        real = np.arange(1 << width) < sizes[rows, None]
        parts = _smallest(real, wanted[rows, None], random)
        chosen[positions_of_rows(offsets, rows)[1]] = np.compress(real.ravel(), parts)
    return chosen


def _smallest(
    real: NDArray[np.bool_], wanted: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose from each row of a matrix, among the places that are real."""
    while True:
        keys = random.integers(2**32, size=real.shape, dtype=np.uint32)
        keys[~real] = 2**32 - 1
        parts = keys < np.take_along_axis(np.sort(keys, axis=1), wanted, axis=1)
        # equal keys at the bound, once in millions of rows: the choice falls short
        if np.array_equal(np.count_nonzero(parts, axis=1), wanted[:, 0]):
            return parts


def bags_of(documents: Documents) -> Bags:
    """Return documents as bags; a word of documents without frequencies is there once."""
    counts = documents.frequencies
    if counts is None:
        counts = np.ones_like(documents.items)
    return Bags(documents.offsets, documents.items, counts)


def decoy(documents: Documents, *, seed: int, number: int, piece: int) -> Documents:
    """Shuffle a piece of a collection, see :func:`shuffled`.

    Parameters
    ----------
    documents : Documents
    seed, number, piece : int
        Seed of the run, number of the decoy and of the piece, >= 0; the decoy depends on these
        and the documents in their order.

    Returns
    -------
    Documents
        The same keys; frequencies, where there are any, went with their words.
    """
    drawn = np.random.SeedSequence([seed, number, piece]).generate_state(1, np.uint64)
    mixed = shuffled(bags_of(documents), seed=int(drawn[0]))
    return Documents(
        documents.keys,
        mixed.offsets,
        mixed.items,
        None if documents.frequencies is None else mixed.counts,
    )
