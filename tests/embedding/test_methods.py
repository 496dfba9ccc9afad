"""What is checked before a run: side files, files that are missing, methods that do not fit."""

from __future__ import annotations

import hashlib
import importlib.util

import onnx_samples
import pytest
import yaml

from minia_spark.base.errors import SettingsError
from minia_spark.embedding.files import identity_of
from minia_spark.embedding.methods import check, read_side_file
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.warehouse import Warehouse

GOOD = {
    "size": 224,
    "order": "rgb",
    "mean": [1, 2, 3],
    "scale": 255,
    "output": "out",
    "sha256": "a" * 64,
}


def side(tmp_path, **told):
    path = tmp_path / "net.yaml"
    values = {name: value for name, value in (GOOD | told).items() if value is not ...}
    path.write_text(yaml.safe_dump(values))
    return path


class TestSideFile:
    def test_what_is_left_out(self, tmp_path):
        assert read_side_file(side(tmp_path)) == {
            "size": [224, 224],
            "order": "rgb",
            "layout": "nchw",
            "fit": "squeeze",
            "stretch": None,
            "mean": [1.0, 2.0, 3.0],
            "scale": [255.0, 255.0, 255.0],
            "output": "out",
            "sha256": "a" * 64,
        }

    @pytest.mark.parametrize(
        ("told", "problem"),
        [
            ({"colour": "rgb"}, "unknown key 'colour'; keys: size, order, mean"),
            ({"output": ..., "size": ...}, "size is missing; output is missing"),
            ({"size": [1, 2, 3]}, r"size is \[1, 2, 3\], not one or two whole numbers"),
            ({"size": 0}, "size is 0"),
            ({"size": True}, "size is True"),
            ({"order": "gbr"}, "order is 'gbr', not one of rgb, bgr, grey"),
            ({"layout": "hw"}, "layout is 'hw', not one of nchw, nhwc"),
            ({"mean": [1, 2]}, r"mean is \[1, 2\], not 3 numbers"),
            ({"scale": [1, 0, 1]}, r"scale is \[1, 0, 1\], not 3 numbers, other than 0"),
            ({"mean": float("nan")}, "mean is nan"),
            ({"output": ""}, "output is '', not a name"),
            ({"sha256": "abc"}, "sha256 is 'abc', not 64 hexadecimal digits"),
        ],
    )
    def test_what_cannot_be(self, tmp_path, told, problem):
        with pytest.raises(SettingsError, match=problem):
            read_side_file(side(tmp_path, **told))

    def test_none_is_there(self, tmp_path):
        with pytest.raises(SettingsError, match=r"net\.yaml cannot be read"):
            read_side_file(tmp_path / "net.yaml")


class TestCheck:
    @pytest.fixture
    def refused(self, tmp_path):
        def run(method, match, *settings):
            chosen = HOUSE.load_settings(None, [f"embedding.methods=[{method}]", *settings])
            with pytest.raises(SettingsError, match=match):
                check(chosen, Warehouse(str(tmp_path)), method)

        return run

    def test_words_of_an_extractor_that_is_not_there(self, refused):
        refused(
            "words",
            "embedding.words.extractor is sift, and features.extractors are surf",
            "features.extractors=[surf]",
        )

    def test_networks_that_are_not_named(self, refused):
        if importlib.util.find_spec("tensorflow") is None:
            pytest.skip("the extra 'networks' is not installed")
        refused("resnet50", "resnet50, which needs its weights: --set embedding.resnet50.weights")
        refused("onnx", "onnx, which needs a network: --set embedding.onnx.model")
        refused("delf", "delf, which needs a network: --set embedding.delf.model")

    def test_weights_that_are_not_there(self, refused):
        if importlib.util.find_spec("tensorflow") is None:
            pytest.skip("the extra 'networks' is not installed")
        refused(
            "resnet50",
            "embedding.resnet50.weights: nowhere.h5 cannot be read: No such file",
            "embedding.resnet50.weights=nowhere.h5",
        )

    def test_onnx_files(self, refused, tmp_path):
        pytest.importorskip("onnxruntime", reason="the extra 'networks' is not installed")
        model = onnx_samples.write(tmp_path)
        chosen = f"embedding.onnx.model={model}"
        check(HOUSE.load_settings(None, [chosen]), Warehouse(str(tmp_path)), "onnx")
        before = identity_of(str(model))
        whole = model.read_bytes()
        model.write_bytes(whole[:-40])
        refused("onnx", f"has the SHA-256 .* and its side file says {before}", chosen)
        told = yaml.safe_load(model.with_suffix(".yaml").read_text())
        cut = hashlib.sha256(whole[:-40]).hexdigest()
        model.with_suffix(".yaml").write_text(yaml.safe_dump(told | {"sha256": cut}))
        refused("onnx", "cannot be loaded by ONNX Runtime", chosen)
        onnx_samples.write(tmp_path, stretch="minmax+log")
        refused("onnx", r"stretched by minmax\+log, and ingest", chosen)

    def test_content_counts_not_names(self, tmp_path):
        first, second = (tmp_path / name for name in ("a.h5", "b.h5"))
        first.write_bytes(b"weights")
        second.write_bytes(b"weights")
        assert identity_of(str(first)) == identity_of(str(second))
        assert identity_of(str(tmp_path / "none")) == str(tmp_path / "none")
        assert identity_of("random") == "random"
