"""What a run would need: partitions, bytes on disk, memory of a task; printed by ``minia plan``.

The formulas are the memory laws of the stages, not measurements; where a number is not known yet
(features an image, before any image was seen) a stated assumption stands in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from minia_spark.base.errors import SettingsError
from minia_spark.engine.plan import Plan, Request
from minia_spark.engine.scale import (
    ASSUMED_TABLES,
    ASSUMED_TUPLE_SIZE,
    FEATURE_NUMBERS_BYTES,
    SIFT_BYTES_A_PIXEL,
    WORKER_BYTES,
    costs,
    print_costs,
)
from minia_spark.engine.session import default_partitions
from minia_spark.engine.settings import Settings
from minia_spark.features.extractor import create
from minia_spark.ingest.stage import count_of_source_digest, source_digest
from minia_spark.mining.passes import SPAN_BYTES
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Estimate", "check_disk", "check_memory", "estimate", "plan_for", "print_plan"]

_ASSUMED_FEATURES = 100
_ASSUMED_PIXELS = 1 << 16


@dataclass(frozen=True)
class Estimate:
    """What a run would need; sizes in bytes.

    Attributes
    ----------
    images : int
        In the collection after the run.
    new_images : int
        At most so many are in the folder that was given.
    features_per_image : float
    features_are_measured : bool
        False: nothing was extracted yet, and the number is an assumption.
    cores : int or None
        Tasks at the same time; None when only the cluster knows.
    partitions : int or None
        Of a pass over the new images (over all, when none are new).
    features_bytes : int
        On disk, before compression.
    codebook_bytes : int
        Sent to every worker.
    signatures_bytes : int
        Of one batch: words x tuple_size x tables x 4, for the seed and each of the others; where
        the tables are to be chosen, 1,000 of tuples of 2 are assumed.
    task_bytes : int
        Most memory of one Python worker in any stage.
    seconds : float or None
        Time of the steps that would run, by the laws of :mod:`.scale`; None when the cores are
        not known.
    """

    images: int
    new_images: int
    features_per_image: float
    features_are_measured: bool
    cores: int | None
    partitions: int | None
    features_bytes: int
    codebook_bytes: int
    signatures_bytes: int
    task_bytes: int
    seconds: float | None


def estimate(plan: Plan, request: Request, settings: Settings, warehouse: Warehouse) -> Estimate:
    """Return what a run would need."""
    new_images = 0
    for source in request.sources.values():
        new_images += count_of_source_digest(source_digest(source, settings.ingest))
    others = sum(e.rows for e in plan.base.of_table("images") if e.batch not in request.sources)
    measured = _features_per_image(plan.base, warehouse)
    per_image = measured if measured is not None else float(_ASSUMED_FEATURES)
    extractor = create(settings.features)
    width = extractor.descriptor_dim
    cores = _local_cores(settings.spark.master)
    images = others + new_images
    signatures = _signatures_bytes(settings)
    codebook = settings.codebook.at_most * width * 4
    features_task = settings.features.max_pixels * SIFT_BYTES_A_PIXEL
    return Estimate(
        images=images,
        new_images=new_images,
        features_per_image=round(per_image, 1),
        features_are_measured=measured is not None,
        cores=cores,
        partitions=None
        if cores is None
        else default_partitions(new_images or images, cores, settings.spark.partitions),
        features_bytes=int(
            images
            * per_image
            * (width * extractor.descriptor_dtype.itemsize + FEATURE_NUMBERS_BYTES)
        ),
        codebook_bytes=codebook,
        signatures_bytes=signatures,
        task_bytes=WORKER_BYTES + max(features_task, _task_bytes(settings)),
        seconds=None
        if cores is None
        else _seconds(
            plan,
            images=images,
            new_images=new_images,
            features=per_image,
            pixels=_pixels_per_image(plan.base, warehouse),
            settings=settings,
            cores=cores,
        ),
    )


def _seconds(
    plan: Plan,
    *,
    images: int,
    new_images: int,
    features: float,
    pixels: float,
    settings: Settings,
    cores: int,
) -> float:
    """Return the time of the steps that would run."""
    total = 0.0
    running = {step.stage.name: step.stage for step in plan.steps if step.action == "run"}
    for per_batch in (True, False):
        many = (new_images or images) if per_batch else images
        found = costs(many, features=features, pixels=pixels, settings=settings, cores=cores)
        total += sum(
            cost.seconds(cores)
            for cost in found
            if cost.stage in running and running[cost.stage].per_batch == per_batch
        )
    return round(total, 1)


def plan_for(
    images: int,
    *,
    pixels: float | None,
    features: float | None,
    cores: int | None,
    settings: Settings,
    warehouse: Warehouse,
    as_json: bool,
) -> None:
    """Print what a collection of so many images would cost.

    Parameters
    ----------
    images : int
    pixels, features : float or None
        Of an image; None: as in the warehouse, or assumed.
    cores : int or None
        None: those of spark.master.
    settings : Settings
    warehouse : Warehouse
    as_json : bool

    Raises
    ------
    SettingsError
        The number of cores is neither given nor that of this machine.
    """
    base = warehouse.catalogue()
    cores = cores or _local_cores(settings.spark.master)
    if cores is None:
        raise SettingsError(f"give --cores: how many {settings.spark.master} has is not known here")
    found = costs(
        images,
        features=features or _features_per_image(base, warehouse) or float(_ASSUMED_FEATURES),
        pixels=pixels or _pixels_per_image(base, warehouse),
        settings=settings,
        cores=cores,
    )
    print_costs(images, cores, found, as_json=as_json)


def _pixels_per_image(base: Catalogue, warehouse: Warehouse) -> float:
    """Return the mean of the images that are there, or an assumption."""
    storage = warehouse.storage
    total = rows = 0
    for entry in base.of_table("images"):
        table = pq.read_table(
            storage.full(entry.path), columns=["width", "height"], filesystem=storage.filesystem
        )
        total += int(pc.sum(pc.multiply(*(c.cast("int64") for c in table.columns))).as_py() or 0)
        rows += table.num_rows
    return total / rows if rows else float(_ASSUMED_PIXELS)


def check_memory(settings: Settings) -> None:
    """Refuse, before anything starts, what this machine's memory cannot hold.

    Only in local mode, where the machine is known. The largest image allowed is not counted: it is
    a limit, not what the images are.

    Raises
    ------
    SettingsError
        Naming the settings to lower.
    """
    cores = _local_cores(settings.spark.master)
    if cores is None:
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wanted = cores * (WORKER_BYTES + _task_bytes(settings))
    if wanted > memory:
        raise SettingsError(
            f"{cores} tasks would need {_size(wanted)} of memory and this machine has "
            f"{_size(memory)}: every task holds the codebook several times; lower codebook.size "
            "or the cores in spark.master"
        )


def check_disk(settings: Settings, folder: Path | None) -> None:
    """Refuse, before anything starts, signatures that the warehouse's disk cannot hold.

    Parameters
    ----------
    settings : Settings
    folder : Path or None
        The warehouse, which need not be there yet; None: not on a local disk.

    Raises
    ------
    SettingsError
        Naming the settings to lower.
    """
    if folder is None:
        return
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    wanted = _signatures_bytes(settings)
    if wanted > free:
        raise SettingsError(
            f"signatures of a batch need {_size(wanted)} and {existing} has {_size(free)} left: "
            "codebook.size x mining.tuple_size x mining.tables x 4 x (1 + mining.seeds); lower "
            "one of these"
        )


def _signatures_bytes(settings: Settings) -> int:
    mining = settings.mining
    minima = (mining.tuple_size or ASSUMED_TUPLE_SIZE) * (mining.tables or ASSUMED_TABLES)
    return settings.codebook.at_most * minima * 4 * (1 + mining.seeds)


def _task_bytes(settings: Settings) -> int:
    """Return what a task that knows the whole vocabulary holds besides its images."""
    width = create(settings.features).descriptor_dim
    # sums and counts of a k-means pass are 64-bit and exist twice while they are added; minima
    # are held a span of tables at a time, by the miner and on their way here
    return max(5 * settings.codebook.at_most * width * 4, 3 * SPAN_BYTES)


def _features_per_image(base: Catalogue, warehouse: Warehouse) -> float | None:
    runs = {e.run for e in base.of_table("features")}
    for record in warehouse.runs():
        for step in record.steps:
            images = step.counts.get("images", 0)
            if record.run in runs and step.stage == "features" and images:
                return step.counts["features"] / images
    return None


def _local_cores(master: str) -> int | None:
    """Return the tasks at a time of a local master; None for a cluster.

    Raises
    ------
    SettingsError
        A local master with a number of cores that cannot be.
    """
    if master == "local":
        return 1
    found = re.fullmatch(r"local\[(\*|[0-9]+)(?:, *[0-9]+)?\]", master)
    if found is None:
        return None
    cores = os.cpu_count() or 1 if found[1] == "*" else int(found[1])
    if cores < 1:
        raise SettingsError(f"spark.master {master!r} leaves no core to work with")
    return cores


def print_plan(plan: Plan, needs: Estimate, *, as_json: bool) -> None:
    """Print the steps of a plan and what they would need."""
    if as_json:
        steps = [
            {"stage": s.stage.name, "batch": s.batch, "action": s.action, "why": s.why}
            for s in plan.steps
        ]
        print(
            json.dumps(
                {"state": plan.base.version, "steps": steps, "needs": asdict(needs)}, indent=1
            )
        )
        return
    print("stage        batch             action  why")
    for step in plan.steps:
        print(f"{step.stage.name:<12} {step.batch or '':<16}  {step.action:<6}  {step.why}")
    if plan.is_empty:
        print("\nnothing to do")
        return
    known = "measured" if needs.features_are_measured else "assumed"
    print(f"\nimages            {needs.images:,} ({needs.new_images:,} listed in the given folder)")
    print(f"features an image {needs.features_per_image:,} ({known})")
    where = f"{needs.cores} cores" if needs.cores else "the cluster's cores"
    parts = f"{needs.partitions}" if needs.partitions else "by the cluster's cores"
    print(f"partitions        {parts}, on {where}")
    print(f"features on disk  {_size(needs.features_bytes)} before compression")
    print(f"codebook          {_size(needs.codebook_bytes)}, sent to every worker")
    print(f"signatures        {_size(needs.signatures_bytes)} a batch")
    print(f"memory of a task  up to {_size(needs.task_bytes)} (for the largest image allowed)")
    if needs.seconds is not None:
        print(f"time              about {needs.seconds:,.3g} s, on cores like those in SCALE.md")


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:,.4g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.4g} TiB"
