"""A collection on this machine: pieces of a corpus file, mined on all cores."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from minia_spark.base.bags import Bags
from minia_spark.base.errors import InputError
from minia_spark.mining.background import Background, fit_background, in_sample
from minia_spark.mining.chance import Totals
from minia_spark.mining.excess import Parts, numbers_of, sum_part
from minia_spark.mining.miner import Counter, Look, LookAt, Progress, Sketch, Trials
from minia_spark.mining.shuffle import decoy
from minia_spark.smh.arrays import Documents, SetList
from minia_spark.smh.engine import Engine
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = ["LocalCollection", "numbered_documents"]

_U32_MAX = 2**32 - 1
_KEPT_ENTRIES = 1 << 26
"""Entries of documents and decoys that are kept in memory (8 bytes each), instead of being read
and shuffled again."""

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


def numbered_documents(pieces: Iterable[Bags]) -> Iterator[Documents]:
    """Turn the bags of a corpus file into documents whose keys are their numbers, from 0.

    Parameters
    ----------
    pieces : iterable of Bags
        The file, piece by piece.

    Yields
    ------
    Documents
        One batch a piece.

    Raises
    ------
    InputError
        When there are more documents than 2**32.
    """
    first = 0
    for bags in pieces:
        end = first + len(bags)
        if end - 1 > _U32_MAX:
            raise InputError(f"a corpus holds at most {_U32_MAX + 1} documents")
        keys = np.arange(first, end, dtype=np.int64).astype(np.uint32)
        yield Documents(keys, bags.offsets, bags.items, bags.counts)
        first = end


class LocalCollection:
    """Documents that are read piece by piece; see :class:`minia_spark.mining.miner.Collection`.

    Parameters
    ----------
    source : callable
        Gives the pieces of the collection from the first to the last, whenever it is called. They
        are shuffled one by one, so a piece should be a random part of the collection, and at least
        some hundred documents. Those of a small collection are kept, so that it is called once.
    engine : callable
        Gives an engine with so many threads.
    seed : int
        Of the decoys.
    cores : int
        Threads that work at the same time.
    progress : callable, optional
        See :data:`minia_spark.mining.miner.Progress`; called from all threads.
    """

    def __init__(
        self,
        source: Callable[[], Iterable[Documents]],
        engine: Callable[[int], Engine],
        *,
        seed: int = DEFAULT_SEED,
        cores: int = 1,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._engine = engine
        self.engine = self.own_engine = functools.partial(engine, 1)  # of each of `cores` threads
        self._seed = seed
        self.parallelism = cores
        self.progress: Progress = progress or (lambda _what, _done, _all: None)
        self._kept: dict[int | None, list[Documents]] = {}
        self._room = _KEPT_ENTRIES
        self._fitted: dict[Background, list[NDArray[np.int32]]] = {}
        self._lock = threading.Lock()

    def totals(self) -> Totals:
        """Count in how many documents every word is, and how many words the documents have."""
        self.progress("documents counted", 0, 0)
        return Totals.sum(map(Totals.of, self.pieces(None)))

    def background(self, images: int, max_rank: int) -> Background:
        """Fit a background to a sample of the documents."""
        words = self.totals().words
        held = [
            piece.take(in_sample(piece.keys, images, len(words))) for piece in self.pieces(None)
        ]
        none = np.zeros(0, dtype=np.uint32)
        sample = Documents.concatenate([Documents(none, np.zeros(1, np.int64), none, none), *held])
        with _products_alone():
            return fit_background(
                sample,
                words,
                max_rank=max_rank,
                threads=self.parallelism,
                progress=self.progress,
            )

    def excess(self, background: Background, parts: Parts) -> Callable[[int], NDArray[np.int64]]:
        """Sum the parts, all at once."""

        def summed(part: int) -> NDArray[np.int64]:
            words = len(background.words)
            total = np.zeros(words * (words - 1) // 2, dtype=np.int64)
            for piece, numbers in zip(self.pieces(None), self._numbers(background), strict=True):
                total += sum_part(piece, numbers, background, part, parts)
            return total

        sums = self.each("pairs of words, collections counted", summed, range(len(parts)), 0)
        return sums.__getitem__

    def _numbers(self, background: Background) -> Iterator[NDArray[np.int32]]:
        """Yield the numbers of each piece, fitted once."""
        with self._lock:
            if background not in self._fitted:
                self._fitted[background] = [
                    numbers_of(piece, background) for piece in self.pieces(None)
                ]
        yield from self._fitted[background]

    def looks(self, look_at: LookAt, sketch: Sketch, trials: Trials) -> list[Look]:
        """Look at all trials at once: the cores share each step."""
        del sketch
        return look_at(self, trials)

    def sets(self, sketch: Sketch, trials: Trials) -> list[SetList]:
        """Mine the documents for each seed, then each decoy."""
        work: list[tuple[int | None, int]] = [(None, seed) for seed in trials.seeds_of_images()]
        work += [(number, trials.seed) for number in range(trials.decoys)]
        threads = -(-self.parallelism // len(work))

        def mined(trial: tuple[int | None, int]) -> SetList:
            number, seed = trial
            return self._engine(threads).find(
                self.pieces(number),
                tuple_size=sketch.tuple_size,
                tables=sketch.tables,
                seed=seed,
                expand=sketch.expand,
                min_set_size=sketch.min_set_size,
            )

        return self.each("collections mined", mined, work, 0)

    def tallies(
        self, what: str, counters: Sequence[Counter | None]
    ) -> list[NDArray[np.int64] | None]:
        """Count over the documents and over decoys."""
        work = [(n, counter) for n, counter in enumerate(counters) if counter is not None]
        parts = -(-self.parallelism // max(1, len(work)))

        def tally(item: tuple[int, Counter]) -> NDArray[np.int64]:
            number, counter = item
            none = np.zeros(0, dtype=np.uint32)
            total = counter(Documents(none, np.zeros(1, np.int64), none, none))
            with ThreadPoolExecutor(parts) as pool:
                for piece in self.pieces(number - 1 if number else None):
                    total = sum(pool.map(counter, _parts(piece, parts)), start=total)
            return total

        results: list[NDArray[np.int64] | None] = [None] * len(counters)
        found = self.each(f"collections counted: {what}", tally, work, 0)
        for (number, _), total in zip(work, found, strict=True):
            results[number] = total
        return results

    def each(
        self, what: str, kernel: Callable[[_Work], _Result], work: Sequence[_Work], size: int
    ) -> list[_Result]:
        """Call a kernel for each piece of work."""
        del size  # this process is where everything is done
        done = itertools.count(1)
        self.progress(what, 0, len(work))

        def told(item: _Work) -> _Result:
            result = kernel(item)
            self.progress(what, next(done), len(work))
            return result

        with _products_alone(), ThreadPoolExecutor(self.parallelism) as pool:
            return list(pool.map(told, work))

    def pieces(self, number: int | None) -> Iterator[Documents]:
        """Yield the documents, or a decoy's: the same ones every time."""
        kept = self._kept.get(number)
        if kept is not None:
            yield from kept
            return
        held: list[Documents] | None = []
        drawn = self._source() if number is None else self._shuffled(number)
        for piece in drawn:
            yield piece
            if held is not None:
                held.append(piece)
                self._room -= len(piece.items)
                if self._room < 0:
                    self._room += sum(len(one.items) for one in held)
                    held = None
        if held is not None:
            self._kept[number] = held

    def _shuffled(self, number: int) -> Iterator[Documents]:
        for piece, documents in enumerate(self.pieces(None)):
            yield decoy(documents, seed=self._seed, number=number, piece=piece)


def _products_alone() -> AbstractContextManager[object]:
    """Leave each product of matrices to the thread that asks for it.

    Threads of several products at once wait for each other in loops, which costs several times
    what the products do.
    """
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


def _parts(documents: Documents, count: int) -> Iterator[Documents]:
    """Cut a piece into parts of about as many documents."""
    bounds = np.linspace(0, len(documents), count + 1).astype(int).tolist()
    for start, stop in itertools.pairwise(bounds):
        offsets = documents.offsets[start : stop + 1]
        part = slice(offsets[0], offsets[-1])
        counts = documents.frequencies
        yield Documents(
            documents.keys[start:stop],
            offsets - offsets[0],
            documents.items[part],
            None if counts is None else counts[part],
        )
