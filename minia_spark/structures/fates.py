"""What became of every structure from one state to another, as a table for people."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import InputError
from minia_spark.structures.lineage import compose, maps_of, trace
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["print_fates"]


def print_fates(warehouse: Warehouse, older: str, newer: str, *, variant: str | None = None) -> int:
    """Print what became of every structure from one run, or state, to another.

    Parameters
    ----------
    warehouse : Warehouse
    older, newer : str
        Names of runs, or numbers of states.
    variant : str or None
        Extractor; None where there is only one.

    Raises
    ------
    InputError
        There is no warehouse, a run is unknown or published no structures, or the two have
        different codebooks and no word map leads from the older to the newer: then their words
        cannot be compared.
    """
    warehouse.require()
    states = [_state_of(warehouse, name) for name in (older, newer)]
    variant = variant or _only_variant(states[1])
    word_map = _map_between(warehouse, states[0], states[1], variant)
    before, after = (_structures_of(warehouse, state, variant) for state in states)
    fates = trace(before, after, word_map)
    if word_map is not None:
        print("the codebooks differ: words of the older run are those they went to")
    print("event      older   newer   words gained  lost")
    for fate in fates:
        old = "-" if fate.older is None else f"s{fate.older:04d}"
        new = "-" if fate.newer is None else f"s{fate.newer:04d}"
        print(f"{fate.event:<9}  {old:<6}  {new:<6}  {fate.gained:>12,}  {fate.lost:>4,}")
    counts = Counter(str(fate.event) for fate in fates)
    print(", ".join(f"{count:,} {event}" for event, count in counts.most_common()) or "nothing")
    return 0


def _map_between(
    warehouse: Warehouse, older: Catalogue, newer: Catalogue, variant: str
) -> NDArray[np.integer] | None:
    """Return where the words of the older state's codebook went; None: they are the same."""
    before, after = (
        next((e.digest for e in state.of_table("codebooks", None, variant)), "")
        for state in (older, newer)
    )
    if before == after:
        return None
    maps: dict[tuple[str, str], NDArray[np.integer]] = {}
    for entry in newer.of_table("word_map", None, variant):
        maps |= maps_of(warehouse.rows_of([entry]))
    found = compose(maps, before, after)
    if found is None:
        raise InputError(
            f"states {older.version} and {newer.version} have different codebooks, and no word "
            "map leads from the first to the second: a word of one means nothing in the other"
        )
    return found


def _only_variant(state: Catalogue) -> str:
    found = sorted({e.variant or "" for e in state.of_table("structures")})
    if len(found) > 1:
        raise InputError(f"there are structures of {', '.join(found)}: choose with --variant")
    return found[0] if found else ""


def _state_of(warehouse: Warehouse, name: str) -> Catalogue:
    states = list(warehouse.heads())[::-1]
    found = [state for state in states if name in (state.run, str(state.version))]
    if not found:
        known = ", ".join(f"{state.version} ({state.run})" for state in states[-5:])
        raise InputError(f"no state {name!r} in {warehouse.storage}; the last ones: {known}")
    return warehouse.catalogue(found[-1].version)


def _structures_of(warehouse: Warehouse, state: Catalogue, variant: str) -> Bags:
    entries = state.of_table("structures", None, variant)
    if not entries:
        raise InputError(f"state {state.version} (run {state.run}) has no structures")
    rows = warehouse.rows_of(entries).sort_by("structure_id")
    words = rows["words"].combine_chunks()
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    items = pc.list_flatten(words).to_numpy(zero_copy_only=False).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Bags(offsets, items, np.ones(len(items), dtype=np.uint32))
