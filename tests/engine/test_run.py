"""What is redone and what is not; runs that break off; what readers see meanwhile."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from commands import SETTINGS, SMALL, Result, chosen, rows_of, take_codebook

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.engine import run as pipeline
from minia_spark.engine.plan import Request, make_plan
from minia_spark.engine.progress import Progress
from minia_spark.engine.room import House, Room
from minia_spark.engine.stage import Source, Stage, fingerprint
from minia_spark.engine.table import Column, Table
from minia_spark.ingest.tables import REJECTS
from minia_spark.report import stage as report_stage
from minia_spark.rooms import HOUSE
from minia_spark.sky.survey import SurveyFiles
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse

ALL = HOUSE.stages_of(("discovery",))
SEEN = {"words": ("image_id", "feature_words", "words", "counts", "sizes", "quantisation_error")}
SEEN |= {
    "structures": (
        *("structure_id", "words", "frequencies", "sets", "support"),
        *("expected_support", "lift", "expected_beyond", "q", "stability"),
        *("significant", "reproducible"),
    ),
    "structure_images": ("structure_id", "rank", "image_id", "overlap", "words_held", "features"),
}
"""What has to be the same however images are spread over batches."""


def planned(
    location: Path, *settings: str, batch: str | None = None, source=None, house: House = HOUSE
):
    """Return {(stage, batch): action} of a run with other settings; Spark is not needed."""
    request = Request("test", ALL, None, {batch: source} if source else {}, replace=True)
    chosen_settings = house.load_settings(None, [*SETTINGS, *settings])
    plan, _ = make_plan(house, request, chosen_settings, Warehouse(str(location)))
    return {(step.stage.name, step.batch): step.action for step in plan.steps}


def redone(actions) -> set[str]:
    assert set(actions.values()) <= {"skip", "run"}
    return {stage for (stage, _), action in actions.items() if action == "run"}


@pytest.mark.parametrize(("anew", "loops"), [((), False), (("codebook.size=5",), True)])
def test_spark_is_told_whether_mllib_has_work(own_warehouse, survey, anew, loops):
    """A new batch finds its codebook there."""
    asked = []

    def refuse(mllib):
        asked.append(mllib)
        raise MiniaError("no Spark today")

    settings = HOUSE.load_settings(None, [*SETTINGS, *anew])
    request = Request("test", ALL, None, {"b9": Source(survey.images)}, replace=True)
    runner = pipeline.Runner(
        HOUSE, settings, Warehouse(str(own_warehouse)), Progress(quiet=True), refuse
    )
    with pytest.raises(MiniaError, match="no Spark today"):
        runner.execute(request)
    assert asked == [loops]


def actions_of_last_run(location: Path) -> dict[tuple[str, str | None], str]:
    record = next(Warehouse(str(location)).runs())
    return {(step.stage, step.batch): step.action for step in record.steps}


FEATURES_ON = set(ALL) - {"ingest", "import", "thumbnails"}
CODEBOOK_ON = FEATURES_ON - {"features"}
PER_BATCH = ("features", "thumbnails", "words", "drift", "factors")
TUNE_ON = {
    "tune",
    "factors",
    "pairs",
    "mine",
    "structures",
    "lineage",
    "patterns",
    "geometry",
    "gallery",
    "report",
}
PAIRS_ON = TUNE_ON - {"tune", "factors"}
MINE_ON = PAIRS_ON - {"pairs"}


class TestKindsOfBatches:
    """A stage of batches works on those from whose source its tables follow, and on no others."""

    def test_what_follows_from_what(self):
        images, clocks = (
            Table(name, "a row", (Column("n", "int", "A number."),)) for name in ("i", "c")
        )
        means, hands, codebook = (
            Table(name, "a row", (Column("n", "int", "A number."),)) for name in ("m", "h", "k")
        )

        def stage(name, reads=(), writes=(), source="", scope="batch", optional=()):
            return Stage(
                name, "x", "discovery", scope, "x:y", reads, writes, optional, source=source
            )

        stages = (
            stage("look", writes=(images, REJECTS), source="images"),
            stage("listen", writes=(clocks, REJECTS), source="clocks"),
            stage("mean", (images, REJECTS), (means,)),
            stage("fit", (means,), (codebook,), scope="collection"),
            stage("point", (clocks, codebook), (hands,), optional=(means,)),
        )
        outputs = (images, clocks, means, hands, codebook, REJECTS)
        house = House((Room("r", "", outputs=outputs, stages=stages),))
        assert house.stages_after(stages[0]) == {"look", "mean"}
        assert house.stages_after(stages[1]) == {"listen", "point"}

    def test_every_stage_of_the_house_follows_from_a_source(self):
        followers = [HOUSE.stages_after(s) for s in HOUSE.stages if s.source]
        assert set().union(*followers) == {s.name for s in HOUSE.stages if s.per_batch}


class TestFingerprints:
    @pytest.mark.parametrize(
        ("setting", "wanted"),
        [
            ("spark.master=local[1]", set()),
            ("spark.partitions=17", set()),
            ("spark.conf.spark.executor.memory=8g", set()),
            ("mining.engine=datasketch", set()),  # the same result, bit for bit
            ("mining.binary=/usr/bin/smh", set()),
            ("report.title=Other", {"report"}),
            ("words.outlier_deviations=3", {"report"}),  # the page draws the bounds
            ("drift.max_divergence=0.2", {"report"}),  # limits apply where drift is read
            (
                "structures.min_overlap=0.3",
                {"structures", "patterns", "geometry", "gallery", "report"},
            ),
            (
                "structures.structure_counts=ones",
                {"structures", "patterns", "geometry", "gallery", "report"},
            ),
            ("mining.link=consensus", TUNE_ON),
            ("mining.density=0.4", MINE_ON),
            ("mining.decoys=4", MINE_ON | {"pairs"}),
            ("mining.overlap=0.8", MINE_ON),
            ("mining.min_cluster_size=4", MINE_ON),
            ("words.drop_outliers=true", MINE_ON),
            ("mining.tables=301", TUNE_ON),
            ("mining.tuple_size=4", TUNE_ON),
            ("mining.tables=null", TUNE_ON),
            ("mining.seed=1", PAIRS_ON),
            ("mining.seeds=1", PAIRS_ON),
            ("mining.expand=true", MINE_ON),
            (
                "words.weight=size",
                {"structures", "patterns", "geometry", "gallery", "report"},
            ),  # mining takes words as sets
            ("codebook.size=100", CODEBOOK_ON),
            ("codebook.seed=2", CODEBOOK_ON),
            ("features.sift.sigma=1.7", FEATURES_ON),
            ("features.max_features=50", FEATURES_ON),
            # the pixels change, and so do all descriptors
            ("ingest.fits_stretch=sqrt", FEATURES_ON | {"thumbnails"}),
            ("thumbnails.quality=50", {"thumbnails", "gallery", "report"}),
        ],
    )
    def test_which_change_redoes_what(self, warehouse, setting, wanted):
        assert redone(planned(warehouse, setting)) == wanted

    def test_weights_matter_to_mining_where_words_are_expanded(self, warehouse):
        both = planned(warehouse, "mining.expand=true", "words.weight=size")
        assert redone(both) == MINE_ON

    def test_nothing_changed(self, warehouse, survey):
        assert redone(planned(warehouse)) == set()
        labels = f"ingest.labels.file={survey.labels}"
        source = Source(survey.images)
        assert redone(planned(warehouse, labels, batch="b1", source=source)) == set()

    def test_a_new_batch_touches_no_other(self, warehouse, survey):
        found = planned(warehouse, batch="b2", source=Source(survey.images))
        run = {step for step, action in found.items() if action == "run"}
        assert run == {
            *((stage, "b2") for stage in ("ingest", *PER_BATCH)),
            *(
                (stage, None)
                for stage in (
                    "pairs",
                    "mine",
                    "structures",
                    "lineage",
                    "patterns",
                    "geometry",
                    "gallery",
                    "report",
                )
            ),
        }

    @pytest.mark.parametrize("stage", [s for s in ALL if not HOUSE.by_name[s].source])
    def test_a_new_revision_of_a_stage_redoes_it(self, warehouse, stage):
        def newer(declared: Stage) -> Stage:
            more = declared.name == stage
            return replace(declared, revision=declared.revision + more, optional=())

        rooms = [replace(r, stages=tuple(map(newer, r.stages))) for r in HOUSE.rooms]
        found = redone(planned(warehouse, house=House(rooms)))
        assert stage in found
        assert found <= {stage, *ALL[ALL.index(stage) :]}

    def test_a_changed_listing_redoes_ingest(self, warehouse, survey, tmp_path):
        labels = f"ingest.labels.file={survey.labels}"
        for change in ("moved", "touched", "labels"):
            folder, own = survey.images, labels
            if change == "labels":
                own = "ingest.labels.file=null"
            else:
                folder = shutil.copytree(survey.images, tmp_path / change)
            found = planned(warehouse, own, batch="b1", source=Source(folder))
            assert found["ingest", "b1"] == "run", change

    def test_equal_parts_and_nothing_else_give_equal_fingerprints(self):
        assert fingerprint("a", 1, {"x": 1, "y": 2}) == fingerprint("a", 1, {"y": 2, "x": 1})
        different = [("a",), ("a", 1), ("a1",), ("a", "1"), ("a", [1]), ([["a"], 1],), ()]
        assert len({fingerprint(*parts) for parts in different}) == len(different)


@pytest.fixture(scope="module")
def halves(survey: SurveyFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The images of the survey in two folders, 40 and 20."""
    folders = tuple(tmp_path_factory.mktemp(name) for name in ("first", "second"))
    for number, image in enumerate(sorted(survey.images.iterdir())):
        shutil.copy(image, folders[number >= 40])
    return folders  # type: ignore[return-value]


class Broken(BaseException):
    """The process dies here."""


@pytest.fixture(scope="module")
def two_batches(
    minia: Callable[..., Result],
    warehouse: Path,
    halves: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The same images as two batches, with the same codebook, through a break after every step.

    Not to be changed. Every start does one step more than the one before and dies.
    """
    location = tmp_path_factory.mktemp("two") / "W"
    take_codebook(warehouse, location)
    minia(
        *("ingest", "--images", halves[0], "--batch", "b1", "--warehouse", location, *SMALL)
    ).expect(0)
    house = Warehouse(str(location))
    old = house.catalogue()
    images = rows_of(location, "images")
    note = pipeline._Execution._note
    deaths = 0

    def dying(execution: pipeline._Execution, step: object) -> None:
        note(execution, step)  # type: ignore[arg-type]
        if step.action == "done":  # type: ignore[attr-defined]
            raise Broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline._Execution, "_note", dying)
        for _ in range(21):
            again = ("run", "--images", halves[1], "--batch", "b2", "--warehouse", location)
            try:
                minia(*again, *SMALL).expect(0)
                break
            except Broken:
                deaths += 1
            # readers meanwhile: the old state, whole
            assert house.catalogue() == old
            assert rows_of(location, "images") == images
            assert not (location / "report" / "index.html").exists()
            assert next(house.runs()).state == "failed"
            assert not (location / "lock.json").exists()
    # ingest b2; features, thumbnails, words, drift, sketch of both; tune, pairs, mine, lineage,
    # structures, patterns, geometry, gallery, report
    assert deaths == 20
    return location


class TestBreaks:
    def test_the_end_is_that_of_an_undisturbed_run(self, two_batches, warehouse):
        for table, columns in SEEN.items():
            assert rows_of(two_batches, table, *columns) == rows_of(warehouse, table, *columns)
        features = ("image_id", "n_features", "x", "y", "size", "angle", "response", "descriptors")
        assert rows_of(two_batches, "features", *features) == rows_of(
            warehouse, "features", *features
        )

    def test_every_step_was_done_once(self, two_batches):
        records = list(Warehouse(str(two_batches)).runs())[:21]
        done = [
            (step.stage, step.batch)
            for record in reversed(records)
            for step in record.steps
            if step.action == "done"
        ]
        assert done == [
            ("ingest", "b2"),
            *(
                (stage, b)
                for stage in ("features", "thumbnails", "words", "drift")
                for b in ("b1", "b2")
            ),
            ("tune", None),
            *(("factors", b) for b in ("b1", "b2")),
            *(
                (stage, None)
                for stage in (
                    "pairs",
                    "mine",
                    "lineage",
                    "structures",
                    "patterns",
                    "geometry",
                    "gallery",
                    "report",
                )
            ),
        ]
        last = actions_of_last_run(two_batches)
        assert last.pop(("codebook", None)) == "skipped"
        assert set(last.values()) == {"reused"}

    def test_the_plan_after_a_break_names_what_is_taken_over(
        self, minia, own_warehouse, monkeypatch
    ):
        def dying(execution: pipeline._Execution, step: object) -> None:
            note(execution, step)  # type: ignore[arg-type]
            if step.stage == "structures":  # type: ignore[attr-defined]
                raise Broken

        note = pipeline._Execution._note
        more = "structures.structure_counts=ones"
        with monkeypatch.context() as patch:
            patch.setattr(pipeline._Execution, "_note", dying)
            with pytest.raises(Broken):
                minia("run", "--warehouse", own_warehouse, *SMALL, *chosen(more))
        found = planned(own_warehouse, more)
        assert found["structures", None] == "reuse"
        assert found["report", None] == "run"
        assert set(found.values()) == {"skip", "reuse", "run"}

    def test_a_step_that_broke_off_in_the_middle_is_made_anew(
        self, minia, own_warehouse, monkeypatch
    ):
        """All its files are there, but nothing says that they are all."""

        def dying(_: object, step: object) -> None:
            if step.stage == "structures":  # type: ignore[attr-defined]
                raise Broken

        before = rows_of(own_warehouse, "structure_images")
        more = chosen("structures.structure_counts=ones")
        with monkeypatch.context() as patch:
            patch.setattr(pipeline._Execution, "_note", dying)
            with pytest.raises(Broken):
                minia("run", "--warehouse", own_warehouse, *SMALL, *more)
        assert rows_of(own_warehouse, "structure_images") == before
        minia("structures", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
        last = actions_of_last_run(own_warehouse)
        assert last == {
            ("structures", None): "done",
            ("lineage", None): "skipped",
            ("patterns", None): "done",
        }
        assert rows_of(own_warehouse, "structure_images") != before

    def test_dying_between_the_new_state_and_the_page(self, minia, own_warehouse, monkeypatch):
        page = own_warehouse / "report" / "index.html"
        more = chosen("report.title=Other")

        def dying(*_: object) -> None:
            raise Broken

        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "publish_page", dying)
            with pytest.raises(Broken):
                minia("run", "--warehouse", own_warehouse, *SMALL, *more)
        house = Warehouse(str(own_warehouse))
        assert house.catalogue().version == next(house.runs()).catalogue == 2
        assert "<title>Other" not in page.read_text()
        found = minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(0)
        assert "nothing to do" in found.out
        assert "<title>Other" in page.read_text()

    def test_the_ledger_keeps_what_went_wrong(self, own_warehouse, monkeypatch, minia):
        def broken(*_: object) -> None:
            raise MiniaError("the disk caught fire")

        monkeypatch.setattr(Storage, "make_durable", broken)
        more = chosen("report.title=Other")
        found = minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(1)
        assert "minia run: the disk caught fire" in found.err
        record = next(Warehouse(str(own_warehouse)).runs())
        assert (record.state, record.error) == ("failed", "the disk caught fire")
        told = minia("status", "--warehouse", own_warehouse).expect(0).out
        assert "minia run: failed (the disk caught fire)" in told

    def test_retries_of_what_fails_leave_no_folders(self, own_warehouse, monkeypatch, minia):
        before = sorted(p for p in own_warehouse.glob("*/*") if p.parent.name != "runs")
        render = report_stage.render

        def broken(*given: object, **named: object) -> None:
            render(*given, **named)
            raise MiniaError("the page cannot be drawn")

        monkeypatch.setattr(report_stage, "render", broken)
        for _ in range(2):
            more = chosen("report.title=Other", "mining.seeds=1")
            found = minia("run", "--warehouse", own_warehouse, *SMALL, *more).expect(1)
            assert "the page cannot be drawn" in found.err
        new = {p for p in own_warehouse.glob("*/*") if p.parent.name != "runs"} - set(before)
        assert "structures" in {p.parent.name for p in new}  # finished, for the next start
        assert not {"report", "scratch"} & {p.parent.name for p in new}

    def test_files_that_vanish_before_the_end_are_not_published(self, minia, own_warehouse):
        shutil.rmtree(next((own_warehouse / "words").iterdir()))
        more = chosen("report.sampled_descriptors=100")
        found = minia("structures", "--warehouse", own_warehouse, *SMALL, *more)
        assert "nothing to do" in found.expect(0).out  # it reads nothing
        house = Warehouse(str(own_warehouse))
        assert house.catalogue().entries == house.catalogue(1).entries
        found = minia(
            *("structures", "--warehouse", own_warehouse, *SMALL),
            *chosen("structures.min_overlap=0.1"),
        ).expect(1)
        assert "words/run=" in found.err
        assert house.versions() == [1, 2]  # 2: what was set for the page is remembered


class TestChanges:
    @pytest.fixture
    def own(self, two_batches: Path, halves: tuple[Path, Path], tmp_path: Path):
        """Copies of the warehouse with two batches and of the second batch's images."""
        return (
            Path(shutil.copytree(two_batches, tmp_path / "W")),
            Path(shutil.copytree(halves[1], tmp_path / "images")),
        )

    def test_a_changed_file_redoes_its_batch_only(self, minia, own):
        location, images = own
        first = sorted(images.iterdir())[0]
        before = rows_of(location, "words", "image_id", "words", batch="b1")
        changed = cv2.flip(cv2.imread(str(first)), 1)
        assert cv2.imwrite(str(first), changed)
        source = ("--images", images, "--batch", "b2", "--warehouse", location)
        minia("run", *source, *SMALL).expect(0)
        done = {k for k, action in actions_of_last_run(location).items() if action == "done"}
        assert done == {
            *((stage, "b2") for stage in ("ingest", *PER_BATCH)),
            *(
                (stage, None)
                for stage in (
                    "pairs",
                    "mine",
                    "structures",
                    "lineage",
                    "patterns",
                    "geometry",
                    "gallery",
                    "report",
                )
            ),
        }
        assert rows_of(location, "words", "image_id", "words", batch="b1") == before
        assert len(rows_of(location, "words")) == 60

    def test_the_same_content_elsewhere_with_labels(self, minia, own, survey):
        location, images = own
        assert {row[0] for row in rows_of(location, "images", "label", batch="b2")} == {None}
        source = ("--images", images, "--batch", "b2", "--warehouse", location)
        minia("run", *source, "--labels", survey.labels, *SMALL).expect(0)
        done = {k for k, action in actions_of_last_run(location).items() if action == "done"}
        assert done == {("ingest", "b2"), ("gallery", None), ("report", None)}
        labels = rows_of(location, "images", "label", batch="b2")
        assert len(labels) == 20
        assert None not in {row[0] for row in labels}
        uris = [row[0] for row in rows_of(location, "images", "uri", batch="b2")]
        assert all(uri.startswith(f"file://{images}/") for uri in uris)


class TestRemoval:
    @pytest.fixture
    def own(self, two_batches: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(two_batches, tmp_path / "W"))

    def test_only_what_depends_on_all_batches_is_made_anew(self, minia, own):
        house = Warehouse(str(own))
        before = house.catalogue()
        out = minia("batch", "remove", "b2", "--warehouse", own).expect(0).out
        # with the settings of the run before: nothing else would be left as it was
        assert actions_of_last_run(own) == {(stage, None): "done" for stage in sorted(PAIRS_ON)}
        after = house.catalogue()
        assert f"state {after.version}" in out
        assert (after.version, after.batches) == (before.version + 1, ["b1"])
        kept = {e for e in before.entries if e.batch == "b1" or e.table == "codebooks"}
        assert kept <= set(after.entries)
        assert {row[0] for row in rows_of(own, "structure_images", "batch")} <= {"b1"}
        assert re.search(r">\s*40\s*<", (own / "report" / "index.html").read_text())
        assert "nothing to do" in minia("run", "--warehouse", own, *SMALL).expect(0).out

    @pytest.mark.heavy
    def test_adding_it_again_gives_what_was_there(self, minia, own, halves):
        tables = {table: rows_of(own, table, *columns) for table, columns in SEEN.items()}
        minia("batch", "remove", "b2", "--warehouse", own).expect(0)
        changed = rows_of(own, "structures", *SEEN["structures"])
        assert changed != tables["structures"]
        source = ("--images", halves[1], "--batch", "b2", "--warehouse", own)
        minia("run", *source, *SMALL).expect(0)
        for table, rows in tables.items():
            assert rows_of(own, table, *SEEN[table]) == rows

    def test_breaking_off(self, minia, own, monkeypatch):
        house = Warehouse(str(own))
        old = house.catalogue()
        note = pipeline._Execution._note

        def dying(execution: pipeline._Execution, step: object) -> None:
            note(execution, step)  # type: ignore[arg-type]
            if step.stage == "structures":  # type: ignore[attr-defined]
                raise Broken

        with monkeypatch.context() as patch:
            patch.setattr(pipeline._Execution, "_note", dying)
            with pytest.raises(Broken):
                minia("batch", "remove", "b2", "--warehouse", own)
        assert house.catalogue() == old
        minia("batch", "remove", "b2", "--warehouse", own).expect(0)
        assert actions_of_last_run(own) == {
            ("pairs", None): "reused",
            ("mine", None): "reused",
            ("lineage", None): "reused",
            ("structures", None): "reused",
            ("patterns", None): "done",
            ("geometry", None): "done",
            ("gallery", None): "done",
            ("report", None): "done",
        }

    def test_the_last_one(self, minia, own_warehouse, opened):
        before = len(opened)
        (codebook,) = Warehouse(str(own_warehouse)).entries("codebooks")
        minia("batch", "remove", "b1", "--warehouse", own_warehouse).expect(0)
        assert len(opened) == before
        state = Warehouse(str(own_warehouse)).catalogue()
        assert (state.version, state.batches) == (2, [])
        assert codebook in state.entries
        assert not state.of_table("structures")
        assert not (own_warehouse / "report" / "index.html").exists()
        listed = minia("batch", "list", "--json", "--warehouse", own_warehouse).expect(0).out
        assert listed == "[]\n"
        assert "holds no batch of images" in minia("run", "--warehouse", own_warehouse).err
        minia("rollback", "--warehouse", own_warehouse).expect(0)
        assert (own_warehouse / "report" / "index.html").exists()

    def test_an_unknown_name(self, minia, own):
        found = minia("batch", "remove", "b3", "--warehouse", own).expect(3)
        assert "there is no batch 'b3'; batches: b1, b2" in found.err
        assert Warehouse(str(own)).catalogue().batches == ["b1", "b2"]


def test_a_warehouse_of_any_name(minia, survey, tmp_path):
    """Spark expands patterns, and Hadoop decodes nothing: both must find our folders."""
    few = tmp_path / "im ages [1] {a,b}*?%20"
    few.mkdir()
    for image in sorted(survey.images.iterdir())[:8]:
        shutil.copy(image, few)
    location = tmp_path / "ware house [x]{y}*?%20#"
    source = ("--images", few, "--batch", "b1", "--warehouse", location)
    minia("ingest", *source, *SMALL).expect(0)
    minia("features", "--warehouse", location, *SMALL).expect(0)
    assert len(rows_of(location, "features", "image_id")) == 8
    assert sum(row[0] for row in rows_of(location, "features", "n_features")) > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == [few.name, location.name]


def test_a_stage_alone_reads_no_mixture(minia, own_warehouse):
    smaller = [*SMALL, "--set", "codebook.size=24"]
    minia("codebook", "--warehouse", own_warehouse, *smaller, "--replace").expect(0)
    for stage, first in (("mine", "words"), ("structures", "mine"), ("report", "words")):
        refused = minia(stage, "--warehouse", own_warehouse, *smaller).expect(3)
        assert f"made from what has changed since; run 'minia {first}' first" in refused.err
    minia("run", "--warehouse", own_warehouse, *smaller).expect(0)
    assert "nothing to do" in minia("mine", "--warehouse", own_warehouse, *smaller).expect(0).out


def test_what_is_only_shown_may_be_older(own_warehouse):
    """A run of some lines goes on where another line's page is of before the last batch."""
    house = Warehouse(str(own_warehouse))
    state = house.catalogue()
    images = state.of_table("images")[0]
    old = {"table": "explorer", "stage": "explorer", "batch": None, "inputs": "of before"}
    house.commit(state, state.run, (*state.entries, images.model_copy(update=old)), "a map")
    settings = HOUSE.load_settings(None, [v for v in SMALL if v != "--set"])
    request = Request("test", HOUSE.stages_of(["discovery"]))
    plan, planner = make_plan(HOUSE, request, settings, house)
    actions = {step.stage.name: step.action for step in plan.steps}
    assert (actions["mine"], actions["report"]) == ("skip", "run")
    (shown,) = planner.outdated(("report", None, None), plan.start)
    assert (shown.name, shown.line) == ("explorer", "map")
    assert planner.outdated(("mine", None, "sift"), plan.start) == []


def test_what_is_computed_from_is_not_older(own_warehouse):
    """Also where a stage does without it when it is not there, as lineage without a word map."""
    house = Warehouse(str(own_warehouse))
    state = house.catalogue()
    (codebook,) = state.of_table("codebooks")
    old = {"table": "word_map", "inputs": "of before"}
    house.commit(state, state.run, (*state.entries, codebook.model_copy(update=old)), "a re-fit")
    settings = HOUSE.load_settings(None, [v for v in SMALL if v != "--set"])
    with pytest.raises(InputError, match="lineage would read word_map, which was made from what"):
        make_plan(HOUSE, Request("test", ("lineage",)), settings, house)
