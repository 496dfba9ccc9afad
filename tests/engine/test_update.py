"""``minia reprocess``: what is decided of an inbox, without Spark; then the whole, on Spark."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import SMALL, rows_of, run_minia, table_of, take_codebook

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.engine import run as pipeline
from minia_spark.engine import session
from minia_spark.engine import update as reprocess
from minia_spark.engine.inbox import batch_name_of
from minia_spark.engine.progress import Progress
from minia_spark.engine.update import Outcome, exit_code, summary
from minia_spark.images.identity import uri_of
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.warehouse import Warehouse

NOW_NS = 1_800_000_000 * 10**9
"""Long after any file of a test was written."""


class Night:
    """An inbox and a warehouse, in which runs only write down where the images are."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.house = Warehouse(str(folder / "W"))
        self.runs: list[list[str]] = []
        self.alive = True
        self.output = io.StringIO()

        def stand_in(runner, request):
            return self.execute(runner, request)

        monkeypatch.setattr(pipeline.Runner, "execute_locked", stand_in)
        monkeypatch.setattr(session, "is_running", lambda _: self.alive)

    def put(self, name: str, *contents: str) -> Path:
        """Make a folder with a file for each text."""
        folder = self.inbox / name
        folder.mkdir(exist_ok=True)
        for number, text in enumerate(contents):
            (folder / f"{number}.png").write_text(text)
        return folder

    def execute(self, runner, request):
        """Stand in for a run: publish one row an image, and fail where a file says so."""
        warehouse = runner.warehouse
        record = warehouse.new_run(request.command, "0", {}, request.arrivals)
        runner.open_session(False)
        self.runs.append(list(request.sources))
        for batch, source in request.sources.items():
            text = "".join(path.read_text() for path in sorted(source.place.glob("*.png")))
            error = {"bad": InputError("no image could be read"), "crash": RuntimeError("broke")}
            error |= {"wrong": SettingsError("no such binary"), "death": RuntimeError("Java died")}
            if text in error:
                self.alive = text != "death"
                failure = error[text]
                if isinstance(failure, InputError):
                    failure.batch = batch
                raise failure
        base = warehouse.catalogue()
        entries = []
        for batch, source in request.sources.items():
            path = f"images/run={record.run}/batch={batch}"
            uris = [uri_of(os.fsencode(p)) for p in sorted(source.place.glob("*.png"))]
            warehouse.storage.make_folder(path)
            pq.write_table(pa.table({"uri": uris}), warehouse.storage.full(f"{path}/0.parquet"))
            digests = {"fingerprint": "f", "digest": "d", "rows": len(uris)}
            names = {"table": "images", "stage": "ingest", "batch": batch, "run": record.run}
            entries.append(Entry(path=path, **names, **digests))
        state = warehouse.commit(
            base, record.run, base.with_entries(entries).entries, request.command
        )
        done = record.model_copy(update={"state": "done", "catalogue": state.version})
        warehouse.save_run(done)
        return done

    def call(self, *settings: str, **options) -> dict[str, str]:
        """Return {title: verdict}, in the order in which they were decided."""
        outcomes = reprocess.reprocess(
            self.inbox,
            pipeline.Runner(
                HOUSE,
                HOUSE.load_settings(None, settings),
                self.house,
                Progress(self.output),
                lambda _: object(),
            ),
            tell=lambda _: None,
            clock_ns=lambda: NOW_NS,
            **options,
        )
        self.last = {o.title: o for o in outcomes}
        return {o.title: o.verdict for o in outcomes}

    @property
    def batches(self) -> list[str]:
        return self.house.catalogue().batches


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(tmp_path, monkeypatch)


class TestWhatIsNew:
    def test_every_folder_once_in_natural_order(self, night):
        for name in ("night10", "night9", "night1"):
            night.put(name, f"image of {name}")
        found = night.call()
        assert list(found.items()) == [
            ("night1", "done"),
            ("night9", "done"),
            ("night10", "done"),
        ]
        assert night.runs == [["night1"], ["night9"], ["night10"]]
        assert night.house.versions() == [1, 2, 3]  # each published as it is finished
        assert set(night.call().values()) == {"known"}
        night.put("night11", "one more")
        assert [t for t, v in night.call().items() if v == "done"] == ["night11"]
        assert night.batches == ["night1", "night10", "night11", "night9"]

    def test_nothing_there_and_nothing_in_it(self, night):
        assert night.call() == {}
        night.put("empty")
        assert night.call() == {"empty": "waiting"}
        assert list(night.house.runs()) == []

    def test_known_places_are_not_read_again(self, night, monkeypatch):
        night.put("a", "x")
        night.call()

        def unread(*_: object) -> None:
            pytest.fail("hashed again")

        monkeypatch.setattr("minia_spark.engine.inbox.hash_files", unread)
        pages = len(list(night.house.runs()))
        assert night.call() == {"a": "known"}
        assert len(list(night.house.runs())) == pages  # a quiet night leaves no page in the ledger

    def test_lists(self, night):
        night.put(".files", "x", "y")
        (night.inbox / "night1.txt").write_text(".files/0.png\n.files/1.png\n")
        assert night.call() == {"night1.txt": "done"}
        assert night.batches == ["night1"]
        (night.inbox / "night1.txt").write_text(".files/1.png\n")
        assert night.call() == {"night1.txt": "done"}

    def test_files_that_belong_to_no_batch(self, night):
        (night.inbox / "image.png").write_text("x")
        night.call()
        assert "1 files lie in the inbox itself and belong to no batch" in night.output.getvalue()


class TestTheWarehouseInTheInbox:
    @pytest.mark.parametrize("place", ["W", "night2/W"])
    def test_is_left_out_and_told(self, night, place):
        night.put("night1", "a")
        night.house = Warehouse(str(night.inbox / place))
        assert night.call() == {"night1": "done"}
        assert night.call() == {"night1": "known"}
        first = place.partition("/")[0]
        assert f"{first} is left out: the warehouse {night.inbox / place} lies in" in (
            night.output.getvalue()
        )


class TestWhatChanged:
    def test_replaces_its_batch(self, night):
        night.put("a", "x")
        night.put("b", "y")
        night.call()
        night.put("a", "x2")
        assert night.call() == {"a": "done", "b": "known"}
        assert night.runs[-1] == ["a"]
        assert night.call() == {"a": "known", "b": "known"}

    def test_touched_only(self, night, monkeypatch):
        folder = night.put("a", "x")
        night.call()
        os.utime(folder / "0.png", ns=(5, 5))
        assert night.call() == {"a": "known"}
        assert len(night.runs) == 1
        assert "touched" in night.last["a"].text
        # and it is remembered: the next call does not read it
        monkeypatch.setattr("minia_spark.engine.inbox.hash_files", lambda *_: pytest.fail("hashed"))
        assert night.call() == {"a": "known"}

    def test_what_was_removed_stays_out_until_it_changes(self, night):
        night.put("a", "x")
        night.put("b", "y")
        night.call()
        state = night.house.catalogue()
        kept = [e for e in state.entries if e.batch != "a"]
        night.house.commit(state, "", kept, "minia batch remove a")
        assert night.call() == {"a": "known", "b": "known"}
        night.put("a", "x2")
        assert night.call() == {"a": "done", "b": "known"}


class TestWhatCameTwice:
    def test_is_left_out_and_remembered(self, night, monkeypatch):
        night.put("a", "x", "y")
        night.put("copy", "y", "x")  # the same bytes under other names
        assert night.call() == {"a": "done", "copy": "same"}
        assert night.last["copy"].text == "the same as batch a, left out"
        assert night.batches == ["a"]
        record = next(night.house.runs())
        assert (record.state, [a.same_as for a in record.arrivals]) == ("nothing to do", ["a"])
        monkeypatch.setattr("minia_spark.engine.inbox.hash_files", lambda *_: pytest.fail("hashed"))
        assert night.call() == {"a": "known", "copy": "known"}

    def test_in_one_run(self, night):
        night.put("a", "x")
        night.put("b", "x")
        night.put("c", "z")
        assert night.call(batches_per_run=3) == {"a": "done", "c": "done", "b": "same"}
        assert night.runs == [["a", "c"]]

    def test_of_one_that_failed_is_none(self, night):
        night.put("a", "bad")
        night.put("b", "bad")
        assert night.call(batches_per_run=2) == {"a": "failed", "b": "failed"}

    def test_of_a_removed_batch_is_none(self, night):
        night.put("a", "x")
        night.call()
        night.house.commit(night.house.catalogue(), "", [], "minia batch remove a")
        night.put("b", "x")
        assert night.call() == {"a": "known", "b": "done"}

    def test_a_batch_that_became_a_copy(self, night):
        night.put("a", "x")
        night.put("b", "y")
        night.call()
        night.put("b", "x")
        assert night.call() == {"a": "known", "b": "failed"}
        assert "has now the content of batch a" in night.last["b"].text


class TestNamesThatAreTaken:
    def test_by_features_whose_images_are_nowhere(self, night):
        path = "images/run=r/batch=a"
        night.house.storage.make_folder(path)
        rows = pa.table({"uri": pa.array([None], pa.string())})
        pq.write_table(rows, night.house.storage.full(f"{path}/0.parquet"))
        names = {"table": "images", "stage": "import", "batch": "a", "run": "r", "path": path}
        entry = Entry(**names, fingerprint="f", digest="d", rows=1)
        night.house.commit(night.house.catalogue(), "r", [entry], "")
        night.put("a", "x")
        assert night.call() == {"a": "failed"}
        assert "a batch a is there already, from 'minia import': give" in night.last["a"].text

    def test_by_a_batch_from_elsewhere(self, night, tmp_path):
        elsewhere = tmp_path / "inbox2"
        elsewhere.mkdir()
        night.put("a", "x")
        night.call()
        first, night.inbox = night.inbox, elsewhere
        night.put("a", "other")
        assert night.call() == {"a": "failed"}
        assert f"a batch a is there already, from {uri_of(os.fsencode(first / 'a'))}" in (
            night.last["a"].text
        )
        assert night.last["a"].code == 3

    def test_by_a_batch_that_no_inbox_brought(self, night, tmp_path):
        folder = night.put("a", "x")
        night.call()
        shutil.rmtree(tmp_path / "W" / "runs")  # as if by 'minia run'
        assert night.call() == {"a": "done"}  # from this very folder: the same batch
        shutil.rmtree(tmp_path / "W" / "runs")
        night.inbox = tmp_path / "other"
        shutil.copytree(folder, night.inbox / "a")
        assert night.call() == {"a": "failed"}
        assert f"from {uri_of(os.fsencode(folder / '0.png'))}" in night.last["a"].text

    def test_by_a_list_and_a_folder(self, night):
        night.put("a", "x")
        night.put(".files", "y")
        (night.inbox / "a.txt").write_text(".files/0.png\n")
        for together in (1, 2):
            found = night.call(batches_per_run=together)
            assert found["a.txt"] == "failed"
        assert night.batches == ["a"]

    def test_an_inbox_that_moved(self, night, tmp_path):
        night.put("a", "x")
        night.call()
        night.inbox = night.inbox.rename(tmp_path / "moved")
        assert night.call() == {"a": "done"}  # the images are elsewhere now
        assert night.call() == {"a": "known"}

    def test_the_same_in_two_inboxes(self, night, tmp_path):
        night.put("a", "x")
        night.call()
        night.inbox = Path(shutil.copytree(night.inbox, tmp_path / "copy"))
        assert night.call() == {"a": "same"}


class TestWaiting:
    def test_for_what_changed_just_now(self, night):
        folder = night.put("a", "x")
        age = (NOW_NS - folder.stat().st_ctime_ns) / 1e9
        assert night.call(settle_seconds=age + 60) == {"a": "waiting"}
        assert night.call(settle_seconds=age - 60) == {"a": "done"}

    def test_not_for_what_a_clock_that_was_set_back_calls_the_future(self, night):
        folder = night.put("a", "x")
        os.utime(folder / "0.png", ns=(5, NOW_NS + 3600 * 10**9))
        assert night.call(settle_seconds=600) == {"a": "done"}


class TestFailures:
    def test_the_next_ones_are_done_and_it_is_tried_again(self, night):
        night.put("a", "x")
        night.put("b", "bad")
        night.put("c", "z")
        for _ in range(2):
            found = night.call()
            assert found["b"] == "failed"
        assert night.batches == ["a", "c"]
        assert night.runs == [["a"], ["b"], ["c"], ["b"]]
        assert night.last["b"].text == "no image could be read"
        night.put("b", "good")
        assert night.call()["b"] == "done"

    def test_in_a_run_of_several(self, night):
        for name, text in (("a", "x"), ("b", "bad"), ("c", "z"), ("d", "bad"), ("e", "w")):
            night.put(name, text)
        found = night.call(batches_per_run=4)
        assert [t for t, v in found.items() if v == "failed"] == ["b", "d"]
        assert night.batches == ["a", "c", "e"]
        # d has the content of b, so it waits for what becomes of it
        assert night.runs == [["a", "b", "c", "e"], ["a", "c", "e"], ["d"]]

    def test_that_nobody_is_to_blame_for_are_of_all(self, night, monkeypatch):
        def fail(*_: object) -> None:
            raise InputError("too few descriptors for a codebook")

        monkeypatch.setattr(pipeline.Runner, "execute_locked", fail)
        night.put("a", "x")
        night.put("b", "y")
        assert night.call(batches_per_run=2) == {"a": "failed", "b": "failed"}

    def test_that_are_no_fault_of_the_input(self, night):
        night.put("a", "crash")
        night.put("b", "y")
        assert night.call() == {"a": "failed", "b": "done"}
        assert night.last["a"].code == 1
        assert night.last["a"].text.startswith("RuntimeError: broke; nobody foresaw that: start")

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [("wrong", SettingsError, "no such binary"), ("death", RuntimeError, "Java died")],
    )
    def test_that_end_the_call(self, night, text, error, message):
        night.put("a", text)
        night.put("b", "y")
        with pytest.raises(error, match=message):
            night.call()
        assert night.runs == [["a"]]

    def test_a_folder_that_cannot_be_used_at_all(self, night, tmp_path):
        (night.inbox / "away").symlink_to(tmp_path)
        night.put("b", "y")
        assert night.call() == {"away": "failed", "b": "done"}

    def test_a_warehouse_in_use(self, night):
        night.put("a", "x")
        with night.house.lock("minia run"), pytest.raises(MiniaError, match="in use by process"):
            night.call()
        assert night.runs == []


class TestEnd:
    @pytest.mark.parametrize(
        ("outcomes", "code"),
        [
            ([], 99),
            ([("known", 0), ("same", 0), ("waiting", 0)], 99),
            ([("done", 0), ("known", 0)], 0),
            ([("done", 0), ("failed", 3)], 3),
            ([("failed", 3), ("failed", 1), ("done", 0)], 1),
            ([("failed", 1)], 1),
        ],
    )
    def test_exit_codes(self, outcomes, code):
        told = [Outcome("a", verdict, "", failed) for verdict, failed in outcomes]
        assert exit_code(told, empty=99) == code

    def test_the_last_line(self):
        assert summary([]) == "reprocess: the inbox is empty"
        told = [Outcome("a", v, "") for v in ("known", "done", "known", "failed", "waiting")]
        assert summary(told) == "reprocess: 1 brought in, 1 failed, 2 known, 1 waiting"


class TestOnSpark:
    """The survey in an inbox, as the nights come."""

    def test_nights_that_come(self, minia, survey, warehouse, tmp_path, opened):
        inbox, location = tmp_path / "inbox", tmp_path / "W"
        images = sorted(survey.images.iterdir())
        for name, some in (("night2", images[20:40]), ("night10", images[40:])):
            (inbox / name).mkdir(parents=True)
            for image in some:
                shutil.copy(image, inbox / name)
        (inbox / "night9").mkdir()
        (inbox / "night9" / "broken.png").write_bytes(b"text")
        take_codebook(warehouse, location)
        command = ("reprocess", "--inbox", inbox, "--warehouse", location, *SMALL)

        found = minia(*command, "--batches-per-run", "3", "--empty-exit-code", "99").expect(3)
        assert "night2: done: 20 images, 0 rejects, " in found.out
        assert "night10: done: 20 images, 0 rejects, " in found.out
        assert "night9: no image of" in found.err
        *_, told, last = found.out.splitlines()
        assert last == "reprocess: 2 brought in, 1 failed"
        assert told == "news: night2 (sift): 0 alerts"  # the newest by name; nothing was before
        state = Warehouse(str(location)).catalogue()
        assert (state.version, state.batches) == (2, ["night10", "night2"])  # 1: the codebook
        published = next(r for r in Warehouse(str(location)).runs() if r.catalogue == 2)
        done = [(s.stage, s.batch) for s in published.steps if s.action == "done"]
        assert [stage for stage, batch in done if batch is None] == [
            *(
                "tune",
                "pairs",
                "mine",
                "lineage",
                "structures",
                "patterns",
                "geometry",
                "gallery",
                "report",
            ),
        ]

        shutil.rmtree(inbox / "night9")
        hostile = inbox / os.fsdecode(b"night 1\n\xff<b>")
        hostile.mkdir()
        for image in images[:20]:
            shutil.copy(image, hostile)
        note = pipeline._Execution._note

        def dying(execution: pipeline._Execution, step: object) -> None:
            note(execution, step)  # type: ignore[arg-type]
            if step.stage == "features" and step.action == "done":  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline._Execution, "_note", dying)
            minia(*command).expect(1)
        found = minia(*command).expect(0)  # it is not lost, and what was done is not done again
        name = batch_name_of(os.fsencode(hostile.name))
        assert f"night 1%0A%FF<b>: done: batch {name}: 20 images" in found.out
        record = next(Warehouse(str(location)).runs())
        actions = {(s.stage, s.batch): s.action for s in record.steps}
        assert actions["ingest", name] == actions["features", name] == "reused"
        assert {actions[stage, "night2"] for stage in ("features", "words", "factors")} == {
            "skipped"
        }
        for table in ("structures", "structure_images"):
            columns = set(table_of(location, table).columns) - {"batch"}
            assert rows_of(location, table, *columns) == rows_of(warehouse, table, *columns)

        before = len(opened)
        found = minia(*command, "--empty-exit-code", "99").expect(99)
        assert found.out == "reprocess: 3 known\n"
        assert len(opened) == before

    def test_usage(self, tmp_path):
        where = ("--inbox", tmp_path / "none", "--warehouse", tmp_path / "W")
        assert "cannot be read: No such file" in run_minia("reprocess", *where).expect(3).err
        for code in ("1", "3", "126", "-1", "x"):
            run_minia("reprocess", *where, "--empty-exit-code", code).expect(2)
        for seconds in ("-1", "nan", "inf", "x"):
            run_minia("reprocess", *where, "--settle", seconds).expect(2)
        assert list(tmp_path.iterdir()) == []
