"""What people call structures: said, carried along, vetoed; whatever they write."""

from __future__ import annotations

import json
import unicodedata

import pyarrow as pa
import pytest
from commands import SMALL
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minia_spark
from minia_spark.base.errors import SettingsError
from minia_spark.sky.survey import Survey, generate
from minia_spark.structures.names import checked, ended, excluded, merged, publish_names
from minia_spark.structures.settings import StructuresSettings
from minia_spark.warehouse.warehouse import Warehouse


class TestChecked:
    @given(st.text(max_size=60))
    def test_never_a_control_character(self, text):
        try:
            found = checked("name", text)
        except SettingsError:
            return
        assert not {unicodedata.category(sign) for sign in found} & {"Cc", "Cf", "Cs"}
        assert checked("name", found) == found

    @pytest.mark.parametrize(
        ("what", "text", "problem"),
        [
            ("kind", "  ", "a kind has 1 to 40 characters, not 0"),
            ("kind", "x" * 41, "a kind has 1 to 40 characters, not 41"),
            ("name", "a\x1b[31m", r"a name cannot hold the character U\+001B"),
            ("name", "two\nlines", r"U\+000A"),
            ("note", "\u202eabc", r"U\+202E"),
            ("name", "\udc80", r"U\+DC80"),
        ],
    )
    def test_what_is_refused(self, what, text, problem):
        with pytest.raises(SettingsError, match=problem):
            checked(what, text)

    def test_notes_have_lines(self):
        assert checked("note", " two\nlines ") == "two\nlines"


def test_kinds_to_leave_out_are_kept_as_names_are():
    """macOS types accents apart from their letters."""
    settings = StructuresSettings(exclude_kinds=(" de\u0301faut ",))
    assert settings.exclude_kinds == (checked("kind", "d\u00e9faut"),)


class TestMerged:
    def test_what_is_not_said_stays(self):
        rows = merged([], "1.0", {"name": "ring", "kind": "galaxy"}, "t1")
        rows = merged(rows, "1.10", {"kind": "artefact"}, "t2")
        rows = merged(rows, "1.2", {"note": "?"}, "t3")
        rows = merged(rows, "1.0", {"note": "sure"}, "t4")
        assert [row["lineage_id"] for row in rows] == ["1.0", "1.2", "1.10"]
        assert rows[0] == {
            **{"lineage_id": "1.0", "name": "ring", "kind": "galaxy"},
            **{"note": "sure", "named_at": "t4"},
        }
        assert [row["lineage_id"] for row in merged(rows, "1.2", None, "t5")] == ["1.0", "1.10"]


def test_excluded_by_kind():
    names = pa.table({"lineage_id": ["1.0", "1.1", "2.5"], "kind": ["artefact", None, "spike"]})
    lineage = pa.table(
        {
            "lineage_id": ["2.5", "1.0", "1.1"],
            "structure_id": [0, None, 1],
            "event": ["same", "merged", "grown"],
        }
    )
    assert excluded(names, lineage, ["artefact", "spike"]) == [0]
    assert excluded(names, lineage, ["SPIKE"]) == [0]
    assert excluded(names, lineage, []) == []
    assert ended(names, lineage, ["artefact", "spike"]) == [("1.0", "merged")]
    assert ended(names, lineage, ["spike"]) == []


class TestInAWarehouse:
    def test_said_changed_listed_removed(self, minia, own_warehouse):
        where = ("--warehouse", own_warehouse)
        hostile = "<script>alert(1)</script> =1+1 %s {} $(x) \\ \"'"
        before = minia_spark.open(own_warehouse)
        minia("structures", "name", "s0001", "--kind", "galaxy", *where).expect(0)
        minia("structures", "name", "1", "--note", hostile, *where).expect(0)
        (told,) = json.loads(minia("structures", "names", "--json", *where).expect(0).out)
        assert (told["structure_id"], told["kind"], told["note"]) == (1, "galaxy", hostile)
        assert hostile in minia("structures", "names", *where).expect(0).out
        after = minia_spark.open(own_warehouse)
        assert after.state == before.state + 2
        assert after.frame("structure_images").equals(before.frame("structure_images"))
        minia("verify", "--full", *where).expect(0)
        told = minia("structures", "name", "0", "--kind", "galaxys", *where).expect(0).out
        assert "note: there is a kind 'galaxy' too; 'galaxys' is another" in told
        told = minia("structures", "name", "0", "--kind", "Galaxy", *where).expect(0).out
        assert "note" not in told
        minia("structures", "name", "0", "--remove", *where).expect(0)
        minia("structures", "name", "1", "--remove", *where).expect(0)
        assert "nobody named a structure" in minia("structures", "names", *where).expect(0).out

    def test_of_a_structure_that_ended(self, minia, own_warehouse):
        said = {"name": None, "kind": None, "note": "not for everybody"}
        publish_names(Warehouse(str(own_warehouse)), "sift", "9.9", said, command="x", say=print)
        where = ("--warehouse", own_warehouse)
        listed = minia("structures", "names", *where).expect(0).out
        assert listed.split() == ["ended", "9.9", "not", "for", "everybody"]
        told = minia("structures", "name", "9.9", "--remove", *where).expect(0).out
        assert told.startswith("ended (9.9): said in state ")
        assert "nobody named" in minia("structures", "names", *where).expect(0).out
        minia("structures", "name", "9.9", "--note", "x", *where).expect(3)

    @pytest.mark.parametrize(
        ("arguments", "code", "problem"),
        [
            (["s0001"], 2, "give --name, --kind or --note, or --remove alone"),
            (["s0001", "--kind", "x", "--remove"], 2, "or --remove alone"),
            (["s0999", "--kind", "x"], 3, "there is no structure 's0999'"),
            (["s0001", "--kind", "a\tb"], 2, "a kind cannot hold the character U+0009"),
            ([], 2, "expected 'minia structures name ID'"),
        ],
    )
    def test_what_is_refused(self, minia, warehouse, arguments, code, problem):
        told = minia("structures", "name", *arguments, "--warehouse", warehouse)
        assert problem in told.expect(code).err

    def test_a_veto(self, minia, own_warehouse, published):
        before = minia_spark.open(own_warehouse).frame("structure_images")
        minia("structures", "name", "0", "--kind", "artefact", "--warehouse", own_warehouse)
        made = published(
            own_warehouse,
            *("structures", None, "structures.exclude_kinds=[artefact]", "codebook.size=120"),
        )
        assert made.counts["left_out"] == 1
        after = minia_spark.open(own_warehouse).frame("structure_images")
        wanted = before[before["structure_id"] != 0]
        order = ["structure_id", "rank"]
        rows = [
            frame.sort_values(order)[[*order, "image_id", "overlap"]].to_dict("records")
            for frame in (after, wanted)
        ]
        assert rows[0] == rows[1]
        assert len(after) < len(before)


@pytest.mark.heavy
def test_names_stay_with_what_they_named(minia, own_warehouse, tmp_path):
    """A batch comes, the codebook is fitted anew, the batch goes: the same images are meant."""
    what = Survey(side_px=128, patterns=("clumpy_ring", "asterism"), frequency=0.4)
    images = tmp_path / "night"
    images.mkdir()
    for name, pixels, _ in generate(what, range(60, 90)):
        Image.fromarray(pixels).save(images / f"{name}.png")
    where = ("--warehouse", own_warehouse)
    structures = minia_spark.open(own_warehouse).frame("structures")
    number = structures.sort_values("support")["structure_id"].iloc[-1]  # the others are by chance
    minia("structures", "name", str(number), "--name", "ring", *where).expect(0)
    lineage = minia_spark.open(own_warehouse).structure_names()["lineage_id"][0]
    named = set(minia_spark.open(own_warehouse).search_structure(lineage)["image_id"])
    steps = [
        ("run", "--images", images, "--batch", "b2", *SMALL),
        ("codebook", "refit", *SMALL),
        ("batch", "remove", "b2", *SMALL),
    ]
    for step in steps:
        minia(*step, *where).expect(0)
        collection = minia_spark.open(own_warehouse)
        assert collection.structure_names()["name"].tolist() == ["ring"]
        now = set(collection.search_structure(lineage)["image_id"])
        assert len(now & named) > len(named) / 2
