"""Small networks as ONNX files, with their side files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml

SIDE = 8


def write(folder: Path, *, name: str = "net", broken: bool = False, **told: object) -> Path:
    """Write a network: a convolution of 2 x 2 pixels to five channels, and their means.

    ``broken``: it divides by the mean of all pixels, so that a black image gives no finite number.
    """
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(4)
    kernel = random.normal(size=(5, 3, 2, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("ReduceMean", ["maps"], ["means"], axes=[2, 3], keepdims=0),
    ]
    constants = [numpy_helper.from_array(kernel, "kernel")]
    last = "means"
    if broken:
        nodes.append(
            helper.make_node("ReduceMean", ["pixels"], ["all"], axes=[1, 2, 3], keepdims=0)
        )
        nodes.append(helper.make_node("Unsqueeze", ["all"], ["column"], axes=[1]))
        nodes.append(helper.make_node("Div", ["means", "column"], ["ratios"]))
        last = "ratios"
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 5]),
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 5, 4, 4]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    side = {
        "size": SIDE,
        "order": "rgb",
        "mean": [0, 0, 0],
        "scale": [255, 255, 255],
        "output": last,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".yaml").write_text(yaml.safe_dump(side | told))
    return path
