"""Rows of table ``structures`` as structures, and how people write the number and kind of one."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError
from minia_spark.mining.model import Structures

__all__ = ["find_structure", "load_structures", "of_kinds"]

_NONE = np.zeros(0, dtype=np.uint32)
_NO_STRUCTURES = Structures(np.zeros(1, dtype=np.int64), _NONE, _NONE, _NONE.astype(np.int64))


def load_structures(table: pa.Table) -> Structures:
    """Return the structures that table ``structures`` holds, in their order."""
    batches = table.sort_by("structure_id").combine_chunks().to_batches()
    if not batches:
        return _NO_STRUCTURES
    words, offsets = to_lists(batches[0]["words"])
    frequencies, _ = to_lists(batches[0]["frequencies"])
    return Structures(
        offsets,
        words.astype(np.uint32),
        frequencies.astype(np.uint32),
        batches[0]["sets"].to_numpy().astype(np.int64),
    )


def find_structure(wanted: str, lineage: pa.Table) -> tuple[int, str]:
    """Return the structure that is meant: its number in this state, and its lineage.

    Parameters
    ----------
    wanted : str
        Its number (``12`` or ``s0012``), or its lineage (``3.7``), which stays with it.
    lineage : pyarrow.Table
        Columns lineage_id and structure_id (null: it ended), of one variant.

    Raises
    ------
    InputError
        There is none, or it ended.
    """
    rows = list(
        zip(lineage["lineage_id"].to_pylist(), lineage["structure_id"].to_pylist(), strict=True)
    )
    there = {number: name for name, number in rows if number is not None}
    text = wanted.strip()
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text):
        number = next((n for name, n in rows if name == text and n is not None), None)
        if number is not None:
            return number, text
        if any(name == text for name, _ in rows):
            raise InputError(f"structure {text} ended: 'minia structures diff' tells in which")
    elif re.fullmatch(r"[sS]?[0-9]{1,9}", text):
        number = int(text.lstrip("sS"))
        if number in there:
            return number, there[number]
    told = f"numbers 0 to {max(there)} (or s0000, ...), and lineages" if there else "none"
    raise InputError(f"there is no structure {wanted!r}; there are: {told}")


def of_kinds(kind: str | None, kinds: Iterable[str]) -> bool:
    """Tell whether a kind is one of these; capitals do not matter."""
    return kind is not None and kind.casefold() in {one.casefold() for one in kinds}
