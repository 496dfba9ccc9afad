"""Crops, components and vectors through Spark: against NumPy, for any partitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import table_of

from minia_spark.galaxies.frozen import model_of
from minia_spark.reduce.pca import decompose, merge_all
from minia_spark.reduce.spark import fitted_part
from minia_spark.warehouse.warehouse import Warehouse

SMALL = ("reduce.side_px=24", "reduce.components=6")


@pytest.fixture
def reduced(own_warehouse, published):
    published(own_warehouse, "facets", "b1")
    published(own_warehouse, "crops", "b1", *SMALL)
    published(own_warehouse, "components", None, *SMALL)
    published(own_warehouse, "reduce", "b1", *SMALL)
    return own_warehouse


def model_in(location):
    (entry,) = Warehouse(str(location)).entries("components")
    folder = location / entry.path
    return model_of(lambda name: (folder / name).read_bytes(), "here", "components")


def test_as_numpy_on_the_training_images(reduced, published):
    crops = table_of(reduced, "crops").sort_values("image_id")
    pixels = np.stack([np.frombuffer(p, np.uint8) for p in crops["pixels"]]).astype(float)
    assert pixels.shape == (60, 24 * 24 * 3)
    facets = table_of(reduced, "facets").sort_values("image_id")
    train = pixels[(facets["split"] == "train").to_numpy()]
    assert 15 < len(train) < 45

    model = model_in(reduced)
    centred = train - train.mean(axis=0)
    _, strengths, ways = np.linalg.svd(centred, full_matrices=False)
    found = model.arrays["directions"]
    assert np.allclose(np.abs((found * ways[:6]).sum(axis=1)), 1, atol=1e-4)
    assert np.allclose(model.arrays["variances"], strengths[:6] ** 2 / (len(train) - 1), rtol=1e-5)
    assert model.told["images"] == len(train)
    assert model.told["settings"]["reduce.components"] == 6
    share = (strengths[:6] ** 2).sum() / (strengths**2).sum()
    assert model.told["explained_share"] == pytest.approx(share, abs=1e-5)

    vectors = table_of(reduced, "reductions").sort_values("image_id")
    assert list(vectors["image_id"]) == list(crops["image_id"])
    wanted = (pixels - train.mean(axis=0)) @ found.T / model.arrays["scales"]
    assert np.allclose(np.stack(vectors["vector"]), wanted, atol=1e-3)

    # the same bits for other partitions
    for stage, batch in (("components", None), ("reduce", "b1")):
        published(reduced, stage, batch, *SMALL, "spark.partitions=5")
    again = model_in(reduced)
    assert np.array_equal(again.arrays["directions"], found)
    other = table_of(reduced, "reductions").sort_values("image_id")
    assert np.array_equal(np.stack(other["vector"]), np.stack(vectors["vector"]))


def test_no_test_image_is_learned_from(reduced, published):
    """Its pixels may be anything: the components stay as they are."""
    before = model_in(reduced)
    (entry,) = Warehouse(str(reduced)).entries("crops")
    split = table_of(reduced, "facets").set_index("image_id")["split"]
    import pyarrow as pa
    import pyarrow.parquet as pq

    def spoil(which):
        changed = 0
        for path in sorted((reduced / entry.path).glob("*.parquet")):
            rows = pq.read_table(path)
            cells = [
                bytes(len(p)) if split[name] == which else p
                for name, p in zip(
                    rows["image_id"].to_pylist(), rows["pixels"].to_pylist(), strict=True
                )
            ]
            changed += sum(c == bytes(len(c)) for c in cells)
            place = rows.schema.get_field_index("pixels")
            pq.write_table(rows.set_column(place, rows.schema.field(place), pa.array(cells)), path)
            (path.parent / f".{path.name}.crc").unlink(missing_ok=True)
        assert changed > 10
        published(reduced, "components", None, *SMALL)
        return model_in(reduced)

    assert np.array_equal(spoil("test").arrays["directions"], before.arrays["directions"])
    with pytest.raises(Exception, match="all images are equal"):
        spoil("train")


def test_many_blocks_are_merged_up_a_tree(reduced, context, spark):
    """Blocks of three images: the tree has three levels, and loses nothing."""
    import contextlib

    made = context(reduced, "components", None, *SMALL)
    crops = made.read(made.stage.reads[0])
    part = fitted_part(
        crops, 60, dims=24 * 24 * 3, kept=64, watched=contextlib.nullcontext(), rows=3
    )
    cells = table_of(reduced, "crops")["pixels"]
    pixels = np.stack([np.frombuffer(p, np.uint8) for p in cells])
    whole = decompose(pixels, 64, np.float64)
    assert part.count == 60
    most = 1e-5 * whole.strengths[0]
    assert np.allclose(part.strengths, whole.strengths, rtol=0, atol=most)
    halves = merge_all([decompose(pixels[:31], 64), decompose(pixels[31:], 64)], 64)
    assert np.allclose(part.strengths, halves.strengths, rtol=0, atol=most)


def test_it_goes_through_the_command_and_stays_frozen(own_warehouse, minia, survey, tmp_path):
    """A new batch is placed by the components that are there; refitting is asked for."""
    chosen = [w for s in (*SMALL, "spark.partitions=2") for w in ("--set", s)]
    where = ("--warehouse", own_warehouse)
    minia("facets", *where, *chosen).expect(0)
    minia("reduce", *where, *chosen).expect(0)
    first = model_in(own_warehouse)
    new = tmp_path / "new"
    new.mkdir()
    for path in sorted(survey.images.rglob("*.*"))[:4]:
        (new / f"again_{path.name}").write_bytes(path.read_bytes())
    told = minia("ingest", "--images", new, "--batch", "b2", *where, *chosen).expect(0)
    minia("facets", *where).expect(0)
    told = minia("reduce", *where).expect(0).err
    assert "reduce b2: done" in told
    assert "components: " not in told  # the step, which did not run
    assert model_in(own_warehouse).arrays["count"] == first.arrays["count"]
    vectors = table_of(own_warehouse, "reductions")
    same = {}
    for name, vector in zip(vectors["image_id"], vectors["vector"], strict=True):
        same.setdefault(name.removeprefix("again_"), []).append(vector.tolist())
    twice = [v for v in same.values() if len(v) == 2]
    assert len(twice) == 4
    assert all(one == other for one, other in twice)
    assert json.dumps(first.told)  # plain values


def test_wrong_settings(minia, own_warehouse):
    told = minia("reduce", "--warehouse", own_warehouse, "--set", "reduce.object_threshold=5")
    assert "object_threshold would have no effect: crop is centre" in told.expect(2).err
