"""Words through Spark against the tables they are made from."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from commands import rows_of, table_of, take_codebook

from minia_spark.words.bag import bag_words


def test_every_feature_has_its_nearest_word(warehouse):
    centres = np.stack(table_of(warehouse, "codebooks").sort_values("word")["centre"])
    features = table_of(warehouse, "features").set_index("image_id")
    words = table_of(warehouse, "words").set_index("image_id")
    assert sorted(words.index) == sorted(features.index)
    for image_id, row in words.head(15).iterrows():
        block = features.loc[image_id, "descriptors"]
        vectors = np.frombuffer(block, np.uint8).reshape(-1, 128).astype(np.int64)
        distances = ((vectors[:, None, :] - centres[None].astype(np.int64)) ** 2).sum(axis=2)
        assert row["feature_words"].tolist() == distances.argmin(axis=1).tolist()
        assert row["quantisation_error"] == pytest.approx(distances.min(axis=1).mean(), rel=1e-12)


def test_bags_and_their_counts_over_the_batch(warehouse):
    features = table_of(warehouse, "features").set_index("image_id")
    images, occurrences = Counter(), Counter()
    for _, row in table_of(warehouse, "words").iterrows():
        wanted = bag_words(
            row["feature_words"],
            features.loc[row["image_id"], "size"],
            np.array([0, len(row["feature_words"])]),
        )
        assert row["words"].tolist() == wanted.words.tolist()
        assert row["counts"].tolist() == wanted.counts.tolist()
        assert row["sizes"].tolist() == wanted.sizes.tolist()
        images.update(row["words"].tolist())
        occurrences.update(dict(zip(row["words"].tolist(), row["counts"].tolist(), strict=True)))
    counted = rows_of(warehouse, "word_counts", "word", "images", "occurrences")
    assert sorted(counted) == [(w, images[w], occurrences[w]) for w in sorted(images)]


@pytest.mark.parametrize("with_others", [True, False])
def test_images_without_features_stay_as_empty_documents(
    warehouse, survey, published, tmp_path, with_others
):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("blank1.png", "blank2.png", "zz.png"):
        assert cv2.imwrite(str(folder / name), np.full((64, 64), 90, np.uint8))
    if with_others:
        for image in sorted(survey.images.iterdir())[:3]:
            (folder / image.name).write_bytes(image.read_bytes())
    location = tmp_path / "W"
    take_codebook(warehouse, location)
    for stage in ("ingest", "features", "words"):
        made = published(location, stage, "b1", source=folder)
    assert made.counts == {"images": 6 if with_others else 3, "without_words": 3}
    rows = table_of(location, "words").set_index("image_id")
    for name in ("blank1.png", "blank2.png", "zz.png"):
        for column in ("feature_words", "words", "counts", "sizes"):
            assert rows.loc[name, column].tolist() == []
        assert np.isnan(rows.loc[name, "quantisation_error"])
    shared = table_of(warehouse, "words").set_index("image_id")
    for name in rows.index[rows.index.str.startswith("sky")]:
        assert rows.loc[name, "words"].tolist() == shared.loc[name, "words"].tolist()
        assert rows.loc[name, "quantisation_error"] == shared.loc[name, "quantisation_error"]
    counted = rows_of(location, "word_counts", "occurrences")
    assert sum(n for (n,) in counted) == sum(map(len, rows["feature_words"]))
    published(location, "tune", None, "mining.tuple_size=2", "mining.tables=9")
    assert published(location, "mine", None).counts["structures"] >= 0  # with images of no words
