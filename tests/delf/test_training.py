"""Training: what it makes, how it goes on, data, figures, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from commands import run_minia
from delf_samples import (
    SMALL,
    STEPS,
    legacy_file,
    pictures,
    record,
    write_records,
    write_training_set,
)

from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import checkpoints, training
from minia_spark.delf.training_settings import TrainingSettings

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")


def train(records, out, *arguments):
    return run_minia("delf", "train", "--train", records, "--out", out, *arguments)


@pytest.fixture
def own_training(delf_training, tmp_path):
    return Path(shutil.copytree(delf_training, tmp_path / "training"))


def test_a_training_leaves_settings_manifest_checkpoints_and_figures(delf_training, delf_records):
    there = sorted(p.name for p in delf_training.iterdir() if p.name != ".lock")
    assert there == ["checkpoints", "logs", "manifest.json", "settings.yaml"]
    steps = sorted(p.name for p in (delf_training / "checkpoints").iterdir())
    assert steps == ["step-00000003", "step-00000006"]
    told = json.loads((delf_training / "manifest.json").read_text())
    assert told["step"] == 6
    assert told["data"] == {
        "classes": ["disk", "stripes"],
        "training_images": 18,
        "validation_images": 6,
    }
    assert told["settings"]["train"] == str(delf_records)
    assert told["settings"]["num_classes"] == 2
    assert 0 <= told["validation"]["accuracies"]["attention"] <= 1
    assert yaml.safe_load((delf_training / "settings.yaml").read_text()) == told["settings"]
    last = checkpoints.read(delf_training / "checkpoints" / "step-00000006")
    weights = {n: a for n, a in last.arrays.items() if n.startswith("weights")}
    assert checkpoints.hash_of(weights) == told["weights"]


def test_figures_for_tensorboard(delf_training):
    event_files = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = event_files.EventAccumulator(str(delf_training / "logs")).Reload()
    names = set(found.Tags()["tensors"])
    parts = {"total", "descriptor", "attention", "reconstruction"}
    assert names >= {f"loss/{p}" for p in parts} | {f"validation/loss/{p}" for p in parts}
    assert names >= {"accuracy/descriptor", "accuracy/attention", "learning_rate", "gradient_norm"}
    assert names >= {f"attention/{n}" for n in ("min", "mean", "max", "p5", "p95", "sparsity")}
    assert names >= {"validation/accuracy/descriptor", "validation/accuracy/attention"}
    rates = {
        e.step: float(load_tensorflow().make_ndarray(e.tensor_proto))
        for e in found.Tensors("learning_rate")
    }
    assert sorted(rates) == [2, 3, 4, 6]
    for step, rate in rates.items():  # of the step before, which counts from 0
        assert rate == pytest.approx(0.01 * (1 - (step - 1) / 6), rel=1e-5)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(own_training, delf_records):
    """The small twin of the test with kill -9."""
    end = own_training / "checkpoints" / "step-00000006"
    expected = checkpoints.read(end).arrays
    shutil.rmtree(end)
    found = train(delf_records, own_training, *SMALL, *STEPS).expect(0)
    assert "going on at step 3 of 6" in found.err
    assert "step 6 of 6: loss" in found.err
    assert "images a second" in found.err
    again = checkpoints.read(end).arrays
    assert again.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(again[name], array, rtol=1e-4, atol=1e-6, err_msg=name)
    done = train(delf_records, own_training, *SMALL, *STEPS).expect(0)
    assert "going on" not in done.err  # there is nothing to do


def test_momenta_are_part_of_a_checkpoint(delf_training):
    arrays = checkpoints.read(delf_training / "checkpoints" / "step-00000003").arrays
    momenta = {n: a for n, a in arrays.items() if n.startswith("momentum/")}
    assert len(momenta) > 50
    assert sum(bool(np.any(a)) for a in momenta.values()) > 0.7 * len(momenta)


def test_other_settings_are_refused(own_training, delf_records, tmp_path):
    found = train(delf_records, own_training, *SMALL, *STEPS, "--seed", 6).expect(2)
    assert "holds a training with other settings (seed: 5 -> 6)" in found.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    found = train(delf_records, tmp_path / "other", *SMALL).expect(2)
    assert "holds something else (thesis.tex)" in found.err
    assert sorted(p.name for p in (tmp_path / "other").iterdir()) in (
        ["thesis.tex"],
        [".lock", "thesis.tex"],
    )


def test_settings_of_another_training_are_taken_and_options_win(own_training, tmp_path):
    from minia_spark.cli.parser import parser
    from minia_spark.delf.train import settings_of
    from minia_spark.rooms import HOUSE

    words = ["delf", "train", "--out", "x", "--config", str(own_training / "settings.yaml")]
    words += ["--seed", "9", "--no-autoencoder"]
    found = settings_of(parser(HOUSE, words).parse_args(words))
    assert (found.seed, found.autoencoder, found.width) == (9, False, 0.0625)
    (tmp_path / "bad.yaml").write_text("train: x\nwdth: 1\n")
    found = run_minia("delf", "train", "--out", tmp_path / "o", "--config", tmp_path / "bad.yaml")
    assert "--wdth: Extra inputs are not permitted" in found.expect(2).err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max-iters", "0"), "--max-iters: Input should be greater than or equal to 1"),
        (("--initial-lr", "nan"), "--initial-lr"),
        (("--targets", "votes"), "targets votes and a votes file belong together"),
        (("--votes", "v.csv"), "targets votes and a votes file belong together"),
        (("--imagenet-checkpoint", "w.h5"), "imagenet_checkpoint fits width 1 and depth 1 only"),
        (("--num-classes", "3"), "--num-classes 3: the manifest of"),
    ],
)
def test_settings_that_cannot_be(delf_records, tmp_path, arguments, told):
    found = train(delf_records, tmp_path / "out", *SMALL, *arguments).expect(2)
    assert told in found.err
    assert not (tmp_path / "out").exists()


def test_training_sets_that_cannot_be(tmp_path):
    found = train(tmp_path / "none", tmp_path / "out", *SMALL).expect(3)
    assert "is no folder: it is to hold TFRecords" in found.err
    (tmp_path / "empty").mkdir()
    found = train(tmp_path / "empty", tmp_path / "out", *SMALL).expect(3)
    assert "holds no file train-*: 'minia delf tfrecords' makes them" in found.err
    write_records(tmp_path / "empty" / "train-0", [])
    assert "hold no record" in train(tmp_path / "empty", tmp_path / "out", *SMALL).expect(3).err


@pytest.fixture
def few_steps():
    return (*SMALL, "--max-iters", "1", "--log-every", "1", "--num-classes", "2")


def test_a_record_that_cannot_be_used_stops_the_training_and_is_named(tmp_path, few_steps):
    folder = tmp_path / "records"
    folder.mkdir()
    good = cv2.imencode(".jpg", pictures(1)[0])[1].tobytes()
    write_records(folder / "train-0", [record(good, 0, "a"), record(good, 2, "b")])
    found = train(folder, tmp_path / "out", *few_steps).expect(3)
    assert f"record 2 of {folder / 'train-0'} has class 2" in found.err
    write_records(folder / "train-0", [record(b"no image", 0, "a")])
    shutil.rmtree(tmp_path / "out")
    found = train(folder, tmp_path / "out", *few_steps).expect(3)
    assert f"an image of {folder} cannot be decoded as a JPEG image" in found.err


def test_votes_without_an_image_are_told_before_training(delf_records, tmp_path):
    votes = tmp_path / "votes.csv"
    votes.write_text("name,stripes,disk\nimage0,1,2\n")
    found = train(delf_records, tmp_path / "o", *SMALL, "--targets", "votes", "--votes", votes)
    assert "lacks 23 images of the training set, e.g. image1, image2" in found.expect(3).err


def test_two_trainings_in_one_folder(own_training, delf_records):
    import fcntl

    with (own_training / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = train(delf_records, own_training, *SMALL, *STEPS).expect(2)
    assert "another training is at work in" in found.err


def test_without_tensorflow_one_sentence_says_what_to_install(delf_records, tmp_path, monkeypatch):
    def missing(name):
        return None

    monkeypatch.setattr("importlib.util.find_spec", missing)
    monkeypatch.delitem(sys.modules, "tensorflow")
    found = train(delf_records, tmp_path / "out", *SMALL).expect(2)
    assert (
        "needs TensorFlow, which is not installed: pip install 'minia-spark[networks]'" in found.err
    )


# -- kernels --------------------------------------------------------------------------------------


def test_the_learning_rate_falls_linearly():
    assert training.learning_rate(0.045, 0, 15_000) == 0.045
    assert training.learning_rate(0.045, 5_000, 15_000) == pytest.approx(0.03)
    assert training.learning_rate(0.045, 15_000, 15_000) == 0


def test_defaults_are_those_of_minia():
    own = TrainingSettings(train="x")
    assert (own.max_iters, own.initial_lr, own.batch_size, own.image_size) == (
        15_000,
        0.045,
        50,
        321,
    )
    assert (own.block3_strides, own.autoencoder, own.width, own.checkpoint_every) == (
        True,
        True,
        1,
        1000,
    )
    assert (training.MOMENTUM, training.CLIP) == (0.9, 10)


def test_attention_figures_by_hand():
    found = training.attention_figures(np.array([[0.0, 0.5], [1.0, 100.0]], np.float32))
    assert found["min"] == 0
    assert found["max"] == 100
    assert found["mean"] == pytest.approx(101.5 / 4)
    assert found["p50"] == pytest.approx(0.75)
    assert found["sparsity"] == 0.5  # 0 and 0.5 are less than a hundredth of 100; 1 is not


def test_crops_follow_from_the_seed():
    tf = load_tensorflow()
    encoded = tf.constant(cv2.imencode(".jpg", pictures(2, side=64)[1])[1].tobytes())

    def made(seed, place):
        return training.augmented(encoded, 33, tf.constant([seed, place], tf.int64)).numpy()

    first = made(1, 2)
    assert first.shape == (33, 33, 3)
    np.testing.assert_array_equal(first, made(1, 2))
    assert all(np.abs(first - made(*other)).max() > 1 for other in ((1, 4), (2, 2)))
    whole = training.fitted(encoded, 33).numpy()
    crops = np.array([made(1, place) for place in range(40)])
    assert len({crop.tobytes() for crop in crops}) == 40
    assert crops.min() >= 0
    assert crops.max() <= 255
    # flipped every other time: half of the crops are nearer to the mirrored image
    nearer = [np.abs(c - whole).mean() < np.abs(c - whole[:, ::-1]).mean() for c in crops]
    assert 8 < sum(nearer) < 32


@pytest.mark.heavy
def test_published_weights_votes_and_mixed_precision(delf_records, tmp_path):
    from minia_spark.delf import network

    stored = legacy_file(tmp_path / "w.h5", network.build(network.Design(2)), scale=0.01)
    names = "".join(f"image{n},{n % 2},1\n" for n in range(24))
    (tmp_path / "votes.csv").write_text("name,disk,stripes\n" + names)
    arguments = ("--image-size", "33", "--batch-size", "4", "--max-iters", "2", "--mixed-precision")
    arguments += ("--initial-lr", "1e-9", "--imagenet-checkpoint", tmp_path / "w.h5")
    arguments += ("--targets", "votes", "--votes", tmp_path / "votes.csv")
    found = train(delf_records, tmp_path / "out", *arguments).expect(0)
    assert f"ImageNet's weights of 106 layers from {tmp_path / 'w.h5'}" in found.err
    arrays = checkpoints.newest(tmp_path / "out" / "checkpoints")[0].arrays
    for name in ("conv1_conv", "conv4_block6_2_conv", "conv5_block3_3_conv"):
        kernel = arrays[f"weights/{name}/kernel"]
        assert kernel.dtype == np.float32
        np.testing.assert_allclose(kernel, stored[name][0], atol=1e-6)


@pytest.mark.heavy
def test_killed_at_any_time_it_goes_on(tmp_path):
    records = write_training_set(tmp_path / "records")
    arguments = [*SMALL, "--max-iters", "40", "--checkpoint-every", "10", "--log-every", "1"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(records, whole, *arguments).expect(0)
    command = [sys.executable, "-m", "minia_spark.cli", "delf", "train", "--train", str(records)]
    command += ["--out", str(broken), *arguments]
    kills = 0
    for after in (0.0, 0.3, 0.05):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before = checkpoints.newest(broken / "checkpoints")[0]
        step = before.step if before else 0
        while process.poll() is None:
            now, _ = checkpoints.newest(broken / "checkpoints")
            if now is not None and now.step > step:
                time.sleep(after)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                break
            time.sleep(0.05)
    assert kills >= 2
    train(records, broken, *arguments).expect(0)
    ends = [checkpoints.newest(out / "checkpoints")[0] for out in (whole, broken)]
    assert [end.step for end in ends] == [40, 40]
    assert sorted(p.name for p in (broken / "checkpoints").iterdir()) == [
        "step-00000030",
        "step-00000040",
    ]
    for name, array in ends[0].arrays.items():
        # forty steps of a network at a high rate make much of the last bit of a sum
        close = np.isclose(ends[1].arrays[name], array, rtol=0.05, atol=0.02).mean()
        assert close > 0.99, name


_TWO_COPIES = """
import numpy as np
from minia_spark.base.networks import load_tensorflow
tf = load_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from minia_spark.delf.network import Design
from minia_spark.delf.training import Recipe, Trainer
images = np.random.default_rng(1).uniform(0, 255, (2, 33, 33, 3)).astype("float32")
targets = np.eye(2, dtype="float32")
found = []
for copies in (1, 2):
    recipe = Recipe(Design(2, width=1 / 16), 4, 0.01, 2 * copies, 33, seed=1, log_every=1)
    devices = ["/device:CPU:0", "/device:CPU:1"][:copies]
    trainer = Trainer(recipe, devices=devices)
    data = tf.data.Dataset.from_tensors(
        (np.concatenate([images] * copies), np.concatenate([targets] * copies))
    ).repeat(2)
    norms = [means["gradient_norm"] for means, _ in trainer.train(data)]
    found.append((norms, trainer.arrays()))
(norms, one), (others, two) = found
np.testing.assert_allclose(others, norms, rtol=1e-3)
for name in one:
    np.testing.assert_allclose(two[name], one[name], rtol=2e-3, atol=2e-4, err_msg=name)
print("equal", norms)
"""


@pytest.mark.heavy
def test_two_copies_learn_what_one_does():
    """Each copy sees the same two images, so that the mean gradient is that of one."""
    done = subprocess.run(
        [sys.executable, "-c", _TWO_COPIES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("equal")
