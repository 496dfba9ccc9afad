"""Small networks as ONNX files, with their side files.

The files beside this one are what ``python onnx_samples.py`` makes, which needs the package onnx;
the tests do not.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import yaml

SIDE = 8
HERE = Path(__file__).parent


def kernel() -> np.ndarray:
    """Return the convolution's numbers, float32, shape (5, 3, 2, 2)."""
    return np.random.default_rng(4).normal(size=(5, 3, 2, 2)).astype(np.float32)


def write(folder: Path, *, broken: bool = False, **told: object) -> Path:
    """Write a network: a convolution of 2 x 2 pixels to five channels (maps), and their means.

    ``broken``: it divides by the mean of all pixels, so that a black image gives no finite number.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "net.onnx"
    shutil.copyfile(HERE / ("ratios.onnx" if broken else "means.onnx"), path)
    side = {
        "size": SIDE,
        "order": "rgb",
        "mean": [0, 0, 0],
        "scale": [255, 255, 255],
        "output": "ratios" if broken else "means",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".yaml").write_text(yaml.safe_dump(side | told))
    return path


def make(*, broken: bool) -> bytes:
    """Make a network's file."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("ReduceMean", ["maps"], ["means"], axes=[2, 3], keepdims=0),
    ]
    last = "means"
    if broken:
        whole = {"axes": [1, 2, 3], "keepdims": 0}
        nodes += [
            helper.make_node("ReduceMean", ["pixels"], ["all"], **whole),
            helper.make_node("Unsqueeze", ["all"], ["column"], axes=[1]),
            helper.make_node("Div", ["means", "column"], ["ratios"]),
        ]
        last = "ratios"
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 5]),
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 5, 4, 4]),
        ],
        [numpy_helper.from_array(kernel(), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    return model.SerializeToString()


if __name__ == "__main__":
    (HERE / "means.onnx").write_bytes(make(broken=False))
    (HERE / "ratios.onnx").write_bytes(make(broken=True))
