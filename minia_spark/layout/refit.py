"""Whether fitting a map anew would give another one; plans ask, so without Spark."""

from __future__ import annotations

from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import fingerprint
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["fitted_to", "wants_anew"]


def fitted_to(view: Catalogue, variant: str | None) -> str:
    """Return a hash of the embeddings of all batches."""
    entries = view.of_table("embeddings", None, variant)
    return fingerprint("map", [(e.batch, e.digest) for e in entries])


def wants_anew(
    settings: Settings, warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether the map was fitted to other embeddings than those that are there."""
    there = view.of_table("layouts", None, variant)
    return not any(e.digest.endswith(fitted_to(view, variant)) for e in there)
