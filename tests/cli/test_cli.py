"""Commands: their arguments, what they print, and how they end."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pytest
from commands import SMALL, chosen, run_minia

from minia_spark.base.errors import MiniaError, explained, in_step, root_cause
from minia_spark.cli import runs, state
from minia_spark.cli.parser import commands_of
from minia_spark.engine import commands
from minia_spark.engine import run as pipeline
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "native" / "build" / "smh"
COMMANDS = tuple(dict.fromkeys(c.name.split()[0] for c in commands_of(HOUSE)))
STAGES = tuple(HOUSE.stage_commands)
JOBS = ("run", "reprocess", "stage", "map", "delf", "lab", "exposures")


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run ``minia`` in a process of its own."""
    command = [sys.executable, "-m", "minia_spark.cli", *map(str, arguments)]
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)


class TestUsage:
    def test_help_lists_every_command(self):
        out = run_minia("--help").expect(0).out
        assert re.findall(r"^    (\w+)(?: |$)", out, re.MULTILINE) == list(COMMANDS)

    @pytest.mark.parametrize("command", ["", *(c.name for c in commands_of(HOUSE))])
    def test_every_help_tells_the_exit_codes(self, command):
        out = run_minia(*command.split(), "--help").expect(0).out
        assert "exit codes: 0 done, or nothing to do; 2 wrong settings or usage; 3 the" in out

    def test_version(self):
        assert re.fullmatch(r"minia \d+\.\d+\.\d+\n", run_minia("--version").expect(0).out)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: COMMAND"),
            (["nonsense"], "invalid choice: 'nonsense'"),
            (["run"], "the following arguments are required: --warehouse"),
            (["ingest", "--warehouse", "W"], "required: --images, --batch"),
            (["run", "--warehouse", "W", "--images", "."], "--images needs --batch NAME"),
            (["run", "--warehouse", "W", "--labels", "l.csv"], "--labels needs --images DIR"),
            (["run", "--warehouse", "W", "--batch", "a/b"], "batch name 'a/b': use letters"),
            (["run", "--warehouse", "W", "--set", "minig.tables=3"], "did you mean mining?"),
            (["run", "--warehouse", "W", "--config", "/nonexistent"], "cannot be read"),
            (["run", "--warehouse", "gopher://x/W"], "warehouse gopher://x/W cannot be reached"),
            (["vacuum", "--warehouse", "W", "--keep", "0"], "must be at least 1"),
            (
                ["vacuum", "--warehouse", "W", "--keep", "two"],
                "--keep: must be a whole number",
            ),
            (["vacuum", "--warehouse", "W", "--older-than", "nan"], "must be a number of days"),
            (["mine"], "give --warehouse DIR, or --words FILE with --model OUT"),
            (["mine", "--words", "a.words"], "belong together, without --warehouse"),
            (["mine", "--model", "a"], "belong together"),
            (["mine", "--words", "a", "--model", "b", "--warehouse", "W"], "without --warehouse"),
            (["mine", "--engine", "fast", "--warehouse", "W"], "invalid choice: 'fast'"),
            (["mine", "--batch", "b", "--warehouse", "W"], "unrecognized arguments: --batch b"),
            (["report", "--batch", "b", "--warehouse", "W"], "unrecognized arguments: --batch b"),
            (["path", "--warehouse", "W"], "required: TABLE"),
            (["export", "cats", "out", "--warehouse", "W"], "invalid choice: 'cats'"),
            (["reprocess", "--warehouse", "W"], "the following arguments are required: --inbox"),
            (["batch"], "the following arguments are required: ACTION"),
            (["batch", "drop", "--warehouse", "W"], "invalid choice: 'drop'"),
            (["batch", "remove", "--warehouse", "W"], "required: NAME"),
        ],
    )
    def test_wrong_usage_ends_with_2(self, tmp_path, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        found = run_minia(*arguments).expect(2)
        assert message in found.err
        assert found.out == ""
        assert list(tmp_path.iterdir()) == []  # nothing was started

    def test_settings_that_this_machine_cannot_hold_are_refused_before_anything_starts(
        self, tmp_path
    ):
        found = run_minia(
            *("run", "--warehouse", tmp_path / "W"),
            *chosen("codebook.size=1000000", "codebook.sample_size=1000000"),
            *chosen("spark.master=local[4096]"),
        ).expect(2)
        assert "lower one of these" in found.err
        assert list(tmp_path.iterdir()) == []


class TestNoInput:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["status"],
            ["status", "--json"],
            ["history"],
            ["rollback"],
            ["vacuum"],
            ["path", "words"],
            ["export", "words", "out.words"],
            ["batch", "list"],
            ["batch", "remove", "b1"],
        ],
    )
    def test_no_warehouse(self, tmp_path, arguments):
        found = run_minia(*arguments, "--warehouse", tmp_path / "W").expect(3)
        assert "no warehouse at" in found.err
        assert "'minia run --images DIR --batch NAME --warehouse DIR' makes one" in found.err
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there(self, tmp_path):
        source = ("--images", tmp_path / "none", "--batch", "b", "--warehouse", tmp_path / "W")
        for command in ("run", "plan", "ingest"):
            assert "is neither a folder nor an archive" in run_minia(command, *source).expect(3).err
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_folder(self, tmp_path):
        (tmp_path / "images").mkdir()
        source = ("--images", tmp_path / "images", "--batch", "b", "--warehouse", tmp_path / "W")
        found = run_minia("run", *source).expect(3)
        assert "holds no files; expected are JPEG, PNG, TIFF, FITS, Parquet or HDF5" in found.err
        assert Warehouse(str(tmp_path / "W")).versions() == []

    @pytest.mark.parametrize("place", ["images", "images/below/W", "door"])
    def test_a_folder_that_holds_the_warehouse(self, tmp_path, place):
        """The next run would take in the pictures of the page that this one makes."""
        images = tmp_path / "images"
        images.mkdir()
        (images / "x.png").write_bytes(b"x")
        (tmp_path / "door").symlink_to(images)
        source = ("--images", images, "--batch", "b", "--warehouse", tmp_path / place)
        for command in ("plan", "run", "ingest"):
            found = run_minia(command, *source).expect(3)
            assert "the warehouse " in found.err
            assert f" lies in {images}" in found.err
            assert "keep it elsewhere, or call it by a name that begins with a dot" in found.err
            assert {path.name for path in images.rglob("*")} <= {"x.png", "below", "W", "runs"}

    def test_a_folder_that_holds_the_warehouse_where_no_run_looks(self, tmp_path):
        images = tmp_path / "images"
        images.mkdir()
        (images / "x.png").write_bytes(b"x")
        for place in (images / ".minia" / "W", tmp_path / "images2"):
            source = ("--images", images, "--batch", "b", "--warehouse", place)
            assert "ingest" in run_minia("plan", *source).out

    def test_labels_that_are_not_there(self, tmp_path, survey):
        found = run_minia(
            *("run", "--images", survey.images, "--batch", "b", "--warehouse", tmp_path / "W"),
            *("--labels", tmp_path / "none.csv"),
        ).expect(3)
        assert re.search(r"label file .*none\.csv cannot be read: No such file", found.err)

    @pytest.mark.parametrize(
        ("command", "column", "wanted"),
        [
            ("run", "label", r"ingest\.labels\.label_column names a column of a labels file"),
            ("plan", "key", r"key_column names a column .*, and there is none: give --labels CSV"),
            ("reprocess", "ra", r"ra_column .* there is none: give ingest\.labels\.file=CSV, or"),
        ],
    )
    def test_columns_of_labels_that_were_not_given(
        self, tmp_path, survey, command, column, wanted, opened
    ):
        before = len(opened)
        source = ["--images", survey.images, "--batch", "b"]
        source = ["--inbox", survey.images.parent] if command == "reprocess" else source
        where = (*source, "--warehouse", tmp_path / "W")
        setting = f"ingest.labels.{column}_column=x"
        assert re.search(wanted, run_minia(command, *where, "--set", setting).expect(2).err)
        config = tmp_path / "my.yaml"
        config.write_text(f"ingest: {{labels: {{{column}_column: x}}}}")
        assert re.search(wanted, run_minia(command, *where, "--config", config).expect(2).err)
        assert (len(opened), (tmp_path / "W").exists()) == (before, False)
        # a settings file also serves calls that take in nothing
        if command == "plan":
            rest = ("--for-images", "10", "--warehouse", tmp_path / "W", "--config", config)
            run_minia("plan", *rest).expect(0)

    @pytest.mark.parametrize(
        "command", ["run", "plan", *(s for s in STAGES if not HOUSE.by_name[s].source)]
    )
    def test_nothing_was_ingested(self, tmp_path, command):
        found = run_minia(command, "--warehouse", tmp_path / "W").expect(3)
        assert "W holds no batch of images yet; 'minia run --images DIR" in found.err

    @pytest.mark.parametrize(
        ("command", "gone", "wanted"),
        [
            ("words", "codebook", "words needs table codebooks of batch b1"),
            ("mine", "words", "tune needs table word_counts, "),
            ("structures", "mine", "lineage needs table structures, "),
        ],
    )
    def test_a_stage_before_its_input(self, own_warehouse, command, gone, wanted):
        house = Warehouse(str(own_warehouse))
        base = house.catalogue()
        house.commit(base, "r", [e for e in base.entries if e.stage != gone], "")
        found = run_minia(command, "--warehouse", own_warehouse, *SMALL).expect(3)
        assert wanted in found.err
        assert f"run 'minia {gone}' first, or 'minia run --lines discovery' for" in found.err

    def test_a_batch_that_was_never_ingested(self, own_warehouse):
        where = ("--batch", "b7", "--warehouse", own_warehouse, *SMALL)
        found = run_minia("features", *where).expect(3)
        assert "features needs table images of batch b7, which was never made" in found.err
        assert "--batch names the batch of --images DIR" in run_minia("run", *where).expect(2).err
        wrong = run_minia("path", "words", "--batch", "b7", "--warehouse", own_warehouse)
        assert "table 'words' of batch 'b7' is not in" in wrong.expect(3).err


class TestSecondRun:
    def test_does_nothing_says_so_and_starts_no_spark(self, minia, opened, warehouse, survey):
        before = len(opened), len(list(Warehouse(str(warehouse)).runs()))
        source = ("--images", survey.images, "--batch", "b1", "--labels", survey.labels)
        again = minia("run", *source, "--warehouse", warehouse, *SMALL).expect(0)
        assert again.out.startswith("nothing to do: everything is up to date\n")
        assert f"page: {warehouse}/report/index.html" in again.out
        assert again.err == ""
        assert len(opened) == before[0]
        told = json.loads(minia("status", "--json", "--warehouse", warehouse).expect(0).out)
        assert told["state"] == 1
        assert told["last_run"]["state"] == "nothing to do"
        assert {step["action"] for step in told["last_run"]["steps"]} == {"skipped"}
        assert len(list(Warehouse(str(warehouse)).runs())) == before[1] + 1

    @pytest.mark.parametrize("command", ["features", "words", "codebook", "mine", "structures"])
    def test_of_one_stage(self, minia, opened, warehouse, command):
        before = len(opened)
        assert "nothing to do" in minia(command, "--warehouse", warehouse, *SMALL).expect(0).out
        assert len(opened) == before


class TestLooking:
    """Commands that start no Spark."""

    def test_status(self, warehouse):
        out = run_minia("status", "--warehouse", warehouse).expect(0).out
        assert f"warehouse {warehouse}\n" in out
        assert re.search(r"^state     1, published 20\d\d-\d\d-\d\dT.* by \S+$", out, re.MULTILINE)
        assert re.search(r"^b1 +60 +0$", out, re.MULTILINE)
        assert re.search(r"^words +60$", out, re.MULTILINE)
        assert re.search(r"^codebooks +120$", out, re.MULTILINE)
        assert f"page: {warehouse}/report/index.html" in out

    def test_status_tells_of_batches_that_lie_badly_on_a_map(self, warehouse, monkeypatch):
        rows = [
            {"variant": "words", "batch": "b1", "advice": None},
            {"variant": "words", "batch": "b2", "advice": "the images of batch b2 lie badly"},
        ]
        read, of_table = Warehouse.rows_of, Catalogue.of_table
        mark = object()
        monkeypatch.setattr(
            Catalogue,
            "of_table",
            lambda s, t, *a: [mark] if t == "map_quality" else of_table(s, t, *a),
        )
        monkeypatch.setattr(
            Warehouse,
            "rows_of",
            lambda s, e, *a, **k: (
                pa.Table.from_pylist(rows) if list(e) == [mark] else read(s, e, *a, **k)
            ),
        )
        out = run_minia("status", "--warehouse", warehouse).expect(0).out
        assert "\nmaps\nwords: the images of batch b2 lie badly\n" in out
        told = json.loads(run_minia("status", "--json", "--warehouse", warehouse).expect(0).out)
        assert told["map_advice"] == rows[1:]

    def test_status_for_programs(self, warehouse):
        told = json.loads(run_minia("status", "--json", "--warehouse", warehouse).expect(0).out)
        assert told["images"] == told["tables"]["features"] == told["tables"]["words"] == 60
        assert told["batches"] == [{"batch": "b1", "images": 60, "rejects": 0}]
        assert told["structures"] == told["tables"]["structures"] > 1
        assert told["page"] == f"{warehouse}/report/index.html"
        assert told["rejects"] == 0

    def test_history(self, warehouse):
        out = run_minia("history", "--warehouse", warehouse).expect(0).out
        assert re.search(r"^ +1  20\S+ +20\S+ +minia run --batch b1$", out, re.MULTILINE)
        assert re.search(r"^20\S+ +20\S+ +[1-9]\d*\.\d  minia run --batch b1: done$", out, re.M)
        told = json.loads(run_minia("history", "--json", "--warehouse", warehouse).expect(0).out)
        assert [state["version"] for state in told["states"]] == [1]
        first = told["runs"][-1]
        assert [step["stage"] for step in first["steps"]][:2] == ["ingest", "features"]
        assert first["settings"]["codebook"]["size"] == 120

    def test_path(self, warehouse):
        out = run_minia("path", "words", "--warehouse", warehouse).expect(0).out
        (folder,) = out.splitlines()
        assert folder.startswith(f"{warehouse}/words/run=")
        assert list(Path(folder).glob("*.parquet"))
        (folder,) = run_minia(
            *("path", "words", "--variant", "sift", "--warehouse", warehouse)
        ).out.splitlines()
        assert folder.endswith("/batch=b1/variant=sift")
        found = run_minia("path", "strutures", "--warehouse", warehouse).expect(3)
        assert "table 'strutures' is not in" in found.err
        assert "; did you mean 'structures'?; tables: " in found.err
        wrong = run_minia("path", "words", "--variant", "orb", "--warehouse", warehouse).expect(3)
        assert "of variant 'orb' is not in" in wrong.err
        assert wrong.err.endswith("variants of words: sift\n")

    def test_batches(self, warehouse):
        run = list(Warehouse(str(warehouse)).runs())[-1]
        out = run_minia("batch", "list", "--warehouse", warehouse).expect(0).out.splitlines()
        assert out[0].split() == ["batch", "images", "rejects", "read", "run"]
        assert [line.split() for line in out[1:]] == [["b1", "60", "0", run.started_at, run.run]]
        told = json.loads(
            run_minia("batch", "list", "--json", "--warehouse", warehouse).expect(0).out
        )
        facts = {"batch": "b1", "images": 60, "rejects": 0}
        assert told == [facts | {"read_at": run.started_at, "run": run.run}]

    def test_a_batch_outlives_its_page_in_the_ledger(self, own_warehouse):
        shutil.rmtree(own_warehouse / "runs")
        listed = run_minia("batch", "list", "--json", "--warehouse", own_warehouse).expect(0)
        (batch,) = json.loads(listed.out)
        assert (batch["images"], batch["read_at"]) == (60, None)
        run_minia("batch", "remove", "b1", "--warehouse", own_warehouse).expect(0)

    def test_settings(self, tmp_path):
        (tmp_path / "s.yaml").write_text("mining: {tables: 5}\n")
        out = run_minia(
            *("settings", "--config", tmp_path / "s.yaml", "--set", "mining.tuple_size=7")
        ).out
        assert "  tables: 5\n" in out
        assert "  tuple_size: 7\n" in out

    def test_a_damaged_catalogue(self, own_warehouse):
        (own_warehouse / "catalogue/000000000002.json").write_text("{")
        for command in (["status"], ["path", "words"], ["run"], ["vacuum"]):
            found = run_minia(*command, "--warehouse", own_warehouse).expect(3)
            assert "catalogue/000000000002.json cannot be understood" in found.err
        found = run_minia("rollback", "--warehouse", own_warehouse).expect(0)
        assert found.out.startswith("state 3 is a copy of")
        run_minia("status", "--warehouse", own_warehouse).expect(0)

    def test_a_warehouse_in_use(self, own_warehouse):
        with Warehouse(str(own_warehouse)).lock("minia run --batch b9"):
            for command in (["run"], ["rollback"], ["vacuum"], ["mine"]):
                found = run_minia(*command, "--warehouse", own_warehouse, *()).expect(1)
                assert f"in use by process {os.getpid()} on host" in found.err
                assert "(minia run --batch b9)" in found.err
            run_minia("status", "--warehouse", own_warehouse).expect(0)  # readers do not wait


class TestPlan:
    def test_of_a_new_warehouse(self, tmp_path, survey):
        source = ("--images", survey.images, "--batch", "b1", "--warehouse", tmp_path / "W")
        out = run_minia("plan", *source, *SMALL, "--set", "spark.master=local[2]").expect(0).out
        lines = out.splitlines()
        assert lines[0].split() == ["stage", "batch", "variant", "action", "why"]
        wanted = [name for name in HOUSE.stages_of(("discovery",)) if name != "import"]
        assert [line.split()[0] for line in lines[1 : 1 + len(wanted)]] == wanted
        assert lines[1].split() == ["ingest", "b1", "run", "not", "made", "yet"]
        assert lines[5].endswith("after ingest, features, codebook")
        assert "images            60 (60 listed in the given folder)" in out
        assert "features an image 100.0 (assumed)" in out
        assert "partitions        3, on 2 cores" in out
        assert list(tmp_path.iterdir()) == []

    def test_for_programs(self, warehouse, survey):
        source = ("--images", survey.images, "--batch", "b2", "--warehouse", warehouse)
        told = json.loads(run_minia("plan", "--json", *source, *SMALL).expect(0).out)
        assert told["state"] == 1
        actions = {(s["stage"], s["batch"]): s["action"] for s in told["steps"]}
        assert actions["codebook", None] == "skip"  # it is frozen
        assert actions["features", "b1"] == actions["words", "b1"] == "skip"
        assert actions["features", "b2"] == actions["mine", None] == "run"
        assert told["needs"]["images"] == 120
        assert told["needs"]["new_images"] == 60
        assert told["needs"]["features_are_measured"] is True
        assert 30 < told["needs"]["features_per_image"] < 36

    def test_nothing_to_do(self, warehouse):
        out = run_minia("plan", "--warehouse", warehouse, *SMALL).expect(0).out
        assert out.endswith("\nnothing to do\n")

    def test_impossible_settings(self, warehouse):
        found = run_minia("plan", "--warehouse", warehouse, "--set", "spark.master=local[0]")
        assert "leaves no core to work with" in found.expect(2).err


class TestRollbackAndVacuum:
    def test_back_and_forth(self, own_warehouse, minia):
        more = chosen("report.title=Other")
        minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
        page = own_warehouse / "report/index.html"
        assert "<title>Other" in page.read_text()
        found = run_minia("rollback", "--warehouse", own_warehouse).expect(0)
        assert found.out.startswith("state 3 is a copy of what was published by run 20")
        assert "<title>Other" not in page.read_text()  # the page goes with the state
        run_minia("rollback", "--warehouse", own_warehouse, "--to", "2").expect(0)
        assert "<title>Other" in page.read_text()
        wrong = run_minia("rollback", "--warehouse", own_warehouse, "--to", "9").expect(3)
        assert re.search(r"state 9 is not in .*; kept: 1, 2, 3, 4", wrong.err)

        now = ("--keep", "1", "--older-than", "0", "--warehouse", own_warehouse)
        young = run_minia("vacuum", *now[:2], *now[4:]).expect(0)
        assert young.out == "removed 0 folders and states, 0.0 MiB\n"
        refused = run_minia("vacuum", *now).expect(2)
        assert "--older-than 0 is less than 7 days: who still reads" in refused.err
        told = run_minia("vacuum", *now, "--dry-run")
        done = run_minia("vacuum", *now, "--force").expect(0)
        listed = told.expect(0).out.splitlines()
        assert done.out.splitlines()[:-1] == listed[:-1]
        assert re.fullmatch(r"would remove 4 folders and states, \d+\.\d MiB", listed[-1])
        assert [line.split("/")[0] for line in listed[:-1]] == ["report", *["catalogue"] * 3]
        assert "nothing to do" in minia("run", "--warehouse", own_warehouse, *SMALL, *more).out
        assert Warehouse(str(own_warehouse)).versions() == [4, 5]

    def test_the_first_state(self, own_warehouse):
        found = run_minia("rollback", "--warehouse", own_warehouse).expect(3)
        assert "has no state before 1" in found.err


class TestOutputs:
    """What a command writes is none of the files that it reads, and replaces files only."""

    @pytest.mark.parametrize("output", ["log.file", "log.metrics"])
    @pytest.mark.parametrize("command", ["run", "reprocess", "mine", "batch remove b"])
    def test_over_an_input(self, tmp_path, monkeypatch, output, command):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "inbox").mkdir()
        config, labels = tmp_path / "c.yaml", tmp_path / "l.csv"
        config.write_text("ingest: {labels: {file: l.csv}}\n")
        labels.write_text("image,label\na,b\n")
        (tmp_path / "link").symlink_to("l.csv")
        Warehouse("W").commit(Warehouse("W").catalogue(), "r", [], "minia run")
        rest = ("--inbox", "inbox") if command == "reprocess" else ()
        for path, what in (("./c.yaml", "--config"), ("link", "ingest.labels.file")):
            given = ("--config", config, *chosen(f"{output}={path}"), *rest)
            found = run_minia(*command.split(), "--warehouse", "W", *given).expect(2)
            assert f"{output} would be written over {what}, {path}: give another name" in found.err
        both = chosen("log.file=same", "log.metrics=./same")
        found = run_minia(*command.split(), "--warehouse", "W", *rest, *both).expect(2)
        assert "log.metrics would be written over log.file, ./same: give another" in found.err
        assert config.read_text() + labels.read_text() == (
            "ingest: {labels: {file: l.csv}}\nimage,label\na,b\n"
        )

    @pytest.mark.parametrize("what", ["words", "ifs", "features"])
    def test_of_an_export(self, tmp_path, what):
        Warehouse(str(tmp_path / "W")).commit(
            Warehouse(str(tmp_path / "W")).catalogue(), "r", [], "minia run"
        )
        state_file = tmp_path / "W/catalogue/000000000001.json"
        before = state_file.read_bytes()
        (tmp_path / "link").symlink_to(state_file)
        config = tmp_path / "c.yaml"
        config.write_text("")
        os.mkfifo(tmp_path / "pipe")
        side = {"features": ".descriptors"}.get(what, ".images")
        (tmp_path / f"new{side}").symlink_to("pipe")
        for out, code, message in (
            (tmp_path / "W" / "out", 2, "lies in the warehouse"),
            (state_file, 2, "lies in the warehouse"),
            (tmp_path / "link", 2, "lies in the warehouse"),
            (config, 2, "would be written over --config"),
            (tmp_path / "none" / "out", 1, "No such file"),
            (tmp_path / "pipe", 1, "what is there is not replaced: no regular file"),
            (tmp_path / "new", 1, "what is there is not replaced: no regular file"),
        ):
            given = ("--warehouse", tmp_path / "W", "--config", config)
            assert message in run_minia("export", what, out, *given).expect(code).err
        assert state_file.read_bytes() == before


class TestEndings:
    def test_an_interrupt(self, monkeypatch, tmp_path):
        def interrupted(_: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(runs, "run", interrupted)
        found = run_minia("run", "--warehouse", tmp_path).expect(1)
        assert found.err == "minia run: interrupted; the next run goes on\n"

    def test_a_scheduler_that_stops_it(self, monkeypatch, tmp_path):
        """SIGTERM: the lock is given back, and the ledger says what happened."""
        house = Warehouse(str(tmp_path / "W"))

        def stopped(_: object) -> int:
            with house.lock("minia run"):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            return 0

        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(runs, "run", stopped)
        found = run_minia("run", "--warehouse", tmp_path / "W").expect(1)
        assert found.err == "minia run: stopped; the next run goes on\n"
        assert not house.storage.exists("lock.json")
        assert signal.getsignal(signal.SIGTERM) == before

    def test_anything_else(self, monkeypatch, tmp_path):
        def broken(_: object) -> int:
            raise ZeroDivisionError("by what?\nfurther lines")

        monkeypatch.setattr(runs, "run", broken)
        monkeypatch.delenv("MINIA_TRACEBACK", raising=False)
        found = run_minia("run", "--warehouse", tmp_path).expect(1)
        assert found.err.startswith("minia run: ZeroDivisionError: by what?; nobody foresaw that: ")
        assert "Traceback" not in found.err
        monkeypatch.setenv("MINIA_TRACEBACK", "1")
        assert "Traceback" in run_minia("run", "--warehouse", tmp_path).expect(1).err

    @pytest.mark.parametrize("anything_to_do", [True, False])
    def test_what_readers_see_after_a_failure(self, monkeypatch, tmp_path, anything_to_do):
        """Before the commit the old state; after it the new one, whatever else goes wrong."""
        house = Warehouse(str(tmp_path / "W"))
        house.commit(house.catalogue(), "r1", [], "minia run", settings={"report": {"title": "A"}})

        def planned(_house, request, *_: object) -> tuple[object, object]:
            base = house.catalogue()
            plan = SimpleNamespace(is_empty=not anything_to_do, steps=(), base=base, start=base)
            return plan, SimpleNamespace(request=request, steps=lambda _: ())

        def broken(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(pipeline, "make_plan", planned)
        old = "Readers still see the state before this run"
        for place, name, published in (
            (Warehouse, "commit", 0),
            (pipeline, "publish_page", 2),
            (commands, "tell_end", 3),
        ):
            title = chosen(f"report.title={name}")
            with monkeypatch.context() as patch:
                patch.setattr(place, name, broken)
                found = run_minia("run", "--warehouse", tmp_path / "W", *title).expect(1)
            assert "minia run: Input/output error; the disk or the network behind" in found.err
            new = f"State {published} is published, and readers see it; "
            assert (old in found.err, new in found.err) == (not published, bool(published))
            record = next(house.runs())
            assert (record.catalogue, record.succeeded) == (published, bool(published))

    @pytest.mark.parametrize("command", ["status", "history", "rollback"])
    def test_a_command_that_runs_nothing_tells_nothing_of_a_run(self, monkeypatch, command):
        def broken(_: object) -> int:
            raise ZeroDivisionError

        monkeypatch.setattr(state, command, broken)
        found = run_minia(command, "--warehouse", "W").expect(1)
        assert "Readers" not in found.err
        assert "MINIA_TRACEBACK=1 shows where it happened." in found.err

    def test_a_rollback_whose_page_cannot_be_written(self, monkeypatch, tmp_path):
        house = Warehouse(str(tmp_path / "W"))
        for run in ("r1", "r2"):
            house.commit(house.catalogue(), run, [], "minia run")

        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(pipeline, "publish_page", broken)
        found = run_minia("rollback", "--warehouse", tmp_path / "W").expect(1)
        assert "State 3 is published, and readers see it; " in found.err

    def test_of_a_spark_error_the_line_that_says_what_happened(self):
        text = (
            "An error occurred while calling o1.collect.\n: org.apache.spark.SparkException: Job "
            "aborted\nTraceback (most recent call last):\n  File x\n"
            "minia_spark.base.errors.MiniaError: smh failed\n\n\tat org.apache.spark.Y: z\n"
        )
        assert root_cause(Exception(text)) == "minia_spark.base.errors.MiniaError: smh failed"
        assert root_cause(ValueError("")) == "ValueError: no message"

    def test_a_closed_pipe(self, warehouse):
        """The reader is gone before the first line: quiet, and not a success."""
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "minia_spark.cli", "path", "words", "--warehouse"]
        with os.fdopen(writing, "wb") as pipe:
            done = subprocess.run(
                [*command, str(warehouse)], stdout=pipe, stderr=subprocess.PIPE, check=False
            )
        assert (done.returncode, done.stderr) == (1, b"")

    @pytest.mark.parametrize("command", [["settings"], ["status"], ["path", "words"]])
    def test_a_full_disk(self, warehouse, command):
        where = ["--warehouse", str(warehouse)] if command != ["settings"] else []
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "minia_spark.cli", *command, *where],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Exception ignored" not in done.stderr

    @pytest.mark.parametrize("nowhere", ["2> /dev/full", "2>&-", "2>&1 1> /dev/null | true"])
    @pytest.mark.parametrize(
        ("command", "code"),
        [("status --warehouse none", 3), ("nonsense", 2), ("reprocess --inbox . --warehouse W", 0)],
    )
    def test_messages_that_nobody_gets_change_nothing(self, tmp_path, command, code, nowhere):
        """A full disk, none at all, and a reader that has gone, as 'head' does."""
        (tmp_path / "stray").touch()  # an inbox that there is something to say about
        (tmp_path / "night").mkdir()
        line = f"set -o pipefail; {sys.executable} -m minia_spark.cli {command} {nowhere}"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (code, b"")
        if code == 0 and "null" not in nowhere:
            assert done.stdout.decode().splitlines()[-1] == "reprocess: 1 waiting"

    def test_results_that_nobody_gets_do_not_end_a_call_half_way(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        command = f"{sys.executable} -m minia_spark.cli reprocess --inbox . --warehouse W"
        for nowhere in ("> /dev/full", "| true"):
            line = f"set -o pipefail; {command} --log-json log {nowhere}"
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False, text=True
            )
            assert done.returncode == 1
            assert done.stderr.count("minia reprocess: the output cannot be written: ") == 1
            assert done.stderr.endswith("; all else was done\n")
            events = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
            assert events[-1]["message"] == "reprocess: 2 waiting"
            (tmp_path / "log").unlink()

    @pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&- <&-"])
    def test_closed_streams(self, tmp_path, closed):
        """What is opened next would get their numbers, and every message."""
        line = f"{sys.executable} -m minia_spark.cli settings {closed}"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_exit_codes_reach_the_shell(self, tmp_path):
        assert process("settings").returncode == 0
        assert process("run", "--warehouse", tmp_path, "--set", "x=1").returncode == 2
        assert process("status", "--warehouse", tmp_path).returncode == 3

    def test_the_installed_command(self):
        scripts = (ROOT / "pyproject.toml").read_text()
        assert 'minia = "minia_spark.cli:main"' in scripts


class TestJobs:
    def test_one_a_line_and_one_for_single_stages(self):
        assert sorted(p.stem for p in (ROOT / "jobs").glob("*.py")) == sorted(JOBS)

    @pytest.mark.parametrize(
        ("job", "command"),
        [
            ("run", "run"),
            ("reprocess", "reprocess"),
            ("stage", "words"),
            ("delf", "delf tfrecords"),
        ],
    )
    def test_takes_the_arguments_of_its_command(self, job, command):
        given = {"stage": [command], "delf": ["tfrecords"]}.get(job, [])
        done = subprocess.run(
            [sys.executable, ROOT / "jobs" / f"{job}.py", *given, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        options = re.compile(r"--[a-z]+")
        wanted = options.findall(run_minia(*command.split(), "--help").out)
        assert sorted(set(options.findall(done.stdout))) == sorted(set(wanted))
        assert f"usage: minia {command}" in done.stdout

    def test_ends_with_the_commands_exit_code(self, tmp_path):
        job = ROOT / "jobs" / "stage.py"
        command = [sys.executable, job, "mine", "--warehouse", tmp_path / "W"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert "minia mine: " in done.stderr


class TestSettingsAreRemembered:
    """What a warehouse was made with is what the next run works with."""

    def test_a_run_without_set_uses_them(self, minia, opened, warehouse):
        before = len(opened)
        assert "nothing to do" in minia("run", "--warehouse", warehouse).expect(0).out
        assert len(opened) == before

    def test_status_and_settings_show_them(self, warehouse):
        out = run_minia("status", "--warehouse", warehouse).expect(0).out
        assert re.search(r"^  codebook\.size +.* -> 120$", out, re.MULTILINE)
        assert "spark.partitions" not in out  # that belongs to the call
        told = run_minia("settings", "--warehouse", warehouse).expect(0).out
        assert "  size: 120\n" in told

    def test_history_shows_what_changed(self, own_warehouse, minia):
        more = chosen("report.title=Other")
        minia("run", "--warehouse", own_warehouse, *more).expect(0)
        out = run_minia("history", "--warehouse", own_warehouse).expect(0).out
        assert "report.title Visual structures -> Other" in out

    def test_what_makes_nothing_outdated_is_remembered_too(self, own_warehouse, minia, opened):
        before = len(opened)
        more = chosen("words.weight=size", "report.title=Visual structures")
        assert minia("plan", "--warehouse", own_warehouse, *more).expect(0).out
        minia("run", "--warehouse", own_warehouse, *chosen("codebook.reuse=null")).expect(0)
        assert len(opened) == before

    def test_the_reason_names_the_setting(self, warehouse):
        out = run_minia(
            "plan", "--warehouse", warehouse, *chosen("mining.density=0.4", "mining.max_q=0.1")
        ).expect(0)
        assert "mining.density null -> 0.4, mining.max_q 0.05 -> 0.1" in out.out

    @pytest.mark.parametrize(
        ("setting", "what"),
        [
            ("codebook.size=100", "codebook.size 120 -> 100: would replace the codebook"),
            ("features.sift.sigma=2", "features.sift.sigma 1.6 -> 2.0: would replace the features"),
        ],
    )
    def test_costly_work_is_not_thrown_away_unasked(self, warehouse, setting, what):
        given = ("--warehouse", warehouse, *chosen(setting))
        for command in ("run", "plan"):
            found = run_minia(command, *given).expect(2)
            assert what in found.err
            assert "for 60 images. Nothing was changed. Add --replace" in found.err
        out = run_minia("plan", *given, "--replace").expect(0).out
        assert setting.partition("=")[0] in out

    def test_a_file_takes_their_place(self, warehouse, tmp_path):
        (tmp_path / "s.yaml").write_text("mining: {decoys: 5}\n")
        found = run_minia("plan", "--warehouse", warehouse, "--config", tmp_path / "s.yaml")
        assert "codebook.size 120 -> " in found.expect(2).err

    def test_another_layout_is_refused(self, own_warehouse):
        state = own_warehouse / "catalogue/000000000001.json"
        told = json.loads(state.read_text())
        for older in ({k: v for k, v in told.items() if k != "format"}, told | {"format": 99}):
            state.write_text(json.dumps(older))
            found = run_minia("status", "--warehouse", own_warehouse).expect(3)
            assert re.search(r"was written in layout \d+, and this version .* reads", found.err)


class TestMineAFile:
    """``minia mine --words FILE --model OUT``: no warehouse, no Spark."""

    @pytest.fixture
    def words(self, tmp_path: Path) -> Path:
        """Forty documents; items 1, 2, 3 and 11, 12, 13, 14 come together, the rest by chance."""
        generator = np.random.default_rng(0)
        lines = []
        for number in range(40):
            bag = set(generator.integers(20, 32, 5).tolist())
            bag |= {1, 2, 3} if number % 4 == 0 else set()
            bag |= {11, 12, 13, 14} if number % 5 == 0 else set()
            lines.append(f"{len(bag)} " + " ".join(f"{item}:1" for item in sorted(bag)))
        (tmp_path / "corpus.words").write_text("\n".join(lines) + "\n")
        return tmp_path / "corpus.words"

    def mine(self, words, model, engine, *settings):
        return run_minia(
            *("mine", "--words", words, "--model", model, "--engine", engine, "--link", "single"),
            *chosen("mining.tables=60", "mining.tuple_size=3", "mining.decoys=0", "mining.seeds=0"),
            *chosen(*settings),
        )

    def test_says_how_far_each_is_to_be_believed(self, words, tmp_path):
        """Forty documents of 31 words: two planted groups, and what chance puts together."""
        given = ("--words", words, "--model", tmp_path / "out.model", "--engine", "datasketch")
        table = tmp_path / "out.csv"
        found = run_minia("mine", *given, "--assessment", table, "--auto").expect(0)
        models = (tmp_path / "out.model").read_text().splitlines()
        items = [sorted(int(f.split(":")[0]) for f in line.split()[1:]) for line in models]
        assert items == [[11, 12, 13, 14], [1, 2, 3]]
        head, first, second, summary = found.out.splitlines()
        assert head.split() == ["rank", "support", "lift", "q", "stability", "words"]
        assert first.split()[:2] == ["1", "8"]
        assert first.endswith(" 0.05         1  11, 12, 13, 14")
        assert second.endswith(" 1, 2, 3")
        assert summary == (
            f"2 structures: {tmp_path / 'out.model'} (2 with q <= 0.05, 2 with stability >= 0.5)"
        )
        assert "By chance two words have a Jaccard similarity of" in found.err
        assert "3 other seeds, 10 decoys; engine datasketch" in found.err
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["words"], row["support"]) for row in rows] == [("4", "8"), ("3", "10")]
        assert all(float(row["lift"]) > 1 for row in rows)
        assert [(float(row["q"]), row["stability"]) for row in rows] == [(0.05, "1")] * 2

    def test_says_what_is_beyond_a_background(self, tmp_path):
        """Documents hold the first or the last words; six rarer ones come together beside that."""
        generator = np.random.default_rng(3)
        full = generator.random(600) < 0.5
        first, last = np.where(full, 0.15, 0.45), np.where(full, 0.6, 0.2)
        odds = np.repeat(np.stack([first, last], axis=1), 30, axis=1)
        held = generator.random((600, 60)) < odds
        held[:, :6] = (generator.random((600, 6)) < 0.2) | (generator.random((600, 1)) < 0.1)
        lines = [
            f"{len(bag)} " + " ".join(f"{item}:1" for item in bag)
            for bag in (np.flatnonzero(row).tolist() for row in held)
        ]
        (tmp_path / "corpus.words").write_text("\n".join(lines) + "\n")
        given = ("--words", tmp_path / "corpus.words", "--model", tmp_path / "out.model")
        given += ("--assessment", tmp_path / "out.csv")
        given += tuple(chosen("mining.chance=background", "mining.engine=datasketch"))
        found = run_minia("mine", *given).expect(0)
        head, best, summary = found.out.splitlines()
        assert head.split() == ["rank", "support", "lift", "beyond", "q", "stability", "words"]
        assert "Images differ in one broad way" in found.err
        assert sorted(best.replace(",", "").split()[6:]) == list("012345")
        with (tmp_path / "out.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        names = ("support", "lift", "lift_beyond", "q", "stability")
        assert best.split()[1:6] == [f"{float(row[name]):.3g}" for name in names]
        assert float(row["lift"]) != float(row["lift_beyond"]) > 1.5
        assert summary.startswith("1 structures: ")

    def test_words_by_name(self, words, tmp_path):
        """A name is printed as it is, unless a terminal would take it for something else."""
        names = [f"word-{n}" for n in range(32)]
        names[2], names[12] = "gr\u00fcn", "\x1b[31m"
        (tmp_path / "names").write_text("\n".join(names) + "\n")
        given = ("--words", words, "--model", tmp_path / "out.model", "--engine", "datasketch")
        found = run_minia("mine", *given, "--vocab", tmp_path / "names", "--auto").expect(0)
        assert "word-11, '\\x1b[31m', word-13, word-14\n" in found.out
        assert "word-1, gr\u00fcn, word-3\n" in found.out

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (b"a\nb\n", "names has 2 lines, too few: the corpus holds word 31"),
            (b"a\n\xff\n" * 20, "names, line 2: not UTF-8"),
            (None, "names cannot be read: No such file"),
        ],
    )
    def test_names_that_do_not_fit(self, words, tmp_path, names, message):
        if names is not None:
            (tmp_path / "names").write_bytes(names)
        given = ("--words", words, "--model", tmp_path / "out.model")
        found = run_minia("mine", *given, "--vocab", tmp_path / "names").expect(3)
        assert message in found.err
        assert not (tmp_path / "out.model").exists()

    def test_places_are_checked_before_the_work(self, words, tmp_path):
        before = words.read_bytes()
        given = ("mine", "--words", words, "--engine", "datasketch", "--model")
        found = run_minia(*given, tmp_path / ".." / tmp_path.name / words.name).expect(2)
        assert "the model would be written over the corpus" in found.err
        found = run_minia(*given, tmp_path / "m", "--assessment", tmp_path / "m").expect(2)
        assert "the table would be written over the model" in found.err
        found = run_minia(*given, tmp_path / "none" / "m")
        assert found.code != 0
        assert "m cannot be written: No such file or directory" in found.err
        found = run_minia(*given, tmp_path / "m", "--assessment", tmp_path)
        assert f"table {tmp_path} cannot be written: it is a folder" in found.err
        assert "Mining" not in found.err
        assert words.read_bytes() == before
        assert sorted(p.name for p in tmp_path.iterdir()) == [words.name]

    def test_outliers_are_left_out(self, words, tmp_path):
        """The planted words occur 8 to 10 times, the others about 17."""
        given = ("--words", words, "--model", tmp_path / "out.model", "--engine", "datasketch")
        few = chosen(
            *("mining.tables=60", "mining.tuple_size=3", "mining.decoys=0", "mining.seeds=0"),
            *("words.drop_outliers=true", "words.outlier_deviations=0.7", "mining.link=single"),
        )
        found = run_minia("mine", *given, *few).expect(0)
        counts = np.zeros(32)
        for line in words.read_text().splitlines():
            for field in line.split()[1:]:
                counts[int(field.split(":")[0])] += 1
        kept = np.flatnonzero(np.abs(counts - counts.mean()) <= 0.7 * counts.std()).tolist()
        assert f"{len(kept)} of 32 words are no outliers" in found.err
        models = (tmp_path / "out.model").read_text().splitlines()
        assert {int(f.split(":")[0]) for line in models for f in line.split()[1:]} <= set(kept)

    def test_set_wins_over_auto(self, words, tmp_path):
        given = ("--words", words, "--model", tmp_path / "out.model", "--engine", "datasketch")
        few = chosen("mining.tables=7", "mining.decoys=0", "mining.seeds=0")
        found = run_minia("mine", *given, "--auto", *few).expect(0)
        assert "7 tables are set." in found.err
        assert "Mining with 7 tables of" in found.err

    def test_a_corpus_that_can_be_read_once_only(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        found = self.mine(tmp_path / "pipe", tmp_path / "out", "datasketch").expect(3)
        assert "pipe is no file that can be read more than once" in found.err

    def test_finds_what_comes_together(self, words, tmp_path):
        found = self.mine(words, tmp_path / "out.model", "datasketch").expect(0)
        models = (tmp_path / "out.model").read_text().splitlines()
        # a structure's items come by falling frequency; chance adds a few rare ones at the end
        items = [[int(f.split(":")[0]) for f in line.split()[1:]] for line in models]
        assert [1, 2, 3] in [own[:3] for own in items]
        assert [11, 12, 13, 14] in [own[:4] for own in items]
        last = found.out.splitlines()[-1]
        assert last == f"{len(models)} structures: {tmp_path / 'out.model'}"
        assert "Mining with 60 tables of 3 MinHashes" in found.err

    @pytest.mark.skipif(not BINARY.is_file(), reason="no native/build/smh: ./build.sh native")
    @pytest.mark.parametrize("settings", [(), ("mining.expand=true", "mining.seed=7")])
    def test_both_engines_write_the_same_bytes(self, words, tmp_path, settings):
        for engine in ("native", "datasketch"):
            self.mine(words, tmp_path / engine, engine, *settings).expect(0)
        written = (tmp_path / "native").read_bytes()
        assert written == (tmp_path / "datasketch").read_bytes()
        assert written.count(b"\n") >= 2

    def test_an_empty_corpus(self, words, tmp_path):
        words.write_text("")
        self.mine(words, tmp_path / "out", "datasketch").expect(0)
        assert (tmp_path / "out").read_bytes() == b""

    def test_a_malformed_corpus_is_named_and_nothing_is_written(self, words, tmp_path):
        words.write_text("1 5:1\n2 5:1\n")
        (tmp_path / "out").write_text("older")
        found = self.mine(words, tmp_path / "out", "datasketch").expect(3)
        assert f"{words}, line 2: announces 2 entries and holds 1" in found.err
        assert (tmp_path / "out").read_text() == "older"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.words", "out"]

    def test_files_that_cannot_be_opened(self, words, tmp_path):
        found = self.mine(tmp_path / "none", tmp_path / "out", "datasketch").expect(3)
        assert f"corpus {tmp_path / 'none'} cannot be read: No such file" in found.err
        found = self.mine(words, tmp_path / "no" / "out", "datasketch").expect(1)
        assert "out cannot be written: No such file" in found.err

    def test_a_binary_that_is_none(self, words, tmp_path):
        found = self.mine(words, tmp_path / "out", "native", "mining.binary=/dev/null").expect(2)
        assert "the smh binary /dev/null is not an executable file" in found.err


class TestVerifyAndRepair:
    def test_a_missing_part_of_words(self, own_warehouse, minia):
        """A later batch would be mined without it, and nothing would tell."""
        whole = run_minia("verify", "--full", "--warehouse", own_warehouse).expect(0)
        assert re.fullmatch(r"state 1 is whole: every byte of \d+ entries compared\n", whole.out)
        parts = sorted((own_warehouse / "words").rglob("*.parquet"))
        parts[-1].unlink()
        found = run_minia("verify", "--warehouse", own_warehouse).expect(1)
        assert f"(words): {parts[-1].name} is missing\n" in found.out
        assert "1 damaged; 'minia repair --warehouse" in found.out
        more = chosen("mining.decoys=2")
        refused = minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(1)
        assert f"(words) is damaged: {parts[-1].name} is missing;" in refused.err
        run_minia("path", "words", "--warehouse", own_warehouse).expect(1)

        told = run_minia("repair", "--dry-run", "--warehouse", own_warehouse).expect(0)
        assert told.out.splitlines()[-1] == "nothing was changed"
        done = run_minia("repair", "--warehouse", own_warehouse).expect(0)
        assert done.out.splitlines() == told.out.splitlines()[:-1]
        assert "the next run makes it anew" in done.out
        minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
        run_minia("verify", "--full", "--warehouse", own_warehouse).expect(0)
        again = run_minia("repair", "--warehouse", own_warehouse).expect(0)
        assert again.out == "nothing is damaged\n"

    def test_a_damaged_newest_state_and_page(self, own_warehouse):
        (own_warehouse / "catalogue/000000000002.json").write_text("{")
        (own_warehouse / "runs/zzz.json").write_text("{")
        for command in (["status"], ["path", "words"]):
            found = run_minia(*command, "--warehouse", own_warehouse).expect(3)
            assert "goes on without it" in found.err
        assert run_minia("history", "--warehouse", own_warehouse).expect(0).err.count("\n") == 2
        run_minia("verify", "--warehouse", own_warehouse).expect(1)
        run_minia("repair", "--warehouse", own_warehouse).expect(0)
        assert run_minia("status", "--warehouse", own_warehouse).expect(0).err == ""
        run_minia("verify", "--warehouse", own_warehouse).expect(0)

    def test_of_an_earlier_state(self, own_warehouse):
        house = Warehouse(str(own_warehouse))
        base = house.require()
        house.commit(base, base.run, base.of_table("images"), "")
        run_minia("path", "words", "--warehouse", own_warehouse).expect(3)
        run_minia("path", "words", "--state", 1, "--warehouse", own_warehouse).expect(0)
        run_minia("verify", "--state", 1, "--warehouse", own_warehouse).expect(0)
        run_minia("verify", "--state", 7, "--warehouse", own_warehouse).expect(3)


class TestFailedFirstRuns:
    def test_they_are_seen_and_tidied(self, tmp_path):
        house = Warehouse(str(tmp_path / "W"))
        record = house.new_run("minia run", "1.0", {})
        ended = {"state": "failed", "error": "the disk caught fire"}
        house.save_run(record.model_copy(update=ended))
        house.storage.replace(f"words/run={record.run}/part-0", b"x")
        where = ("--warehouse", tmp_path / "W")
        found = run_minia("status", *where).expect(3)
        assert f"the last run, {record.run} (minia run), is failed: the disk caught" in found.err
        assert "the disk caught fire" in run_minia("history", *where).expect(0).out
        told = run_minia("vacuum", *where, "--older-than", "0", "--force").expect(0)
        assert told.out.startswith(f"words/run={record.run}\nremoved 1 folders and states")
        assert not house.storage.exists(f"words/run={record.run}")
        run_minia("history", *where).expect(0)


class TestUnforeseen:
    """Exceptions that are none of ours reach people as one sentence: item, cause, next step."""

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (
                OSError(28, "No space left on device", "/d/x"),
                "No space left on device: '/d/x'; make",
            ),
            (OSError(36, "File name too long", "/d"), "File name too long: '/d'; give a shorter"),
            (OSError(40, "Too many levels", "/d"), "Too many levels: '/d'; symbolic links lead in"),
            (PermissionError(13, "Denied", "/d"), "Denied: '/d'; give this user the right"),
            (OSError(24, "Too many open files"), "Too many open files; allow more open files"),
            (OSError(71, "Protocol error"), "Protocol error; the operating system refuses it"),
            (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "'ascii' codec can't encode"),
            (RecursionError("maximum depth"), "maximum depth; the settings or another file"),
            (MemoryError("no 8 GiB"), "no 8 GiB; there is too little memory: 'minia plan'"),
            (pa.ArrowInvalid("bad footer"), "ArrowInvalid: bad footer; 'minia verify --full"),
            (cv2.error("boom"), "error: boom; OpenCV failed on an image"),
            (KeyError("x"), "KeyError: 'x'; nobody foresaw that: start it again"),
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused; Spark's Java"),
        ],
    )
    def test_one_sentence(self, error, told, monkeypatch, tmp_path):
        def broken(_: object) -> int:
            with in_step("words b1 sift"):
                raise error

        monkeypatch.setattr("minia_spark.cli.state.status", broken)
        found = run_minia("status", "--warehouse", tmp_path).expect(1)
        assert found.err.startswith(f"minia status: words b1 sift: {told}")
        assert explained(error) in found.err
        assert found.err.count("\n") <= 3

    @pytest.mark.parametrize("kind", [MiniaError, OSError])
    def test_what_a_file_puts_into_a_message_cannot_steer_the_terminal(
        self, kind, monkeypatch, tmp_path
    ):
        def broken(_: object) -> int:
            raise kind("column \x1b[2J\x07\udcffé")

        monkeypatch.setattr("minia_spark.cli.state.status", broken)
        told = run_minia("status", "--warehouse", tmp_path).expect(1).err
        assert "column \\x1b[2J\\x07\\udcffé" in told
        assert not set(told) & set("\x1b\x07\udcff")

    def test_what_a_worker_said(self):
        text = "Job aborted\n  at org.apache\nCaused by: x\nOSError: [Errno 36] Name too long: 'y'"
        assert explained(Exception(text)) == "Name too long: 'y'; give a shorter name"
        ours = "Job aborted\nminia_spark.base.errors.MiniaError: smh failed\n  at org.apache"
        assert explained(Exception(ours)) == "smh failed"
        jar = 'org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "s3"'
        assert "for want of a jar" in explained(Exception(jar))
        lost = "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"
        assert explained(Exception(lost)).startswith("Python worker exited unexpectedly (crashed)")
