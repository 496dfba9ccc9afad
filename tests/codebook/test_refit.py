"""The re-fit: the next codebook, all that hangs on it, and where words went."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, chosen, rows_of, table_of

from minia_spark.codebook import CODEBOOK
from minia_spark.engine import run as pipeline
from minia_spark.warehouse.warehouse import Warehouse

TABLES = ("codebooks", "training_batches", "word_map", "words", "word_counts", "drift")
TABLES += ("structures", "structure_images")


class Broken(BaseException):
    """The process dies here."""


def version_of(location: Path) -> str:
    (entry,) = Warehouse(str(location)).entries("codebooks")
    return entry.digest


@pytest.fixture(scope="module")
def refitted(minia, grown, tmp_path_factory):
    """A copy of it, re-fitted; the settings are those of the ledger."""
    location = Path(shutil.copytree(grown, tmp_path_factory.mktemp("refitted") / "W"))
    minia(CODEBOOK.name, "refit", "--warehouse", location).expect(0)
    return location


def test_new_batches_alone_do_not_touch_the_codebook(grown, warehouse, refitted):
    assert version_of(grown) == version_of(warehouse) != version_of(refitted)
    for table in ("codebooks", "training_batches"):
        assert rows_of(grown, table) == rows_of(warehouse, table)


def test_one_state_in_which_everything_is_of_the_new_codebook(grown, refitted):
    before, after = (Warehouse(str(location)).require() for location in (grown, refitted))
    assert after.version == before.version + 1
    record = Warehouse(str(refitted)).run(after.run)
    assert after.settings == before.settings
    done = {(s.stage, s.batch) for s in record.steps if s.action == "done"}
    assert done == {
        *((stage, b) for stage in ("words", "drift", "factors") for b in ("b1", "b2")),
        *(
            (stage, None)
            for stage in (
                *(CODEBOOK.name, "tune", "pairs", "mine"),
                *("structures", "lineage", "patterns", "geometry", "gallery", "report"),
            )
        ),
    }
    version = version_of(refitted)
    assert {row[0] for row in rows_of(refitted, "drift", "codebook")} == {version}
    assert {row[0] for row in rows_of(refitted, "drift", "in_training")} == {True}
    known = rows_of(refitted, "training_batches", "version", "batch")
    assert known == [(version, "b1"), (version, "b2")]
    counted = sum(row[0] for row in rows_of(refitted, "codebooks", "occurrences"))
    assert counted == sum(row[0] for row in rows_of(refitted, "features", "n_features"))
    centres = np.stack(table_of(refitted, "codebooks").sort_values("word")["centre"])
    words = table_of(refitted, "words", batch="b2").iloc[3]
    features = table_of(refitted, "features", batch="b2").set_index("image_id")
    block = np.frombuffer(features["descriptors"][words["image_id"]], np.uint8)
    vectors = block.reshape(-1, 128).astype(np.int64)
    distances = ((vectors[:, None] - centres[None].astype(np.int64)) ** 2).sum(axis=2)
    assert words["feature_words"].tolist() == distances.argmin(axis=1).tolist()


def test_the_map_of_words(grown, refitted):
    """Against all distances, and all features counted one by one."""
    old, new = (
        np.stack(table_of(w, "codebooks").sort_values("word")["centre"]).astype(np.int64)
        for w in (grown, refitted)
    )
    found = table_of(refitted, "word_map").sort_values("older_word")
    squared = ((old[:, None] - new[None]) ** 2).sum(axis=2)
    assert found["newer_word"].tolist() == squared.argmin(axis=1).tolist()
    assert found["distance"].tolist() == np.sqrt(squared.min(axis=1)).tolist()
    assert set(found["older_version"]) == {version_of(grown)}
    assert set(found["newer_version"]) == {version_of(refitted)}
    pairs = [
        np.concatenate(table_of(w, "words").sort_values("image_id")["feature_words"].tolist())
        for w in (grown, refitted)
    ]
    for word, target, share in zip(
        found["older_word"], found["newer_word"], found["share"], strict=True
    ):
        there = pairs[1][pairs[0] == word]
        assert share == (there == target).mean() if len(there) else np.isnan(share)
    assert found["share"].mean() > 0.5


def test_structures_are_followed_through_the_map(minia, refitted):
    told = minia("structures", "diff", "2", "3", "--warehouse", refitted).expect(0).out
    assert told.startswith("the codebooks differ: words of the older run are those they went")
    fates = [line.split()[0] for line in told.splitlines()[2:-1]]
    went_on = sum(fate not in ("born", "gone") for fate in fates)
    assert went_on > 0.4 * min(len(rows_of(refitted, "structures", "structure_id")), len(fates))
    back = minia("structures", "diff", "3", "2", "--warehouse", refitted).expect(3).err
    assert "no word map leads from the first to the second" in back


def test_nothing_is_left_to_do(minia, refitted, grown):
    again = minia(CODEBOOK.name, "refit", "--warehouse", refitted).expect(0)
    assert "nothing to do" in again.out
    assert "nothing to do" in minia("run", "--warehouse", refitted, *SMALL).expect(0).out
    plan = minia("plan", "--refit", "--json", "--warehouse", refitted).expect(0).out
    assert {s["action"] for s in json.loads(plan)["steps"]} == {"skip"}
    plan = minia("plan", "--refit", "--warehouse", grown).expect(0).out
    assert re.search(r"^codebook +sift +run +to be fitted anew$", plan, re.MULTILINE)
    assert re.search(r"^words +b1 +sift +run +after codebook$", plan, re.MULTILINE)


@pytest.mark.heavy
def test_a_broken_one_leaves_the_old_state_and_is_finished_by_the_next(
    minia, grown, refitted, tmp_path, monkeypatch
):
    location = Path(shutil.copytree(grown, tmp_path / "W"))
    house = Warehouse(str(location))
    state, page = house.require(), (location / "report" / "index.html").read_bytes()
    note = pipeline._Execution._note
    for stage, batch in ((CODEBOOK.name, None), ("words", "b1"), ("mine", None)):

        def dying(execution, step, last=(stage, batch)):
            note(execution, step)
            if (step.stage, step.batch) == last:
                raise Broken

        with monkeypatch.context() as patch:
            patch.setattr(pipeline._Execution, "_note", dying)
            with pytest.raises(Broken):
                minia(CODEBOOK.name, "refit", "--warehouse", location)
        assert house.require() == state
        assert (location / "report" / "index.html").read_bytes() == page
        assert rows_of(location, "words", "feature_words") == rows_of(
            grown, "words", "feature_words"
        )
        # who only adds a batch meanwhile goes on with the old codebook
        assert "nothing to do" in minia("run", "--warehouse", location, *SMALL).expect(0).out
    minia(CODEBOOK.name, "refit", "--warehouse", location).expect(0)
    last = next(house.runs())
    made = {(s.stage, s.batch): s.action for s in last.steps}
    assert made[CODEBOOK.name, None] == made["words", "b1"] == made["mine", None] == "reused"
    assert made["structures", None] == "done"
    for table in TABLES:
        assert rows_of(location, table) == rows_of(refitted, table), table


@pytest.mark.heavy
def test_maps_of_several_codebooks_stay(minia, refitted, tmp_path):
    """Another number of words is another codebook; its map joins the earlier one."""
    location = Path(shutil.copytree(refitted, tmp_path / "W"))
    minia("run", "--warehouse", location, *SMALL, *chosen("codebook.size=60"), "--replace").expect(
        0
    )
    found = table_of(location, "word_map")
    steps = found.groupby(["older_version", "newer_version"]).size()
    assert sorted(steps.tolist()) == [120, 120]
    told = minia("structures", "diff", "1", "4", "--warehouse", location).expect(0).out
    assert "the codebooks differ" in told


def test_usage(minia, tmp_path, warehouse):
    wrong = minia(CODEBOOK.name, "refti", "--warehouse", warehouse).expect(2).err
    assert "invalid choice: 'refti'" in wrong
    nowhere = minia(CODEBOOK.name, "refit", "--warehouse", tmp_path / "W").expect(3).err
    assert "no warehouse at" in nowhere
    both = ("plan", "--refit", "--images", tmp_path, "--batch", "b", "--warehouse", warehouse)
    assert "without --images" in minia(*both).expect(2).err
