"""The facets of a batch through Spark."""

from __future__ import annotations

import pytest
from commands import table_of

from minia_spark.galaxies.split import split_of


def test_labels_are_classes_where_no_table_is(own_warehouse, published):
    made = published(own_warehouse, "facets", "b1")
    found = table_of(own_warehouse, "facets").set_index("image_id")
    images = table_of(own_warehouse, "images").set_index("image_id")
    assert sorted(found.index) == sorted(images.index)
    assert (found["galaxy_class"].fillna("") == images["label"].fillna("")[found.index]).all()
    assert found["gz2_class"].isna().all()  # its labels are no strings of Galaxy Zoo 2
    for name, split in found["split"].items():
        assert split == split_of(name, 31, 0.5)
    assert made.counts["training"] == (found["split"] == "train").sum()


def test_a_table_of_classes(own_warehouse, published, tmp_path):
    names = sorted(table_of(own_warehouse, "images")["image_id"])
    table = tmp_path / "classes.csv"
    rows = [f"{names[0]},SBb?t(r),test", f"{names[1]},A,train", f"{names[2]},Odd,"]
    table.write_text("image,gz2_class,split\n" + "\n".join(rows) + "\nabsent,Sc,train\n")
    given = f"galaxies.classes.file={table}"
    published(own_warehouse, "facets", "b1", given, "galaxies.classes.split_column=split")
    found = table_of(own_warehouse, "facets").set_index("image_id")
    bar = found.loc[names[0]]
    assert (bar["galaxy_class"], bar["split"], bar["bar"]) == ("SB", "test", True)
    assert (bar["arms"], bar["winding"], bar["feature"]) == ("not determined", "tight", "ring")
    assert (found.loc[names[1], "base"], found.loc[names[1], "split"]) == ("A", "train")
    odd = found.loc[names[2]]
    assert (odd["galaxy_class"], odd["base"]) == ("Odd", None)
    assert odd["split"] == split_of(names[2], 31, 0.5)
    assert found["galaxy_class"].notna().sum() == 3

    table.write_text(f"image,gz2_class,split\n{names[0]},Sc,validate\n")
    with pytest.raises(Exception, match="holds 'validate'; it may say train or test"):
        published(own_warehouse, "facets", "b1", given, "galaxies.classes.split_column=split")


def test_votes(own_warehouse, published, minia, tmp_path):
    names = sorted(table_of(own_warehouse, "images")["image_id"])
    table = tmp_path / "votes.csv"
    head = "image,smooth,disc,star\n"
    table.write_text(f"{head}{names[0]},0.5,0.25,0.25\n{names[1]},1,7,0\n{names[2]},1,,0\n")
    given = (f"galaxies.votes.file={table}", "galaxies.votes.columns=[disc,smooth]")
    made = published(own_warehouse, "votes", "b1", *given)
    found = table_of(own_warehouse, "votes").set_index("image_id")
    assert {n: list(v) for n, v in found["votes"].items()} == {
        names[0]: [0.25, 0.5],
        names[1]: [7, 1],
    }
    assert list(found.loc[names[0], "answers"]) == ["disc", "smooth"]
    assert made.counts["with_votes"] == 2
    table.write_text(f"{head}{names[0]},-1,0,0\n")
    with pytest.raises(Exception, match=r"column 'smooth' of .* holds '-1' for"):
        published(own_warehouse, "votes", "b1", *given)
    published(own_warehouse, "votes", "b1")
    assert table_of(own_warehouse, "votes").empty
    for wrong, said in (
        ("galaxies.votes.columns=[a,b]", "columns of a table of votes are named: file is not set"),
        ("galaxies.votes.file=votes.csv", "columns has to name at least two columns"),
    ):
        told = minia("facets", "--warehouse", own_warehouse, "--set", wrong)
        assert said in told.expect(2).err


def test_wrong_settings(minia, own_warehouse):
    told = minia("facets", "--warehouse", own_warehouse, "--set", "galaxies.classes.key_column=x")
    assert "key_column names a column of a table of classes: file is not set" in told.expect(2).err
    told = minia(
        "facets", "--warehouse", own_warehouse, "--set", "galaxies.classes.file=/absent.csv"
    )
    assert "galaxies.classes.file /absent.csv cannot be read" in told.expect(2).err
