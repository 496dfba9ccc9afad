"""The structured log: a JSON object a line with the same keys, and what goes into it."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime
from pathlib import Path

import pytest
from commands import SMALL
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import SettingsError
from minia_spark.base.events import FIELDS, JsonLines, log_event, logging_to
from minia_spark.engine.progress import Progress

KEYS = ("time", "level", "event", *FIELDS, "message")


def events(path: Path) -> list[dict[str, object]]:
    """Return the objects of a log; every line is one, and has every key."""
    lines = path.read_text(encoding="ascii").splitlines()
    found = [json.loads(line) for line in lines]
    for one in found:
        assert tuple(one) == KEYS
        assert datetime.fromisoformat(one["time"]).utcoffset() is not None
    return found


class TestLog:
    def test_what_an_event_says(self, tmp_path):
        with logging_to(str(tmp_path / "log")):
            log_event("step done", "features b1: done", stage="features", counts={"images": 2})
            log_event("run failed", "no room", level=logging.ERROR, run="r1")
        first, second = events(tmp_path / "log")
        told = {k: first[k] for k in KEYS[1:]}
        assert told == {
            **{"level": "info", "event": "step done", "run": None, "stage": "features"},
            **{"batch": None, "seconds": None, "counts": {"images": 2}},
            "message": "features b1: done",
        }
        assert (second["level"], second["run"]) == ("error", "r1")

    def test_appends_and_ends_with_the_block(self, tmp_path):
        for number in range(2):
            with logging_to(str(tmp_path / "log")):
                log_event("x", str(number))
            log_event("x", "outside")
        assert [e["message"] for e in events(tmp_path / "log")] == ["0", "1"]

    def test_to_no_file(self, capsys):
        with logging_to(None):
            log_event("x", "lost", level=logging.WARNING)
        assert capsys.readouterr() == ("", "")  # logging's last resort would print it

    def test_goes_on_where_logrotate_moved_it(self, tmp_path):
        path = tmp_path / "log"
        with logging_to(str(path)):
            log_event("x", "before")
            path.rename(tmp_path / "log.1")
            log_event("x", "after")
        assert [e["message"] for e in events(path)] == ["after"]
        assert [e["message"] for e in events(tmp_path / "log.1")] == ["before"]

    @given(st.text())
    def test_any_text_is_one_line(self, text):
        record = logging.makeLogRecord({"msg": "%s", "args": (text,), "levelname": "INFO"})
        line = JsonLines().format(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["message"] == text

    def test_a_fact_that_no_event_has(self):
        with pytest.raises(ValueError, match="events have no field stages"):
            log_event("x", "y", stages="features")

    def test_a_file_that_cannot_be_opened(self, tmp_path):
        with (
            pytest.raises(SettingsError, match=r"log\.file .*/no/log cannot be written: No such"),
            logging_to(str(tmp_path / "no" / "log")),
        ):
            pytest.fail("it was opened")

    def test_a_full_disk_costs_lines_and_one_warning(self, capsys):
        with logging_to("/dev/full"):
            for _ in range(3):
                log_event("x", "y")
        assert capsys.readouterr().err == (
            "warning: /dev/full cannot be written: [Errno 28] No space left on device\n"
        )

    def test_a_program_may_listen(self, caplog):
        with caplog.at_level(logging.INFO, logger="minia_spark"):
            log_event("step done", "features b1: done")
        assert [(r.name, r.message) for r in caplog.records] == [
            ("minia_spark", "features b1: done")
        ]


class TestProgress:
    @pytest.mark.parametrize("quiet", [False, True])
    def test_every_line_is_an_event(self, tmp_path, quiet):
        shown = io.StringIO()
        progress = Progress(shown, quiet=quiet)
        with logging_to(str(tmp_path / "log")):
            with progress.about(run="r1"):
                with progress.about(stage="features", batch="b1"):
                    progress.say("half done")
                    progress.warn("3 files were rejected")
                progress.tell("run done", "that was it", seconds=1.5)
            progress.say("outside")
        found = [
            (e["level"], e["event"], e["run"], e["stage"], e["batch"], e["seconds"])
            for e in events(tmp_path / "log")
        ]
        assert found == [
            ("info", "progress", "r1", "features", "b1", None),
            ("warning", "warning", "r1", "features", "b1", None),
            ("info", "run done", "r1", None, None, 1.5),
            ("info", "progress", None, None, None, None),
        ]
        lines = [line.partition("] ")[2] for line in shown.getvalue().splitlines()]
        warned = "warning: 3 files were rejected"
        assert lines == ([warned] if quiet else ["half done", warned, "that was it", "outside"])


def test_a_run(minia, own_warehouse, tmp_path):
    """What changed is told step by step; what did not, in one line."""
    log = tmp_path / "log"
    more = ("--set", "report.title=Other", "--log-json", log, "--quiet")
    done = minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
    assert done.err == ""
    found = events(log)
    (run,) = {e["run"] for e in found} - {None}
    names = [(e["event"], e["stage"]) for e in found if e["event"] != "progress"]
    assert names == [
        ("run started", None),
        ("steps skipped", None),
        ("step started", "report"),
        ("step done", "report"),
        ("run done", None),
    ]
    last = found[-1]
    step = next(e for e in found if e["event"] == "step done")
    assert step["seconds"] > 0
    assert step["counts"]["structures"] == 2  # report.structures
    assert last["counts"]["structures"] > 2
    assert last["counts"]["images"] == 60
    assert f"run {run}, state 2: 1 batches, 60 images, 0 rejects, " in done.out

    minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
    assert events(log)[-1]["event"] == "nothing to do"


def test_a_run_that_fails(minia, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"text")
    source = ("--images", tmp_path / "images", "--batch", "b1", "--warehouse", tmp_path / "W")
    minia("run", *source, "--log-json", tmp_path / "log").expect(3)
    last = events(tmp_path / "log")[-1]
    assert (last["event"], last["level"]) == ("run failed", "error")
    assert "could be read (not_an_image 1)" in last["message"]


def test_a_log_that_cannot_be_opened_starts_nothing(minia, tmp_path, survey):
    source = ("--images", survey.images, "--batch", "b1", "--warehouse", tmp_path / "W")
    found = minia("run", *source, "--log-json", tmp_path / "no" / "log").expect(2)
    assert "cannot be written: No such file" in found.err
    assert list(tmp_path.iterdir()) == []
