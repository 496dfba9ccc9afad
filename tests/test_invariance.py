"""The same rows, bit for bit, for any partitioning, listing, batching and number of cores.

Two batches against one are compared in test_pipeline, where the two also come about through a
break after every step.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SETTINGS, SMALL, chosen, rows_of

from minia_spark.engine.context import Context
from minia_spark.engine.pixels import PixelPass
from minia_spark.ingest import stage as ingest
from minia_spark.mining import spark as mining
from minia_spark.sky.survey import SurveyFiles
from minia_spark.warehouse.warehouse import Warehouse

TABLES = (
    *("images", "features", "codebooks", "training_batches", "words", "word_counts", "drift"),
    *("tuning", "structures", "structure_images"),
)
COMMANDS = ("ingest", "features", "codebook", "words", "mine", "structures")


def assert_equal(one: Path, other: Path) -> None:
    for table in TABLES:
        rows, others = rows_of(one, table), rows_of(other, table)
        assert len(rows) == len(others), table
        assert rows == others, table


def shuffled(partitions: int) -> Iterator[pytest.MonkeyPatch]:
    """List the folder backwards or every seventh file first."""
    real = ingest.entries_of

    def listing(*arguments: object, **options: object):
        entries = sorted(real(*arguments, **options))  # type: ignore[arg-type]
        order = entries[::-1] if partitions == 1 else [e for n in range(7) for e in entries[n::7]]
        assert order != entries
        return iter(order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "entries_of", listing)
        # also signatures in several spans, and counts in several rows
        patch.setattr(mining, "SPAN_BYTES", 120 * 4 * 3 * 64)
        patch.setattr(mining, "_IMAGES_A_TASK", 7)
        patch.setattr(mining, "_COUNTS_A_ROW", 5)
        # and work that is little here is sent to tasks all the same
        patch.setattr(mining, "_DONE_HERE", 1)
        yield patch


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.heavy), 17])
def test_partitions_and_order_of_the_listing(minia, warehouse, survey, tmp_path, partitions):
    """The shared warehouse has three partitions and the listing of the file system."""
    location, files = tmp_path / "W", []
    own = [*SMALL, *chosen(f"spark.partitions={partitions}")]
    real = PixelPass.run

    def noted(self: PixelPass, context: Context) -> None:
        real(self, context)
        files.append(len(list((location / "scratch").rglob("part-*.parquet"))))

    for patch in shuffled(partitions):
        patch.setattr(PixelPass, "run", noted)
        for command in COMMANDS:
            source = ("--images", survey.images, "--batch", "b1", "--labels", survey.labels)
            given = source if command == "ingest" else ()
            minia(command, *given, "--warehouse", location, *own).expect(0)
    assert len(files) == 2  # ingest, and features, which were asked for apart from it
    assert min(files) >= 0.6 * partitions  # ranges of few rows may stay empty
    assert_equal(location, warehouse)


@pytest.mark.skipif(
    not (Path(__file__).resolve().parents[1] / "native" / "build" / "smh").is_file(),
    reason="no native/build/smh: ./build.sh native",
)
def test_engines(minia, own_warehouse, warehouse):
    """What the native engine mined is mined anew by its twin."""
    house = Warehouse(str(own_warehouse))
    base = house.catalogue()
    kept = [
        e for e in base.entries if e.stage not in ("tune", "factors", "pairs", "mine", "structures")
    ]
    house.commit(base, base.run, kept, "nothing mined")
    given = ("--warehouse", own_warehouse, *SMALL)
    minia("mine", *given, "--engine", "datasketch").expect(0)
    minia("structures", *given).expect(0)
    assert_equal(own_warehouse, warehouse)


@pytest.mark.heavy
@pytest.mark.parametrize("cores", [1, 2])
def test_processes_of_their_own(
    warehouse: Path, survey: SurveyFiles, tmp_path: Path, cores: int
) -> None:
    """As users start it, with Spark as it is set up for them."""
    location = tmp_path / "W"
    command = [sys.executable, "-m", "minia_spark.cli", "run", "--images", str(survey.images)]
    command += ["--batch", "b1", "--labels", str(survey.labels), "--warehouse", str(location)]
    settings = [s for s in SETTINGS if not s.startswith("spark.")]
    subprocess.run(
        [*command, *chosen(*settings, f"spark.master=local[{cores}]")],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": str(cores)},
        timeout=600,
    )
    assert_equal(location, warehouse)
