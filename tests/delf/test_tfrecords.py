"""``minia delf tfrecords``: what tf.data reads is what the images are, and always the same."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest
from image_samples import picture, saved

from minia_spark import __version__
from minia_spark.base.errors import MiniaError
from minia_spark.delf import spark
from minia_spark.delf.examples import Picture, record_of
from minia_spark.delf.split import origin
from minia_spark.delf.training_set import write_training_set
from minia_spark.images.decode import decode

WITHOUT = "TensorFlow is not installed: pip install 'minia-spark[networks]'"
tf = pytest.importorskip("tensorflow", reason=WITHOUT)

GOOD = {"spiral": 11, "ring": 2, "Fish": 4}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder of images, one of copies, and the training set of both."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("images", "copies"):
        (folder / name).mkdir()
    members = {}
    for owner, count in GOOD.items():
        names = [f"{owner}{i}" for i in range(count)]
        for i, name in enumerate(names):
            ending = ".JPG" if i == 1 else ".jpg"
            image = picture(20 + i, 30, 100 * len(owner) + i)
            (folder / "images" / f"{name}{ending}").write_bytes(saved(image, "JPEG"))
            (folder / "copies" / f"F{name}.jpg").write_bytes(saved(image[::-1], "JPEG"))
        members[owner] = [*(f"F{n}" for n in names), *names]
    # beside good ones
    (folder / "images" / "grey.jpg").write_bytes(saved(picture()[..., 0], "JPEG"))
    (folder / "images" / "cut.jpg").write_bytes(saved(picture(), "JPEG")[:-300])
    (folder / "images" / "other.jpg").write_bytes(saved(picture(seed=9), "PNG"))
    members["ring"] += ["grey", "cut", "gone"]
    members["Fish"] += ["other"]
    write_training_set(folder / "set.csv", members)
    return folder


def run(minia, inputs, out, *more, code=0):
    return minia(
        *("delf", "tfrecords", inputs / "set.csv", "--out", out, "--shards", 3, "--seed", 4),
        *("--images", inputs / "images", "--images", inputs / "copies", *more),
    ).expect(code)


def records(out, split):
    """Read a split as a training does."""
    kinds = {
        "image/height": tf.int64,
        "image/width": tf.int64,
        "image/channels": tf.int64,
        "image/class/label": tf.int64,
        "image/colorspace": tf.string,
        "image/format": tf.string,
        "image/id": tf.string,
        "image/encoded": tf.string,
    }
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
    found = {}
    data = tf.data.TFRecordDataset(sorted(map(str, out.glob(f"{split}-*"))))
    for record in data.map(lambda one: tf.io.parse_single_example(one, features)):
        row = {name.removeprefix("image/"): value.numpy() for name, value in record.items()}
        found[row["id"].decode()] = row
    return found


@pytest.fixture(scope="module")
def made(minia, inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "below" / "records"
    return out, run(minia, inputs, out)


class TestRecords:
    def test_they_are_the_images(self, made, inputs):
        out, _ = made
        found = records(out, "train") | records(out, "validation")
        assert len(found) == 2 * sum(GOOD.values()) + 1
        order = list(GOOD)
        for name, row in found.items():
            (path,) = inputs.glob(f"*/{name}.*")
            data = path.read_bytes()
            pixels = decode(data).pixels
            shown = tf.io.decode_jpeg(row["encoded"], dct_method="INTEGER_ACCURATE").numpy()
            if name == "other":
                assert row["class/label"] == 2
                assert np.abs(shown.astype(int) - pixels).mean() < 4
            else:
                assert row["encoded"] == data
                assert np.abs(shown.astype(int) - pixels).max() <= 2
                assert order[row["class/label"]] in name
            assert (row["height"], row["width"], row["channels"]) == pixels.shape
            assert (row["colorspace"], row["format"]) == (b"RGB", b"JPEG")

    def test_no_copy_is_apart_from_its_original(self, made):
        out, _ = made
        train, validation = records(out, "train"), records(out, "validation")
        labels = {n: r["class/label"] for n, r in (train | validation).items()}
        origins = [{origin(n, labels) for n in split} for split in (train, validation)]
        assert not origins[0] & origins[1]
        # of 11, 2 and 5 images a fifth, at least one, with its copy where it has one
        by_class = [sum(origin(n, labels).startswith(c) for n in validation) for c in GOOD]
        assert by_class[:2] == [4, 2]
        assert len(origins[1]) == 4

    def test_files_and_manifest(self, made, inputs):
        out, result = made
        told = json.loads((out / "manifest.json").read_text())
        names = [f"{s}-{i:05d}-of-00003" for s in ("train", "validation") for i in range(3)]
        assert sorted(p.name for p in out.iterdir()) == ["manifest.json", "rejects.csv", *names]
        assert told["classes"] == list(GOOD)
        assert told["software"] == f"minia-spark {__version__}"
        assert (told["seed"], told["validation"], told["shards"]) == (4, 0.2, 3)
        digest = hashlib.sha256((inputs / "set.csv").read_bytes()).hexdigest()
        assert told["training_set_sha256"] == digest
        for split in ("train", "validation"):
            found = records(out, split)
            assert told["images"][split] == len(found)
            labels = [row["class/label"] for row in found.values()]
            assert told["images_by_class"][split] == np.bincount(labels, minlength=3).tolist()
        for name in names:
            counted = sum(1 for _ in tf.data.TFRecordDataset(str(out / name)))
            assert told["files"][name] == counted
        assert str(out / "manifest.json") in result.out

    def test_what_was_rejected(self, made):
        out, result = made
        with (out / "rejects.csv").open(newline="") as file:
            rows = [(r["image"], r["class"], r["reason"]) for r in csv.DictReader(file)]
        assert rows == [
            ("cut", "ring", "truncated"),
            ("gone", "ring", "no_image"),
            ("grey", "ring", "not_rgb"),
        ]
        assert "rejected: 1 no_image, 1 not_rgb, 1 truncated" in result.out
        assert json.loads((out / "manifest.json").read_text())["rejects"] == 3


def everything(out):
    return {p.name: p.read_bytes() for p in out.iterdir()}


def test_the_same_bytes_again_for_a_seed_and_other_ones_for_another(made, minia, inputs, tmp_path):
    out = tmp_path / "records"
    run(minia, inputs, out, "--set", "spark.partitions=1")
    assert everything(out) == everything(made[0])
    message = f"--out {out} holds records: give another folder, or --replace"
    assert message in run(minia, inputs, out, code=2).err
    run(minia, inputs, out, "--seed", 5, "--shards", 2, "--replace")
    assert len(everything(out)) == 6
    assert set(records(out, "train")) != set(records(made[0], "train"))
    assert [p.name for p in tmp_path.iterdir()] == ["records"]  # nothing is left beside it
    (out / "notes.txt").write_text("mine")
    left = run(minia, inputs, out, "--replace", code=2)
    assert "holds what is no record, 'notes.txt'" in left.err
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_that_was_changed_in_between(tmp_path):
    """Between the check and the records; else sizes or split would be wrong without a word."""
    path = tmp_path / "a.jpg"
    data = saved(picture(24, 32), "JPEG")
    path.write_bytes(data)
    image = {"name": "a", "path": str(path), "label": 1, "width": 32, "height": 24, "kept": True}
    image["hash"] = hashlib.sha256(data).hexdigest()
    assert spark._record(image) == record_of("a", 1, Picture(32, 24, data))
    path.write_bytes(data + b"x")
    with pytest.raises(MiniaError, match="image a was changed while records were made from it"):
        spark._record(image)
    path.unlink()
    with pytest.raises(MiniaError, match="image a could be read a moment ago: unreadable"):
        spark._record(image)


class TestRefused:
    def test_a_class_of_one_image(self, minia, inputs, tmp_path):
        (tmp_path / "set.csv").write_text("type_galaxy_id,images\na,ring0 ring1\nb,spiral0\n")
        result = minia(
            *("delf", "tfrecords", tmp_path / "set.csv", "--images", inputs / "images"),
            *("--out", tmp_path / "out"),
        ).expect(3)
        assert "class 'b' has one image that can be used, 'spiral0'" in result.err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("0,../images/ring0", "cannot be an image's name: it has a path separator"),
            ("0,ring0 ring0", "image 'ring0' of class '0' is named twice"),
            ("0,nobody", "none of the 1 images is in"),
        ],
    )
    def test_names(self, minia, inputs, tmp_path, line, message):
        (tmp_path / "set.csv").write_text(f"type_galaxy_id,images\n{line}\n")
        result = minia(
            *("delf", "tfrecords", tmp_path / "set.csv", "--images", inputs / "images"),
            *("--out", tmp_path / "out"),
        ).expect(3)
        assert message in result.err

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--shards", "0", "must be from 1 to 99999"),
            ("--validation", "0", "must be greater than 0 and less than 1"),
            ("--validation", "1", "must be greater than 0 and less than 1"),
            ("--validation", "nan", "must be greater than 0 and less than 1"),
            ("--seed", "-1", "must be from 0 to"),
            ("--images", "/none", "the folder /none cannot be read: No such file"),
        ],
    )
    def test_options(self, minia, inputs, tmp_path, option, value, message):
        code = 3 if option == "--images" else 2
        result = run(minia, inputs, tmp_path / "out", option, value, code=code)
        assert message in result.err
