"""One interface, two engines: the native binary and its NumPy twin over datasketch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from minia_spark.base.errors import SettingsError
from minia_spark.smh.arrays import Documents, Links, SetList, Signatures
from minia_spark.smh.hashing import DEFAULT_SEED
from minia_spark.smh.native import BUILD_HINT, NativeEngine, find_binary

__all__ = ["Engine", "get_engine"]

_LOG = logging.getLogger(__name__)


class Engine(Protocol):
    """The steps of Sampled Min-Hashing up to the links between sets.

    All engines give the same result for the same arguments, bit for bit (links: the same
    components), whatever the order and partitioning of documents and tables. The exact definition
    of each step is in :mod:`minia_spark.smh.twin`, in the function that is named.
    """

    @property
    def name(self) -> str:
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

    def mine(
        self,
        signatures: Signatures,
        *,
        min_set_size: int = 3,
        table_range: tuple[int, int] | None = None,
    ) -> SetList:
        """Return co-occurring sets: :func:`~minia_spark.smh.twin.mine_sets`."""

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


def get_engine(
    name: Literal["auto", "native", "datasketch"] = "auto",
    *,
    binary: str | Path | None = None,
    threads: int = 1,
) -> Engine:
    """Choose an engine.

    Parameters
    ----------
    name : {"auto", "native", "datasketch"}
        ``auto`` is native where its binary is found and otherwise datasketch, with a warning in
        the log that says how to build the binary.
    binary : str or Path, optional
        The binary; without it the usual places are searched, see
        :func:`minia_spark.smh.native.find_binary`.
    threads : int
        Threads of a native process; datasketch has one.

    Returns
    -------
    Engine

    Raises
    ------
    SettingsError
        When the name is unknown, when `binary` is no executable file, when there is no binary for
        ``native``, or when a binary is given for ``datasketch``, which has none.
    """
    if name not in ("auto", "native", "datasketch"):
        raise SettingsError(f"engine {name!r} is not one of auto, native, datasketch")
    if name == "datasketch":
        if binary is not None:
            raise SettingsError("the datasketch engine has no binary; leave out its path")
        return _datasketch()
    found = find_binary(binary)
    if found is not None:
        return NativeEngine(found, threads=threads)
    if name == "native":
        raise SettingsError(f"the smh binary is not found; {BUILD_HINT}")
    _LOG.warning("no smh binary found, mining with datasketch, which is slower; %s", BUILD_HINT)
    return _datasketch()


def _datasketch() -> Engine:
    from minia_spark.smh.twin import DatasketchEngine  # noqa: PLC0415 - slow to import

    return DatasketchEngine()
