"""The nearest images on Spark, beyond the size up to which all are compared with all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_cells import none_known, slow

import minia_spark
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.table import arrow_type
from minia_spark.neighbours.nearest import nearest
from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.warehouse import Warehouse

COUNT, PROBES = 8, 3
BATCHES = {"b1": 60, "b2": 40, "b3": 20}


def rows_of(batch):
    """Images of a few kinds, copies among them, and two without a vector."""
    random = np.random.default_rng(9)
    kinds = random.normal(size=(12, 5)) * 3
    random = np.random.default_rng(list(BATCHES).index(batch))
    vectors = kinds[random.integers(0, 12, BATCHES[batch])]
    vectors = (vectors + random.normal(size=vectors.shape)).astype(np.float32)
    vectors[3:6] = np.float32(0.5)  # in every batch
    rows = [
        {"batch": batch, "image_id": f"{(7 * k) % 61:02}.png", "vector": v.tolist()}
        for k, v in enumerate(vectors)
    ]
    bad = [f"bad{k}.png" for k in range(2)]
    return rows + [{"batch": batch, "image_id": b, "reason": "no_words"} for b in bad]


def entry(location, table, rows, batch=None, digest="d"):
    schema = pa.schema([(c.name, arrow_type(c.type)) for c in table.all_columns])
    path = f"{table.name}/by-hand-{batch}-{digest}"
    (location / path).mkdir(parents=True)
    full = pa.Table.from_pylist([row | {"variant": "words"} for row in rows], schema)
    pq.write_table(full, location / path / "part.parquet")
    told = {"stage": "by hand", "run": "r1", "fingerprint": "f", "digest": digest}
    return Entry(table=table.name, batch=batch, variant="words", path=path, rows=len(rows), **told)


def change(location, *, add=(), remove=()):
    """Add tables to a warehouse, in place of those that are there, and remove batches."""
    house = Warehouse(str(location))
    state = house.catalogue()
    gone = {(e.table, e.batch) for e in add} | {(EMBEDDINGS.name, batch) for batch in remove}
    kept = [e for e in state.entries if (e.table, e.batch) not in gone]
    house.commit(state, "r1", kept + list(add), "by hand")


def embeddings(location, batch, *, backwards=False, digest="d"):
    rows = rows_of(batch)[:: -1 if backwards else 1]
    return entry(location, EMBEDDINGS, rows, batch, digest)


def lists_in(location):
    frame = minia_spark.open(location).frame("neighbours", variant="words")
    frame = frame.sort_values(["image_id", "batch"])
    return [
        (r.batch, r.image_id, list(zip(r.batches, r.neighbours, r.distances, strict=True)))
        for r in frame.itertuples()
    ]


def cells_in(location):
    frame = minia_spark.open(location).frame("neighbour_cells", variant="words")
    assert frame["cell"].tolist() == list(range(len(frame)))
    return frame["vector"].map(tuple).tolist()


def wanted(batches, cells):
    """The lists of all at once, by the slow twin; without cells those of all with all."""
    rows = [row for batch in batches for row in rows_of(batch) if "vector" in row]
    rows.sort(key=lambda row: (row["image_id"], row["batch"]))
    vectors = np.array([row["vector"] for row in rows], np.float32)
    if cells:
        found = slow(vectors, np.array(cells, np.float32), PROBES, COUNT)
    else:
        here = np.arange(len(rows))
        found = nearest(
            vectors, [(here, vectors)], COUNT, own=here, known=none_known(len(rows), COUNT)
        )
    names = [(row["batch"], row["image_id"]) for row in rows]
    return [
        (*name, [(*names[p], d) for p, d in zip(places, far, strict=True) if p >= 0])
        for name, places, far in zip(names, found.positions, found.distances, strict=True)
    ]


@pytest.fixture
def find(published):
    """Run the step, and return what it told."""

    def run(location, *settings):
        own = ("neighbours.exact_up_to=70", f"neighbours.probes={PROBES}", *settings)
        made = published(location, "neighbours", None, f"neighbours.count={COUNT}", *own)
        return made.progress.stream.getvalue()

    return run


def test_a_collection_that_grows_beyond_the_size(find, tmp_path):
    one = tmp_path / "one"
    change(one, add=[embeddings(one, "b1")])
    assert "inverted file" not in find(one)
    assert cells_in(one) == []
    assert lists_in(one) == wanted(["b1"], [])

    change(one, add=[embeddings(one, "b2")])
    told = find(one)
    assert "fitting 10 cells to 100 of 100 images" in told
    assert "inverted file: 10 cells, 3 searched" in told
    assert "2 of 2 batches are new" in told
    cells, two = cells_in(one), lists_in(one)
    assert two == wanted(["b1", "b2"], cells)
    assert two != wanted(["b1", "b2"], [])

    change(one, add=[embeddings(one, "b3")])
    told = find(one)
    assert "1 of 3 batches are new" in told
    assert "fitting" not in told
    assert cells_in(one) == cells
    three = lists_in(one)
    assert three == wanted(BATCHES, cells)

    # all at once, in another order and other partitions, with the same cells
    other = tmp_path / "other"
    change(other, add=[embeddings(other, b, backwards=True) for b in BATCHES])
    find(other, "neighbours.exact_up_to=120")
    assert lists_in(other) == wanted(BATCHES, [])
    (frozen,) = Warehouse(str(one)).catalogue().of_table("neighbour_cells")
    (other / frozen.path).parent.mkdir(parents=True)
    (other / frozen.path).symlink_to(one / frozen.path)
    change(other, add=[frozen])
    assert "3 of 3 batches are new" in find(other, "spark.partitions=1")
    assert lists_in(other) == three

    change(one, remove=["b3"])
    assert "0 of 2 batches are new" in find(one)
    assert lists_in(one) == two

    change(one, remove=["b2"])  # few again: the cells wait
    find(one)
    assert cells_in(one) == cells
    assert lists_in(one) == wanted(["b1"], [])


def test_a_collection_that_stays_small(find, tmp_path):
    exactly = ("neighbours.exact_up_to=1000", "spark.partitions=3")
    change(tmp_path, add=[embeddings(tmp_path, b) for b in ("b1", "b2")])
    find(tmp_path, *exactly)
    assert lists_in(tmp_path) == wanted(["b1", "b2"], [])

    # lists that name an image of the batch that goes are found anew, while new images come
    change(tmp_path, remove=["b2"], add=[embeddings(tmp_path, "b3")])
    assert "1 of 2 batches are new" in find(tmp_path, *exactly)
    assert lists_in(tmp_path) == wanted(["b1", "b3"], [])

    change(tmp_path, add=[embeddings(tmp_path, "b2", digest="again")])
    assert "1 of 3 batches are new" in find(tmp_path, *exactly)
    assert lists_in(tmp_path) == wanted(BATCHES, [])

    change(tmp_path, remove=["b1", "b2"])
    assert "0 of 1 batches are new" in find(tmp_path, *exactly)
    assert lists_in(tmp_path) == wanted(["b3"], [])


def test_cells_stay_until_the_embedding_is_fitted_anew(find, tmp_path):
    change(tmp_path, add=[embeddings(tmp_path, b) for b in BATCHES])
    assert "fitting 11 cells" in find(tmp_path, "spark.partitions=1")
    cells, by_cells = cells_in(tmp_path), lists_in(tmp_path)
    assert "neighbours words: inverted file: 11 cells, 11 searched" in find(
        tmp_path, "neighbours.probes=50"
    )
    assert cells_in(tmp_path) == cells
    assert lists_in(tmp_path) == wanted(BATCHES, [])  # whoever searches all of them finds all

    change(tmp_path, add=[embeddings(tmp_path, "b1", digest="of other files")])
    told = find(tmp_path, "neighbours.probes=50")
    assert "fitting" not in told
    assert "1 of 3 batches are new" in told
    assert lists_in(tmp_path) == wanted(BATCHES, [])

    anew = [embeddings(tmp_path, batch, digest="by other weights") for batch in BATCHES]
    change(tmp_path, add=anew)
    told = find(tmp_path)
    assert "fitting 11 cells" in told
    assert "3 of 3 batches are new" in told
    assert cells_in(tmp_path) == cells  # the sample depends on names alone, not on partitions
    assert lists_in(tmp_path) == by_cells

    assert "fitting" in find(tmp_path, "neighbours.distance=cosine")
    assert cells_in(tmp_path) != cells
