"""Finds recurring visual patterns in large collections of astronomical images, without labels.

The three rings, from the inside: *kernels* (arrays in, arrays out), *stages* (``stage.py`` in
every folder: Spark glue) and *entries* (``cli.py`` and ``jobs/``). Imports point inward only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from minia_spark.frames.collection import Collection

__all__ = ["__version__", "open"]

__version__ = "0.1.0"


def open(warehouse: str | PathLike[str], state: int | None = None) -> Collection:
    """Return what a warehouse holds, to be read without Spark.

    Parameters
    ----------
    warehouse : str or path
        Local path or URI.
    state : int or None
        Number of a state that is kept; None: the newest. It is held: what is published later does
        not change what is read.

    Raises
    ------
    minia_spark.base.errors.InputError
        There is no warehouse, or no such state.
    """
    from minia_spark.frames.collection import Collection  # noqa: PLC0415 - Arrow takes its time

    return Collection(str(warehouse), state)
