"""Client of the native ``smh`` binary: the fast engine.

What the binary computes is defined by its NumPy twin, :mod:`minia_spark.smh.twin`; the methods
take and return the same, bit for bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError
from minia_spark.smh.arrays import Documents, Links, SetList, Signatures, WordLinks
from minia_spark.smh.hashing import DEFAULT_SEED
from minia_spark.smh.interface import Engine
from minia_spark.smh.process import stream_through
from minia_spark.smh.sets import check_table_range
from minia_spark.smh.wire import (
    read_groups,
    read_links,
    read_sets,
    read_signatures,
    write_documents,
    write_sets,
    write_signatures,
    write_word_links,
)

__all__ = ["BUILD_HINT", "NativeEngine", "find_binary"]

BUILD_HINT = "./build.sh native builds it as native/build/smh"
"""What to tell someone without the binary."""


def find_binary(path: str | Path | None = None) -> Path | None:
    """Find the ``smh`` binary.

    Parameters
    ----------
    path : str or Path, optional
        Where it must be. Without it: beside this module, where the platform wheel has it, then
        ``native/build/smh`` of the source tree that the package lies in, then ``smh`` on the PATH.

    Returns
    -------
    Path or None
        None when no path was given and none of the places has it.

    Raises
    ------
    SettingsError
        When a path was given and there is no executable file.
    """
    if path is not None:
        if not _is_program(Path(path)):
            raise SettingsError(f"the smh binary {path} is not an executable file; {BUILD_HINT}")
        return Path(path)
    places = [
        Path(__file__).with_name("smh"),
        Path(__file__).resolve().parents[2] / "native" / "build" / "smh",
    ]
    on_path = shutil.which("smh")
    if on_path:
        places.append(Path(on_path))
    return next((place for place in places if _is_program(place)), None)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class NativeEngine(Engine):
    """The engine of the native binary; see :class:`minia_spark.smh.interface.Engine`.

    Parameters
    ----------
    binary : Path
        The program, as :func:`find_binary` returns it.
    threads : int
        Threads of one process; results do not depend on it.
    """

    name = "native"

    def __init__(self, binary: Path, *, threads: int = 1) -> None:
        self._binary = str(binary)
        self._threads = threads

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
        """Yield the signatures of documents in blocks of ascending items; at least one block.

        Neither the documents nor the signatures are held here, only one batch and one block.
        """
        options = {"tuple-size": tuple_size, "tables": tables, "seed": seed}
        if table_range is not None:
            begin, end = check_table_range(table_range, tables, may_be_empty=False)
            options |= {"table-begin": begin, "table-end": end}
        feed = (write_documents(batch, expand=expand) for batch in batches)
        command = self._command("sketch", threads=self._threads, **options)
        command += ["--expand"] if expand else []
        with closing(stream_through(command, feed)) as chunks:
            yield from read_signatures(chunks)

    def mine(
        self,
        signatures: Signatures,
        *,
        min_set_size: int = 3,
        table_range: tuple[int, int] | None = None,
    ) -> SetList:
        """Return the co-occurring sets of a range of tables."""
        begin, end = check_table_range(table_range, signatures.tables)
        options = {"min-set-size": min_set_size, "table-begin": begin, "table-end": end}
        with closing(
            stream_through(
                self._command("mine", threads=self._threads, **options),
                write_signatures(signatures),
            )
        ) as chunks:
            return read_sets(chunks)

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
        """Return the co-occurring sets of documents; their signatures stay in the program."""
        command = self._command(
            "find",
            threads=self._threads,
            **{
                "tuple-size": tuple_size,
                "tables": tables,
                "seed": seed,
                "min-set-size": min_set_size,
            },
        )
        command += ["--expand"] if expand else []
        feed = (write_documents(batch, expand=expand) for batch in batches)
        with closing(stream_through(command, feed)) as chunks:
            return read_sets(chunks)

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
        """Return the links of a range of cluster tables."""
        begin, end = check_table_range(table_range, tables)
        command = self._command(
            "cluster",
            threads=self._threads,
            **{
                "tuple-size": tuple_size,
                "tables": tables,
                "overlap": overlap,
                "seed": seed,
                "table-begin": begin,
                "table-end": end,
            },
        )
        with closing(stream_through(command, [write_sets(sets)])) as chunks:
            return read_links(chunks)

    def grow(
        self,
        links: WordLinks,
        *,
        density: float = 0.5,
        min_size: int = 3,
        max_similarity: float = 0.5,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[NDArray[np.uint32]]:
        """Return groups of words; progress is told about once a second."""
        options = {"density": density, "min-size": min_size, "max-similarity": max_similarity}
        command = self._command("grow", threads=self._threads, **options)
        command += ["--progress"] if progress else []
        feed = [write_word_links(links)]
        with closing(stream_through(command, feed, progress=progress)) as chunks:
            return read_groups(chunks)

    def _command(self, subcommand: str, **options: float) -> list[str]:
        """Return the command; repr() of a float is the shortest text that reads back as it."""
        pairs = [(f"--{name}", repr(value)) for name, value in options.items()]
        return [self._binary, subcommand, *(word for pair in pairs for word in pair)]
