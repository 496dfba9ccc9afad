"""``codebook.reuse``: the codebook of another warehouse, and what it makes comparable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import SMALL, chosen, rows_of

from minia_spark.codebook import CODEBOOK
from minia_spark.warehouse.warehouse import Warehouse

COMPARED = {
    "words": ("image_id", "feature_words", "words", "counts", "sizes", "quantisation_error"),
    "structures": ("structure_id", "words", "frequencies", "sets", "support"),
    "structure_images": (
        *("structure_id", "rank", "image_id", "overlap", "words_held", "features"),
    ),
}


@pytest.fixture(scope="module")
def thirds(survey, tmp_path_factory):
    folders = [tmp_path_factory.mktemp("thirds") / name for name in ("b1", "b2", "b3")]
    images = sorted(survey.images.iterdir())
    for folder, first, last in zip(folders, (0, 30, 45), (30, 45, 60), strict=True):
        folder.mkdir()
        for image in images[first:last]:
            shutil.copy(image, folder)
    return folders


@pytest.fixture(scope="module")
def one_after_another(minia, thirds, tmp_path_factory):
    """Three batches, each by a run of its own; the codebook is that of the first."""
    location = tmp_path_factory.mktemp("three") / "W1"
    for folder in thirds:
        source = ("--images", folder, "--batch", folder.name, "--warehouse", location)
        minia("run", *source, *SMALL).expect(0)
    return location


@pytest.fixture(scope="module")
def all_at_once(minia, survey, one_after_another, tmp_path_factory):
    location = tmp_path_factory.mktemp("one") / "W2"
    source = ("--images", survey.images, "--batch", "all", "--warehouse", location)
    reuse = chosen(f"codebook.reuse={one_after_another}")
    minia("run", *source, *SMALL, *reuse).expect(0)
    return location


@pytest.mark.heavy
def test_batches_one_after_another_are_as_all_at_once(one_after_another, all_at_once):
    assert rows_of(one_after_another, "codebooks") == rows_of(all_at_once, "codebooks")
    for table, columns in COMPARED.items():
        rows = rows_of(all_at_once, table, *columns)
        assert rows
        assert rows_of(one_after_another, table, *columns) == rows, table


@pytest.mark.heavy
def test_a_new_batch_reads_no_image_of_the_others(one_after_another):
    """The last run's steps of earlier batches were all skipped, and its counts are the batch's."""
    record = next(Warehouse(str(one_after_another)).runs())
    actions = {(s.stage, s.batch): s.action for s in record.steps}
    for stage in ("features", "words", "drift", "factors"):
        assert [actions[stage, b] for b in ("b1", "b2", "b3")] == ["skipped", "skipped", "done"]
    assert actions[CODEBOOK.name, None] == "skipped"
    counts = {(s.stage, s.batch): s.counts for s in record.steps}
    assert counts["ingest", "b3"]["images"] == counts["features", "b3"]["images"] == 15
    assert counts["words", "b3"]["images"] == 15


@pytest.mark.heavy
def test_same_rows_same_version_no_fit(one_after_another, all_at_once):
    theirs, ours = (
        Warehouse(str(w)).entries("codebooks")[0] for w in (one_after_another, all_at_once)
    )
    assert theirs.digest == ours.digest
    assert theirs.path != ours.path
    for table in ("codebooks", "training_batches"):
        assert rows_of(all_at_once, table) == rows_of(one_after_another, table)
    mllib = all_at_once / Path(ours.path).parent / "mllib" / "data"
    assert list(mllib.glob("*.parquet"))
    record = next(Warehouse(str(all_at_once)).runs())
    (step,) = [s for s in record.steps if s.stage == CODEBOOK.name]
    assert step.counts == {"words": 120}


@pytest.mark.heavy
def test_it_stays_until_it_is_asked_for_again(minia, one_after_another, all_at_once, tmp_path):
    """The other warehouse moves on; a re-fit here takes its newer codebook over."""
    theirs = Path(shutil.copytree(one_after_another, tmp_path / "W1"))
    ours = Path(shutil.copytree(all_at_once, tmp_path / "W2"))
    reuse = [*SMALL, *chosen(f"codebook.reuse={theirs}")]
    minia(CODEBOOK.name, "--warehouse", ours, *reuse, "--replace").expect(0)  # the same words
    (before,) = Warehouse(str(ours)).entries("codebooks")
    other = chosen("codebook.seed=2")
    minia(CODEBOOK.name, "--warehouse", theirs, *SMALL, *other, "--replace").expect(0)
    assert "nothing to do" in minia(CODEBOOK.name, "--warehouse", ours, *reuse).expect(0).out
    minia(CODEBOOK.name, "refit", "--warehouse", ours).expect(0)
    (after,) = Warehouse(str(ours)).entries("codebooks")
    assert after.digest == Warehouse(str(theirs)).entries("codebooks")[0].digest != before.digest
    assert len(rows_of(ours, "word_map")) == 120
    plan = json.loads(minia("plan", "--refit", "--json", "--warehouse", ours).expect(0).out)
    assert {step["action"] for step in plan["steps"]} == {"skip"}


class TestRefused:
    @pytest.fixture
    def wanted(self, minia, survey, tmp_path):
        def ask(command: str, *settings: str):
            source = ("--images", survey.images, "--batch", "b", "--warehouse", tmp_path / "W2")
            found = minia(command, *source, *SMALL, *chosen(*settings))
            assert not (tmp_path / "W2" / "images").exists()  # before anything starts
            return found

        return ask

    @pytest.mark.parametrize("command", ["run", "plan"])
    def test_features_of_other_settings(self, wanted, warehouse, command):
        refused = wanted(
            command, f"codebook.reuse={warehouse}", "features.sift.sigma=1.7", "codebook.size=121"
        ).expect(2)
        assert (
            f"the codebook of {warehouse} is not one for these settings: features.sift.sigma is "
            "1.6 there and 1.7 here; codebook.size is 120 there and 121 here" in refused.err
        )

    def test_no_codebook_there(self, wanted, tmp_path):
        refused = wanted("run", f"codebook.reuse={tmp_path / 'none'}").expect(2)
        assert f"there is no codebook in {tmp_path / 'none'}" in refused.err

    def test_a_state_that_does_not_say_how_it_was_made(self, wanted, own_warehouse):
        shutil.rmtree(own_warehouse / "runs")  # the ledger is not needed
        state = own_warehouse / "catalogue" / "000000000001.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"uses": {}}))
        refused = wanted("run", f"codebook.reuse={own_warehouse}").expect(2)
        assert "was made is not known there" in refused.err

    def test_the_warehouse_itself(self, minia, own_warehouse):
        own = chosen(f"codebook.reuse={own_warehouse}")
        refused = minia("run", "--warehouse", own_warehouse, *SMALL, *own).expect(2)
        assert "names this warehouse itself" in refused.err

    def test_other_descriptors(self, warehouse, published, context, survey, tmp_path, monkeypatch):
        """The same settings may still name another extractor's version."""
        from minia_spark.base.errors import SettingsError
        from minia_spark.codebook import stage

        real = stage.load_codebook

        def other(frame):
            found = real(frame)
            return stage.Codebook(found.version, found.centres, found.scale, "surf")

        for name in ("ingest", "features"):
            published(tmp_path, name, "b1", source=survey.images)
        monkeypatch.setattr(stage, "load_codebook", other)
        with pytest.raises(SettingsError, match="is of surf descriptors of 128 numbers; those he"):
            published(
                tmp_path,
                CODEBOOK.name,
                None,
                f"codebook.reuse={warehouse}",
                "codebook.size=120",
                "codebook.sample_size=1500",
            )
