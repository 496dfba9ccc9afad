"""The drift of a state's batches, for people and programs; without Spark."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from minia_spark.drift.measure import Drift, beyond
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["drift_facts"]


def drift_facts(warehouse: Warehouse, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return a row a batch and variant; the limits are those that the warehouse remembers."""
    limits = catalogue.settings.get("drift", {})
    facts = []
    for row in warehouse.rows_of(catalogue.of_table("drift")).to_pylist():
        drift = Drift(**{field.name: row[field.name] for field in fields(Drift)})
        judged = bool(limits) and not row["in_training"]
        facts.append(
            {
                "batch": row["batch"],
                "variant": row["variant"],
                "codebook": row["codebook"],
                "trained_on": row["in_training"],
                "error": drift.error,
                "expected_error": drift.expected_error,
                "error_ratio": drift.error_ratio,
                "divergence": drift.divergence,
                "expected_divergence": drift.expected_divergence,
                "dead_words": len(drift.dead_words),
                "overfull_words": len(drift.overfull_words),
                "beyond": beyond(drift, **limits) if judged else [],
            }
        )
    return facts
