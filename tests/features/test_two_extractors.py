"""SIFT on a grid and SURF beside each other: one pass over the pixels, and all that follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import SMALL, chosen, table_of

from minia_spark.features.extractors import create
from minia_spark.features.settings import FeaturesSettings, GridSettings, SiftSettings, SurfSettings
from minia_spark.images.decode import decode
from minia_spark.warehouse.warehouse import Warehouse

OPTIONS = {"max_pixels": 10**6, "max_bytes": 10**7}
OPTIONS |= {"fits_interval": "zscale", "fits_stretch": "asinh"}
OWN = FeaturesSettings(
    extractors=("sift", "surf"),
    sift=SiftSettings(root=True, grid=GridSettings(step=10, scales=(12, 20))),
    surf=SurfSettings(implementation="mahotas", upright=False, hessian_threshold=30),
)
SETTINGS = chosen(
    "features.extractors=[sift,surf]",
    "features.sift.root=true",
    "features.sift.grid.step=10",
    "features.sift.grid.scales=[12,20]",
    "features.surf.implementation=mahotas",
    "features.surf.upright=false",
    "features.surf.hessian_threshold=30",
    "mining.decoys=1",
    "mining.seeds=1",
)


@pytest.fixture(scope="module")
def both(minia, survey, tmp_path_factory) -> Path:
    """A warehouse in which everything ran with both extractors."""
    location = tmp_path_factory.mktemp("both") / "W"
    arguments = ("--images", survey.images, "--batch", "b1", "--warehouse", location)
    done = minia("run", *arguments, *SMALL, *SETTINGS).expect(0)
    assert "60 images" in done.out + done.err
    return location


@pytest.mark.heavy
def test_rows_are_what_the_extractors_find(both, survey):
    rows = table_of(both, "features").set_index(["variant", "image_id"])
    assert len(rows) == 120
    for image in sorted(survey.images.iterdir())[::20]:
        pixels = decode(image.read_bytes(), **OPTIONS).pixels
        for name, kind in (("sift", "|u1"), ("surf", "<f4")):
            found = create(OWN, name).extract(pixels)
            row = rows.loc[name, image.name]
            assert row["n_features"] == len(found) > 0
            for column in ("x", "y", "size", "angle", "response"):
                np.testing.assert_array_equal(row[column], getattr(found, column))
            stored = np.frombuffer(row["descriptors"], kind).reshape(len(found), -1)
            np.testing.assert_array_equal(stored, found.descriptors)


@pytest.mark.heavy
def test_what_follows_is_there_for_each(both):
    for table in ("codebooks", "words", "word_counts", "structures", "structure_images", "drift"):
        variants = table_of(both, table)["variant"]
        assert set(variants) == {"sift", "surf"}, table
    counts = (
        table_of(both, "words")
        .groupby("variant")["feature_words"]
        .apply(lambda words: sum(map(len, words)))
    )
    features = table_of(both, "features").groupby("variant")["n_features"].sum()
    assert counts.to_dict() == features.to_dict()
    page = (both / "report" / "index.html").read_text()
    for name in ("sift", "surf"):
        assert f'<h2 class="variant">{name}</h2>' in page
        assert f'id="structures-{name}"' in page


@pytest.mark.heavy
def test_the_metadata_say_who_computed_surf(both):
    found = {}
    for variant in ("sift", "surf"):
        entries = Warehouse(str(both)).catalogue().of_table("features", None, variant)
        (file, *_) = sorted((both / entries[0].path).rglob("*.parquet"))
        known = pq.read_schema(file).metadata[b"org.apache.spark.sql.parquet.row.metadata"]
        (told,) = (f["metadata"] for f in json.loads(known)["fields"] if f["name"] == "descriptors")
        found[variant] = told.get("implementation")
    assert found == {"sift": None, "surf": "mahotas"}


@pytest.mark.heavy
def test_what_sift_is_set_to_is_no_matter_of_surf(both, minia, survey):
    arguments = ("--images", survey.images, "--batch", "b1", "--warehouse", both)
    plan = minia("plan", *arguments, *SMALL, *SETTINGS, *chosen("features.sift.grid.step=12"))
    lines = (plan.out + plan.err).splitlines()
    assert any("sift" in line and "features" in line for line in lines)
    assert not any("surf" in line and "features" in line for line in lines), plan.out


def test_an_implementation_that_is_not_there_is_refused_before_anything_starts(
    minia, survey, tmp_path, monkeypatch
):
    monkeypatch.setattr("minia_spark.features.surf.available", lambda: ("mahotas",))
    wanted = chosen("features.extractors=[surf]", "features.surf.implementation=opencv")
    arguments = ("--images", survey.images, "--batch", "b1", "--warehouse", tmp_path / "W")
    found = minia("run", *arguments, *SMALL, *wanted).expect(2)
    assert "features.surf.implementation: opencv is not possible" in found.err
    assert Warehouse(str(tmp_path / "W")).versions() == []
