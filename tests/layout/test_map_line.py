"""The line `map` from embeddings to quality, on Spark: what new batches change, and what not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import SMALL, chosen, rows_of
from conftest import run_stage

import minia_spark
from minia_spark.embedding.pca import Pca, project, scaled
from minia_spark.images.decode import decode
from minia_spark.neighbours.nearest import nearest, prepared
from minia_spark.warehouse.warehouse import Warehouse

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embedding"))

METHODS = ["words", "onnx"]
MAP = chosen(
    "embedding.words.dimensions=8",
    "embedding.pca.side_px=6",
    "embedding.pca.dimensions=5",
    "neighbours.count=12",
    "layout.iterations=120",
    "layout.exaggerated_iterations=40",
    "layout.perplexity=8",
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="the extra 'networks' is not installed")
    import onnx_samples

    return onnx_samples.write(tmp_path_factory.mktemp("network"), broken=True)


@pytest.fixture(scope="module")
def mapped(minia, warehouse, network, tmp_path_factory):
    """The shared warehouse with three maps of its batch; not to be changed."""
    location = Path(shutil.copytree(warehouse, tmp_path_factory.mktemp("mapped") / "W"))
    more = chosen(f"embedding.methods={json.dumps(METHODS)}", f"embedding.onnx.model={network}")
    minia("run", "--lines", "map", "--warehouse", location, *SMALL, *MAP, *more).expect(0)
    return location


@pytest.fixture(scope="module")
def night2(survey, tmp_path_factory):
    """Images that are there already, under other names, beside bad ones."""
    folder = tmp_path_factory.mktemp("night2")
    for name in sorted(Path(survey.images).rglob("*.png"))[:6]:
        shutil.copy(name, folder / f"again-{name.name}")
    cv2.imwrite(str(folder / "black.png"), np.zeros((90, 90), np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return folder


@pytest.fixture(scope="module")
def grown(minia, mapped, night2, tmp_path_factory):
    """The same with a second batch; not to be changed."""
    location = Path(shutil.copytree(mapped, tmp_path_factory.mktemp("grown") / "W"))
    lines = ("--lines", "discovery,map")
    batch = ("--images", night2, "--batch", "b2")
    minia("run", *batch, *lines, "--warehouse", location).expect(0)
    return location


def steps_done(location: Path) -> set[tuple[str, str | None]]:
    record = next(iter(Warehouse(str(location)).runs()))
    return {(s.stage, s.batch) for s in record.steps if s.action == "done"}


def vectors_of(location: Path, variant: str):
    """Return names and vectors, sorted as neighbours are."""
    rows = minia_spark.open(location).frame("embeddings", variant=variant)
    rows = rows[rows["reason"].isna()].sort_values(["image_id", "batch"], ignore_index=True)
    return list(zip(rows["batch"], rows["image_id"], strict=True)), np.stack(rows["vector"])


def check_neighbours(location: Path, variant: str) -> None:
    """All lists against those of all vectors at once."""
    names, vectors = vectors_of(location, variant)
    here = np.arange(len(vectors))
    ready = prepared(vectors)
    found = nearest(ready, [(here, ready)], 12, own=here)
    rows = minia_spark.open(location).frame("neighbours", variant=variant)
    assert len(rows) == len(names)
    places = {name: place for place, name in enumerate(names)}
    for row in rows.itertuples():
        place = places[row.batch, row.image_id]
        near = list(zip(row.batches, row.neighbours, strict=True))
        there = found.positions[place] >= 0
        assert near == [names[k] for k in found.positions[place][there]]
        assert row.distances.tolist() == found.distances[place][there].tolist()


class TestFirstRun:
    def test_an_embedding_an_image(self, mapped):
        frame = minia_spark.open(mapped).frame("embeddings")
        assert frame.groupby("variant").size().to_dict() == {"onnx": 60, "words": 60}
        lengths = frame.dropna(subset="vector").groupby("variant")["vector"].first().map(len)
        assert lengths.to_dict() == {"onnx": 5, "words": 8}

    @pytest.mark.parametrize("variant", METHODS)
    def test_neighbours_are_those_of_all_at_once(self, mapped, variant):
        check_neighbours(mapped, variant)

    def test_a_place_an_image(self, mapped):
        collection = minia_spark.open(mapped)
        for variant in METHODS:
            places = collection.map(variant)
            there = collection.frame("embeddings", variant=variant)["reason"].isna().sum()
            assert len(places) == there
            assert places["fitted"].all()
            frame = collection.frame("map_frames", variant=variant).iloc[0]
            assert (places[["x", "y"]] > frame["low"]).all().all()
            assert (places[["x", "y"]] < frame["high"]).all().all()
            assert places["z"].isna().all()

    def test_quality(self, mapped, minia):
        rows = minia_spark.open(mapped).frame("map_quality", variant="onnx")
        assert rows["batch"].tolist() == ["b1", None]
        assert rows["trustworthiness"].between(0.7, 1).all()
        assert rows["recall"].between(0.3, 1).all()
        told = minia("map", "quality", "--warehouse", mapped).expect(0).out
        assert "onnx       b1" in told
        facts = json.loads(minia("map", "quality", "--warehouse", mapped, "--json").expect(0).out)
        assert len(facts) == 4

    def test_again_there_is_nothing_to_do(self, minia, mapped):
        again = minia("run", "--lines", "map", "--warehouse", mapped).expect(0)
        assert again.out.startswith("nothing to do")

    @pytest.mark.parametrize("stage", ["neighbours", "place"])
    def test_partitions_do_not_matter(self, context, mapped, stage):
        batch = "b1" if stage == "place" else None
        one = context(mapped, stage, batch, "spark.partitions=1", *MAP[1::2])
        run_stage(one)
        table = {"place": "map", "neighbours": "neighbours"}[stage]
        (entry,) = (e for e in one.entries if e.table == table)
        columns = ["image_id", *({"map": ["x", "y"]}.get(table, ["neighbours", "distances"]))]
        made = one.spark.read.parquet(one.pattern(entry.path)).select(columns).toPandas()
        before = minia_spark.open(mapped).frame(table, variant="words", columns=columns)
        for frame in (made, before):
            frame.sort_values("image_id", inplace=True, ignore_index=True)
        assert all(map(np.array_equal, made[columns[1]].to_list(), before[columns[1]].to_list()))
        assert all(map(np.array_equal, made[columns[2]].to_list(), before[columns[2]].to_list()))


class TestNewBatch:
    def test_no_old_image_moves(self, mapped, grown):
        for table in ("map", "embeddings", "layouts"):
            before = rows_of(mapped, table, batch="b1" if table != "layouts" else None)
            after = rows_of(grown, table, batch="b1" if table != "layouts" else None)
            assert before == after
            assert before

    def test_only_the_new_one_is_worked_on(self, grown):
        done = steps_done(grown)
        assert ("place", "b2") in done
        assert not {stage for stage, batch in done if batch == "b1"} & {"embed", "place"}
        assert not {stage for stage, _ in done} & {"layout", "embedding_words"}

    @pytest.mark.parametrize("variant", METHODS)
    def test_neighbours_are_those_of_all_at_once(self, grown, variant):
        check_neighbours(grown, variant)

    def test_a_known_image_is_its_copys_nearest_and_lies_there(self, grown):
        collection = minia_spark.open(grown)
        places = collection.map("onnx").set_index(["batch", "image_id"])
        spread = np.ptp(places[["x", "y"]].to_numpy(), axis=0).max()
        copies = [name for batch, name in places.index if batch == "b2" and "again" in name]
        assert len(copies) == 6
        for name in copies:
            near = collection.neighbours(name, variant="onnx").iloc[0]
            assert near["image_id"].endswith(name.removeprefix("again-"))
            assert near["distance"] == 0
            both = places.loc[[("b2", name), ("b1", near["image_id"])], ["x", "y"]].to_numpy()
            assert np.linalg.norm(both[0] - both[1]) < 0.15 * spread

    def test_bad_images_beside_good(self, grown):
        rejects = rows_of(grown, "rejects", "stage", "reason", batch="b2")
        assert ("embed", "embedding_not_finite") in rejects
        assert ("ingest", "corrupt") in rejects or ("ingest", "truncated") in rejects
        frame = minia_spark.open(grown).frame("embeddings", batch="b2")
        reasons = frame.dropna(subset="reason")[["variant", "image_id", "reason"]]
        assert sorted(reasons.itertuples(index=False, name=None)) == [
            ("onnx", "black.png", "embedding_not_finite"),
            ("words", "black.png", "no_words"),
        ]
        assert "black.png" not in set(minia_spark.open(grown).map("words")["image_id"])

    def test_quality_of_every_batch(self, grown):
        rows = minia_spark.open(grown).frame("map_quality", variant="onnx")
        assert rows["batch"].tolist() == ["b1", "b2", None]
        assert rows["placed"].tolist() == [0, 6, 6]

    @pytest.mark.heavy
    def test_taken_out_again_all_is_as_before(self, minia, mapped, grown, tmp_path):
        location = Path(shutil.copytree(grown, tmp_path / "W"))
        minia("batch", "remove", "b2", "--warehouse", location).expect(0)
        for table in ("map", "neighbours", "map_quality"):
            assert rows_of(location, table) == rows_of(mapped, table)


class TestRefit:
    @pytest.fixture(scope="class")
    @classmethod
    def refitted(cls, minia, grown, tmp_path_factory):
        location = Path(shutil.copytree(grown, tmp_path_factory.mktemp("refitted") / "W"))
        minia("map", "refit", "--warehouse", location).expect(0)
        return location

    def test_the_new_map_lies_on_the_old_one(self, grown, refitted):
        before, after = (
            minia_spark.open(w).frame("map_frames", variant="onnx").iloc[0]
            for w in (grown, refitted)
        )
        assert after["registered_to"] == before["version"]
        assert after["images"] == 66
        assert after["registration_error"] < 0.9
        assert minia_spark.open(refitted).map("onnx")["fitted"].all()

    def test_the_codebook_stays(self, grown, refitted):
        assert rows_of(refitted, "codebooks", "version") == rows_of(grown, "codebooks", "version")
        assert "codebook" not in {stage for stage, _ in steps_done(refitted)}

    def test_again_there_is_nothing_to_do(self, minia, refitted):
        assert minia("map", "refit", "--warehouse", refitted).expect(0).out.startswith("nothing")

    def test_other_parameters_are_not_taken_unasked(self, minia, grown):
        told = minia("run", "--lines", "map", "--warehouse", grown, "--set", "layout.seed=9")
        assert "layout.seed 8 -> 9: would replace the map" in told.expect(2).err

    def test_no_map_to_refit(self, minia, warehouse):
        told = minia("map", "refit", "--warehouse", warehouse).expect(3)
        assert "there is no map in" in told.err


class TestSweep:
    def test_a_table_and_a_recommendation(self, minia, mapped):
        some = ("--perplexities", "4,8,500", "--seeds", "1", "--warehouse", mapped)
        told = minia("map", "sweep", "--variant", "onnx", *some).expect(0)
        assert "60 images by onnx, 120 iterations" in told.out
        assert "recommended: perplexity " in told.out
        assert "left out: perplexities above 19.7" in told.err
        facts = json.loads(
            minia("map", "sweep", "--variant", "onnx", *some, "--json").expect(0).out
        )
        assert [row["perplexity"] for row in facts["trials"]] == [4, 8]
        assert facts["recommended"]["perplexity"] in (4, 8)

    def test_which_embedding(self, minia, mapped):
        told = minia("map", "sweep", "--warehouse", mapped).expect(2)
        assert "choose one with --variant" in told.err

    def test_perplexities_that_cannot_be(self, minia, mapped):
        where = ("--warehouse", mapped, "--variant", "onnx")
        told = minia("map", "sweep", *where, "--perplexities", "50").expect(2)
        assert "60 images allow 19.7 at most" in told.err


class TestFew:
    """By their pixels, without a codebook."""

    @pytest.fixture(scope="class")
    @classmethod
    def by_pixels(cls, minia, survey, tmp_path_factory):
        def make(images: int) -> tuple[Path, str]:
            place = tmp_path_factory.mktemp("few")
            (place / "images").mkdir()
            for name in sorted(Path(survey.images).rglob("*.png"))[:images]:
                shutil.copy(name, place / "images" / name.name)
            where = ("--warehouse", place / "W")
            minia("ingest", "--images", place / "images", "--batch", "b1", *where).expect(0)
            own = chosen("embedding.methods=[pca]", "spark.partitions=2")
            told = minia("run", "--lines", "map", *where, *MAP, *own).expect(0)
            assert len(minia_spark.open(place / "W").map("pca")) == images
            return place / "W", told.err

        return make

    def test_nine(self, by_pixels, survey):
        location, told = by_pixels(9)
        assert "9 images allow a perplexity of 2.67, not 8" in told
        check_neighbours(location, "pca")
        collection = minia_spark.open(location)
        model = collection.arrow("embedding_models", variant="pca").to_pylist()[0]
        matrix = np.array(model["components"]).reshape(len(model["weights"]), -1)
        pca = Pca(np.array(model["weights"]), matrix, np.zeros(0))
        for row in collection.frame("embeddings", variant="pca").itertuples():
            (file,) = Path(survey.images).rglob(row.image_id)
            small = scaled(decode(file.read_bytes()).pixels, 6).reshape(1, -1)
            assert np.array_equal(project(small, pca)[0], row.vector)

    @pytest.mark.heavy
    @pytest.mark.parametrize("images", [1, 3])
    def test_too_few_for_t_sne(self, by_pixels, images):
        _, told = by_pixels(images)
        assert f"{images} images are too few for t-SNE" in told


def test_a_network_that_is_not_what_it_was(minia, mapped, network, tmp_path):
    other = tmp_path / network.name
    other.write_bytes(network.read_bytes()[:-30])
    shutil.copy(network.with_suffix(".yaml"), other.with_suffix(".yaml"))
    before = Warehouse(str(mapped)).catalogue().version
    told = minia(
        "run", "--lines", "map", "--warehouse", mapped, "--set", f"embedding.onnx.model={other}"
    ).expect(2)
    assert "its side file says" in told.err
    assert Warehouse(str(mapped)).catalogue().version == before
