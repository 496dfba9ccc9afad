"""Which images hold a structure, and how much of it.

As in minIA: images holding more than half of a structure's words are its *support*; they are
ranked by the overlap of structure and image as multisets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import positions_of_rows, row_numbers
from minia_spark.mining.model import Structures, incidence

__all__ = ["Matches", "StructureIndex"]

_CELLS = 1 << 22
"""Cells of the image x structure product, or structure words, looked at once."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Images of structures, by ascending image and then structure.

    Parameters
    ----------
    images, structures : int64 arrays, shape (k,)
        Position in the batch of images, position in the list of structures.
    overlaps : float64 array, shape (k,)
        Overlap as multisets, above 0 and at most 1.
    held : int64 array, shape (k,)
        How many different words of the structure the image holds, more than half of them.
    support : int64 array, shape (number of structures,)
        Number of images of the batch that hold more than half of the structure's words, whatever
        the overlap; supports of batches add up.
    """

    images: NDArray[np.int64]
    structures: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    held: NDArray[np.int64]
    support: NDArray[np.int64]

    def without(self, unwanted: Sequence[int]) -> Matches:
        """Return the matches of all but some structures."""
        if not len(unwanted):
            return self
        kept = ~np.isin(self.structures, np.asarray(unwanted))
        return Matches(
            self.images[kept],
            self.structures[kept],
            self.overlaps[kept],
            self.held[kept],
            self.support,
        )


class StructureIndex:
    """Structures prepared for looking up batch after batch of images.

    Parameters
    ----------
    structures : Structures
    structure_counts : {"model", "ones"}
        How often a structure holds each of its words. ``model``: its frequency, the number of sets
        that hold it, as the formula of minIA has it. These run to hundreds where an image holds a
        word once or twice, so ``min(|S|, |I|)`` is nearly always ``|I|`` and the overlap is in
        effect the share of the *image* that lies in the structure: large for images that show
        little else. ``ones``: every word once; the overlap is then nearly always the share of the
        *structure* that lies in the image.

    Raises
    ------
    SettingsError
        When `structure_counts` is neither.

    Notes
    -----
    "More than half of its words" counts *different* words, because with frequencies of hundreds no
    image would ever hold half of a multiset.
    """

    def __init__(
        self, structures: Structures, *, structure_counts: Literal["model", "ones"] = "model"
    ) -> None:
        if structure_counts not in ("model", "ones"):
            raise SettingsError(f"structure_counts {structure_counts!r} is not one of model, ones")
        counts = structures.frequencies.astype(np.int64)
        if structure_counts == "ones":
            counts = np.ones_like(counts)
        self._counts = counts
        self._sizes = structures.sizes
        self._offsets = structures.offsets
        self._totals = _row_sums(structures.offsets, counts)
        self._items = structures.items
        self._codebook = np.unique(structures.items)
        self._by_word = incidence(structures, self._codebook).T.tocsr()

    def search(self, images: Bags, *, min_overlap: float = 0.0) -> Matches:
        """Find the structures of a batch of images.

        Parameters
        ----------
        images : Bags
            Words and counts of n images; words distinct within an image.
        min_overlap : float
            Least overlap, ``sum over words of min(count_S, count_I) / min(|S|, |I|)`` with multiset
            sizes ``|.|``, for an image to be returned; 0 to 1.

        Returns
        -------
        Matches
            Only images that hold more than half of the structure's different words.

        Raises
        ------
        SettingsError
            When `min_overlap` is not within 0..1.
        """
        if not 0.0 <= min_overlap <= 1.0:
            raise SettingsError(f"min_overlap must be within 0..1, got {min_overlap}")
        owners, columns, held = self._candidates(images)
        support = np.bincount(columns, minlength=len(self._sizes)).astype(np.int64)
        overlaps = self._overlaps(images, owners, columns)
        kept = overlaps >= min_overlap
        return Matches(owners[kept], columns[kept], overlaps[kept], held[kept], support)

    def _candidates(
        self, images: Bags
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (image, structure, different words held) where these are more than half."""
        member = incidence(images, self._codebook)
        step = max(1, _CELLS // max(1, len(self._sizes)))
        parts = [np.zeros((3, 0), dtype=np.int64)]
        for start in range(0, len(images), step):
            shared = (member[start : start + step] @ self._by_word).tocsr()
            shared.sort_indices()
            owners = row_numbers(shared.indptr.astype(np.int64)) + start
            found = np.stack([owners, shared.indices.astype(np.int64), shared.data])
            parts.append(found[:, 2 * shared.data > self._sizes[shared.indices]])
        owners, columns, held = np.concatenate(parts, axis=1)
        return owners, columns, held

    def _overlaps(
        self, images: Bags, owners: NDArray[np.int64], structures: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Multiset overlap of pairs of image and structure."""
        codes = _codes(row_numbers(images.offsets), images.items)
        order = np.argsort(codes)
        codes, counts = codes[order], images.counts[order].astype(np.int64)
        common = np.zeros(len(owners), dtype=np.int64)
        ends = np.cumsum(self._sizes[structures])
        start = 0
        while start < len(owners):
            before = ends[start] - self._sizes[structures[start]]
            stop = max(start + 1, int(np.searchsorted(ends, before + _CELLS)))
            offsets, places = positions_of_rows(self._offsets, structures[start:stop])
            asked = np.repeat(owners[start:stop], np.diff(offsets))
            wanted = _codes(asked, self._items[places])
            at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
            both = np.where(codes[at] == wanted, np.minimum(counts[at], self._counts[places]), 0)
            common[start:stop] = np.add.reduceat(both, offsets[:-1])
            start = stop
        totals = _row_sums(images.offsets, images.counts.astype(np.int64))
        shares: NDArray[np.float64] = common / np.minimum(totals[owners], self._totals[structures])
        return shares


def _codes(rows: NDArray[np.int64], items: NDArray[np.uint32]) -> NDArray[np.uint64]:
    return (rows.astype(np.uint64) << np.uint64(32)) | items


def _row_sums(offsets: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.concatenate([[0], np.cumsum(values)])
    result: NDArray[np.int64] = sums[offsets[1:]] - sums[offsets[:-1]]
    return result
