"""What is known of a network without loading it; the file of a PCA."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.features.delf_model import Manifest, identity_of, read_manifest, read_pca

MADE = Manifest(
    weights="abc",
    dimension=128,
    receptive_field=291,
    stride=32,
    padding=145,
    multiplications=400.0,
    width=0.0625,
    scales=(0.5, 1.0),
    threshold=0.1,
    max_features=1000,
    nms_iou=1.0,
    training={},
    files={"saved_model.pb": 7, "variables/variables.index": 3},
)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    (folder / "variables" / "variables.index").write_bytes(b"idx")
    (folder / "minia.json").write_text(MADE.as_json())
    return folder


def test_what_was_written_is_read_again(model):
    assert read_manifest(model) == MADE


def test_files_that_were_not_copied_whole(model):
    (model / "saved_model.pb").write_bytes(b"a gra")
    with pytest.raises(
        SettingsError, match=r"saved_model.pb is not there, or not as it was written"
    ):
        read_manifest(model)
    (model / "saved_model.pb").write_bytes(b"a graph")
    (model / "variables" / "variables.index").unlink()
    with pytest.raises(SettingsError, match=r"variables.index is not there.* copied in part"):
        read_manifest(model)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"dimension": 0},
        {"dimension": "128"},
        {"scales": []},
        {"scales": [0.0]},
        {"scales": None},
        {"threshold": "high"},
        {"more": 1},
        {"files": {}},
        {"files": {"saved_model.pb": 7, "../x": 1}},
        {"files": {"saved_model.pb": 7, "/etc/passwd": 1}},
    ],
    ids=str,
)
def test_manifests_that_are_none(model, change):
    told = {"format": "minia-delf-model", "version": 1, **asdict(MADE), **change}
    (model / "minia.json").write_text(json.dumps(told))
    with pytest.raises(
        SettingsError, match=r"minia.json cannot be read .*export the network again"
    ):
        read_manifest(model)


def test_folders_without_one(model, tmp_path):
    with pytest.raises(SettingsError, match=r"none is no folder; 'minia delf export' makes one"):
        read_manifest(tmp_path / "none")
    (model / "minia.json").unlink()
    with pytest.raises(
        SettingsError, match=r"holds no minia.json; networks that 'minia delf export'"
    ):
        read_manifest(model)


def test_a_network_is_known_by_its_weights_not_by_its_name(model, tmp_path):
    moved = model.rename(tmp_path / "elsewhere")
    assert identity_of(str(moved), "model") == "abc"
    assert identity_of(None, "model") is None
    assert identity_of(str(model), "model") == str(model)  # a run says what is wrong with it


# -- PCA ------------------------------------------------------------------------------------------


def pca_file(tmp_path, **arrays):
    path = tmp_path / "pca.npz"
    np.savez(path, **arrays)
    return path


MEAN = np.array([1.0, 2.0, 3.0])
MATRIX = np.array([[1.0, 0, 0], [0, 0, 2.0]])


def test_a_projection_by_hand(tmp_path):
    pca = read_pca(pca_file(tmp_path, mean=MEAN, matrix=MATRIX))
    assert pca(np.array([[3, 9, 4]], np.float32)).tolist() == [[2, 2]]
    one = read_pca(pca_file(tmp_path, mean=MEAN, matrix=MATRIX, dim=1))
    assert one(np.array([[3, 9, 4]], np.float32)).tolist() == [[2]]
    white = read_pca(
        pca_file(tmp_path, mean=MEAN, matrix=MATRIX, whitening=True, variances=np.array([4.0, 1.0]))
    )
    assert white(np.array([[3, 9, 4]], np.float32)).tolist() == [[1, 2]]
    off = pca_file(tmp_path, mean=MEAN, matrix=MATRIX, whitening=False, variances=np.ones(2))
    assert read_pca(off).digest == pca.digest
    assert len({pca.digest, one.digest, white.digest}) == 3
    assert identity_of(str(off), "pca") == pca.digest


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"mean": MEAN}, "array 'matrix' is missing"),
        ({"mean": MEAN, "matrix": MATRIX.T}, "mean has shape"),
        ({"mean": MEAN, "matrix": MATRIX, "dim": 3}, "dim is 3, and matrix has 2 components"),
        ({"mean": MEAN, "matrix": MATRIX, "dim": 0}, "dim is 0"),
        ({"mean": MEAN, "matrix": MATRIX, "whitening": True}, "array 'variances' is missing"),
        (
            {"mean": MEAN, "matrix": MATRIX, "whitening": True, "variances": np.array([1, 0])},
            "variances are not 2 positive numbers",
        ),
        ({"mean": MEAN * np.nan, "matrix": MATRIX}, "not finite"),
        ({"mean": np.array([{}, 1], dtype=object), "matrix": MATRIX}, "allow_pickle=False"),
    ],
)
def test_files_that_are_no_projection(tmp_path, arrays, match):
    with pytest.raises(SettingsError, match=match):
        read_pca(pca_file(tmp_path, **arrays))


def test_files_that_are_no_archive(tmp_path):
    (tmp_path / "p.npz").write_text("text")
    for name in ("p.npz", "none.npz"):
        with pytest.raises(SettingsError, match=r"features.delf.pca: .* cannot be used"):
            read_pca(tmp_path / name)
