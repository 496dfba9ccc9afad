"""``minia lab dataset``: lists of the study, from tables of a few rows."""

from __future__ import annotations

import csv
import random

import pytest
from commands import run_minia

from minia_spark.base.errors import InputError
from minia_spark.galaxies.lists import draw, unique_rows

STRINGS = ("Sc2m", "SBb?t", "Ei(m)", "Sen(u)", "A", "Er", "")


@pytest.fixture
def tables(tmp_path):
    """A catalogue of 70 objects in any order; every tenth has no class; 69 has no image's name."""
    ids = [str(500 + i) for i in range(70)]
    random.Random(4).shuffle(ids)
    catalogue, mapping = tmp_path / "hart16.csv", tmp_path / "mapping.csv"
    rows = [f"{i},{STRINGS[int(i) % 7]},0.5" for i in ids]
    catalogue.write_text("dr7objid,gz2_class,other\n" + "\n".join(rows) + "\n")
    mapping.write_text(
        "objid,sample,asset_id\n" + "\n".join(f"{i},x,{int(i) - 500}" for i in ids if i != "569")
    )
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for i in range(0, 70, 2):
        (images / "deep" / f"{i}.jpg").touch()
    return catalogue, mapping, images


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def call(tables, out, *more):
    catalogue, mapping, _ = tables
    given = ("--catalogue", catalogue, "--mapping", mapping, "--out", out)
    return run_minia("lab", "dataset", *given, *more)


def test_lists(tables, tmp_path):
    told = call(tables, tmp_path / "o", "--train", 20, "--test", 15).expect(0).out
    train = rows_of(tmp_path / "o/log_data_train.csv")
    test = rows_of(tmp_path / "o/log_data_test.csv")
    assert (len(train), len(test)) == (20, 15)
    assert not {r["dr7objid"] for r in train} & {r["dr7objid"] for r in test}
    for row in train + test:
        assert int(row["asset_id"]) == int(row["dr7objid"]) - 500
        expected = ["Sc", "SB", "Ei", "Sen", "A", "Er"][int(row["dr7objid"]) % 7]
        assert row["gz2_class"] == expected
    classes = rows_of(tmp_path / "o/classes.csv")
    assert {(r["image"], r["split"]) for r in classes} == {
        *((r["asset_id"], "train") for r in train),
        *((r["asset_id"], "test") for r in test),
    }
    assert all(STRINGS[int(r["dr7objid"]) % 7] == r["gz2_class"] for r in classes)
    assert rows_of(tmp_path / "o/missing.csv") == []
    assert "10 without a class, 1 without a name of an image, 0 whose image is missing" in told
    assert "Sen" in told
    # another order of rows, the same draw; another seed, another draw
    catalogue = tables[0]
    header, *lines = catalogue.read_text().splitlines()
    catalogue.write_text("\n".join([header, *sorted(lines)]))
    call(tables, tmp_path / "p", "--train", 20, "--test", 15).expect(0)
    assert rows_of(tmp_path / "p/log_data_train.csv") == train
    call(tables, tmp_path / "q", "--train", 20, "--test", 15, "--seed", 32).expect(0)
    assert rows_of(tmp_path / "q/log_data_train.csv") != train


def test_missing_images_are_passed_over_and_told(tables, tmp_path):
    out = tmp_path / "o"
    more = ("--train", 20, "--test", 20, "--images", tables[2])
    told = call(tables, out, *more).expect(0).out
    drawn = rows_of(out / "log_data_train.csv") + rows_of(out / "log_data_test.csv")
    assert all(int(r["asset_id"]) % 2 == 0 for r in drawn)
    missing = rows_of(out / "missing.csv")
    assert missing
    assert all(int(r["asset_id"]) % 2 for r in missing)
    assert f"test: only {len(drawn) - 20} of the 20 that were wanted" in told
    assert f"{len(missing)} whose image is missing" in told
    assert "is there already" in call(tables, out, *more).expect(2).err
    call(tables, out, *more, "--replace").expect(0)


def test_what_cannot_be_used(tables, tmp_path):
    catalogue, _, images = tables
    assert "no folder" in call(tables, tmp_path / "o", "--images", catalogue).expect(3).err
    (images / "none").mkdir()
    told = call(tables, tmp_path / "o", "--images", images / "none").expect(3).err
    assert "no galaxy can be drawn" in told
    assert not (tmp_path / "o").exists()
    catalogue.write_text("dr7objid,class\n1,Sc\n")
    assert "'gz2_class'" in call(tables, tmp_path / "o").expect(2).err


def test_an_object_of_two_classes():
    with pytest.raises(InputError, match="the catalogue gives '1' both 'Sc' and 'Sb'"):
        unique_rows([("1", "Sc"), (" 1", "Sb")], "catalogue")
    assert unique_rows([("1", "Sc"), ("1 ", "Sc"), ("2", None)], "") == {"1": "Sc", "2": ""}


def test_an_empty_catalogue():
    found = draw({}, {}, there=None, train=1, test=1, seed=0)
    assert found.lists == {"train": [], "test": []}
