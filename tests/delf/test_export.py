"""The exported network: its signature, its arithmetic, its manifest, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from commands import run_minia
from delf_samples import pictures

from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import checkpoints, export, network
from minia_spark.delf.train import recipe_of, settings_there
from minia_spark.features.delf_model import read_manifest
from minia_spark.features.regions import best, receptive_boxes

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

SCALES = (0.5, 1.0, 2.0)


@pytest.fixture(scope="module")
def loaded(delf_model):
    return load_tensorflow().saved_model.load(str(delf_model))


@pytest.fixture(scope="module")
def in_memory(delf_training):
    """The network of the training's last checkpoint, as it is in memory."""
    arrays = checkpoints.read(delf_training / "checkpoints" / "step-00000006").arrays
    model = network.build(recipe_of(settings_there(delf_training)).design)
    for variable in model.weights:
        variable.assign(arrays[f"weights/{variable.path}"])
    return model


def served(loaded, image, scales=SCALES, limit=1000, threshold=0.0):
    tf = load_tensorflow()
    found = loaded.signatures["serving_default"](
        input_image=tf.constant(image),
        input_scales=tf.constant(scales, tf.float32),
        input_max_feature_num=tf.constant(limit, tf.int32),
        input_abs_thres=tf.constant(threshold, tf.float32),
    )
    return {name: value.numpy() for name, value in found.items()}


def twin(model, image, scales, limit, threshold, iou=1.0):
    """Extract with the network in memory and NumPy, a scale after another."""
    tf = load_tensorflow()
    boxes, features, sizes, scores = [], [], [], []
    for scale in scales:
        size = [round(side * scale) for side in image.shape[:2]]
        outputs = model(tf.image.resize(image[None].astype(np.float32), size), training=False)
        rows, columns = outputs["scores"].shape[1:3]
        flat = np.ravel(outputs["scores"])
        kept = flat >= threshold
        grid = receptive_boxes(rows, columns, field=67, stride=32, padding=33, scale=scale)
        boxes.append(grid[kept])
        features.append(np.reshape(outputs["features"], (rows * columns, -1))[kept])
        scores.append(flat[kept])
        sizes.append(np.full(kept.sum(), 1 / scale))
    boxes, scores = np.concatenate(boxes), np.concatenate(scores)
    chosen = best(boxes, scores, iou=iou, limit=limit)
    return {
        "boxes": boxes[chosen],
        "features": np.concatenate(features)[chosen],
        "scales": np.concatenate(sizes)[chosen],
        "scores": scores[chosen][:, None],
    }


@pytest.mark.parametrize(("limit", "threshold"), [(1000, 0.0), (5, 0.0), (1000, None)])
def test_the_exported_network_is_the_one_in_memory(loaded, in_memory, limit, threshold):
    image = pictures(2, side=97)[1][:70]
    if threshold is None:  # one that half of the features keep
        threshold = float(np.median(served(loaded, image)["scores"]))
    found = served(loaded, image, limit=limit, threshold=threshold)
    expected = twin(in_memory, image, SCALES, limit, threshold)
    every = 2 * 2 + 3 * 4 + 5 * 7
    count = {(1000, 0.0): every, (5, 0.0): 5}.get((limit, threshold), every // 2 + 1)
    assert len(found["scores"]) == count
    # equal scores may come in another order
    for made in (found, expected):
        order = np.lexsort((*made["boxes"].T, made["scales"]))
        made |= {name: made[name][order] for name in made}
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        if limit == 1000:
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert np.sort(found["scores"][:, 0]) == pytest.approx(np.sort(expected["scores"][:, 0]), 1e-4)


def test_features_come_best_first(loaded):
    scores = served(loaded, pictures(1, side=97)[0])["scores"][:, 0]
    assert (np.diff(scores) <= 0).all()
    assert scores[0] > scores[-1]


@pytest.mark.parametrize("shape", [(9, 40, 3), (40, 9, 3)])
def test_images_below_ten_pixels_and_no_scale_give_nothing(loaded, shape):
    for image, scales in (
        (np.zeros(shape, np.uint8), SCALES),
        (np.zeros((40, 40, 3), np.uint8), ()),
    ):
        found = served(loaded, image, scales=scales)
        assert {name: value.shape for name, value in found.items()} == {
            "boxes": (0, 4),
            "features": (0, 128),
            "scales": (0,),
            "scores": (0, 1),
        }


def test_suppression_is_part_of_the_export(in_memory, delf_training):
    design = recipe_of(settings_there(delf_training)).design
    module = export.module_of(in_memory, design, iou=0.3)
    tf = load_tensorflow()
    image = pictures(2, side=97)[1]
    arguments = (tf.constant(SCALES), tf.constant(1000), tf.constant(0.0))
    found = module.extract(tf.constant(image), *arguments)
    expected = twin(in_memory, image, SCALES, 1000, 0.0, iou=0.3)
    assert 0 < len(expected["scores"]) < 3 * 3 + 4 * 4 + 7 * 7 - 4
    # boxes of one place at two scales overlap by a quarter; neighbours by more
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], rtol=1e-4)


def test_the_manifest_tells_what_is_in_it(delf_model, delf_training):
    found = read_manifest(delf_model)
    assert (found.dimension, found.stride, found.receptive_field, found.padding) == (
        128,
        32,
        67,
        33,
    )
    assert (found.scales, found.threshold, found.max_features) == (SCALES, 0.1, 1000)
    assert found.nms_iou == 1
    assert found.training["step"] == 6
    assert found.training["data"]["classes"] == ["disk", "stripes"]
    assert "saved_model.pb" in found.files


def test_the_hash_is_of_the_weights_that_extraction_uses(delf_model, in_memory):
    part = network.extraction_part(in_memory)
    used = {v.path: v.numpy() for v in part.weights}
    used |= {v.path: v.numpy() for v in in_memory.get_layer("attention_conv2").weights}
    assert read_manifest(delf_model).weights == checkpoints.hash_of(used)
    assert not any(name.startswith("conv5") or "logits" in name for name in used)


def test_multiplications_of_resnet50():
    """3.8e9 for 224 x 224 pixels in the paper; here without the fifth stage."""
    part = network.extraction_part(network.build(network.Design(9)))
    assert 55_000 < export.multiplications(part) < 66_000


def exported(*arguments):
    return run_minia("delf", "export", *arguments)


def test_what_is_there_is_not_overwritten(delf_training, delf_model, tmp_path):
    before = sorted(p.stat().st_mtime_ns for p in delf_model.rglob("*"))
    assert (
        "exists already, and is not overwritten"
        in exported(delf_training, delf_model).expect(2).err
    )
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is not overwritten" in exported(delf_training, tmp_path / "link").expect(2).err
    assert sorted(p.stat().st_mtime_ns for p in delf_model.rglob("*")) == before


def test_what_cannot_be_exported(delf_training, tmp_path):
    assert "holds no training" in exported(tmp_path, tmp_path / "m").expect(2).err
    found = exported(delf_training, tmp_path / "none" / "m").expect(2)
    assert f"there is no folder {tmp_path / 'none'}" in found.err
    found = exported(delf_training, tmp_path / "m", "--nms-iou", 1.5).expect(2)
    assert "--nms-iou must be at most 1" in found.err
    assert (
        "must be more than 0"
        in exported(delf_training, tmp_path / "m", "--scales", 0).expect(2).err
    )
    early = shutil.copytree(delf_training, tmp_path / "early")
    shutil.rmtree(early / "checkpoints")
    assert "holds no checkpoint yet" in exported(early, tmp_path / "m").expect(3).err
    other = shutil.copytree(delf_training, tmp_path / "other")
    text = (other / "settings.yaml").read_text()
    (other / "settings.yaml").write_text(text.replace("width: 0.0625", "width: 0.03125"))
    assert "the checkpoint is of another network" in exported(other, tmp_path / "m").expect(3).err
    assert not (tmp_path / "m").exists()
    assert not list(tmp_path.glob(".*.part"))
    assert json.loads((delf_training / "manifest.json").read_text())["step"] == 6
