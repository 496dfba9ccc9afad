"""The codebook on Spark, from hand-made descriptors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import rows_of, table_of
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.codebook import CODEBOOK
from minia_spark.codebook import spark as module
from minia_spark.codebook.kmeans import NearestCentre
from minia_spark.codebook.sample import feature_hashes
from minia_spark.codebook.spark import descriptor_sample
from minia_spark.codebook.stage import load_codebook
from minia_spark.features.tables import FEATURES
from minia_spark.warehouse.warehouse import Warehouse

DIM = 4


def blobs(seed: int, centres: int, count: int) -> np.ndarray:
    """Descriptors in well separated heaps, uint8 (count, DIM)."""
    generator = np.random.default_rng(seed)
    middles = generator.permutation(16)[:centres, None] // np.array([1, 2, 4, 8]) % 2 * 200 + 20
    return (middles[np.arange(count) % centres] + generator.integers(-9, 10, (count, DIM))).astype(
        np.uint8
    )


@pytest.fixture
def features(spark, context):
    """Publish a table ``features`` of the given descriptors, an array an image."""

    def publish(location: Path, images: list[np.ndarray], *, files: int = 2):
        kind = images[0].dtype
        layout = {"extractor": "test", "dtype": kind.str, "dimension": images[0].shape[1]}
        schema = FEATURES.schema(metadata={"descriptors": layout})
        rows = []
        for number, block in enumerate(images):
            zeros = [0.0] * len(block)
            numbers = [len(block), len(block), zeros, zeros, zeros, zeros, zeros]
            rows.append(("b1", f"i{number:03d}", *numbers, block.tobytes(), None, None))
        made = context(location, "features", "b1")
        frame = spark.createDataFrame(rows, schema).repartition(files)
        made.write(FEATURES, frame, metadata={"descriptors": layout})
        made.warehouse.commit(made.view, made.run, made.view.with_entries(made.entries).entries, "")
        return spark.read.parquet(made.pattern(made.entries[-1].path))

    return publish


SETTINGS = ("codebook.size=5", "codebook.sample_size=200")


class TestCodebook:
    def test_heaps_become_words(self, features, published, tmp_path):
        """Five heaps of 40: their means, rounded, and no feature left between."""
        data = blobs(0, 5, 200)
        features(tmp_path, np.split(data, 8))
        made = published(tmp_path, CODEBOOK.name, None, *SETTINGS)
        found = table_of(tmp_path, "codebooks").sort_values("word")
        means = {tuple(np.floor(data[n::5].mean(axis=0) + 0.5)) for n in range(5)}
        assert {tuple(centre) for centre in found["centre"]} == means
        assert found["occurrences"].tolist() == [40] * 5
        assert found["word"].tolist() == list(range(5))
        assert not found["dead"].any()
        assert set(found["scale"]) == {1.0}
        assert made.counts["dead_words"] == 0
        assert made.counts["descriptors"] == 200
        assert found["cost_history"][0][-1] == made.counts["cost_per_descriptor"]
        distances = NearestCentre(np.stack(found["centre"]).astype(np.int32)).find(data)[1]
        assert made.counts["cost_per_descriptor"] == distances.mean()

    def test_files_and_batches_do_not_show_also_where_sums_are_merged_in_a_tree(
        self, features, published, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(module, "_MERGE_FROM_PARTITIONS", 2)
        data = np.split(blobs(1, 9, 300), 12)
        versions = set()
        for files in (1, 7):
            location = tmp_path / str(files)
            features(location, data, files=files)
            published(location, CODEBOOK.name, None, *SETTINGS)
            (entry,) = Warehouse(str(location)).entries("codebooks")
            versions.add((entry.digest, table_of(location, "codebooks")["version"][0]))
        assert len(versions) == 1
        digest, version = versions.pop()
        assert digest == version

    def test_without_refinement_it_is_mllibs_result(self, features, published, tmp_path):
        features(tmp_path, np.split(blobs(2, 9, 200), 8))
        random = (*SETTINGS, "codebook.start=random")
        made = published(tmp_path, CODEBOOK.name, None, *random, "codebook.refine_iterations=0")
        found = table_of(tmp_path, "codebooks")
        assert len(found["cost_history"][0]) == 1
        assert found["occurrences"].sum() == 200
        refined = published(tmp_path, CODEBOOK.name, None, *random)
        history = table_of(tmp_path, "codebooks")["cost_history"][0]
        assert history[0] == made.counts["cost_per_descriptor"]
        assert refined.counts["cost_per_descriptor"] <= history[0]

    def test_the_most_iterations_and_the_tolerance_end_it(self, features, published, tmp_path):
        data = np.random.default_rng(3).integers(0, 256, (300, DIM), dtype=np.uint8)
        features(tmp_path, np.split(data, 4))
        lengths = {}
        for name, own in {
            "one": ["codebook.refine_iterations=1"],
            "exact": ["codebook.refine_iterations=60", "codebook.tolerance=0"],
            "loose": ["codebook.refine_iterations=60", "codebook.tolerance=0.5"],
        }.items():
            published(tmp_path, CODEBOOK.name, None, *SETTINGS, *own)
            lengths[name] = len(table_of(tmp_path, "codebooks")["cost_history"][0])
        assert lengths["one"] == lengths["loose"] == 2  # before and after one update
        assert 2 < lengths["exact"] < 61  # until nothing moves

    def test_floats_go_on_a_grid_that_scaling_does_not_change(self, features, published, tmp_path):
        """A unit twice as small: the same words, centres twice as large, a scale half."""
        data = (blobs(4, 5, 200) / np.float32(1000)).astype(np.float32)
        found = []
        for factor in (1, 2):
            location = tmp_path / str(factor)
            features(location, np.split(data * np.float32(factor), 4))
            published(location, CODEBOOK.name, None, *SETTINGS)
            found.append(table_of(location, "codebooks").sort_values("word"))
        one, two = found
        assert one["scale"][0] == 2 * two["scale"][0]
        assert np.log2(one["scale"][0]) % 1 == 0
        assert one["occurrences"].tolist() == two["occurrences"].tolist()
        assert np.array_equal(2 * np.stack(one["centre"]), np.stack(two["centre"]))
        means = np.array(sorted(data[n::5].mean(axis=0).tolist() for n in range(5)))
        centres = np.array(sorted(centre.tolist() for centre in one["centre"]))
        assert np.abs(centres - means).max() < 1 / one["scale"][0]


class TestDuplicates:
    def test_as_many_words_as_different_descriptors(self, features, published, tmp_path):
        """MLlib's block solver fails when its start finds fewer centres than asked for."""
        different = blobs(5, 5, 5)
        features(tmp_path, [np.repeat(different, 30, axis=0), different])
        made = published(tmp_path, CODEBOOK.name, None, *SETTINGS)
        assert made.counts["cost_per_descriptor"] == 0
        assert made.counts["dead_words"] == 0
        centres = {tuple(c) for c in table_of(tmp_path, "codebooks")["centre"]}
        assert centres == {tuple(map(float, row)) for row in different}

    def test_more_words_than_different_descriptors(self, features, published, tmp_path):
        features(tmp_path, [np.repeat(blobs(5, 4, 4), 30, axis=0)])
        wanted = r"size is 5 but the sample of 120 descriptors holds only 4 different ones; set"
        with pytest.raises(SettingsError, match=wanted):
            published(tmp_path, CODEBOOK.name, None, *SETTINGS)
        with pytest.raises(InputError, match=r"table 'codebooks' is not in"):
            table_of(tmp_path, "codebooks")

    def test_more_words_than_descriptors(self, features, published, tmp_path):
        features(tmp_path, [blobs(5, 4, 4), np.zeros((0, DIM), np.uint8)])
        with pytest.raises(InputError, match="4 descriptors were extracted, fewer than the 5 wo"):
            published(tmp_path, CODEBOOK.name, None, *SETTINGS)


class TestStarts:
    @pytest.mark.parametrize("start", ["oversampled", "random", "k-means||", "best"])
    def test_heaps_are_found(self, features, published, tmp_path, start):
        data = blobs(0, 5, 200)
        features(tmp_path, np.split(data, 8))
        own = ("codebook.refine_iterations=30", f"codebook.start={start}")
        made = published(tmp_path, CODEBOOK.name, None, *SETTINGS, *own)
        spread = np.concatenate([data[n::5] - data[n::5].mean(axis=0) for n in range(5)])
        assert made.counts["cost_per_descriptor"] < 3 * (spread**2).sum() / len(data)

    def test_best_is_one_of_both(self, features, published, tmp_path):
        """The cheaper by what MLlib tells, which is the cost before its last update."""
        data = np.random.default_rng(8).integers(0, 256, (400, DIM), dtype=np.uint8)
        features(tmp_path, np.split(data, 4))
        versions, costs = {}, {}
        for start in ("random", "k-means||", "best"):
            own = ("codebook.refine_iterations=0", f"codebook.start={start}")
            made = published(tmp_path, CODEBOOK.name, None, *SETTINGS, *own)
            versions[start] = table_of(tmp_path, "codebooks")["version"][0]
            costs[start] = made.counts["cost_per_descriptor"]
        assert versions["random"] != versions["k-means||"]
        assert versions["best"] in (versions["random"], versions["k-means||"])
        assert costs["best"] <= 1.02 * min(costs.values())

    def test_without_refinement_oversampled_is_random(self, features, published, tmp_path):
        features(tmp_path, np.split(blobs(2, 9, 200), 8))
        found = []
        for start in ("random", "oversampled"):
            own = ("codebook.refine_iterations=0", f"codebook.start={start}")
            published(tmp_path, CODEBOOK.name, None, *SETTINGS, *own)
            found.append(table_of(tmp_path, "codebooks")["version"][0])
        assert found[0] == found[1]


class TestAllDescriptors:
    """``sample_size: null``."""

    ALL = ("codebook.size=5", "codebook.sample_size=null")

    def test_without_refinement_it_is_mllibs_own_model(self, spark, features, published, tmp_path):
        """Against MLlib called by hand on the same rows in the same partitions."""
        frame = features(tmp_path, np.split(blobs(1, 9, 300), 12), files=3)
        own = ("codebook.refine_iterations=0", "codebook.start=random")
        published(tmp_path, CODEBOOK.name, None, *self.ALL, *own)

        def rows(batches):
            for frame in batches:
                for block in frame["descriptors"]:
                    for vector in np.frombuffer(block, np.uint8).reshape(-1, DIM):
                        yield pd.DataFrame({"d": [vector.astype(np.float32).tolist()]})

        by_hand = frame.select("descriptors").mapInPandas(rows, "d array<float>")
        vectors = by_hand.select(array_to_vector("d").alias("features"))
        wanted = KMeans(k=5, initMode="random", maxIter=1, seed=1, solver="block").fit(vectors)
        (entry,) = Warehouse(str(tmp_path)).entries("codebooks")
        saved = KMeansModel.load(str(tmp_path / Path(entry.path).parent / "mllib"))
        assert np.array_equal(saved.clusterCenters(), wanted.clusterCenters())
        found = table_of(tmp_path, "codebooks").sort_values("word")
        centres = np.array(wanted.clusterCenters(), dtype=np.float32)
        assert np.array_equal(np.stack(found["centre"]), centres)
        assert (centres % 1 != 0).any()  # not rounded to the grid
        assert found["occurrences"].sum() == 300
        read = load_codebook(pq.read_table(tmp_path / entry.path))
        assert np.array_equal(read.centres, np.floor(centres + 0.5))

    def test_refined(self, features, published, tmp_path):
        data = np.random.default_rng(3).integers(0, 256, (300, DIM), dtype=np.uint8)
        features(tmp_path, np.split(data, 4), files=3)
        made = published(tmp_path, CODEBOOK.name, None, *self.ALL, "codebook.start=k-means||")
        found = table_of(tmp_path, "codebooks")
        assert len(found["cost_history"][0]) > 1
        assert (np.stack(found["centre"]) % 1 == 0).all()
        assert made.counts["cost_per_descriptor"] <= found["cost_history"][0][0]

    def test_equal_descriptors_leave_fewer_words(self, features, published, tmp_path):
        """MLlib's block solver would end in an ArrayIndexOutOfBoundsException."""
        features(tmp_path, [np.repeat(blobs(5, 3, 3), 30, axis=0)])
        own = ("codebook.refine_iterations=0", "codebook.start=random")
        made = published(tmp_path, CODEBOOK.name, None, *self.ALL, *own)
        told = made.progress.stream.getvalue()
        assert "found fewer than 5 different centres: MLlib's solver by rows goes on" in told
        assert f"MLlib found only {made.counts['words']} different centres for 5 words" in told
        assert made.counts["words"] <= 3
        with pytest.raises(
            SettingsError, match=r"start: random found only \d different centres for"
        ):
            published(tmp_path, CODEBOOK.name, None, *self.ALL, "codebook.start=random")


class TestSize:
    def test_auto(self, features, published, tmp_path):
        data = np.random.default_rng(8).integers(0, 256, (960, DIM), dtype=np.uint8)
        features(tmp_path, np.split(data, 12))
        made = published(tmp_path, CODEBOOK.name, None)
        found = table_of(tmp_path, "codebooks")
        wanted = "60 words for 960 features of 12 images: 16 features a word."
        assert set(found["size_reason"]) == {wanted}
        assert len(found) == made.counts["words"] == 60
        assert wanted in made.progress.stream.getvalue()

    def test_auto_within_the_sample(self, features, published, tmp_path):
        data = np.random.default_rng(8).integers(0, 256, (960, DIM), dtype=np.uint8)
        features(tmp_path, np.split(data, 12))
        made = published(tmp_path, CODEBOOK.name, None, "codebook.sample_size=40")
        assert made.counts["words"] == 40
        (reason,) = set(table_of(tmp_path, "codebooks")["size_reason"])
        assert reason.endswith("No more than codebook.sample_size: 40.")


class TestDescriptorSample:
    def rows(self, sample):
        return [(r["hash"], r["image_id"], r["number"], tuple(r["descriptor"])) for r in sample]

    def test_depends_on_names_alone(self, features, tmp_path):
        images = np.split(blobs(6, 9, 300), 12)
        found = [
            self.rows(
                descriptor_sample(
                    features(tmp_path / str(files), images, files=files), 50, 300, 1, distinct=False
                ).collect()
            )
            for files in (1, 5)
        ]
        everything = sorted(
            (int(h), f"i{n:03d}", k, tuple(map(float, block[k])))
            for n, block in enumerate(images)
            for k, h in enumerate(feature_hashes(f"i{n:03d}", len(block), 1))
        )
        assert found[0] == found[1] == everything[:50]

    def test_equal_descriptors_stay_once(self, features, tmp_path):
        different = blobs(5, 4, 4)
        frame = features(tmp_path, [np.repeat(different, 30, axis=0)])
        rows = self.rows(descriptor_sample(frame, 120, 120, 1, distinct=True).collect())
        assert sorted(r[3] for r in rows) == sorted(tuple(map(float, d)) for d in different)
        assert [r[0] for r in rows] == sorted(r[0] for r in rows)


class TestOnTheSharedWarehouse:
    def test_mllib_loads_the_model_and_finds_the_same_words(self, spark, warehouse):
        house = Warehouse(str(warehouse))
        (entry,) = house.entries("codebooks")
        model = KMeansModel.load(house.storage.uri(entry.path.rpartition("/")[0] + "/mllib"))
        centres = np.stack(table_of(warehouse, "codebooks").sort_values("word")["centre"])
        assert np.array_equal(np.array(model.clusterCenters()), centres)
        features = table_of(warehouse, "features").sort_values("image_id").head(5)
        words = table_of(warehouse, "words").set_index("image_id")
        rows = [
            (image, k, vector.tolist())
            for image, block in zip(features["image_id"], features["descriptors"], strict=True)
            for k, vector in enumerate(np.frombuffer(block, np.uint8).reshape(-1, 128))
        ]
        frame = spark.createDataFrame(rows, "image string, k int, descriptor array<int>")
        vectors = frame.withColumn(
            "features", array_to_vector(F.col("descriptor").cast("array<float>"))
        )
        predicted = model.transform(vectors).collect()
        assert len(predicted) > 100
        for row in predicted:
            assert row["prediction"] == words["feature_words"][row["image"]][row["k"]]

    def test_load_codebook(self, warehouse):
        house = Warehouse(str(warehouse))
        (entry,) = house.entries("codebooks")
        found = load_codebook(pq.read_table(house.path_of(entry)))
        assert found.centres.shape == (120, 128)
        assert found.version == entry.digest
        assert (found.scale, found.extractor) == (1.0, "sift")
        counted = rows_of(warehouse, "codebooks", "occurrences")
        assert sum(row[0] for row in counted) == sum(
            row[0] for row in rows_of(warehouse, "features", "n_features")
        )
