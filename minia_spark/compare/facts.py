"""What the variants of a warehouse found, read without Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from minia_spark.base.arrow import to_lists
from minia_spark.compare.measure import (
    Measured,
    agreeing,
    best_overlaps,
    coverage,
    neighbour_agreement,
    pair_agreement,
)
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Found", "compared", "found_in", "overlaps"]


@dataclass(frozen=True)
class Found:
    """What one variant found in one warehouse.

    Attributes
    ----------
    warehouse, variant : str
    images : str array, shape (n,)
        Batch and name of all images, ascending.
    labels : str array, shape (n,)
        Empty where there is none.
    bags : sparse array, shape (n, K)
        How often each word is in each image.
    members : sparse bool array, shape (s, n)
        Which images are in which structure.
    significant, reproducible : bool arrays, shape (s,)
    stability, verified : float64 arrays, shape (s,)
        NaN where it was not measured.
    seconds : float or None
        Of the steps that are its own; None where the ledger does not have them any more.
    """

    warehouse: str
    variant: str
    images: NDArray[np.str_]
    labels: NDArray[np.str_]
    bags: sp.csr_array
    members: sp.csr_array
    significant: NDArray[np.bool_]
    reproducible: NDArray[np.bool_]
    stability: NDArray[np.float64]
    verified: NDArray[np.float64]
    seconds: float | None

    @property
    def established(self) -> sp.csr_array:
        """Images of the structures that are significant and reproducible."""
        return sp.csr_array(self.members[np.flatnonzero(self.significant & self.reproducible)])


def found_in(warehouse: Warehouse, catalogue: Catalogue, variant: str) -> Found:
    """Return what a variant found.

    Parameters
    ----------
    warehouse : Warehouse
    catalogue : Catalogue
        The state that is looked at; it has structures of the variant.
    variant : str
    """

    def read(table: str, columns: list[str], of: str | None) -> pa.Table:
        entries = [e for e in catalogue.of_table(table) if e.variant == of]
        return warehouse.rows_of(entries, columns)

    images = read("images", ["batch", "image_id", "label"], None)
    names = _names(images)
    order = np.argsort(names)
    labels = np.array([label or "" for label in images["label"].to_pylist()], dtype=np.str_)
    names = names[order]

    words = read("words", ["batch", "image_id", "words", "counts"], variant).combine_chunks()
    held, offsets = to_lists(_column(words, "words"))
    counts, _ = to_lists(_column(words, "counts"))
    at = np.searchsorted(names, _names(words))
    rows = np.repeat(at, np.diff(offsets))
    codebook = sum(e.rows or 0 for e in catalogue.of_table("codebooks") if e.variant == variant)
    shape = (len(names), max(codebook, int(held.max(initial=-1)) + 1))
    bags = sp.csr_array((counts.astype(np.float64), (rows, held)), shape=shape)

    judged = ["structure_id", "significant", "reproducible", "stability"]
    structures = read("structures", judged, variant).sort_by("structure_id")
    matches = read("structure_images", ["structure_id", "batch", "image_id"], variant)
    place = (matches["structure_id"].to_numpy(), np.searchsorted(names, _names(matches)))
    members = sp.csr_array(
        (np.ones(len(matches), dtype=np.bool_), place), shape=(len(structures), len(names))
    )
    stability = structures["stability"].to_numpy().astype(np.float64)
    verified = np.full(len(structures), np.nan)
    looked = read("verifications", ["structure_id", "verified"], variant)
    verified[looked["structure_id"].to_numpy()] = looked["verified"].to_numpy().astype(np.float64)
    return Found(
        warehouse=str(warehouse.storage),
        variant=variant,
        images=names,
        labels=labels[order],
        bags=bags,
        members=members,
        significant=np.array(structures["significant"].to_pylist(), dtype=np.bool_),
        reproducible=np.array(structures["reproducible"].to_pylist(), dtype=np.bool_),
        stability=stability,
        verified=verified,
        seconds=_seconds(warehouse, catalogue, variant),
    )


def compared(found: Found, seed: int) -> dict[str, Any]:
    """Return the numbers of a variant, by name; None where there is nothing to measure.

    Parameters
    ----------
    found : Found
    seed : int
        Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    _, numbers = np.unique(found.labels, return_inverse=True)
    # the empty string, which is first, is none
    shift = 1 if (found.labels == "").any() else 0
    labels = numbers.astype(np.int64) - shift
    established = found.established
    sizes = np.diff(sp.csr_array(found.bags > 0).indptr)
    with_words = sizes[sizes > 0]
    stable = found.stability[found.significant & np.isfinite(found.stability)]
    verified = found.verified[found.significant & np.isfinite(found.verified)]
    has_labels = bool((labels >= 0).any())
    return {
        "warehouse": found.warehouse,
        "variant": found.variant,
        "images": len(found.images),
        "words": float(np.median(with_words)) if len(with_words) else 0.0,
        "structures": found.members.shape[0],
        "significant": int(found.significant.sum()),
        "established": established.shape[0],
        "stability": float(np.median(stable)) if len(stable) else None,
        "verified": float(np.median(verified)) if len(verified) else None,
        "coverage": _told(coverage(established, rng)),
        "agreeing": int(agreeing(established, labels).sum()) if has_labels else None,
        "same_label": _told(pair_agreement(established, labels, rng)),
        "neighbours": _told(neighbour_agreement(found.bags, labels, rng)),
        "seconds": found.seconds,
    }


def overlaps(variants: list[Found]) -> list[list[float | None]]:
    """Return, for each pair, how much of what the first found the second found too.

    The mean of :func:`~.measure.best_overlaps` over the first's established structures, among the
    images that both have; None where the first has none, or they have no image in common.
    """
    rows: list[list[float | None]] = []
    for left in variants:
        row: list[float | None] = []
        for right in variants:
            common, in_left, in_right = np.intersect1d(
                left.images, right.images, return_indices=True
            )
            mine, theirs = left.established[:, in_left], right.established[:, in_right]
            if not len(common) or not mine.shape[0]:
                row.append(None)
            else:
                row.append(float(best_overlaps(mine, theirs).mean()))
        rows.append(row)
    return rows


def _told(measured: Measured) -> dict[str, float | None] | None:
    if not np.isfinite(measured.value):
        return None
    error = round(measured.error, 4) if np.isfinite(measured.error) else None
    return {"value": round(measured.value, 4), "error": error}


def _names(table: pa.Table) -> NDArray[np.str_]:
    batches, names = table["batch"].to_pylist(), table["image_id"].to_pylist()
    pairs = [f"{batch}/{name}" for batch, name in zip(batches, names, strict=True)]
    return np.array(pairs, dtype=np.str_)


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def _seconds(warehouse: Warehouse, catalogue: Catalogue, variant: str) -> float | None:
    own = {(e.run, e.stage, e.batch) for e in catalogue.entries if e.variant == variant}
    own = {step for step in own if step[1] != "features"}
    found: dict[tuple[str, str, str | None], float] = {}
    for record in warehouse.runs():
        for step in record.steps:
            key = (record.run, step.stage, step.batch)
            if step.variant == variant and step.action == "done" and key in own:
                found[key] = step.seconds
    return round(sum(found.values()), 1) if own and own == found.keys() else None
