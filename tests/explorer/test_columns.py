"""Columns of tables as what the page shows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from minia_spark.explorer.columns import by_batch, column, placed, telling, values_of

ROWS = pa.table(
    {
        "batch": ["n1", "n2", "n1", "n1", "n2"],
        "image_id": ["b", "a", "a", "c", "b"],
        "label": ["edge", "spiral", None, "spiral", "edge"],
        "size": pa.array([3, 1, None, 2, 5], pa.int32()),
        "fitted": [True, False, True, None, True],
    }
)
INDEX = pd.Index(["a", "b", "c", "d"], dtype=object)


def of_batch(found, batch, index=INDEX):
    return values_of(found, by_batch(found.batches)(batch), index).to_pylist()


def test_texts_are_a_category():
    found = column(ROWS, "label")
    assert found.kind == "category"
    assert of_batch(found, "n1") == [None, "edge", "spiral", None]
    assert of_batch(found, "n2") == ["spiral", "edge", None, None]
    assert of_batch(found, "n3") == [None] * 4


def test_numbers_stay_numbers_unless_they_are_names():
    found = column(ROWS, "size")
    assert found.kind == "number"
    assert of_batch(found, "n1") == [None, 3.0, 2.0, None]
    named = column(ROWS, "size", text="s{:04d}")
    assert named.kind == "category"
    assert of_batch(named, "n1") == [None, "s0003", "s0002", None]
    assert of_batch(column(ROWS, "fitted", text="placed|fitted"), "n1") == [
        *("fitted", "fitted", None, None),
    ]


def test_several_values_an_image():
    rows = pa.table(
        {
            "batch": ["n", "n", "n", "m", "n"],
            "image_id": ["b", "a", "b", "b", "gone"],
            "structure_id": pa.array([7, 1, 2, 9, 3], pa.int32()),
        }
    )
    found = column(rows, "structure_id", several=True, text="s{:04d}")
    assert found.kind == "tags"
    assert of_batch(found, "n") == [["s0001"], ["s0002", "s0007"], [], []]
    assert of_batch(found, "m", pd.Index([], dtype=object)) == []


def test_a_column_tells_something_or_not():
    def own(*values):
        n = len(values)
        rows = {"batch": ["n"] * n, "image_id": [str(i) for i in range(n)], "v": list(values)}
        return column(pa.table(rows, pa.schema([(k, pa.string()) for k in rows])), "v")

    assert telling(own("a", "b"), 2)
    assert telling(own("a", None), 2)  # one image has it, one does not
    assert not telling(own("a", "a"), 2)
    assert not telling(own(None, None), 2)
    assert not telling(own(), 0)


def test_places_of_a_batch():
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rows = by_batch(pa.array(["n", "m", "n"]))("n")
    found = placed(rows, pa.array(["b", "b", "gone"]), points, INDEX)
    assert found[1].tolist() == [1.0, 2.0]
    assert all(math.isnan(found[i, 0]) for i in (0, 2, 3))


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_rows_of_a_batch_keep_their_order(n):
    rng = np.random.default_rng(n)
    names = rng.choice(["a", "b", "c"], n).tolist()
    give = by_batch(pa.array(names, pa.string()))
    for name in "abcd":
        assert give(name).tolist() == [i for i, own in enumerate(names) if own == name]
