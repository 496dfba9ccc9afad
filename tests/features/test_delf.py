"""The extractor DELF: features of images, whatever images they are among; and through Spark."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from commands import SMALL, chosen, rows_of, run_minia, table_of
from delf_samples import pictures

from minia_spark.base.errors import MiniaError, Rejected, SettingsError
from minia_spark.base.networks import load_tensorflow
from minia_spark.features import stage
from minia_spark.features.delf import batch_size, unit
from minia_spark.features.delf_model import read_manifest
from minia_spark.features.extractors import create, extractor_of
from minia_spark.features.settings import DelfSettings, FeaturesSettings
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.warehouse import Warehouse

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

COLUMNS = ("x", "y", "size", "angle", "response", "descriptors")


def settings(delf_model, /, *, common=None, **own):
    delf = DelfSettings(model=str(delf_model), **own)
    return FeaturesSettings(extractors=("delf",), delf=delf, **(common or {}))


@pytest.fixture(scope="module")
def network(delf_model):
    """The loaded network: extractors of this module share it."""
    return create(settings(delf_model), "delf")._network


@pytest.fixture
def make(delf_model, network, monkeypatch):
    """Make an extractor without loading the network again."""

    def made(**own):
        monkeypatch.setattr("minia_spark.features.delf.SavedNetwork", lambda *_: network)
        known = extractor_of("delf")
        options = known.options(settings(delf_model, **own)) | {"threads": 1, "gpu": None}
        from minia_spark.features.delf import DelfExtractor

        return DelfExtractor(**options)

    return made


def assert_same(found, expected):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.found == expected.found


def test_features_are_those_of_the_exported_signature(make, delf_model):
    image = pictures(2, side=75)[1][:60]
    found = make().extract(image)
    tf = load_tensorflow()
    served = tf.saved_model.load(str(delf_model)).signatures["serving_default"](
        input_image=tf.constant(image),
        input_scales=tf.constant([0.5, 1.0, 2.0]),
        input_max_feature_num=tf.constant(1000),
        input_abs_thres=tf.constant(0.1),
    )
    boxes, scales = served["boxes"].numpy(), served["scales"].numpy()
    y, x = (boxes[:, :2] + boxes[:, 2:]).T / 2
    vectors = served["features"].numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours = np.lexsort((found.size, found.x, found.y))
    theirs = np.lexsort((scales, x, y))
    assert len(found) == len(scales) == 1 * 2 + 2 * 3 + 4 * 5
    np.testing.assert_array_equal(found.x[ours], x[theirs])
    np.testing.assert_array_equal(found.y[ours], y[theirs])
    np.testing.assert_array_equal(found.size[ours], 32 * scales[theirs])
    np.testing.assert_allclose(found.response[ours], served["scores"].numpy()[theirs, 0], rtol=1e-4)
    np.testing.assert_allclose(found.descriptors[ours], vectors[theirs], rtol=1e-3, atol=1e-4)
    assert (found.angle == -1).all()
    assert (found.y.max(), found.x.max()) == (
        48,
        64,
    )  # 3 and 4 fields of 32 pixels, at twice the size


def test_descriptors_have_length_one_and_an_order(make):
    found = make().extract(pictures(1)[0])
    assert found.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, rtol=1e-6)
    assert (np.diff(found.y) >= 0).all()
    zero = unit(np.array([[0, 0], [3, 4]], np.float32))
    np.testing.assert_allclose(zero, [[0, 0], [0.6, 0.8]])


@pytest.mark.parametrize("batch_pixels", [1, 20_000, 1 << 16])
def test_an_image_has_its_features_whatever_others_are_there(make, batch_pixels):
    extractor = make(batch_pixels=batch_pixels)
    sizes = [(48, 48), (48, 48), (33, 48), (48, 33), (47, 41), (48, 48), (33, 48)]
    images = [p[:h, :w] for p, (h, w) in zip(pictures(7), sizes, strict=True)]
    alone = [extractor.extract(image) for image in images]
    random = np.random.default_rng(4)
    for _ in range(3):
        order = random.permutation(len(images))
        together = extractor.extract_many([images[n] for n in order])
        for number, found in zip(order, together, strict=True):
            assert_same(found, alone[number])
    assert extractor.extract_many([]) == []


def test_batches_are_what_fits_and_follow_from_the_size_alone():
    assert batch_size(100, 100, 1.0, 10_000) == 1
    assert batch_size(100, 100, 1.0, 39_999) == 3
    assert batch_size(100, 100, 2.0, 1) == 1
    assert batch_size(100, 100, 0.5, 10_000) == 4
    assert batch_size(10, 10, 0.5, 1 << 30) == 32


def test_grey_images_are_images_of_three_equal_colours(make):
    grey = pictures(1)[0][..., 0]
    extractor = make()
    assert_same(extractor.extract(grey), extractor.extract(np.stack([grey] * 3, axis=-1)))
    both = extractor.extract_many([grey, pictures(1)[0]])
    assert np.any(both[0].descriptors != both[1].descriptors)


@pytest.mark.parametrize("shape", [(9, 60, 3), (60, 9), (1, 1, 3)])
def test_images_below_ten_pixels_have_no_features(make, shape):
    small, usual = make().extract_many([np.full(shape, 9, np.uint8), pictures(1)[0]])
    assert (len(small), small.found, small.descriptors.shape) == (0, 0, (0, 128))
    assert len(usual) > 0
    assert len(make().extract(np.zeros((10, 10, 3), np.uint8))) == 3


def test_thresholds_and_limits(make):
    image = pictures(2, side=97)[1]
    every = make(threshold=0).extract(image)
    limit = float(np.median(every.response))
    some = make(threshold=limit).extract(image)
    assert len(some) == (every.response >= np.float32(limit)).sum() < len(every)
    few = make(threshold=0, max_features=4).extract(image)
    assert sorted(few.response) == sorted(every.response)[-4:]
    assert few.found == 4
    cut = make(threshold=0, common={"max_features": 5}).extract(image)
    assert (len(cut), cut.found) == (5, len(every))
    assert len(make(threshold=1e9).extract(image)) == 0
    apart = make(threshold=0, nms_iou=0.3).extract(image)
    assert 0 < len(apart) < len(every)
    assert apart.response.max() == every.response.max()


def test_median_and_mask_are_applied(make):
    image = cv2.subtract(pictures(1, side=97)[0], np.full(3, 25.0))  # a sky that is dark enough
    smooth = make(common={"median_filter": 9}).extract(image)
    assert_same(smooth, make().extract(cv2.medianBlur(image, 9)))
    from minia_spark.images.preprocess import apply_mask, background_mask

    masked = make(common={"background_mask": True}).extract(image)
    assert_same(masked, make().extract(apply_mask(image, background_mask(image))))
    assert np.any(masked.response != make().extract(image).response)


def test_images_beyond_the_limit_are_rejected_alone(make):
    extractor = make(common={"max_pixels": 96 * 96})  # the largest scale is 2
    good, bad = extractor.extract_many([pictures(1)[0], pictures(1, side=49)[0]])
    assert len(good) > 0
    assert isinstance(bad, Rejected)
    assert bad.reason == "pixel_limit"
    with pytest.raises(Rejected, match="49 x 49 pixels, at scale 2 98 x 98"):
        extractor.extract(pictures(1, side=49)[0])


def test_a_projection_is_applied_and_normalised_again(make, tmp_path):
    random = np.random.default_rng(5)
    mean, matrix = random.normal(size=128) / 20, random.normal(size=(6, 128))
    np.savez(tmp_path / "pca.npz", mean=mean, matrix=matrix, dim=4)
    plain, extractor = make().extract(pictures(1)[0]), make(pca=str(tmp_path / "pca.npz"))
    found = extractor.extract(pictures(1)[0])
    assert extractor.descriptor_dim == found.descriptors.shape[1] == 4
    projected = (plain.descriptors - mean) @ matrix[:4].T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.descriptors, projected, rtol=1e-4, atol=1e-5)


# -- the network's file ---------------------------------------------------------------------------


def test_a_network_that_cannot_be_loaded(delf_model, tmp_path):
    broken = shutil.copytree(delf_model, tmp_path / "broken")
    data = (broken / "saved_model.pb").read_bytes()
    (broken / "saved_model.pb").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        SettingsError, match=r"saved_model.pb is not there, or not as it was written"
    ):
        create(settings(broken), "delf")
    manifest = read_manifest(delf_model)
    sizes = {**manifest.files, "saved_model.pb": len(data) // 2}
    (broken / "minia.json").write_text(replace(manifest, files=sizes).as_json())
    with pytest.raises(MiniaError, match=r"the network in .*broken cannot be loaded"):
        create(settings(broken), "delf")


def test_another_network_on_another_machine(delf_model):
    known = extractor_of("delf")
    options = known.options(settings(delf_model)) | {"threads": 1, "gpu": None, "weights": "other"}
    from minia_spark.features.delf import DelfExtractor

    with pytest.raises(MiniaError, match="it has to be on storage that all machines share"):
        DelfExtractor(**options)


def test_a_gpu_that_is_offered_and_not_found(delf_model):
    known = extractor_of("delf")
    options = known.options(settings(delf_model)) | {"threads": 1, "gpu": 31}
    from minia_spark.features.delf import DelfExtractor

    with pytest.raises(MiniaError, match=r"GPU 31 was offered, and TensorFlow finds none"):
        DelfExtractor(**options)


# -- what the driver knows ------------------------------------------------------------------------


def test_plans_know_dimension_and_cost_without_tensorflow(delf_model, tmp_path):
    known = extractor_of("delf")
    own = settings(delf_model)
    assert known.dimension(own) == 128
    np.savez(tmp_path / "pca.npz", mean=np.zeros(128), matrix=np.ones((5, 128)))
    assert known.dimension(settings(delf_model, pca=str(tmp_path / "pca.npz"))) == 5
    a_pixel = read_manifest(delf_model).multiplications
    assert known.products(own) == pytest.approx(a_pixel * (0.25 + 1 + 4))
    assert known.products(settings(delf_model, scales=(3.0,))) == pytest.approx(9 * a_pixel)
    assert known.products(FeaturesSettings()) == pytest.approx(62_000 * 29.75, rel=0.01)
    small, large = (known.task_bytes(own, pixels) for pixels in (1e4, 1e6))
    assert small < large
    assert known.layout(own) == {
        "extractor": "delf",
        "dtype": "<f4",
        "dimension": 128,
        "scored": True,
        "model": read_manifest(delf_model).weights,
    }


def used(delf):
    chosen_settings = HOUSE.load_settings(None, defaults={"features": {"delf": delf}})
    found = HOUSE.uses(HOUSE.by_name["features"], chosen_settings, "delf")
    return {n.removeprefix("features.delf."): v for n, v in found.items() if ".delf." in n}


def test_fingerprints_hold_what_is_in_the_files(delf_model, tmp_path):
    moved = shutil.copytree(delf_model, tmp_path / "moved")
    first = used({"model": str(delf_model)})
    assert first == used({"model": str(moved)})
    assert first["model"] == read_manifest(delf_model).weights
    assert first == used({"model": str(moved), "threshold": 0.1, "scales": [0.5, 1, 2]})
    assert "gpu" not in first
    manifest = read_manifest(moved)
    (moved / "minia.json").write_text(replace(manifest, weights="other").as_json())
    assert used({"model": str(moved)})["model"] == "other"
    (moved / "minia.json").write_text(replace(manifest, threshold=0.2).as_json())
    assert used({"model": str(moved)}) == first | {"threshold": 0.2}
    assert used({"model": str(tmp_path / "gone")})["model"] == str(tmp_path / "gone")


def planned(tmp_path, *delf):
    (tmp_path / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), pictures(1)[0])
    arguments = ("--images", tmp_path / "images", "--batch", "b1", "--warehouse", tmp_path / "W")
    return run_minia("plan", *arguments, *chosen("features.extractors=[sift,delf]", *delf))


def test_what_is_missing_is_told_before_anything_starts(delf_model, tmp_path, monkeypatch):
    found = planned(tmp_path).expect(2)
    assert (
        "features.extractors names delf, which needs a network: --set features.delf.model"
        in found.err
    )
    found = planned(tmp_path, "features.delf.model=/nowhere").expect(2)
    assert "/nowhere is no folder; 'minia delf export' makes one" in found.err
    np.savez(tmp_path / "pca.npz", mean=np.zeros(64), matrix=np.ones((5, 64)))
    model = f"features.delf.model={delf_model}"
    found = planned(tmp_path, model, f"features.delf.pca={tmp_path / 'pca.npz'}").expect(2)
    assert "projects 64 numbers, and the network's descriptors have 128" in found.err
    planned(tmp_path, model).expect(0)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delitem(__import__("sys").modules, "tensorflow")
    found = planned(tmp_path, model).expect(2)
    assert "names delf, which needs TensorFlow, which is not installed: pip install" in found.err


# -- through Spark --------------------------------------------------------------------------------


def test_a_task_tells_its_cores_and_its_gpu(monkeypatch):
    offered = {"gpu": SimpleNamespace(addresses=["3", "4"])}

    def device(gpu, resources):
        task = SimpleNamespace(cpus=lambda: 2, resources=lambda: resources)
        monkeypatch.setattr(stage, "TaskContext", SimpleNamespace(get=lambda: task))
        return stage._device(gpu)

    assert device("offered", {}) == {"threads": 2, "gpu": None}
    assert device("offered", offered) == {"threads": 2, "gpu": 3}
    assert device("never", offered) == {"threads": 2, "gpu": None}
    assert device("always", {}) == {"threads": 2, "gpu": 0}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten images of two sizes, one of them too small for features."""
    folder = tmp_path_factory.mktemp("delf-images")
    for number, pixels in enumerate(pictures(10)):
        side = 40 if number % 3 else 48
        side = 9 if number == 7 else side
        cv2.imwrite(str(folder / f"i{number}.png"), pixels[:side, :, ::-1])
    return folder


def test_rows_are_what_the_extractor_finds_for_any_partitioning(
    images, delf_model, make, published, tmp_path
):
    own = ["features.extractors=[delf]", f"features.delf.model={delf_model}"]
    location = tmp_path / "W"
    published(location, "ingest", "b1", source=images)
    none = published(location, "features", "b1", *own, "features.delf.threshold=1000")
    assert "no attention score reaches features.delf.threshold" in none.progress.stream.getvalue()
    found = {}
    for partitions in (1, 3):
        published(location, "features", "b1", *own, f"spark.partitions={partitions}")
        found[partitions] = rows_of(location, "features")
    assert found[1] == found[3]
    rows = table_of(location, "features").set_index("image_id")
    extractor = make()
    assert rows.loc["i7.png", "n_features"] == 0
    assert rows["reason"].isna().all()
    for name in ("i0.png", "i1.png", "i9.png"):
        pixels = cv2.imread(str(images / name))[..., ::-1]
        expected = extractor.extract(pixels)
        row = rows.loc[name]
        assert row["n_features"] == len(expected) > 0
        np.testing.assert_array_equal(row["x"], expected.x)
        np.testing.assert_allclose(row["response"], expected.response, rtol=1e-5)
        stored = np.frombuffer(row["descriptors"], "<f4").reshape(-1, 128)
        np.testing.assert_allclose(stored, expected.descriptors, rtol=1e-4, atol=1e-5)


@pytest.mark.heavy
def test_the_discovery_line_with_sift_and_delf(minia, survey, delf_model, tmp_path):
    """Both variants in one warehouse; another network extracts anew, and only delf's features."""
    location = tmp_path / "W"
    arguments = ("--images", survey.images, "--batch", "b1", "--warehouse", location)
    own = chosen("features.extractors=[sift,delf]", "features.delf.max_features=60")
    own += chosen("codebook.size=60", "mining.decoys=1", "mining.seeds=1")
    minia("run", *arguments, *SMALL, *own, *chosen(f"features.delf.model={delf_model}")).expect(0)
    for table in ("features", "codebooks", "words", "structures", "structure_images"):
        assert set(table_of(location, table)["variant"]) == {"sift", "delf"}, table
    assert (location / "report" / "index.html").is_file()
    moved = shutil.copytree(delf_model, tmp_path / "moved")
    same = minia("plan", *arguments, *chosen(f"features.delf.model={moved}")).expect(0)
    assert "nothing to do" in same.out
    manifest = replace(read_manifest(moved), weights="f" * 64)
    (moved / "minia.json").write_text(manifest.as_json())
    other = minia("plan", *arguments, *chosen(f"features.delf.model={moved}")).expect(2)
    assert "features.delf.model" in other.err
    assert "would replace the features" in other.err
    allowed = minia("plan", "--replace", *arguments, *chosen(f"features.delf.model={moved}"))
    words = [line.split() for line in allowed.expect(0).out.splitlines()]
    assert [w[2:4] for w in words if w[:2] == ["features", "b1"]] == [
        ["sift", "skip"],
        ["delf", "run"],
    ]
    assert Warehouse(str(location)).versions() == [1]
