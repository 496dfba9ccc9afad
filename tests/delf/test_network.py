"""DELF's network: shapes, where gradients stop, losses by hand, published weights."""

from __future__ import annotations

import numpy as np
import pytest
from delf_samples import legacy_file

from minia_spark.base.errors import InputError
from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import network

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")
h5py = pytest.importorskip("h5py")

DESIGN = network.Design(num_classes=3, width=1 / 16)


@pytest.fixture(scope="module")
def model():
    return network.build(DESIGN)


@pytest.fixture(scope="module")
def gradients(model):
    """Gradient of every loss by every variable; None where there is none."""
    tf = load_tensorflow()
    images = tf.constant(np.random.default_rng(1).uniform(0, 255, (2, 65, 65, 3)), tf.float32)
    targets = tf.constant([[1, 0, 0], [0, 0.5, 0.5]], tf.float32)
    variables = [v.value for v in model.trainable_variables]
    names = [v.path for v in model.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(images, training=True)
        found = network.losses(outputs, targets)
        sums = {name: tf.reduce_sum(value) for name, value in found.items()}
    made = {}
    for name in ("descriptor", "attention", "reconstruction"):
        by = tape.gradient(sums[name], variables)
        made[name] = {n for n, g in zip(names, by, strict=True) if g is not None and np.any(g)}
    return names, made


def starting_with(names, *starts):
    return {name for name in names if name.startswith(starts)}


def test_attention_and_autoencoder_leave_the_backbone_alone(gradients):
    names, made = gradients
    backbone = starting_with(names, "conv")
    assert len(backbone) == 2 * 53 + 2 * 53  # kernels and biases, gammas and betas
    assert not made["attention"] & backbone
    assert not made["reconstruction"] & backbone
    assert len(made["descriptor"] & backbone) > 150  # all but biases, which the next mean takes out


def test_each_loss_reaches_its_own_head(gradients):
    names, made = gradients
    autoencoder = starting_with(names, "autoencoder")
    attention = starting_with(names, "attention")
    assert made["reconstruction"] == autoencoder
    # attention looks at the expanded features, so that it teaches the autoencoder too
    assert made["attention"] >= attention - {"attention_conv1/bias"}
    assert made["attention"] & autoencoder
    assert not made["descriptor"] & (autoencoder | attention)


@pytest.mark.parametrize(
    ("strides", "side", "positions"), [(True, 64, 2), (True, 65, 3), (False, 64, 4), (False, 65, 5)]
)
def test_a_position_every_stride(model, strides, side, positions):
    if not strides:
        model = network.build(
            network.Design(3, block3_strides=False, autoencoder=False, width=1 / 32)
        )
    outputs = model(np.zeros((1, side, side, 3), np.float32))
    assert outputs["scores"].shape == (1, positions, positions, 1)
    assert outputs["features"].shape[-1] == (128 if strides else 32)
    assert ("expanded" in outputs) == strides


def test_less_depth_sees_less():
    """11 pixels after the pooling, and 8, 16 or 32 more with every block of a stage."""
    assert network.Design(3).field == 11 + 8 * 3 + 16 * 4 + 32 * 6 == 291
    shallow = network.Design(3, width=1 / 32, depth=0.1)
    assert shallow.field == 11 + 8 + 16 + 32
    names = {layer.name for layer in network.build(shallow).layers}
    assert {"conv2_block1_out", "conv4_block1_out", "conv5_block1_out"} <= names
    assert not any("block2_" in name for name in names)
    assert network.Design(3, depth=0.5).field == 11 + 8 * 2 + 16 * 2 + 32 * 3


def test_a_position_sees_291_pixels_around_its_centre(model):
    tf = load_tensorflow()
    side, place = 449, 7  # the middle one of 15: centre 224, from 79 to 369
    image = tf.Variable(
        np.random.default_rng(2).uniform(0, 255, (1, side, side, 3)), dtype=tf.float32
    )
    part = load_tensorflow().keras.Model(model.input, model.get_layer("conv4_block6_out").output)
    with tf.GradientTape() as tape:
        outputs = part(image)  # before the stride: position 14
        seen = tf.reduce_sum(tf.square(outputs[0, 2 * place, 2 * place]))
    touched = np.abs(tape.gradient(seen, image).numpy()[0]).sum(axis=2) > 0
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    centre = 32 * place
    for found in (rows, columns):
        assert centre - 145 <= found.min() <= centre - 135
        assert centre + 135 <= found.max() <= centre + 145


def test_losses_by_hand():
    outputs = {
        "descriptor_logits": np.log([[0.7, 0.2, 0.1]]).astype(np.float32),
        "attention_logits": np.log([[0.25, 0.5, 0.25]]).astype(np.float32),
        "block3": np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]], np.float32),
        "expanded": np.array([[[[1.0, 2.0]], [[3.0, 2.0]]]], np.float32),
    }
    soft = np.array([[0.5, 0.5, 0]], np.float32)
    found = {n: float(v[0]) for n, v in network.losses(outputs, soft).items()}
    assert found["descriptor"] == pytest.approx(-(np.log(0.7) + np.log(0.2)) / 2, rel=1e-6)
    assert found["attention"] == pytest.approx(-(np.log(0.25) + np.log(0.5)) / 2, rel=1e-6)
    assert found["reconstruction"] == pytest.approx((0 + 0 + 0 + 4) / 4)
    total = found["descriptor"] + found["attention"] + 10 * found["reconstruction"]
    assert found["total"] == pytest.approx(total)
    outputs.pop("expanded")
    assert float(network.losses(outputs, soft)["reconstruction"][0]) == 0


def test_pixels_are_normalised(model):
    layer = model.get_layer("normalised")
    values = layer(np.array([[[[0.0, 128.0, 255.0]]]], np.float32))
    np.testing.assert_allclose(np.ravel(values), [-1, 0, 127 / 128])


# -- published weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "pieces"), [(network.legacy_name, False), (str, True)], ids=["keras1", "applications"]
)
def test_published_weights_by_the_names_of_layers(model, tmp_path, names, pieces):
    stored = legacy_file(tmp_path / "w.h5", model, names=names, pieces=pieces)
    assert network.load_backbone(model, tmp_path / "w.h5") == len(stored) == 2 * 53
    for name, arrays in stored.items():
        for ours, theirs in zip(model.get_layer(name).get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_names_of_keras_1():
    assert network.legacy_name("conv1_bn") == "bn_conv1"
    assert network.legacy_name("conv3_block4_3_conv") == "res3d_branch2c"
    assert network.legacy_name("conv5_block1_0_bn") == "bn5a_branch1"


def test_what_does_not_fit_is_named_and_nothing_is_loaded(model, tmp_path):
    before = model.get_layer("conv1_conv").get_weights()[0].copy()

    def change(name, arrays):
        if name == "res4f_branch2b":
            return name, [arrays[0][:, :, :, :-1], arrays[1]]
        return ("strange" if name == "bn2a_branch1" else name), arrays

    legacy_file(tmp_path / "w.h5", model, change=change)
    with pytest.raises(InputError, match="does not fit the network") as error:
        network.load_backbone(model, tmp_path / "w.h5")
    told = str(error.value)
    assert "conv2_block1_0_bn is missing (also as bn2a_branch1)" in told
    assert "res4f_branch2b has shapes" in told
    assert "strange is no layer of ResNet50" in told
    np.testing.assert_array_equal(model.get_layer("conv1_conv").get_weights()[0], before)


@pytest.mark.parametrize("content", [b"no HDF5", None, "empty"])
def test_files_of_another_kind(model, tmp_path, content):
    path = tmp_path / "w.h5"
    if content == "empty":
        h5py.File(path, "w").close()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a legacy HDF5 file"):
        network.load_backbone(model, path)
