"""The commands ``minia map refit``, ``minia map sweep`` and ``minia map quality``."""
# ruff: noqa: PLC0415 - Arrow and openTSNE where they are needed

from __future__ import annotations

import argparse
import json
import math
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.engine.commands import (
    add_run_settings,
    add_settings,
    add_warehouse,
    carry_out,
    positive,
    settings_of_warehouse,
)
from minia_spark.layout.settings import LayoutSettings

if TYPE_CHECKING:
    from minia_spark.layout.sweep import Trial

__all__ = ["quality", "quality_arguments", "refit", "refit_arguments", "sweep", "sweep_arguments"]


def refit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia map refit``."""
    add_warehouse(parser)
    add_run_settings(parser)


def refit(options: argparse.Namespace) -> int:
    """Fit embeddings and map anew, from all batches, and lay the new map onto the old one."""
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    state = warehouse.require()
    if not state.of_table("layouts"):
        raise InputError(
            f"there is no map in {warehouse.storage} yet: 'minia run --lines discovery,map' makes "
            "one"
        )
    settings = settings_of_warehouse(options, warehouse, state)
    house = options.house
    stages = tuple(
        name
        for name in house.stages_of((*settings.run.lines, "map"))
        if house.by_name[name].line == "map" or not house.by_name[name].frozen
    )
    request = Request("minia map refit", stages, refit=True, replace=True)
    return carry_out(options, request, settings, warehouse)


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia map sweep``."""
    add_warehouse(parser)
    parser.add_argument("--variant", metavar="NAME", help="method of the embedding")
    parser.add_argument(
        "--perplexities",
        type=_perplexities,
        default=(5.0, 10.0, 20.0, 50.0),
        metavar="P,...",
        help="to try (5,10,20,50)",
    )
    parser.add_argument(
        "--seeds", type=_seeds, default=(8, 9), metavar="N,...", help="to try with each (8,9)"
    )
    parser.add_argument(
        "--sample",
        type=positive,
        default=1000,
        metavar="N",
        help="images that are looked at, chosen by hash (1000)",
    )
    add_settings(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def _perplexities(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if not all(1 <= value <= 1000 for value in values):
        raise argparse.ArgumentTypeError("must be numbers of 1 to 1000")
    return values


def _seeds(text: str) -> tuple[int, ...]:
    values = tuple(int(part) for part in text.split(","))
    if not all(0 <= value < 2**31 for value in values):
        raise argparse.ArgumentTypeError("must be whole numbers from 0 to 2,147,483,647")
    return values


def sweep(options: argparse.Namespace) -> int:
    """Print maps of several perplexities and seeds beside each other, and which to take."""
    from minia_spark.frames.collection import Collection
    from minia_spark.layout import tsne
    from minia_spark.layout.sweep import recommended
    from minia_spark.layout.sweep import sweep as trials_of
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse, warehouse.require()).of(LayoutSettings)
    collection = Collection(options.warehouse)
    variant = options.variant or _only_variant(collection)
    vectors, labels = _sampled(collection, variant, options.sample)
    if len(vectors) < tsne.FEWEST:
        raise InputError(
            f"{len(vectors)} images have an embedding by {variant}, and t-SNE needs {tsne.FEWEST}"
        )
    fit = partial(
        tsne.fit,
        dimensions=settings.dimensions,
        iterations=settings.iterations,
        exaggerated_iterations=settings.exaggerated_iterations,
        exaggeration=settings.exaggeration,
    )
    most = (len(vectors) - 1) / 3
    if min(options.perplexities) > most:
        raise SettingsError(
            f"--perplexities: {len(vectors)} images allow {most:.3g} at most; give smaller ones, "
            "or a larger --sample"
        )
    found = []
    if not options.json:
        print(f"{len(vectors):,} images by {variant}, {settings.iterations:,} iterations\n")
        print("perplexity   seed  trustworthiness           recall        agreement  divergence")
    for trial in trials_of(
        vectors,
        labels,
        options.perplexities,
        options.seeds,
        compared=settings.compared,
        distance=settings.distance,
        fit=fit,
    ):
        found.append(trial)
        if not options.json:
            print(_line(trial), flush=True)
    best, why = recommended(found, settings.perplexity)
    if options.json:
        rows = [_facts(trial) for trial in found]
        chosen = {"perplexity": best.perplexity, "seed": best.seed, "why": why}
        print(json.dumps({"images": len(vectors), "trials": rows, "recommended": chosen}, indent=1))
        return 0
    print(
        f"\nrecommended: perplexity {best.perplexity:g}, seed {best.seed}: {why}\n"
        f"  --set layout.perplexity={best.perplexity:g} --set layout.seed={best.seed}"
    )
    if len(found) < len(options.perplexities) * len(options.seeds):
        print(f"left out: perplexities above {most:.3g}, a third of the images", file=sys.stderr)
    return 0


def _only_variant(collection: Any) -> str:
    there: list[str] = collection.variants("embeddings")
    if len(there) > 1:
        raise SettingsError(
            f"there are embeddings by {', '.join(there)}: choose one with --variant"
        )
    if not there:
        raise InputError(f"there are no embeddings in {collection!r}: 'minia embed' makes them")
    return there[0]


def _sampled(collection: Any, variant: str, most: int) -> tuple[Any, Any]:
    """Return embeddings and labels (-1: none) of some images, in the order of their names."""
    import numpy as np
    import pyarrow.dataset as ds

    from minia_spark.layout.sampling import chosen, hashes

    rows = collection.frame(
        "embeddings",
        variant=variant,
        columns=["batch", "image_id", "vector"],
        where=ds.field("reason").is_null(),
    ).sort_values(["batch", "image_id"], ignore_index=True)
    rows = rows[chosen(hashes(rows["batch"], rows["image_id"]), most)]
    known = collection.frame("images", columns=["batch", "image_id", "label"])
    labels = rows.merge(known, on=["batch", "image_id"], how="left")["label"]
    numbers = labels.where(labels != "").astype("category").cat.codes
    vectors = np.stack(rows["vector"].to_list()) if len(rows) else np.zeros((0, 1))
    return vectors.astype(np.float32), numbers.to_numpy(np.int64)


def _line(trial: Trial) -> str:
    return (
        f"{trial.perplexity:>10g} {trial.seed:>6} {_shown(trial.trustworthiness):>16} "
        f"{_shown(trial.recall):>16} {_shown(trial.agreement):>16} {trial.kl_divergence:>11.4f}"
    )


def _shown(measured: Any) -> str:
    if not math.isfinite(measured.value):
        return "-"
    return f"{measured.value:.3f} +- {measured.error:.3f}"


def _facts(trial: Trial) -> dict[str, Any]:
    facts: dict[str, Any] = {"perplexity": trial.perplexity, "seed": trial.seed}
    facts["kl_divergence"] = trial.kl_divergence
    for name in ("trustworthiness", "recall", "agreement"):
        measured = getattr(trial, name)
        there = math.isfinite(measured.value)
        facts[name] = measured.value if there else None
        facts[f"{name}_error"] = measured.error if there else None
    return facts


def quality_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia map quality``."""
    add_warehouse(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def quality(options: argparse.Namespace) -> int:
    """Print how good the maps are, of every batch."""
    from minia_spark.frames.collection import Collection

    rows = Collection(options.warehouse).arrow("map_quality").to_pylist()
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print("method     batch               images   placed  trustworthiness   recall  agreement")
    for row in rows:
        numbers = (_number(row[name]) for name in ("trustworthiness", "recall", "agreement"))
        trust, recall, agreement = numbers
        print(
            f"{row['variant']:<10} {row['batch'] or 'all':<16} {row['images']:>9,} "
            f"{row['placed']:>8,} {trust:>16} {recall:>8} {agreement:>10}"
        )
    for row in rows:
        if row["advice"] is not None:
            print(f"{row['variant']}: {row['advice']}")
    return 0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
