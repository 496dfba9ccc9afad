"""Features through Spark: one row an image, whatever became of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, rows_of, table_of

from minia_spark.base.errors import InputError
from minia_spark.engine import pixels as module
from minia_spark.features.extractors import create
from minia_spark.features.settings import FeaturesSettings
from minia_spark.images.decode import decode
from minia_spark.sky.survey import SurveyFiles
from minia_spark.warehouse.warehouse import Warehouse


@pytest.fixture
def ingested(survey: SurveyFiles, published, tmp_path: Path) -> tuple[Path, Path]:
    """Eight images in a folder of their own, and a warehouse that has read them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for image in sorted(survey.images.iterdir())[:8]:
        shutil.copy(image, folder)
    published(tmp_path / "W", "ingest", "b1", source=folder)
    return tmp_path / "W", folder


def test_a_row_is_what_the_extractor_finds(warehouse, survey):
    rows = table_of(warehouse, "features").set_index("image_id")
    assert len(rows) == 60
    extractor = create(FeaturesSettings())
    options = {"max_pixels": 10**6, "max_bytes": 10**7}
    options |= {"fits_interval": "zscale", "fits_stretch": "asinh"}
    for image in sorted(survey.images.iterdir())[::12]:
        found = extractor.extract(decode(image.read_bytes(), **options).pixels)
        row = rows.loc[image.name]
        assert row["n_features"] == row["n_found"] == len(found) > 0
        for name in ("x", "y", "size", "angle", "response"):
            assert np.array_equal(row[name], getattr(found, name))
        descriptors = np.frombuffer(row["descriptors"], np.uint8).reshape(-1, 128)
        assert np.array_equal(descriptors, found.descriptors)
        assert row["reason"] is None


def test_a_file_that_changed_since_ingest_is_a_reject(ingested, published):
    location, folder = ingested
    names = sorted(p.name for p in folder.iterdir())
    (folder / names[0]).write_bytes((folder / names[1]).read_bytes())
    (folder / names[2]).unlink()
    made = published(location, "features", "b1")
    assert made.counts["images"] == 8
    assert made.counts["rejects"] == 2
    rejects = rows_of(location, "rejects", "uri", "stage", "reason", "detail")
    assert [r[:3] for r in rejects] == [
        (f"file://{folder}/{names[n]}", "features", "unreadable") for n in (0, 2)
    ]
    assert "changed since it was ingested; ingest the batch again" in rejects[0][3]
    assert "No such file" in rejects[1][3]
    rows = table_of(location, "features").set_index("image_id")
    assert len(rows) == 8  # a rejected image keeps its row
    assert rows.loc[names[0], "n_features"] == 0
    assert rows.loc[names[0], "reason"] == "unreadable"
    assert rows["reason"].isna().sum() == 6


def test_all_changed_is_an_error_and_nothing_is_published(ingested, minia):
    location, folder = ingested
    for file in folder.iterdir():
        file.write_bytes(b"other")
    found = minia("features", "--warehouse", location, *SMALL).expect(3)
    assert (
        "no image of batch b1 could be extracted, e.g. sky-0000000.png: The file has" in found.err
    )
    assert Warehouse(str(location)).versions() == [1]


def test_limits_of_features_and_of_pixels(ingested, published):
    location, _ = ingested
    made = published(location, "features", "b1", "features.max_features=5")
    rows = table_of(location, "features")
    assert (rows["n_features"] <= 5).all()
    assert (rows["n_found"] > 5).any()
    left_out = int((rows["n_found"] - rows["n_features"]).sum())
    assert made.counts["left_out"] == left_out > 0
    told = made.progress.stream.getvalue()
    assert f"{left_out} features beyond features.max_features (5) an image were left out" in told
    with pytest.raises(InputError, match="no image of batch b1 could be extracted"):
        published(location, "features", "b1", "features.max_pixels=100")


@pytest.mark.parametrize(("images", "size_bytes"), [(3, 1 << 30), (256, 1)])
def test_where_a_chunk_of_images_ends_does_not_show(
    ingested, published, monkeypatch, images, size_bytes
):
    location, _ = ingested
    published(location, "features", "b1")
    before = rows_of(location, "features")
    monkeypatch.setattr(module, "_CHUNK_IMAGES", images)
    monkeypatch.setattr(module, "_CHUNK_BYTES", size_bytes)
    published(location, "features", "b1", "spark.partitions=1")
    assert rows_of(location, "features") == before
