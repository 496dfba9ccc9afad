"""``minia compare``: its numbers against the tables, its page, and what it refuses."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from commands import table_of

from minia_spark.compare.facts import Found, overlaps
from minia_spark.compare.page import shown, titles, write_page
from minia_spark.warehouse.warehouse import Warehouse


@pytest.fixture(scope="module")
def facts(minia, warehouse):
    told = minia("compare", "--warehouse", warehouse, "--with", warehouse, "--json").expect(0)
    return json.loads(told.out)


def test_numbers_of_the_tables(facts, warehouse):
    row = facts["variants"][0]
    structures = table_of(warehouse, "structures")
    matches = table_of(warehouse, "structure_images")
    sure = structures[structures["significant"] & structures["reproducible"]]
    images = len(table_of(warehouse, "images"))
    assert (row["images"], row["structures"]) == (images, len(structures))
    assert row["significant"] == structures["significant"].sum()
    assert row["established"] == len(sure)
    inside = matches[matches["structure_id"].isin(sure["structure_id"])]["image_id"].nunique()
    assert row["coverage"]["value"] == pytest.approx(inside / images, abs=1e-4)
    held = table_of(warehouse, "words")["words"].map(len)
    assert row["words"] == np.median(held[held > 0])
    assert row["seconds"] > 0


def test_a_warehouse_beside_itself(facts):
    assert facts["variants"][0] == facts["variants"][1]


def found(images, *structures, sure=True):
    members = np.array([[name in s for name in images] for s in structures], dtype=np.bool_)
    flags = np.full(len(structures), sure)
    none, numbers = np.zeros(len(structures)), np.array(images)
    bags = sp.csr_array((len(images), 5))
    labels = np.full(len(images), "")
    return Found(
        "W", "v", numbers, labels, bags, sp.csr_array(members), flags, flags, none, none, None
    )


def test_overlaps_are_of_established_structures_among_common_images():
    left = found(["a", "b", "c", "d"], "abc", "cd")
    right = found(["b", "c", "d", "e"], "bcde")
    unsure = found(["a", "b"], "ab", sure=False)
    # bc of bcd, cd of bcd; bcd with bc; images of the third alone
    assert overlaps([left, right, unsure]) == [
        [1.0, pytest.approx(2 / 3), 0.0],
        [pytest.approx(2 / 3), 1.0, 0.0],
        [None, None, None],
    ]
    assert overlaps([left, found(["x"], "x")])[0] == [1.0, None]


def test_for_people(minia, warehouse, tmp_path):
    page = tmp_path / "page.html"
    told = minia("compare", "--warehouse", warehouse, "--html", page).expect(0)
    head, row = told.out.splitlines()[:2]
    assert head.split()[:4] == ["words", "structures", "significant", "established"]
    assert row.startswith("sift ")
    assert "What they share" not in page.read_text()
    assert "<td>sift</td>" in page.read_text()


def test_an_extractor_that_is_not_there(minia, warehouse):
    told = minia("compare", "--warehouse", warehouse, "--variant", "surf").expect(3)
    assert "there are no structures of surf" in told.err


@pytest.mark.parametrize("table", ["words", "structures", "structure_images", "images"])
def test_a_file_that_is_missing_is_told(minia, own_warehouse, table):
    entry = Warehouse(str(own_warehouse)).require().of_table(table)[0]
    next((own_warehouse / entry.path).rglob("*.parquet")).unlink()
    told = minia("compare", "--warehouse", own_warehouse).expect(1)
    assert f"({table}) is damaged: " in told.err
    assert "'minia repair' lets the warehouse go on without it" in told.err


def test_the_page_trusts_no_name(tmp_path):
    measured = {"value": 0.5, "error": 0.1}
    row = dict.fromkeys(["images", "words", "structures", "significant", "established"], 3)
    row |= {
        "stability": None,
        "verified": None,
        "agreeing": None,
        "seconds": None,
        "variant": "sift",
    }
    row |= {"coverage": measured, "same_label": {"value": -0.1, "error": None}, "neighbours": None}
    rows = [
        row | {"warehouse": "/a", "neighbours": measured},
        row | {"warehouse": "<script>alert(1)</script>"},
    ]
    write_page(tmp_path / "page.html", rows, [[1.0, None], [0.25, 1.0]])
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "nothing to measure" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1234, "1,234"),
        (1234.5, "1,234"),
        (0.256, "0.26"),
        ({"value": 0.5, "error": 0.125}, "0.50 +- 0.12"),
        ({"value": 0.5, "error": None}, "0.50 +- ?"),
    ],
)
def test_numbers_for_people(value, text):
    assert shown(value) == text


def test_titles():
    rows = [{"warehouse": "W", "variant": "sift"}, {"warehouse": "W", "variant": "surf"}]
    assert titles(rows) == ["sift", "surf"]
    rows[1]["warehouse"] = "V"
    assert titles(rows) == ["W: sift", "V: surf"]
