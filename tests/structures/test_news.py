"""``minia structures new``: what a batch brought, its alerts, its exit code and figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import minia_spark
from minia_spark.base.errors import InputError
from minia_spark.frames.news import Featureless, _featureless
from minia_spark.warehouse.warehouse import Warehouse

NIGHT = 20
"""Images of the second batch: the last of the 60 by name."""


@pytest.fixture(scope="module")
def two_nights(warehouse, tmp_path_factory):
    """The warehouse as if its last 20 images had come as batch ``n2``, with two things planted.

    Image 59 has words at random that fit badly, and structure 0 is in 18 images of the night and
    in 2 of the others. The files of the last two images are those of the first and of each other.
    """
    location = tmp_path_factory.mktemp("news") / "W"
    shutil.copytree(warehouse, location)
    house = Warehouse(str(location))
    state = house.catalogue()
    run = house.new_run("by hand", "0", {}).run
    names = sorted(minia_spark.open(location).frame("images")["image_id"])
    night = set(names[-NIGHT:])
    entries = []

    def put(entry, batch, table):
        path = f"{entry.table}/run={run}/batch={batch}"
        (location / path).mkdir(parents=True)
        pq.write_table(table, location / path / "part.parquet")
        changed = {"batch": batch, "path": path, "rows": table.num_rows, "run": run, "files": ""}
        entries.append(entry.model_copy(update=changed))

    for entry in state.entries:
        table = pq.read_table(location / entry.path) if entry.rows is not None else None
        if entry.table in ("images", "words"):
            table = (_planted if entry.table == "words" else _copied)(table, names)
            is_night = pa.array([name in night for name in table["image_id"].to_pylist()])
            put(entry, "n2", _in_batch(table.filter(is_night), "n2"))
            put(entry, "b1", table.filter(pa.compute.invert(is_night)))
        elif entry.table == "structure_images":
            rows = table.filter(pa.compute.not_equal(table["structure_id"], 0)).to_pylist()
            like = table.slice(0, 1).to_pylist()[0]
            rows += [
                like | {"structure_id": 0, "image_id": name, "rank": rank}
                for rank, name in enumerate([*names[:2], *names[-18:]], 1)
            ]
            rows = [r | {"batch": "n2" if r["image_id"] in night else "b1"} for r in rows]
            put(entry, None, pa.Table.from_pylist(rows, table.schema))
        elif entry.table == "lineage":
            rows = table.to_pylist()
            for row in rows:
                row |= {"older_state": 1, "event": "same", "older_structure_id": 0}
            rows[1] |= {"event": "born"}
            put(entry, None, pa.Table.from_pylist(rows, table.schema))
        else:
            entries.append(entry)
    house.commit(state, run, entries, "by hand")
    return location


def _in_batch(table, batch):
    place = table.schema.get_field_index("batch")
    return table.set_column(place, table.schema.field(place), pa.array([batch] * len(table)))


def _copied(table, names):
    rows = {row["image_id"]: row for row in table.to_pylist()}
    for name in names[-2:]:
        rows[name]["content_hash"] = rows[names[0]]["content_hash"]
    return pa.Table.from_pylist(list(rows.values()), table.schema)


def _planted(table, names):
    rng = np.random.default_rng(1)
    rows = table.to_pylist()
    (odd,) = (row for row in rows if row["image_id"] == names[-1])
    words = np.sort(rng.choice(120, 30, replace=False))
    odd |= {"words": words.tolist(), "counts": [1] * 30, "sizes": [5] * 30}
    odd["quantisation_error"] *= 20
    return pa.Table.from_pylist(rows, table.schema)


class TestNews:
    def test_planted_things_are_told_and_nothing_else(self, two_nights):
        found = minia_spark.open(two_nights).news()
        assert (found.batch, found.compared_with, found.known) == ("n2", 1, 40)
        structures = found.structures
        (planted,) = structures[structures["alert"]].to_dict("records")
        assert planted["structure_id"] == 0
        assert planted["images"] == 18
        assert planted["expected"] == 2 * NIGHT / 40
        assert planted["q"] < 1e-6
        assert structures[~structures["alert"]]["event"].tolist() == ["born"]
        images = found.images
        assert len(images) == NIGHT
        assert images["image_id"][0] == sorted(images["image_id"])[-1]
        assert images["alert"].tolist() == [True] + [False] * (NIGHT - 1)
        assert "its features fit their words badly" in images["reasons"][0]
        assert found.alerts == 2
        assert found.copies == 2

    def test_the_other_batch_raises_no_alert(self, two_nights):
        found = minia_spark.open(two_nights).news("b1")
        assert (found.alerts, found.copies) == (0, 1)

    def test_the_first_batch_of_all(self, warehouse):
        found = minia_spark.open(warehouse).news()
        assert found.compared_with is None
        assert found.alerts == len(found.structures) == 0
        assert (len(found.images), found.copies) == (60, 0)

    def test_no_such_batch(self, warehouse):
        with pytest.raises(InputError, match=r"there is no batch 'b9' .* batches: b1"):
            minia_spark.open(warehouse).news("b9")


class TestFeatureless:
    def test_counted_by_hand(self):
        """Two of three here and none of three known: 3 of the 15 ways to choose two of six."""
        found = _featureless(np.array([0, 5, 0]), np.array([7, 7, 7]), 0.3)
        assert found == Featureless(2, 0.0, pytest.approx(3 / 15), alert=True)
        assert not _featureless(np.array([0, 5, 0]), np.array([7, 7, 7]), 0.1).alert

    def test_as_many_as_usual_or_none(self):
        found = _featureless(np.array([0] * 5 + [9] * 95), np.array([0] * 50 + [9] * 950), 0.01)
        assert (found.images, found.expected, found.alert) == (5, 5.0, False)
        for rate in (0.01, 1.0):
            assert _featureless(np.full(50, 9), np.full(50, 9), rate) == Featureless(
                0, 0.0, 1.0, alert=False
            )

    def test_with_nothing_to_compare_with(self):
        assert _featureless(np.zeros(9, np.int64), None, 0.01) == Featureless(
            9, None, None, alert=False
        )

    def test_a_cloudy_night_is_an_alert(self, two_nights, minia):
        house = Warehouse(str(two_nights))
        state = house.require()
        (entry,) = (e for e in state.of_table("words") if e.batch == "n2")
        (file,) = Path(two_nights, entry.path).glob("*.parquet")
        rows = pq.read_table(file).to_pylist()
        clear = file.read_bytes()
        for row in rows[:9]:
            row |= {"words": [], "counts": [], "sizes": []}
        try:
            pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file)
            found = minia_spark.open(two_nights).news()
            told = minia("structures", "new", "--warehouse", two_nights).expect(0).out
        finally:
            file.write_bytes(clear)
        assert found.featureless.images == 9
        assert found.featureless.alert
        assert "images without features\n! 9 of the batch, expected 0.0\n" in told
        assert 'minia_news_alerts{batch="n2",variant="sift",of="featureless"} 1' in found.metrics()


class TestCommand:
    def test_text_and_exit_code(self, minia, two_nights):
        told = minia("structures", "new", "--warehouse", two_nights).expect(0)
        assert told.out.splitlines()[0] == "batch n2, sift: 2 alerts"
        arguments = ("--alert-exit-code", 10, "--warehouse", two_nights)
        minia("structures", "new", *arguments).expect(10)
        minia("structures", "new", "--batch", "b1", *arguments).expect(0)

    def test_json_and_figures(self, minia, two_nights, tmp_path):
        metrics = tmp_path / "news.prom"
        told = minia(
            *("structures", "new", "--json", "--count", 3, "--metrics", metrics),
            *("--warehouse", two_nights),
        ).expect(0)
        found = json.loads(told.out)
        assert (found["alerts"], found["copies"]) == (2, 2)
        assert len(found["images"]) == 3
        lines = metrics.read_text().splitlines()
        assert 'minia_news_alerts{batch="n2",variant="sift",of="images"} 1' in lines
        assert 'minia_news_structures{batch="n2",variant="sift",event="born"} 1' in lines
        assert 'minia_news_copied_images{batch="n2",variant="sift"} 2' in lines

    def test_no_file_of_the_warehouse_is_written_over(self, minia, warehouse):
        page = Path(warehouse) / "report" / "index.html"
        before = page.read_bytes()
        told = minia("structures", "new", "--metrics", page, "--warehouse", warehouse).expect(2)
        assert "lies in the warehouse" in told.err
        assert page.read_bytes() == before

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["new", "x"], "expected 'minia structures new'"),
            (["old"], "there is no 'minia structures old': diff, new, name, names"),
            (["--batch", "b1"], "--batch belongs to 'minia structures new'"),
            (["names", "--kind", "x"], "--kind belongs to 'minia structures name'"),
            (["new", "--rate", "0"], "must be above 0 and at most 1"),
            (["new", "--rate", "x"], "argument --rate: must be a number, not 'x'"),
            (["new", "--alert-exit-code", "3"], "must be 0, or 4 to 125"),
            (["new", "--count", "1" + "0" * 30], "must be at least 1 and at most 2,147,483,647"),
            (["new", "--count", "many"], "must be a whole number, not 'many'"),
            (["names", "--set", "report.title=x"], "--set belongs to 'minia structures' alone"),
            (["new", "--config", "x.yaml"], "--config belongs to 'minia structures' alone"),
        ],
    )
    def test_wrong_usage(self, minia, warehouse, arguments, problem):
        told = minia("structures", *arguments, "--warehouse", warehouse).expect(2)
        assert problem in told.err
