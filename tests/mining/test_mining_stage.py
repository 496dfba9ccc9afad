"""Mining on Spark is mining on one machine: the same structures, q-values and stabilities."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import slow_twin
from commands import SETTINGS, rows_of, table_of

from minia_spark.mining import spark
from minia_spark.mining.assess import Assessment
from minia_spark.mining.excess import numbers_of
from minia_spark.mining.local import LocalCollection
from minia_spark.mining.methods import consensus_of, link_of, sketch_of, trials_of
from minia_spark.mining.miner import choose_way, mine, mine_beyond
from minia_spark.mining.rows import background_of_rows
from minia_spark.rooms import HOUSE
from minia_spark.smh.arrays import Documents
from minia_spark.smh.hashing import document_key
from minia_spark.smh.twin import DatasketchEngine
from minia_spark.warehouse.warehouse import Warehouse

CONSENSUS = (
    *("mining.link=consensus", "mining.tuple_size=2", "mining.tables=150", "mining.min_lift=1"),
    *("mining.partners_by_chance=12", "mining.pairs_by_chance=100"),
)
"""Sixty images are few: it takes lenient settings to find anything, and some of it is chance."""

JUDGED = ("expected_support", "lift", "q", "stability", "significant", "reproducible")


def collection_of(
    location: Path, pieces: int, *, seed: int, kept: set[int] | None = None
) -> LocalCollection:
    """Return the images as documents: pieces by the names' checksums, in the names' order."""
    parts: list[list[tuple[str, list[int], list[int]]]] = [[] for _ in range(pieces)]
    for name, words, counts in rows_of(location, "words", "image_id", "words", "counts"):
        both = [(w, c) for w, c in zip(words, counts, strict=True) if kept is None or w in kept]
        part = parts[zlib.crc32(name.encode()) % pieces]
        part.append((name, [w for w, _ in both], [c for _, c in both]))

    def collection() -> Iterator[Documents]:
        for part in parts:
            part.sort()
            yield Documents(
                np.array([document_key(name) for name, _, _ in part], dtype=np.uint32),
                np.cumsum([0, *(len(words) for _, words, _ in part)]).astype(np.int64),
                np.array([w for _, words, _ in part for w in words], dtype=np.uint32),
                np.array([c for _, _, counts in part for c in counts], dtype=np.uint32),
            )

    return LocalCollection(collection, lambda _: DatasketchEngine(), seed=seed)


def assert_same(location: Path, wanted: Assessment) -> None:
    table = table_of(location, "structures").sort_values("structure_id")
    found = wanted.structures
    assert table["structure_id"].tolist() == list(range(len(found)))
    assert [w for row in table["words"] for w in row] == found.items.tolist()
    assert [f for row in table["frequencies"] for f in row] == found.frequencies.tolist()
    assert table["words"].map(len).tolist() == found.sizes.tolist()
    assert table["sets"].tolist() == found.sets.tolist()
    assert table["support"].tolist() == wanted.support.tolist()
    names = {name: name for name in JUDGED} | {
        "expected_beyond": "beyond",
        "lift_beyond": "lift_beyond",
    }
    for column, name in names.items():
        np.testing.assert_array_equal(table[column].to_numpy(float), getattr(wanted, name), name)


def on_one_machine(
    location: Path, pieces: int, *settings: str, kept: set[int] | None = None
) -> Assessment:
    mining = HOUSE.load_settings(None, [*SETTINGS, *settings]).mining
    assert mining.tuple_size is not None
    assert mining.tables is not None
    images = collection_of(location, pieces, seed=mining.seed, kept=kept)
    sketch = sketch_of(mining, mining.tuple_size, mining.tables)
    return mine(images, sketch, link_of(mining), trials_of(mining))[0]


@pytest.mark.parametrize(
    ("pieces", "settings"),
    [
        (1, ()),
        (3, (*CONSENSUS, "mining.decoys=2")),
        pytest.param(
            *(1, (*CONSENSUS, "mining.expand=true", "mining.seeds=1", "mining.seed=7")),
            marks=pytest.mark.heavy,
        ),
    ],
)
def test_as_on_one_machine(own_warehouse, published, monkeypatch, pieces, settings):
    monkeypatch.setattr(spark, "_IMAGES_A_PIECE", 60 / pieces)
    monkeypatch.setattr(spark, "_DONE_HERE", 0 if pieces > 1 else 1 << 20)
    for stage, batch in (("tune", None), ("mine", None)):
        published(own_warehouse, stage, batch, *SETTINGS, *settings)
    wanted = on_one_machine(own_warehouse, pieces, *settings)
    assert len(wanted) > 0
    assert_same(own_warehouse, wanted)


def test_outliers_are_left_out(own_warehouse, published):
    """Of mining, of decoys, and of what images and structures have in common."""
    settings = (*CONSENSUS, "mining.decoys=2", "words.drop_outliers=true")
    settings += ("words.outlier_deviations=1.5",)
    for stage, batch in (
        ("tune", None),
        ("mine", None),
        ("structures", None),
    ):
        published(own_warehouse, stage, batch, *SETTINGS, *settings)
    counts = np.zeros(120)
    for words, own in rows_of(own_warehouse, "words", "words", "counts"):
        counts[list(words)] += list(own)
    kept = set(np.flatnonzero(np.abs(counts - counts.mean()) <= 1.5 * counts.std()).tolist())
    assert 0 < len(kept) < len(counts)
    wanted = on_one_machine(own_warehouse, 1, *settings, kept=kept)
    assert len(wanted) > 0
    assert_same(own_warehouse, wanted)
    images = {
        name: {w: c for w, c in zip(words, own, strict=True) if w in kept}
        for name, words, own in rows_of(own_warehouse, "words", "image_id", "words", "counts")
    }
    structures = table_of(own_warehouse, "structures").set_index("structure_id")
    found = rows_of(own_warehouse, "structure_images", "structure_id", "image_id", "overlap")
    assert len(found) > 0
    for number, name, overlap in found:
        row = structures.loc[number]
        own = dict(zip(row["words"].tolist(), row["frequencies"].tolist(), strict=True))
        assert overlap == pytest.approx(slow_twin.overlap(own, images[name]))


def test_no_decoys_and_no_seeds(own_warehouse, published):
    """What is not measured is null, and nothing is called significant."""
    none = ("mining.decoys=0", "mining.seeds=0")
    published(own_warehouse, "mine", None, *SETTINGS, *none)
    table = table_of(own_warehouse, "structures")
    assert len(table) > 0
    assert table[["q", "stability"]].isna().all(axis=None)
    assert not table[["significant", "reproducible"]].any(axis=None)
    assert (table["expected_support"] > 0).all()
    assert table_of(own_warehouse, "factors").empty
    assert_same(own_warehouse, on_one_machine(own_warehouse, 1, *none))


@pytest.mark.parametrize("set_", ["mining.tables=null", "mining.tuple_size=null"])
@pytest.mark.parametrize("link", ["consensus", "single"])
def test_tables_are_chosen_as_on_one_machine(own_warehouse, published, set_, link):
    settings = (set_, f"mining.link={link}")
    made = published(own_warehouse, "tune", None, *SETTINGS, *settings)
    mining = HOUSE.load_settings(None, [*SETTINGS, *settings]).mining
    wanted = choose_way(
        collection_of(own_warehouse, 1, seed=mining.seed),
        link_of(mining),
        tuple_size=mining.tuple_size,
        tables=mining.tables,
        seed=mining.seed,
    )
    (row,) = table_of(own_warehouse, "tuning").to_dict("records")
    assert row.pop("reasons").tolist() == list(wanted.reasons)
    assert row.pop("link") == link
    assert row.pop("variant") == "sift"
    assert (row.pop("chance"), row.pop("factors")) == ("totals", 0)
    assert row == {name: getattr(wanted, name) for name in row}
    told = made.progress.stream.getvalue()
    assert all(reason in told for reason in wanted.reasons)


def test_what_is_set_is_obeyed(own_warehouse, published):
    published(own_warehouse, "tune", None, *SETTINGS)
    (row,) = table_of(own_warehouse, "tuning").to_dict("records")
    assert (row["tuple_size"], row["tables"]) == (3, 300)
    assert row["reasons"].tolist() == ["Tuples of 3 and 300 tables are set."]
    assert np.isnan(row["eta"])


def test_chosen_where_the_codebook_is_from(own_warehouse, published, tmp_path):
    """With the codebook come the tables: what is mined there and here can be compared."""
    auto = ("mining.tables=null", "mining.tuple_size=null")
    published(own_warehouse, "tune", None, *SETTINGS, *auto)
    (there,) = rows_of(own_warehouse, "tuning", "tuple_size", "tables", "eta")
    other = Path(shutil.copytree(own_warehouse, tmp_path / "other"))
    reuse = f"codebook.reuse={own_warehouse}"
    given = [*SETTINGS, *auto, reuse]
    # other settings would choose otherwise
    made = published(other, "tune", None, *given, "mining.seed=9", "mining.partners_by_chance=12")
    assert rows_of(other, "tuning", "tuple_size", "tables", "eta") == [there]
    assert (
        f"Taken over, with the codebook, from {own_warehouse}." in made.progress.stream.getvalue()
    )
    # not where it was chosen for another link, nor where something is set
    published(other, "tune", None, *given, "mining.link=consensus")
    assert rows_of(other, "tuning", "tuple_size", "tables", "eta") != [there]
    published(other, "tune", None, *given, "mining.tables=9")
    ((tables,),) = rows_of(other, "tuning", "tables")
    assert tables == 9


def test_new_images_do_not_change_the_tables(minia, own_warehouse, survey):
    """They were chosen once; all minima that are stored stay useful."""
    chosen = ("mining.tables=null", "mining.decoys=0", "mining.seeds=0", "report.structures=0")
    given = [word for s in (*SETTINGS, *chosen) for word in ("--set", s)]
    minia("run", "--warehouse", own_warehouse, *given).expect(0)
    tuned = rows_of(own_warehouse, "tuning")
    images = ("--images", survey.images.parent / "images", "--batch", "b2")
    minia("run", *images, "--warehouse", own_warehouse, *given).expect(0)
    assert rows_of(own_warehouse, "tuning") == tuned
    last = next(Warehouse(str(own_warehouse)).runs())
    assert {s.action for s in last.steps if s.stage == "tune"} == {"skipped"}


BEYOND = ("mining.chance=background", "mining.link=consensus", "mining.decoys=2")
BEYOND += ("mining.partners_by_chance=12", "mining.pairs_by_chance=100")


def test_against_a_background_as_on_one_machine(own_warehouse, published):
    """The factors, what pairs share, and all that comes of it; outliers are left out at the end."""
    settings = (*SETTINGS, *BEYOND, "mining.tables=null", "mining.tuple_size=null")
    for stage, batch in (("tune", None), ("factors", "b1"), ("pairs", None), ("mine", None)):
        published(own_warehouse, stage, batch, *settings)
    mining = HOUSE.load_settings(None, settings).mining
    images = collection_of(own_warehouse, 1, seed=mining.seed)
    fitted = choose_way(images, link_of(mining), chance="background").background
    assert fitted is not None
    table = table_of(own_warehouse, "background").sort_values("word")
    # the codebook has words that no image holds; on one machine nobody knows of them
    known = table[table["word"].isin(fitted.words)]
    assert known["word"].tolist() == fitted.words.tolist()
    stored = background_of_rows(pa.Table.from_pandas(table).to_batches())
    link = consensus_of(mining, beyond=True)
    wanted, _ = mine_beyond(images, stored, link, trials_of(mining))
    assert len(wanted) > 0
    assert_same(own_warehouse, wanted)
    names, held = zip(*sorted(rows_of(own_warehouse, "words", "image_id", "words")), strict=True)
    keys = np.array([document_key(name) for name in names], np.uint32)
    offsets = np.cumsum([0, *map(len, held)])
    documents = Documents(keys, offsets, np.concatenate(held).astype(np.uint32))
    numbers = numbers_of(documents, stored)
    assert stored.rank > 0
    scored = rows_of(own_warehouse, "factors", "image_id", "batch", "total", "scores")
    for (name, batch, total, scores), wanted_name, own in zip(
        sorted(scored), names, numbers, strict=True
    ):
        assert (name, batch) == (wanted_name, "b1")
        assert [total, *scores] == own.tolist()
    settings = (*settings, "words.drop_outliers=true", "words.outlier_deviations=1.5")
    published(own_warehouse, "mine", None, *settings)
    fewer = {w for (words,) in rows_of(own_warehouse, "structures", "words") for w in words}
    assert fewer < set(range(120))


def test_pairs_of_new_batches_are_added(own_warehouse, published, survey, minia, tmp_path):
    """Two batches, one after the other, are as both at once; the first is not looked at again."""
    given = (*SETTINGS, *BEYOND, "mining.tables=null", "mining.tuple_size=null")
    given += ("report.structures=0",)
    words = [word for s in given for word in ("--set", s)]
    minia("mine", "--warehouse", own_warehouse, *words, "--replace").expect(0)
    images = ("--images", survey.images.parent / "images", "--batch", "b2")
    for command, source in (("ingest", images), ("features", ()), ("words", ()), ("mine", ())):
        minia(command, *source, "--warehouse", own_warehouse, *words).expect(0)
    last = next(Warehouse(str(own_warehouse)).runs())
    (step,) = [s for s in last.steps if s.stage == "pairs" and s.action == "done"]
    assert step.counts["images"] == 60
    one_by_one = rows_of(own_warehouse, "pairs", "part", "block", "sums")
    found = rows_of(own_warehouse, "structures", "words", "support", "q", "stability")
    # without its own sums, everything is counted at once
    minia("mine", "--warehouse", own_warehouse, *words, "--set", "mining.decoys=1").expect(0)
    assert rows_of(own_warehouse, "pairs", "part", "block", "sums") != one_by_one
    words += ["--set", "mining.decoys=2"]
    minia("mine", "--warehouse", own_warehouse, *words).expect(0)
    last = next(Warehouse(str(own_warehouse)).runs())
    (step,) = [s for s in last.steps if s.stage == "pairs" and s.action == "done"]
    assert step.counts["images"] == 120
    assert rows_of(own_warehouse, "pairs", "part", "block", "sums") == one_by_one
    assert rows_of(own_warehouse, "structures", "words", "support", "q", "stability") == found
