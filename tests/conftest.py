"""One Spark session, one survey and one warehouse for all tests that need them; made when needed.

The session's JVM compiles fast instead of well, and Spark interprets its plans: the tests run many
small jobs, for which compiling takes most of the time. What is compiled fast is large: in the 48 MB
that Java sets aside for it, it would soon be thrown away and compiled again, for ever.
"""

from __future__ import annotations

import fcntl
import functools
import gc
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import delf_samples
import lab_samples
import pytest
from commands import SMALL, Result, chosen, run_minia
from hypothesis import settings
from pyspark.sql import SparkSession
from xdist.scheduler import LoadFileScheduling

from minia_spark.engine import session
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import PixelPass
from minia_spark.engine.plan import Planner, Request
from minia_spark.engine.progress import Progress
from minia_spark.engine.session import open_session
from minia_spark.engine.settings import SparkSettings
from minia_spark.engine.stage import Source, load
from minia_spark.rooms import HOUSE
from minia_spark.sky.survey import Survey, SurveyFiles, write_survey
from minia_spark.warehouse.warehouse import Warehouse

# Machines differ and are shared: a slow example is not a wrong one.
settings.register_profile("minia", deadline=None)
settings.load_profile("minia")


_NETWORKS = (
    *("tests/classify/", "tests/delf/", "tests/desom/", "tests/embedding/", "tests/exposures/"),
    "tests/features/test_delf",
)


@functools.cache
def _session() -> SparkSession:
    conf = {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
        " -XX:ReservedCodeCacheSize=256m",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    # workers import what tests bring along, such as the toy room
    ours = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    settings = SparkSettings(master="local[2]", driver_memory="1g", conf=conf)
    return open_session(settings, "tests")


@pytest.fixture(scope="session")
def spark() -> SparkSession:
    return _session()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones, which belong to no room: in the end both processes are busy."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


class _ByFile(LoadFileScheduling):
    """Give a file to one process, and all of networks to the same: TensorFlow takes long to load.

    So do Spark's workers, of which every process has its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "networks" if file.startswith(_NETWORKS) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """Schedule tests that run in several processes."""
    return _ByFile(config, log)


def pytest_collection_finish() -> None:
    """Leave what has been imported alone: looking through it for garbage takes long."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Stop Spark, if a test has started it."""
    if _session.cache_info().currsize:
        _session().stop()


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one of the processes that run the tests made, and all of them read."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = shared / f"{name}.part"
            make(part)
            part.rename(made)
    return made


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> SurveyFiles:
    """Sixty images of 128 x 128 pixels, about 33 features each, in which two patterns recur."""
    what = Survey(side_px=128, patterns=("clumpy_ring", "asterism"), frequency=0.4)
    folder = _once(tmp_path_factory, "survey", lambda part: write_survey(part, what, 60))
    return SurveyFiles(folder / "images", folder / "labels.csv", folder / "truth.csv", 60)


@pytest.fixture(scope="session")
def opened() -> Iterator[list[str]]:
    """The sessions that commands opened; all of them are the tests' own."""
    names: list[str] = []

    def open_ours(_: SparkSettings, app_name: str = "minia", **_options: object) -> SparkSession:
        names.append(app_name)
        return _session()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "open_session", open_ours)
        yield names


@pytest.fixture(scope="session")
def minia(opened: list[str]) -> Callable[..., Result]:
    """The command line in this process: ``minia("status", "--warehouse", W)``."""
    assert opened is not None  # it is in force from here on
    return run_minia


@pytest.fixture(scope="session")
def warehouse(
    minia: Callable[..., Result], survey: SurveyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A warehouse in which everything ran once, on batch ``b1``; not to be changed."""

    def make(location: Path) -> None:
        minia(
            *("run", "--images", survey.images, "--batch", "b1", "--labels", survey.labels),
            *("--warehouse", location, *SMALL),
        ).expect(0)

    return _once(tmp_path_factory, "W", make)


@pytest.fixture(scope="session")
def grown(
    minia: Callable[..., Result], warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of it with a second batch ``b2`` of fifty images more; not to be changed.

    Beside it are the batch, ``images``, and what its run told, ``told``.
    """

    def make(folder: Path) -> None:
        what = Survey(side_px=128, patterns=("clumpy_ring", "asterism"), frequency=0.4)
        write_survey(folder, what, 50, start=60)
        location = Path(shutil.copytree(warehouse, folder / "W"))
        source = ("--images", folder / "images", "--batch", "b2", "--warehouse", location)
        (folder / "told").write_text(minia("run", *source, *SMALL).expect(0).err)

    return _once(tmp_path_factory, "grown", make) / "W"


@pytest.fixture(scope="session")
def laboratory(
    minia: Callable[..., Result], warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of it in which the galaxy lab reported; not to be changed."""

    def make(location: Path) -> None:
        shutil.copytree(warehouse, location)
        settings = chosen(*lab_samples.SETTINGS)
        minia("lab", "report", "--warehouse", location, *SMALL, *settings).expect(0)

    return _once(tmp_path_factory, "L", make)


@pytest.fixture
def own_warehouse(warehouse: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change: all its paths are relative."""
    return Path(shutil.copytree(warehouse, tmp_path / "W"))


@pytest.fixture
def context(spark: SparkSession) -> Callable[..., Context]:
    """Make what a stage runs in: ``context(location, "words", "b1", "codebook.size=5")``."""

    def make(
        location: Path,
        stage: str,
        batch: str | None = None,
        *settings: str,
        source: Path | Source | None = None,
    ) -> Context:
        house = Warehouse(str(location))
        declared = HOUSE.by_name[stage]
        chosen = HOUSE.load_settings(None, ["spark.partitions=2", *settings])
        state = house.catalogue()
        (variant, *_) = HOUSE.variants(declared, chosen)
        if isinstance(source, Path):
            source = Source(source)
        return Context(
            spark=spark,
            stage=declared,
            batch=batch,
            variant=variant,
            all_settings=chosen,
            warehouse=house,
            progress=Progress(io.StringIO()),
            fingerprint="test",
            run=house.new_run("test", "0", {}).run,
            view=state,
            published=state,
            facets=HOUSE.facets,
            source=source,
        )

    return make


def run_stage(context: Context) -> None:
    """Run the stage of a context, with a pass over the pixels for it alone where it needs one."""
    stage = context.stage
    made = None
    if stage.gives or stage.over:
        sources = {context.batch: context.source} if context.source else {}
        request = Request("test", (stage.name,), sources=sources)
        planner = Planner(HOUSE, request, context.all_settings, context.warehouse, context.view)
        made = PixelPass.plan(planner, context, [(stage.name, context.batch, context.variant)])
        made.run(context)
        context.rows_of_pass = functools.partial(made.rows, context)
    load(stage.run)(context)
    if made is not None:
        made.remove()


@pytest.fixture
def published(context: Callable[..., Context]) -> Callable[..., Context]:
    """Run one stage as `context` makes it, publish its tables, and return the context."""

    def run(location: Path, stage: str, *arguments: object, **options: object) -> Context:
        made = context(location, stage, *arguments, **options)
        run_stage(made)
        made.warehouse.commit(made.view, made.run, made.view.with_entries(made.entries).entries, "")
        return made

    return run


@pytest.fixture(scope="session")
def delf_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFRecords of a few images of two classes."""
    pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")
    return _once(tmp_path_factory, "delf-records", delf_samples.write_training_set)


@pytest.fixture(scope="session")
def delf_training(delf_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that was trained for six steps; not to be changed."""

    def make(out: Path) -> None:
        settings = ("--out", out, *delf_samples.SMALL, *delf_samples.STEPS)
        run_minia("delf", "train", "--train", delf_records, *settings).expect(0)

    return _once(tmp_path_factory, "delf-training", make)


@pytest.fixture(scope="session")
def delf_model(delf_training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That network, exported."""

    def make(out: Path) -> None:
        scales = ("--scales", 0.5, 1, 2)
        run_minia("delf", "export", delf_training, out, *scales, "--threshold", 0.1).expect(0)

    return _once(tmp_path_factory, "delf-model", make)
