"""What every engine does: the steps of Sampled Min-Hashing, and groups of words from links."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from minia_spark.smh.arrays import Documents, Links, SetList, Signatures, WordLinks
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = ["Engine"]


class Engine(ABC):
    """The steps of Sampled Min-Hashing up to the links between sets, and groups of words.

    All engines give the same result for the same arguments, bit for bit (links: the same
    components), whatever the order and partitioning of documents and tables. The exact definition
    of each step is in :mod:`minia_spark.smh.twin`, in the function that is named.
    """

    name: str
    """The name in settings: ``native`` or ``datasketch``."""

    def sketch(
        self,
        batches: Iterable[Documents],
        *,
        tuple_size: int,
        tables: int,
        seed: int = DEFAULT_SEED,
        expand: bool = False,
        table_range: tuple[int, int] | None = None,
    ) -> Signatures:
        """Return the signatures of documents: :func:`~minia_spark.smh.twin.sketch_batch`."""
        blocks = self.sketch_blocks(
            batches,
            tuple_size=tuple_size,
            tables=tables,
            seed=seed,
            expand=expand,
            table_range=table_range,
        )
        return Signatures.concatenate(list(blocks))

    @abstractmethod
    def sketch_blocks(
        self,
        batches: Iterable[Documents],
        *,
        tuple_size: int,
        tables: int,
        seed: int = DEFAULT_SEED,
        expand: bool = False,
        table_range: tuple[int, int] | None = None,
    ) -> Iterator[Signatures]:
        """Yield the same in blocks of bounded size, items ascending; at least one block."""

    @abstractmethod
    def mine(
        self,
        signatures: Signatures,
        *,
        min_set_size: int = 3,
        table_range: tuple[int, int] | None = None,
    ) -> SetList:
        """Return co-occurring sets: :func:`~minia_spark.smh.twin.mine_sets`."""

    def find(
        self,
        batches: Iterable[Documents],
        *,
        tuple_size: int,
        tables: int,
        seed: int = DEFAULT_SEED,
        expand: bool = False,
        min_set_size: int = 3,
    ) -> SetList:
        """Return the co-occurring sets of documents: :meth:`sketch`, then :meth:`mine`."""
        signatures = self.sketch(
            batches, tuple_size=tuple_size, tables=tables, seed=seed, expand=expand
        )
        return self.mine(signatures, min_set_size=min_set_size)

    @abstractmethod
    def cluster(
        self,
        sets: SetList,
        *,
        tuple_size: int = 3,
        tables: int = 255,
        overlap: float = 0.7,
        seed: int = DEFAULT_SEED,
        table_range: tuple[int, int] | None = None,
    ) -> Links:
        """Return links between sets: :func:`~minia_spark.smh.twin.cluster_sets`."""

    @abstractmethod
    def grow(
        self,
        links: WordLinks,
        *,
        density: float = 0.5,
        min_size: int = 3,
        max_similarity: float = 0.5,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[NDArray[np.uint32]]:
        """Return groups of words: :func:`~minia_spark.smh.growth.grow_groups`."""
