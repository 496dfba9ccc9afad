"""ResNet50 against Keras itself, and weights that do not fit; takes a minute."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.base.networks import load_tensorflow
from minia_spark.embedding.files import sha256_of
from minia_spark.embedding.methods import check
from minia_spark.embedding.network import ResnetNetwork, embed
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.warehouse import Warehouse

pytestmark = pytest.mark.heavy
pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")
h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def keras_model():
    load_tensorflow(1, gpu=None)
    import keras

    keras.utils.set_random_seed(7)
    return keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")


def write_weights(path, model, rename=lambda name: name):
    """Write weights as Keras' legacy HDF5 files have them."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [rename(layer.name).encode() for layer in layers]
        for layer in layers:
            group = file.create_group(rename(layer.name))
            names = [f"w{k}".encode() for k in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group[name.decode()] = weight
    return path


@pytest.fixture(scope="module")
def weights(keras_model, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "resnet.h5", keras_model)


@pytest.fixture(scope="module")
def network(weights):
    return ResnetNetwork(weights=str(weights), sha256=sha256_of(weights), batch_images=4, threads=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 224, 224, 3)).astype(np.uint8)


def test_as_keras_does(keras_model, network, images):
    from keras.applications.resnet50 import preprocess_input

    wanted = keras_model.predict(preprocess_input(images.astype(np.float32)), verbose=0)
    found = np.array(embed(network, images))
    assert found.shape == (5, 2048)
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4 * float(wanted.max()))


def test_who_else_is_in_the_batch_does_not_matter(network, images):
    every = embed(network, images)
    assert np.array_equal(embed(network, images[3:4])[0], every[3])
    assert all(map(np.array_equal, embed(network, images[::-1]), every[::-1]))


def test_weights_of_another_network(keras_model, tmp_path):
    other = write_weights(tmp_path / "other.h5", keras_model, lambda name: name + "_of_mine")
    chosen = HOUSE.load_settings(None, [f"embedding.resnet50.weights={other}"])
    with pytest.raises(SettingsError, match=r"other\.h5 does not fit the network: conv1_conv is"):
        check(chosen, Warehouse(str(tmp_path)), "resnet50")
    other.write_bytes(other.read_bytes()[:5000])
    with pytest.raises(SettingsError, match="cannot be read as a legacy HDF5 file"):
        check(chosen, Warehouse(str(tmp_path)), "resnet50")
