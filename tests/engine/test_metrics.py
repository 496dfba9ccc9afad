"""Figures in Prometheus' text format, read back by a parser that takes nothing else."""

from __future__ import annotations

import re

import pytest
from commands import SMALL, run_minia
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.engine import metrics
from minia_spark.engine.metrics import figures, write_metrics
from minia_spark.warehouse.records import Catalogue, Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
PLAIN = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Return the samples of a text, {(name, labels): value}; anything unexpected is an error.

    After the format's specification: HELP and TYPE before a family's samples, families in one
    piece, no sample twice, a line feed at the end.
    """
    assert text.endswith("\n")
    samples: Samples = {}
    families: list[str] = []
    lines = text[:-1].split("\n")
    for number, line in enumerate(lines):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert re.fullmatch(NAME, family)
            assert family not in families
            assert re.fullmatch(rf"# HELP {family} [^\\]+", line)
            assert lines[number + 1] == f"# TYPE {family} gauge"
            families.append(family)
        elif not line.startswith("# TYPE "):
            found = re.fullmatch(rf"({NAME})\{{(.*)\}} (\S+)", line)
            assert found, line
            assert found[1] == families[-1]
            labels = LABEL.findall(found[2])
            assert ",".join(f'{k}="{v}"' for k, v in labels) == found[2]
            values = {k: re.sub(r"\\.", lambda m: PLAIN[m[0]], v) for k, v in labels}
            assert len(values) == len(labels)
            key = (found[1], frozenset(values.items()))
            assert key not in samples
            samples[key] = float(found[3])
    return samples


class Reading:
    """The figures of a warehouse, by name and labels without ``warehouse``."""

    def __init__(self, text: str) -> None:
        self.samples = parsed(text)
        self.warehouses = {dict(labels).get("warehouse") for _, labels in self.samples}

    def __call__(self, name: str, **labels: str) -> float:
        (where,) = self.warehouses
        return self.samples[f"minia_{name}", frozenset((labels | {"warehouse": where}).items())]

    def names(self) -> set[str]:
        return {name.removeprefix("minia_") for name, _ in self.samples}


def step(stage: str, batch: str | None, seconds: float, **counts: float) -> StepRecord:
    return StepRecord(
        stage=stage, batch=batch, action="done", why="", seconds=seconds, counts=counts
    )


@pytest.fixture
def house(tmp_path) -> Warehouse:
    """Two batches in state 1; a run that succeeded and a later one that failed."""
    house = Warehouse(str(tmp_path / "W"))
    made = [
        Entry(
            **{"table": table, "batch": batch, "stage": stage, "run": "r1", "path": "p"},
            **{"rows": rows, "fingerprint": "f", "digest": "d"},
        )
        for table, batch, stage, rows in (
            ("images", "b1", "ingest", 40),
            ("images", "b2", "ingest", 20),
            ("rejects", "b1", "ingest", 2),
            ("rejects", "b1", "features", 1),
            ("structures", None, "mine", 7),
            ("report", None, "report", 5),
        )
    ]
    house.commit(Catalogue(), "r1", made, "")
    for state, ended_at in (("done", "2026-11-20T00:00:10+00:00"), ("failed", "2026-11-21T00:00")):
        record = house.new_run("minia run", "1.0", {})
        steps = (step("features", "b2", 2.5, images=20, rejects=0), step("mine", None, 1.5))
        ended = {"state": state, "ended_at": ended_at, "steps": steps if state == "done" else ()}
        house.save_run(record.model_copy(update=ended))
    return house


class TestFigures:
    def test_of_the_state(self, house):
        read = Reading(figures(house))
        assert read.warehouses == {str(house.storage)}
        assert read("state") == 1
        assert read("table_rows", table="images") == 60
        assert read("table_rows", table="structures") == 7
        assert read("batch_images", batch="b2") == 20
        assert read("batch_rejects", batch="b1") == 3
        assert read("batch_rejects", batch="b2") == 0

    def test_of_a_run_that_failed(self, house):
        read = Reading(figures(house))
        assert read("last_run_success") == 0
        assert read("last_run_seconds") == 0
        assert read("last_success_timestamp_seconds") == 1795132810  # of the run before
        assert read("last_run_timestamp_seconds") > 1795132810
        assert "step_seconds" not in read.names()

    def test_of_a_run_that_succeeded(self, house):
        record = house.new_run("minia run", "1.0", {})
        steps = (step("features", "b2", 2.5, images=20, rejects=0), step("mine", None, 1.5))
        skipped = StepRecord(stage="words", batch="b1", action="skipped", why="")
        ended = {"state": "done", "ended_at": "2026-11-22T00:00:00+00:00"}
        house.save_run(record.model_copy(update=ended | {"steps": (*steps, skipped)}))
        house.new_run("minia run", "1.0", {})  # one that runs now says nothing yet
        read = Reading(figures(house))
        assert read("last_run_success") == 1
        assert read("last_run_seconds") == 4.0
        assert read("step_seconds", stage="features", batch="b2") == 2.5
        assert read("step_seconds", stage="mine") == 1.5
        assert read("step_count", stage="features", batch="b2", count="images") == 20
        assert len([1 for name, _ in read.samples if name == "minia_step_seconds"]) == 2

    def test_of_an_inbox(self, house):
        read = Reading(figures(house, inbox={"done": 3, "failed": 1}))
        assert read("inbox_places", verdict="done") == 3
        assert read("inbox_places", verdict="failed") == 1
        assert read("inbox_timestamp_seconds") > 0

    def test_of_nothing(self, tmp_path):
        read = Reading(figures(Warehouse(str(tmp_path / "none"))))
        assert read.names() == {"state"}
        assert read("state") == 0

    @given(st.text())
    def test_any_label_is_read_back(self, value):
        text = metrics._Text(value)
        text.add("x", "Something.", [({"batch": value}, 1)])
        ((_, labels),) = parsed(text.text())
        readable = value.encode(errors="replace").decode()
        assert dict(labels) == {"batch": readable, "warehouse": readable}


class TestFile:
    def test_is_replaced_as_a_whole(self, house, tmp_path):
        path = tmp_path / "minia.prom"
        path.write_text("older")
        write_metrics(str(path), house, pytest.fail)
        assert Reading(path.read_text())("state") == 1
        assert sorted(p.name for p in tmp_path.iterdir()) == ["W", "minia.prom"]

    def test_none(self, house, tmp_path):
        write_metrics(None, house, pytest.fail)
        assert [p.name for p in tmp_path.iterdir()] == ["W"]

    def test_that_cannot_be_written_is_only_warned_of(self, house, tmp_path):
        warnings: list[str] = []
        write_metrics(str(tmp_path / "no" / "m.prom"), house, warnings.append)
        (warning,) = warnings
        assert re.fullmatch(r"log\.metrics .*/no/m\.prom cannot be written: No such .*", warning)

    def test_a_damaged_warehouse_is_only_warned_of(self, house, tmp_path):
        house.storage.replace("catalogue/000000000002.json", b"{")
        warnings: list[str] = []
        write_metrics(str(tmp_path / "m.prom"), house, warnings.append)
        assert "cannot be understood" in warnings[0]
        assert not (tmp_path / "m.prom").exists()


def test_after_every_run(own_warehouse, tmp_path, minia):
    path = tmp_path / "minia.prom"
    given = ("--warehouse", own_warehouse, *SMALL, "--set", f"log.metrics={path}")
    minia("run", *given, "--set", "report.title=Other").expect(0)
    read = Reading(path.read_text())
    assert read("state") == 2
    assert read("last_run_success") == 1
    assert read("step_seconds", stage="report") > 0
    assert read("table_rows", table="words") == 60

    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"text")
    minia("run", *given, "--images", tmp_path / "images", "--batch", "b2").expect(3)
    read = Reading(path.read_text())
    assert (read("state"), read("last_run_success")) == (2, 0)

    (tmp_path / "inbox").mkdir()
    run_minia("reprocess", *given, "--inbox", tmp_path / "inbox").expect(0)
    assert Reading(path.read_text())("inbox_places", verdict="done") == 0
