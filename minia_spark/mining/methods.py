"""Settings as the objects that the miner takes."""

from __future__ import annotations

from minia_spark.mining.consensus import Consensus
from minia_spark.mining.miner import Sketch, Trials
from minia_spark.mining.model import SingleLink
from minia_spark.mining.settings import MiningSettings

__all__ = ["consensus_of", "link_of", "partners_by_chance", "sketch_of", "trials_of"]

_PARTNERS, _PARTNERS_BEYOND = 0.1, 1.0
"""Hash tables propose pairs, so that few of those that are tested are there by chance."""
_DENSITY, _DENSITY_BEYOND = 0.5, 0.7
"""Hash tables miss links. Against a background all are seen: a looser group would be several."""


def sketch_of(settings: MiningSettings, tuple_size: int, tables: int) -> Sketch:
    """Return how sets are mined, with these tables, which may have been chosen."""
    return Sketch(tuple_size, tables, settings.min_set_size, settings.expand)


def link_of(settings: MiningSettings) -> Consensus | SingleLink:
    """Return how sets become structures."""
    if settings.link == "consensus":
        return consensus_of(settings, beyond=False)
    return SingleLink(
        settings.cluster_tuple_size,
        settings.cluster_tables,
        settings.overlap,
        settings.min_cluster_size,
    )


def consensus_of(settings: MiningSettings, *, beyond: bool) -> Consensus:
    """Return how words become structures, with hash tables or against a background."""
    return Consensus(
        partners_by_chance(settings, beyond=beyond),
        settings.pairs_by_chance,
        settings.min_lift,
        _either(settings.density, _DENSITY_BEYOND if beyond else _DENSITY),
    )


def partners_by_chance(settings: MiningSettings, *, beyond: bool) -> float:
    """Return the setting, or what it is by default."""
    return _either(settings.partners_by_chance, _PARTNERS_BEYOND if beyond else _PARTNERS)


def _either(chosen: float | None, default: float) -> float:
    return default if chosen is None else chosen


def trials_of(settings: MiningSettings) -> Trials:
    """Return what is mined beside the collection, and how that is judged."""
    return Trials(
        settings.seed, settings.seeds, settings.decoys, settings.max_q, settings.min_stability
    )
