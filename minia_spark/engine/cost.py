"""What a run would need: tasks, bytes, memory and time of every stage, by the stages' own laws.

Each stage declares a law: its work is a product of a few numbers (images, pixels, features, words,
hash tables). Rates are relative to one core; a short probe measures that core (:func:`probe`), so
that times are for the user's machine. ``minia plan`` prints it, SCALE.md says how far measured runs
agree and what breaks first.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.engine.session import default_partitions
from minia_spark.engine.settings import Settings
from minia_spark.engine.sources import count_of_source_digest
from minia_spark.engine.stage import Stage, load

if TYPE_CHECKING:
    from minia_spark.engine.plan import Plan, Planner
    from minia_spark.engine.room import House
    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "Cost",
    "Needs",
    "Rates",
    "Sizes",
    "check_disk",
    "check_memory",
    "cost_of",
    "estimate",
    "plan_for",
    "print_plan",
    "probe",
]

WORKER_BYTES = 150 << 20
"""Interpreter and libraries of one Python worker."""
_ASSUMED_FEATURES = 100.0
_ASSUMED_PIXELS = float(1 << 16)
_START_SECONDS = 0.5  # of a stage: jobs to plan and start, whatever their size


@dataclass(frozen=True)
class Rates:
    """Seconds that one core takes; the defaults are those of the machine the laws were fitted on.

    Attributes
    ----------
    product : float
        A multiplication and addition of a large matrix product, with what goes along.
    pixel : float
        A pixel of an image that is decoded and searched for features.
    """

    product: float = 62e-12
    pixel: float = 90e-9


@dataclass(frozen=True)
class Sizes:
    """What the laws start from.

    Attributes
    ----------
    images : int
        That the stage goes through.
    pixels, features : float
        Of an image, on average.
    cores : int
        Tasks at the same time.
    settings : Settings
    variant : str or None
        Extractor or method.
    rates : Rates
    """

    images: int
    pixels: float
    features: float
    cores: int
    settings: Settings
    variant: str | None = None
    rates: Rates = Rates()

    @property
    def tasks(self) -> int:
        """Tasks of a pass over the images."""
        return default_partitions(self.images, self.cores, self.settings.spark.partitions)


@dataclass(frozen=True)
class Cost:
    """What a stage needs.

    Attributes
    ----------
    tasks : int
    core_seconds : float
        Work that is shared among the tasks.
    driver_seconds : float
        Work that only the driver does, and what starting its jobs takes.
    written_bytes : float
        Before compression.
    task_bytes : float
        Memory of one task, besides the Python worker itself.
    because : str
        What the bytes are a product of, for those who have too few.
    """

    tasks: int = 1
    core_seconds: float = 0.0
    driver_seconds: float = 0.0
    written_bytes: float = 0.0
    task_bytes: float = 0.0
    because: str = ""

    def seconds(self, cores: int) -> float:
        """Return the time on so many cores."""
        shared = self.core_seconds / max(1, min(cores, self.tasks))
        return _START_SECONDS + self.driver_seconds + shared


def cost_of(stage: Stage, sizes: Sizes) -> Cost:
    """Return what a stage costs, by its own law.

    Raises
    ------
    MiniaError
        It has none: a plan that left it out would be wrong.
    """
    if not stage.cost:
        raise MiniaError(f"stage {stage.name} declares no cost law")
    found: Cost = load(stage.cost)(sizes)
    return found


@functools.cache
def probe(seconds: float = 0.15) -> Rates:
    """Measure this machine's core: a matrix product and a search for features, a moment each."""
    import cv2  # noqa: PLC0415 - loaded for plans only
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(1)
    points = random.random((4096, 128), dtype=np.float32)
    centres = random.random((1000, 128), dtype=np.float32).T.copy()
    image = cv2.GaussianBlur(random.integers(0, 255, (256, 256), dtype=np.uint8), (0, 0), 3)
    sift = cv2.SIFT.create()

    def product() -> None:
        np.argmin(points @ centres, axis=1)

    return Rates(
        product=_fastest(product, seconds) / (4096 * 1000 * 128),
        pixel=_fastest(lambda: sift.detectAndCompute(image, None), seconds) / image.size,
    )


def _fastest(work: Any, seconds: float) -> float:
    work()  # warm up
    best, until = math.inf, time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


# -- what the machine must have --------------------------------------------------------------------


def _usual_stages(house: House, settings: Settings) -> Iterator[Stage]:
    """Yield the stages of a run; of several that take in the same table the first one."""
    taken: set[str] = set()
    for name in house.stages_of(settings.run.lines):
        stage = house.by_name[name]
        own = {output.name for output in stage.writes if output.name != "rejects"}
        if stage.source and own & taken:
            continue
        taken |= own if stage.source else set()
        yield stage


def _fixed_costs(house: House, settings: Settings) -> list[tuple[Stage, Cost]]:
    """Return what every stage needs however few the images are."""
    found = []
    for stage in _usual_stages(house, settings):
        for variant in house.variants(stage, settings):
            sizes = Sizes(1, 1, _ASSUMED_FEATURES, 1, settings, variant)
            found.append((stage, cost_of(stage, sizes)))
    return found


def check_memory(house: House, settings: Settings) -> None:
    """Refuse, before anything starts, what this machine's memory cannot hold.

    Only in local mode, where the machine is known. The largest image allowed is not counted: it is
    a limit, not what the images are.

    Raises
    ------
    SettingsError
        Naming the settings to lower.
    """
    cores = local_cores(settings.spark.master)
    if cores is None:
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    stage, cost = max(_fixed_costs(house, settings), key=lambda found: found[1].task_bytes)
    wanted = cores * (WORKER_BYTES + cost.task_bytes)
    if wanted > memory:
        raise SettingsError(
            f"{cores} tasks of stage {stage.name} would need {size(wanted)} of memory and this "
            f"machine has {size(memory)}: a task holds {cost.because}; lower one of these, or the "
            "cores in spark.master"
        )


def check_disk(house: House, settings: Settings, folder: Path | None) -> None:
    """Refuse, before anything starts, what the warehouse's disk cannot hold however few the images.

    Parameters
    ----------
    house, settings
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
    stage, cost = max(_fixed_costs(house, settings), key=lambda found: found[1].written_bytes)
    if cost.written_bytes > free:
        raise SettingsError(
            f"stage {stage.name} would write {size(cost.written_bytes)} for a batch and {existing} "
            f"has {size(free)} left: it writes {cost.because}; lower one of these"
        )


def local_cores(master: str) -> int | None:
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


# -- plans ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needs:
    """What a run would need; sizes in bytes.

    Attributes
    ----------
    images : int
        In the collection after the run.
    new_images : int
        At most so many are in the source that was given.
    features_per_image : float
    features_are_measured : bool
        False: nothing was extracted yet, and the number is an assumption.
    cores : int or None
        Tasks at the same time; None when only the cluster knows.
    partitions : int or None
        Of a pass over the new images (over all, when none are new).
    written_bytes : int
        Of the steps that would run, before compression.
    task_bytes : int
        Most memory of one Python worker.
    seconds : float or None
        Time of the steps that would run; None when the cores are not known.
    """

    images: int
    new_images: int
    features_per_image: float
    features_are_measured: bool
    cores: int | None
    partitions: int | None
    written_bytes: int
    task_bytes: int
    seconds: float | None


def estimate(plan: Plan, planner: Planner) -> Needs:
    """Return what a run would need."""
    house, settings, request = planner.house, planner.settings, planner.request
    new_images = 0
    for batch, source in request.sources.items():
        stage = house.source_stage(source.kind)
        new_images += count_of_source_digest(planner.source_digest(stage, batch))
    images = new_images + sum(
        e.rows or 0 for e in plan.base.of_table("images") if e.batch not in request.sources
    )
    measured = _features_per_image(plan.base, planner.warehouse)
    features = _ASSUMED_FEATURES if measured is None else measured
    cores = local_cores(settings.spark.master)
    sizes = Sizes(
        images,
        _pixels_per_image(plan.base, planner.warehouse),
        features,
        cores or 1,
        settings,
        rates=probe() if cores else Rates(),
    )
    running = [step for step in plan.steps if step.action == "run"]
    costs = [_cost_of_step(step.stage, step.batch, step.variant, sizes, plan) for step in running]
    return Needs(
        images=images,
        new_images=new_images,
        features_per_image=round(features, 1),
        features_are_measured=measured is not None,
        cores=cores,
        partitions=None
        if cores is None
        else default_partitions(new_images or images, cores, settings.spark.partitions),
        written_bytes=int(sum(cost.written_bytes for cost in costs)),
        task_bytes=int(WORKER_BYTES + max((cost.task_bytes for cost in costs), default=0)),
        seconds=None if cores is None else round(sum(cost.seconds(cores) for cost in costs), 1),
    )


def _cost_of_step(
    stage: Stage, batch: str | None, variant: str | None, sizes: Sizes, plan: Plan
) -> Cost:
    images = sizes.images
    if batch is not None:
        there = sum(e.rows or 0 for e in plan.base.of_table("images", batch))
        images = there or sizes.images
    return cost_of(stage, replace(sizes, images=images, variant=variant))


def _pixels_per_image(base: Catalogue, warehouse: Warehouse) -> float:
    """Return the mean of the images that are there, or an assumption."""
    import pyarrow.compute as pc  # noqa: PLC0415

    total = rows = 0
    for entry in base.of_table("images"):
        # without images that are known by name only
        table = warehouse.rows_of([entry], ["width", "height"]).drop_null()
        total += int(pc.sum(pc.multiply(*(c.cast("int64") for c in table.columns))).as_py() or 0)
        rows += table.num_rows
    return total / rows if rows else _ASSUMED_PIXELS


def _features_per_image(base: Catalogue, warehouse: Warehouse) -> float | None:
    runs = {e.run for e in base.of_table("features")}
    for record in warehouse.runs():
        for step in record.steps:
            images = step.counts.get("images", 0)
            if record.run in runs and step.stage == "features" and images:
                return step.counts["features"] / images
    return None


def plan_for(
    house: House,
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
    house : House
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
    cores = cores or local_cores(settings.spark.master)
    if cores is None:
        raise SettingsError(f"give --cores: how many {settings.spark.master} has is not known here")
    sizes = Sizes(
        images,
        pixels or _pixels_per_image(base, warehouse),
        features or _features_per_image(base, warehouse) or _ASSUMED_FEATURES,
        cores,
        settings,
        rates=probe(),
    )
    found: dict[str, Cost] = {}
    for stage in _usual_stages(house, settings):
        variants = house.variants(stage, settings)
        for variant in variants:
            title = " ".join(filter(None, (stage.name, variant if len(variants) > 1 else None)))
            found[title] = cost_of(stage, replace(sizes, variant=variant))
    _print_costs(images, cores, found, as_json=as_json)


def _print_costs(images: int, cores: int, found: Mapping[str, Cost], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"stage": name} | asdict(cost) | {"seconds": cost.seconds(cores)}
            for name, cost in found.items()
        ]
        print(json.dumps({"images": images, "cores": cores, "stages": rows}, indent=1))
        return
    print(f"{images:,} images at once, on {cores:,} cores like those of this machine\n")
    print("stage           tasks   core-hours        time     written   memory of a task")
    for name, cost in found.items():
        print(
            f"{name:<12} {cost.tasks:>8,} {_rounded(cost.core_seconds / 3600):>12} "
            f"{_duration(cost.seconds(cores)):>11} {size(cost.written_bytes):>11} "
            f"{size(WORKER_BYTES + cost.task_bytes):>18}"
        )
    print(
        f"{'all':<12} {'':>8} {_rounded(sum(c.core_seconds for c in found.values()) / 3600):>12} "
        f"{_duration(sum(c.seconds(cores) for c in found.values())):>11} "
        f"{size(sum(c.written_bytes for c in found.values())):>11}"
    )


def print_plan(plan: Plan, needs: Needs, *, as_json: bool) -> None:
    """Print the steps of a plan and what they would need."""
    if as_json:
        steps = [
            {
                "stage": s.stage.name,
                "batch": s.batch,
                "variant": s.variant,
                "action": s.action,
                "why": s.why,
            }
            for s in plan.steps
        ]
        print(
            json.dumps(
                {"state": plan.base.version, "steps": steps, "needs": asdict(needs)}, indent=1
            )
        )
        return
    print("stage        batch             variant   action  why")
    for step in plan.steps:
        print(
            f"{step.stage.name:<12} {step.batch or '':<16}  {step.variant or '':<8}  "
            f"{step.action:<6}  {step.why}"
        )
    if plan.is_empty:
        print("\nnothing to do")
        return
    known = "measured" if needs.features_are_measured else "assumed"
    print(f"\nimages            {needs.images:,} ({needs.new_images:,} listed in the given folder)")
    print(f"features an image {needs.features_per_image:,} ({known})")
    where = f"{needs.cores} cores" if needs.cores else "the cluster's cores"
    parts = f"{needs.partitions}" if needs.partitions else "by the cluster's cores"
    print(f"partitions        {parts}, on {where}")
    print(f"written           {size(needs.written_bytes)} before compression")
    print(f"memory of a task  up to {size(needs.task_bytes)}, for images like these")
    if needs.seconds is not None:
        seconds = _rounded(needs.seconds)
        print(f"time              about {seconds} s and Spark's start, on this machine")


def _rounded(value: float) -> str:
    """Return a number with three digits that count, without an exponent."""
    return f"{float(f'{value:.3g}'):,.12g}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_rounded(seconds / length)} {unit}"
    return f"{_rounded(seconds)} s"


def size(size_bytes: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size_bytes < 1024:
            return f"{_rounded(size_bytes)} {unit}"
        size_bytes /= 1024
    return f"{_rounded(size_bytes)} PiB"
