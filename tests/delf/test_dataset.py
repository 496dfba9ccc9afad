"""``minia delf dataset`` from tables and images to copies and training sets."""

from __future__ import annotations

import csv
import gzip
import json
import random

import numpy as np
import pytest
import yaml
from image_samples import picture, saved

from minia_spark.delf.copies import masked, moved, movement_of
from minia_spark.delf.galaxy_zoo import CLASSES, COLUMNS
from minia_spark.delf.training_set import read_training_set
from minia_spark.images.decode import decode

from .test_galaxy_zoo import SMOOTH, WAYS, way

FIRST = 587722981742084144  # beyond what a float can tell apart from the next
TABLES = ("with_filter", "original", "votes", "left_out")


def rows():
    """Return rows of votes and of the mapping; images are made for those of good.

    A galaxy's number is its image's name.
    """
    votes, mapping, good = [], [], []

    def add(values, *assets, good_image=True):
        objid = str(FIRST + len(votes))
        votes.append({"dr7objid": objid, **dict.fromkeys(COLUMNS, 0.01), **values})
        mapping.extend({"objid": objid, "sample": "original", "asset_id": a} for a in assets)
        if good_image:
            good.extend(assets)
        return votes[-1]

    for number, name in enumerate(CLASSES):
        for i in range(4):
            add(way(name), f"{100 * (number + 1) + i}")
    add({**way("ring"), **way("loose")}, "11")  # two classes
    add({**way("ring"), SMOOTH: ""}, "12")  # nobody was asked
    add({**way("ring"), WAYS["ring"][1]: "NaN"}, "13")  # no class
    add({}, "14")
    add(way("tight"), "21", good_image=False)  # no image
    add(way("tight"))  # no mapping
    add(way("tight"), "23", good_image=False)  # written below: broken
    add(way("tight"), "24", good_image=False)  # written below: grey
    add(way("tight"), "../25")
    add(way("tight"), "26", "27")  # two images
    add(way("tight"), "28")
    add(way("tight"), "28")  # the same image
    add({**way("tight"), WAYS["tight"][1]: "1.5"}, "29")
    votes.append(dict(add(way("medium"), "31")))  # said twice
    votes.append({**add(way("medium"), "32"), WAYS["medium"][1]: 0.9})  # said in two ways
    add(way("medium"), "33")["dr7objid"] = "5.87723E+17"
    mapping.append({"objid": str(FIRST - 1), "sample": "extra", "asset_id": "99"})  # no votes
    return votes, mapping, dict.fromkeys(good)


def write(path, table, columns):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The folder of tables and images, and a second of the same in another order."""
    folder = tmp_path_factory.mktemp("zoo [1]")  # a sign that Spark takes for a pattern
    votes, mapping, good = rows()
    write(folder / "votes.csv", votes, ["rowid", "dr7objid", *COLUMNS, "more"])
    write(folder / "map.csv", mapping, ["objid", "sample", "asset_id"])
    shuffle = random.Random(3).shuffle
    shuffle(votes)
    shuffle(mapping)
    write(folder / "votes2.csv.gz", votes, [*reversed(COLUMNS), "dr7objid"])
    write(folder / "map2.csv", mapping, ["asset_id", "objid"])
    images = folder / "images"
    images.mkdir()
    for number, name in enumerate(n for n in good if n.isdigit() and n not in ("26", "29")):
        ending = ".JPG" if number % 10 == 9 else ".jpg"
        (images / f"{name}{ending}").write_bytes(saved(picture(40, 48, number), "JPEG"))
    (images / "23.jpg").write_bytes(saved(picture(), "JPEG")[:-300])
    (images / "24.jpg").write_bytes(saved(picture()[..., 0], "JPEG"))
    return folder


def config(inputs, out, **more):
    values = {
        "galaxyZoo2_path": str(inputs / "votes.csv"),
        "map_images_path": str(inputs / "map.csv"),
        "train_dataset_path": str(out / "set"),
        "images_dir_path": str(inputs / "images"),
        "images_out_dir_path": str(out / "copies"),
        "class_size": 3,
    }
    path = out / "config.yaml"
    path.write_text(yaml.safe_dump({**values, **more}))
    return path


def everything(out):
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.suffix in (".csv", ".jpg")}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(minia, inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    path = config(inputs, out)
    return out, minia("delf", "dataset", path, "--seed", 5).expect(0)


class TestResults:
    def test_both_sets_name_the_same_images(self, made):
        out, _ = made
        filtered = read_training_set(out / "set_with_filter.csv")
        original = read_training_set(out / "set_original.csv")
        assert filtered.classes == original.classes == tuple("012345678")
        plain = {n: c for n, c in filtered.labels.items() if n.isdigit()}
        assert plain == {n: c for n, c in original.labels.items() if n.isdigit()}
        assert filtered.labels == plain | {f"F{n}": c for n, c in plain.items()}
        assert original.labels == plain | {f"A{n}": c for n, c in plain.items()}

    def test_classes_are_as_voted_and_no_larger_than_asked_for(self, made):
        labels = read_training_set(made[0] / "set_original.csv").labels
        for name, label in labels.items():
            if name.isdigit() and int(name) >= 100:
                assert label == int(name) // 100 - 1
        # two of class tight cannot be read, and may have been drawn
        sizes = [sum(c == k for n, c in labels.items() if n.isdigit()) for k in range(9)]
        assert all(size == 3 for k, size in enumerate(sizes) if k != 3)

    def test_copies_are_what_the_kernels_make(self, made, inputs):
        out, _ = made
        names = [n for n in read_training_set(out / "set_original.csv").labels if n.isdigit()]
        assert len(names) >= 25
        for name in names:
            file = next(inputs.glob(f"images/{name}.*".replace("[", "[[]")))
            wanted = moved(decode(file.read_bytes()).pixels, movement_of(name, 5))
            for prefix, pixels in (("A", wanted), ("F", masked(wanted))):
                copy = decode((out / "copies" / f"{prefix}{name}.jpg").read_bytes()).pixels
                assert copy.shape == pixels.shape
                assert np.abs(copy.astype(int) - pixels).mean() < 4

    def test_votes_of_every_name(self, made):
        out, _ = made
        found = table(out / "set_votes.csv")
        assert list(found[0]) == ["name", *CLASSES]
        sets = [read_training_set(out / f"set_{w}.csv").labels for w in TABLES[:2]]
        labels = {**sets[0], **sets[1]}
        assert {row["name"] for row in found} == set(labels)
        for row in found:
            shares = [float(row[c]) for c in CLASSES]
            assert sum(shares) == pytest.approx(1, abs=1e-5)
            if row["name"].lstrip("FA") != "11":
                assert shares.index(max(shares)) == labels[row["name"]]

    def test_what_was_left_out_and_why(self, made):
        out, result = made
        found = {(r["reason"], r["image"]) for r in table(out / "set_left_out.csv")}
        drawn = {n for n in ("23", "24") if n in {image for _, image in found}}
        assert found - {("truncated", "23"), ("not_rgb", "24")} == {
            ("no_image", "21"),
            ("no_mapping", ""),
            ("bad_name", "../25"),
            ("shared_image", "28"),
            ("bad_votes", ""),
            ("duplicate", ""),
            ("bad_id", ""),
        }
        assert len(drawn) == sum(reason in ("truncated", "not_rgb") for reason, _ in found)
        assert "1 bad_id, 1 bad_name, 1 bad_votes, 1 duplicate" in result.out
        for row in table(out / "set_left_out.csv"):
            assert row["detail"].endswith(".")
        votes = next(r for r in table(out / "set_left_out.csv") if r["reason"] == "bad_votes")
        assert votes["detail"].startswith(f"{WAYS['tight'][1]} is '1.5'; expected is a number")

    def test_the_counts_are_told(self, made):
        _, result = made
        assert "2 rows of votes repeat an object id" in result.err
        assert "2 objects of the mapping have no votes" in result.err  # one is 5.8E+17 there
        assert (
            "1 galaxies satisfy two classes and are taken for the first: ring and loose 1\n"
            in result.err
        )
        assert "1 galaxies have several images" in result.err


def test_the_order_of_rows_and_columns_and_the_partitions_change_nothing(
    made, minia, inputs, tmp_path
):
    votes, mapping = str(inputs / "votes2.csv.gz"), str(inputs / "map2.csv")
    path = config(inputs, tmp_path, galaxyZoo2_path=votes, map_images_path=mapping)
    minia("delf", "dataset", path, "--seed", 5, "--set", "spark.partitions=7").expect(0)
    assert everything(tmp_path) == everything(made[0])


def test_bad_images_stand_beside_good_ones(minia, inputs, tmp_path):
    path = config(inputs, tmp_path)
    minia("delf", "dataset", path, "--class-size", 100).expect(0)
    found = {(r["reason"], r["image"]) for r in table(tmp_path / "set_left_out.csv")}
    assert {("truncated", "23"), ("not_rgb", "24")} < found
    labels = read_training_set(tmp_path / "set_with_filter.csv").labels
    assert {n for n, c in labels.items() if c == 3 and n.isdigit()} == {
        *("27", "400", "401", "402", "403")
    }
    assert labels["11"] == labels["12"] == 0
    assert not {"13", "14", "21", "23", "24", "28", "29", "32", "33"} & set(labels)
    assert not list(tmp_path.rglob(".*"))

    again = minia("delf", "dataset", path, "--class-size", 100).expect(2)
    assert "set_with_filter.csv is there already: give another name, or --replace" in again.err
    before = everything(tmp_path)
    (tmp_path / "set_with_filter.csv").write_text("old")
    (tmp_path / "copies" / "A11.jpg").write_text("old")
    minia("delf", "dataset", path, "--class-size", 100, "--replace").expect(0)
    assert everything(tmp_path) == before
    for which in TABLES:
        (tmp_path / f"set_{which}.csv").unlink()
    left = minia("delf", "dataset", path, "--class-size", 100).expect(2)
    assert "copies are in" in left.err
    assert not (tmp_path / "set_original.csv").exists()


def test_no_galaxy_can_be_used(minia, inputs, tmp_path):
    (tmp_path / "none").mkdir()
    path = config(inputs, tmp_path, images_dir_path=str(tmp_path / "none"))
    result = minia("delf", "dataset", path).expect(3)
    assert "no galaxy has a class and an image in" in result.err
    reasons = {r["reason"] for r in table(tmp_path / "set_left_out.csv")}
    assert "no_image" in reasons
    assert not (tmp_path / "set_original.csv").exists()


@pytest.mark.parametrize("empty", ["galaxyZoo2_path", "map_images_path"])
def test_a_table_without_rows(minia, inputs, tmp_path, empty):
    (tmp_path / "empty.csv").write_text(",".join(["dr7objid", *COLUMNS, "objid", "asset_id"]))
    path = config(inputs, tmp_path, **{empty: str(tmp_path / "empty.csv")})
    result = minia("delf", "dataset", path).expect(3)
    assert "no galaxy has a class and an image in" in result.err
    reasons = {r["reason"] for r in table(tmp_path / "set_left_out.csv")}
    wanted = {"no_mapping", "bad_votes", "bad_id", "duplicate"} if "map" in empty else set()
    assert reasons == wanted


class TestRefused:
    """Before Spark starts."""

    @pytest.mark.parametrize(
        ("more", "code", "message"),
        [
            ({"images_path": "x"}, 2, "unknown key 'images_path'; did you mean"),
            ({"class_size": -1}, 2, "class_size must be a whole number of at least 1, not -1"),
            ({"images_dir_path": "/none"}, 3, "images_dir_path /none is no folder"),
            ({"train_dataset_path": "/none/set"}, 1, "/none/set_with_filter.csv cannot be written"),
        ],
    )
    def test_a_configuration(self, minia, inputs, tmp_path, more, code, message):
        assert (
            message in minia("delf", "dataset", config(inputs, tmp_path, **more)).expect(code).err
        )

    def test_one_that_names_objects_of_python(self, minia, tmp_path):
        (tmp_path / "c.yaml").write_text("class_size: !!python/object/apply:os.getpid []")
        assert "it is not valid YAML" in minia("delf", "dataset", tmp_path / "c.yaml").expect(2).err

    def test_nothing_was_given(self, minia):
        result = minia("delf", "dataset").expect(2)
        assert "key 'galaxyZoo2_path' is missing (CSV of votes, gz2_hart16.csv)" in result.err

    def test_a_result_over_an_input(self, minia, inputs, tmp_path):
        (tmp_path / "set_votes.csv").write_text("x")
        path = config(inputs, tmp_path, galaxyZoo2_path=str(tmp_path / "set_votes.csv"))
        result = minia("delf", "dataset", path, "--replace").expect(2)
        assert "would be written over galaxyZoo2_path" in result.err
        assert (tmp_path / "set_votes.csv").read_text() == "x"

    def test_json_is_taken_and_columns_are_checked(self, minia, inputs, tmp_path):
        path = config(inputs, tmp_path)
        values = yaml.safe_load(path.read_text())
        (tmp_path / "votes.csv").write_text("dr7objid," + ",".join(COLUMNS[1:]) + "\n")
        values["galaxyZoo2_path"] = str(tmp_path / "votes.csv")
        (tmp_path / "c.json").write_text(json.dumps(values, indent="\t"))
        result = minia("delf", "dataset", tmp_path / "c.json").expect(3)
        assert f"votes.csv lacks a column that is needed: {COLUMNS[0]}" in result.err
        result = minia("delf", "dataset", path, "--map-images-path", tmp_path / "no").expect(3)
        assert "no cannot be read: No such file or directory" in result.err


def test_help_teaches_the_classes(minia):
    told = minia("delf", "dataset", "--help").expect(0).out
    for number, name in enumerate(CLASSES):
        assert f"{number} {name}" in told
