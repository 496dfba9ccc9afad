"""Networks of DESOM: sizes, loss against a slow twin, going on, files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

from minia_spark.base.errors import InputError
from minia_spark.desom.files import load, load_weights, read_manifest, save
from minia_spark.desom.grid import grid_distances, nearest_cells, temperature
from minia_spark.desom.network import CUTOUTS, HISTO_VECTORS, Design, build
from minia_spark.desom.training import Recipe, Trainer, encoded

SMALL = Design("dense", (6, 5, 4, 3), 3)


def vectors(number=200, seed=0):
    return np.random.default_rng(seed).normal(size=(number, 6)).astype(np.float32)


def recipe(**changes):
    return Recipe(SMALL, **({"steps": 40, "batch": 20, "log_every": 10, "rate": 0.01} | changes))


def test_sizes_are_those_of_the_paper():
    desom = build(CUTOUTS)
    assert desom.encoder.count_params() == 1_223_840
    assert desom.autoencoder.count_params() == 2_449_441
    assert desom.prototypes.shape == (625, 160)
    desom = build(HISTO_VECTORS)
    assert desom.autoencoder.count_params() == 894_725
    assert desom.prototypes.shape == (400, 100)


def test_the_loss_of_the_first_step_against_a_slow_twin():
    data = vectors()
    trainer = Trainer(recipe(steps=1, log_every=1, batch=200), data)
    start = {name: np.array(value) for name, value in trainer.desom.arrays().items()}
    codes = encoded(trainer.desom, data)
    rebuilt = trainer.desom.decoder.predict(codes, verbose=0)
    (told,) = trainer.train()
    prototypes = start["SOM/0"].astype(float)
    apart, width = grid_distances(3), temperature(0, 1)
    spread = nearest = 0.0
    for code in codes.astype(float):
        distances = [((code - prototype) ** 2).sum() for prototype in prototypes]
        best = int(np.argmin(distances))
        nearest += distances[best]
        spread += sum(np.exp(-((apart[best, k] / width) ** 2)) * distances[k] for k in range(9))
    assert told["reconstruction"] == pytest.approx(((rebuilt - data) ** 2).mean(), rel=1e-4)
    assert told["som"] == pytest.approx(spread / 200, rel=1e-4)
    assert told["kmeans"] == pytest.approx(nearest / 200, rel=1e-3, abs=1e-6)


def test_prototypes_start_from_encoded_inputs():
    trainer = Trainer(recipe(), vectors())
    codes = encoded(trainer.desom, trainer.inputs)
    for prototype in trainer.desom.prototypes.numpy():
        assert np.abs(codes - prototype).sum(axis=1).min() == 0


def test_it_learns():
    figures = list(Trainer(recipe(steps=300), vectors()).train())
    assert figures[-1]["reconstruction"] < 0.8 * figures[0]["reconstruction"]
    assert figures[-1]["temperature"] == pytest.approx(0.1)
    assert figures[-1]["topology"] == pytest.approx(0, abs=1e-6)


def test_gamma_grows_with_the_cube():
    made = recipe(steps=40, gamma=8.0, ramp=0.5)
    assert [made.gamma_at(step) for step in (0, 10, 20, 39)] == [0, 1, 8, 8]
    assert recipe(gamma=8.0).gamma_at(0) == 8


def test_without_gamma_the_prototypes_stay():
    trainer = Trainer(recipe(steps=40, ramp=1.0), vectors())
    start = trainer.desom.prototypes.numpy()
    trainer._learn(trainer.inputs[:20], np.float32(10), np.float32(0))
    np.testing.assert_array_equal(trainer.desom.prototypes.numpy(), start)
    trainer._learn(trainer.inputs[:20], np.float32(10), np.float32(1))
    assert (trainer.desom.prototypes.numpy() != start).all()


def test_refitted_prototypes_are_not_left_behind():
    """With a wide neighbourhood the encoder runs away from prototypes that Adam moves."""
    used, torn = [], []
    for refit_every in (0, 10):
        made = recipe(steps=200, log_every=200, refit_every=refit_every, rate=0.002)
        design = Design("dense", (6, 12, 6), 8)
        trainer = Trainer(replace(made, design=design), vectors())
        *_, last = trainer.train()
        torn.append(last["topographic_error"])
        codes = encoded(trainer.desom, trainer.inputs)
        used.append(len(set(nearest_cells(codes, trainer.desom.prototypes.numpy())[0])))
    assert used[1] > 1.5 * used[0]
    assert torn[1] < 0.7 * torn[0]


def test_a_stopped_training_goes_on_as_if_it_had_not_been():
    made = recipe(refit_every=15, ramp=0.5)
    whole = Trainer(made, vectors())
    list(whole.train())
    first = Trainer(made, vectors())
    for told in first.train():
        if told["step"] == 20:
            break
    second = Trainer(made, vectors())
    second.restore(first.step, first.arrays())
    list(second.train())
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name], err_msg=name)


def test_a_vector_s_code_does_not_depend_on_the_others():
    desom = build(SMALL, seed=3)
    data = vectors(70)
    together = encoded(desom, data, batch=32)
    alone = np.concatenate([encoded(desom, data[k : k + 1], batch=32) for k in range(70)])
    np.testing.assert_array_equal(together, alone)


def test_fewer_inputs_than_cells():
    with pytest.raises(InputError, match=r"9 cells needs at least as many inputs .* there are 8"):
        Trainer(recipe(), vectors(8))


class TestFiles:
    def test_saved_and_loaded(self, tmp_path):
        desom = build(SMALL, seed=5)
        desom.prototypes.assign(np.arange(27, dtype=np.float32).reshape(9, 3))
        save(desom, tmp_path / "net", {"steps": 7})
        design, told = read_manifest(tmp_path / "net")
        assert (design, told["training"]) == (SMALL, {"steps": 7})
        again = load(tmp_path / "net")
        for name, array in desom.arrays().items():
            np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)
        with pytest.raises(InputError, match="is there already"):
            save(desom, tmp_path / "net", {})

    def test_names_that_keras_counted(self, tmp_path):
        """As in the published file: dense_7, dense_8, z, decoder_2, decoder_1, decoder_0, SOM."""
        import h5py

        desom = build(SMALL, seed=5)
        names = {"encoder_0": "dense_7", "encoder_1": "dense_8"}
        with h5py.File(tmp_path / "published.h5", "w") as file:
            layers = desom.layers()
            file.attrs["layer_names"] = [
                b"input",
                *(names.get(name, name).encode() for name in layers),
            ]
            file.create_group("input").attrs["weight_names"] = []
            for name, variables in layers.items():
                group = file.create_group(names.get(name, name))
                group.attrs["weight_names"] = [f"w{n}".encode() for n in range(len(variables))]
                for number, variable in enumerate(variables):
                    group[f"w{number}"] = variable.numpy()
        other = build(SMALL, seed=6)
        load_weights(other, tmp_path / "published.h5")
        for name, array in desom.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name], err_msg=name)

    def test_of_another_network(self, tmp_path):
        save(build(Design("dense", (6, 5, 4, 2), 3)), tmp_path / "net", {})
        with pytest.raises(InputError, match=r"does not fit the network: z has shapes"):
            load_weights(build(SMALL), tmp_path / "net" / "weights.h5")
        save(build(Design("dense", (6, 4, 3), 3)), tmp_path / "flat", {})
        with pytest.raises(InputError, match="it has 5 layers with weights"):
            load_weights(build(SMALL), tmp_path / "flat" / "weights.h5")

    @pytest.mark.parametrize("damage", ["missing", "cut", "version", "no json"])
    def test_damaged(self, tmp_path, damage):
        folder = tmp_path / "net"
        save(build(SMALL), folder, {})
        weights, manifest = folder / "weights.h5", folder / "minia.json"
        if damage == "missing":
            weights.unlink()
        elif damage == "cut":
            weights.write_bytes(weights.read_bytes()[:-100])
        elif damage == "version":
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 2}))
        else:
            manifest.write_text("{")
        with pytest.raises(InputError, match=r"that 'minia' saved|that was written"):
            load(folder)

    def test_no_hdf5(self, tmp_path):
        (tmp_path / "w.h5").write_bytes(b"no HDF5")
        with pytest.raises(InputError, match="cannot be read as a legacy HDF5"):
            load_weights(build(SMALL), tmp_path / "w.h5")
