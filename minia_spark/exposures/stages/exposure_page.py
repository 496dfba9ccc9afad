"""Builds the page of exposures, and its panel."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from markupsafe import Markup
from pyspark.sql import functions as F

from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Table
from minia_spark.exposures.cutouts import SIDE_PX
from minia_spark.exposures.drawing import map_svg
from minia_spark.exposures.drift import beyond
from minia_spark.exposures.labels import worth_labelling
from minia_spark.exposures.page import Cell, Member, Page, render
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.stages.networks import loaded
from minia_spark.exposures.stages.rows import FACTS
from minia_spark.exposures.stages.training import PROTOTYPES
from minia_spark.exposures.tables import (
    CELLS,
    CUTOUT_MAP,
    CUTOUT_TRAINING,
    CUTOUTS,
    EXPOSURE_DRIFT,
    EXPOSURE_MAP,
    EXPOSURE_PAGE,
    EXPOSURE_TRAINING,
    EXPOSURES,
    FLAGS,
    PLACES,
)

if TYPE_CHECKING:
    pass

__all__ = ["exposure_page", "panel"]

_MEMBERS_SHOWN, _WHOLE_SHOWN = 9, 3


_CUTOUTS_SHOWN = 16
_DRIFT = [column.name for column in EXPOSURE_DRIFT.columns]
_Key = tuple[str, str]


def _whole(context: Context, table: Table, columns: list[str]) -> list[dict[str, Any]]:
    """Return the rows of whole exposures, by batch and name."""
    only = ds.field("hdu").is_null()
    rows = [r for b in context.rows_here(table, columns, only) for r in b.to_pylist()]
    return sorted(rows, key=lambda row: (row["batch"], row["exposure_id"]))


def _cells_of_map(
    placed: Sequence[Mapping[str, Any]], flagged: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, int], dict[int, str]]:
    """Return how many exposures each cell has, and its quality where there are labels."""
    population = Counter(row["cell"] for row in placed if row["cell"] is not None)
    qualities = {
        row["cell"]: row["quality"]
        for row in flagged
        if row["cell"] is not None and row["quality"] is not None
    }
    return dict(population), qualities


def panel(context: Context) -> Markup:
    """Show the map of exposures on the page of the images."""
    placed = _whole(context, PLACES, ["batch", "exposure_id", "cell"])
    flagged = _whole(context, FLAGS, ["batch", "exposure_id", "cell", "quality"])
    population, qualities = _cells_of_map(placed, flagged)
    side = loaded(context, EXPOSURE_MAP).design.side
    text = Markup(
        '<p class="lead">{:,} exposures on their map, in the colours of their quality; <code>minia '
        "exposures report</code> makes the whole page.</p>{}"
    )
    return text.format(len(placed), map_svg(population, qualities, side))


def exposure_page(context: Context) -> None:
    """Write the page of exposures."""
    page = _page(context)
    folder, storage = context.folder(EXPOSURE_PAGE), context.warehouse.storage
    with tempfile.TemporaryDirectory() as scratch:
        # of the same name elsewhere: the page in the folder above names it
        near = Path(scratch) / Path(folder).name
        target = near if storage.local is None else storage.local / folder
        context.counts["pictures"] = render(page, target)
        if storage.local is None:
            storage.make_folder(folder)
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(EXPOSURE_PAGE, folder)
    context.counts |= {"exposures": page.exposures, "cells": len(page.population)}


def _page(context: Context) -> Page:
    """Return all that the page shows."""
    placed = _whole(context, PLACES, ["batch", "exposure_id", "cell"])
    columns = ["batch", "exposure_id", "cell", "quality", "confidence"]
    flagged = _whole(context, FLAGS, columns)
    population, qualities = _cells_of_map(placed, flagged)
    facts = _facts(context)
    flag_of = {(row["batch"], row["exposure_id"]): row for row in flagged}
    ccds = sum(row["ccds"] for row in facts.values())
    (entry,) = context.entries_of(CUTOUT_MAP)
    trained = loaded(context, EXPOSURE_MAP)
    telling = worth_labelling(trained.prototypes, population)
    return Page(
        exposures=len(facts),
        ccds=ccds,
        dead_ccds=sum(len(row["dead_ccds"]) for row in facts.values()),
        rejects=context.rows(CUTOUTS) - ccds,
        side=trained.design.side,
        cutout_side=loaded(context, CUTOUT_MAP).design.side,
        prototypes=context.warehouse.storage.read(f"{entry.path}/{PROTOTYPES}"),
        population=population,
        qualities=qualities,
        telling=telling,
        cells=_shown(
            context,
            _members(placed, telling),
            population=population,
            qualities=qualities,
            facts=facts,
            flag_of=flag_of,
        ),
        nights=_nights(facts, flag_of),
        warnings=_warnings(context),
        training=_training(context),
        home="../../report/index.html" if context.view.of_table("report") else "",
    )


def _facts(context: Context) -> dict[_Key, dict[str, Any]]:
    """Return what the headers of every exposure say."""
    names = ["batch", "exposure_id", "ccds", "dead_ccds", *(name for name, _, _ in FACTS)]
    return {
        (row["batch"], row["exposure_id"]): row
        for batch in context.rows_here(EXPOSURES, names)
        for row in batch.to_pylist()
    }


def _shown(
    context: Context,
    chosen: Mapping[int, Sequence[_Key]],
    *,
    population: Mapping[int, int],
    qualities: Mapping[int, str],
    facts: Mapping[_Key, Mapping[str, Any]],
    flag_of: Mapping[_Key, Mapping[str, Any]],
) -> list[Cell]:
    """Return the cells whose members are shown, with these."""
    whole = {
        key: place < _WHOLE_SHOWN for keys in chosen.values() for place, key in enumerate(keys)
    }
    pictures = _pictures(context, whole)
    return [
        Cell(
            cell,
            population[cell],
            qualities.get(cell),
            [
                Member(
                    exposure_id=key[1],
                    batch=key[0],
                    facts=_told(facts[key]),
                    dead=len(facts[key]["dead_ccds"]),
                    confidence=flag_of[key]["confidence"],
                    **pictures[key],
                )
                for key in keys
            ],
        )
        for cell, keys in chosen.items()
    ]


def _warnings(context: Context) -> list[str]:
    """Return a sentence for every batch that is too far from what a map knows."""
    drift = [r for b in context.rows_here(EXPOSURE_DRIFT, _DRIFT) for r in b.to_pylist()]
    drift.sort(key=lambda row: (row["batch"], row["map"]))
    limit = context.settings(ExposureSettings).max_error_ratio
    return [warning for row in drift if (warning := beyond(row, limit))]


def _training(context: Context) -> list[tuple[str, dict[str, Any]]]:
    """Return the last figures of the training of both maps."""
    told = []
    for title, table in (
        ("Map of cutouts", CUTOUT_TRAINING),
        ("Map of exposures", EXPOSURE_TRAINING),
    ):
        rows = context.small(table).sort_by("step").to_pylist()
        told += [(title, rows[-1])] if rows else []
    return told


def _members(placed: Sequence[Mapping[str, Any]], cells: Sequence[int]) -> dict[int, list[_Key]]:
    """Return up to nine members of some cells, by cell; which ones is chance, and stays."""
    members: dict[int, list[_Key]] = {cell: [] for cell in sorted(cells)}
    for row in placed:
        if row["cell"] in members:
            members[row["cell"]].append((row["batch"], row["exposure_id"]))
    return {
        cell: sorted(sorted(keys, key=_chance)[:_MEMBERS_SHOWN]) for cell, keys in members.items()
    }


def _chance(key: _Key) -> str:
    return fingerprint(*key)


def _pictures(context: Context, whole: Mapping[_Key, bool]) -> dict[_Key, dict[str, Any]]:
    """Return what is drawn of exposures: cutouts, histo-vector, and CCDs where that is wanted."""
    if not whole:
        return {}
    of = ["batch", "exposure_id"]
    rows = [{"batch": key[0], "exposure_id": key[1], "whole": one} for key, one in whole.items()]
    wanted = F.broadcast(context.spark.createDataFrame(pa.Table.from_pylist(rows)))
    some = F.substring("pixels", 1, _CUTOUTS_SHOWN * SIDE_PX * SIDE_PX)
    there = F.when(F.size("x") > 0, F.col("hdu"))
    ccd = F.struct("hdu", "ccd", "picture")
    sheets = (
        context.read(CUTOUTS)
        .where("reason is null")
        .join(wanted, of)
        .groupBy(*of)
        .agg(
            F.min_by(some, there).alias("pixels"),
            F.sort_array(F.collect_list(F.when(F.col("whole"), ccd))).alias("ccds"),
        )
    )
    counted = context.read(CELLS).join(wanted, of).select(*of, "histo_vector")
    with context.watched("members"):
        rows = counted.join(sheets, of).toArrow().to_pylist()
    return {
        (row["batch"], row["exposure_id"]): {
            "cutouts": np.frombuffer(row["pixels"], np.uint8).reshape(-1, SIDE_PX, SIDE_PX),
            "histo_vector": np.array(row["histo_vector"]),
            "ccds": [(one["ccd"], one["picture"]) for one in row["ccds"]],
        }
        for row in rows
    }


def _told(row: Mapping[str, Any]) -> str:
    """Return the facts of an exposure as a caption has them."""
    seconds, mjd = row["exposure_seconds"], row["mjd"]
    parts = (
        row["object"],
        row["filter"],
        None if seconds is None else f"{seconds:g} s",
        None if mjd is None else f"MJD {mjd:.2f}",
    )
    return ", ".join(part for part in parts if part)


def _nights(
    facts: Mapping[_Key, Mapping[str, Any]], flag_of: Mapping[_Key, Mapping[str, Any]]
) -> list[tuple[int | None, str | None, dict[str, int]]]:
    """Return how many exposures of each quality every night and filter has."""
    counts: dict[tuple[int | None, str | None], Counter[str]] = defaultdict(Counter)
    for key, row in facts.items():
        night = None if row["mjd"] is None else int(row["mjd"])
        quality = flag_of[key]["quality"] if key in flag_of else None
        counts[night, row["filter"]][quality or "no label"] += 1
    order = sorted(counts, key=lambda one: (one[0] is None, one[0] or 0, one[1] or ""))
    return [(night, name, dict(counts[night, name])) for night, name in order]
