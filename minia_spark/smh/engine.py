"""The choice of an engine: the native binary or its NumPy twin over datasketch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from minia_spark.base.errors import SettingsError
from minia_spark.smh.interface import Engine
from minia_spark.smh.native import BUILD_HINT, NativeEngine, find_binary

__all__ = ["Engine", "get_engine"]

_LOG = logging.getLogger(__name__)


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
