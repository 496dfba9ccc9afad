"""A training set of two classes and a small DELF network; made when the first test needs them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SMALL = (
    "--width",
    "0.0625",
    "--depth",
    "0.1",
    "--image-size",
    "33",
    "--batch-size",
    "4",
    "--initial-lr",
    "0.01",
)
STEPS = ("--max-iters", "6", "--checkpoint-every", "3", "--log-every", "2", "--seed", "5")
CLASSES = ("disk", "stripes")


def pictures(count: int, side: int = 48) -> list[np.ndarray]:
    """Return images of a disk (even numbers) or of stripes (odd), uint8, (side, side, 3)."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:side, 0:side]
    found = []
    for number in range(count):
        grey = random.normal(20, 5, (side, side))
        if number % 2:
            grey += 120 * (np.sin(x / 2 + number) > 0)
        else:
            grey += 180 * np.exp(-((x - side / 2) ** 2 + (y - side / 2) ** 2) / (side + number))
        colours = np.stack([grey, 0.8 * grey, 0.6 * grey], axis=-1)
        found.append(np.clip(colours, 0, 255).astype(np.uint8))
    return found


def record(image: bytes, label: int, name: str) -> bytes:
    """Return a record with what training reads of those that 'minia delf tfrecords' writes."""
    from minia_spark.base.networks import load_tensorflow

    train = load_tensorflow().train

    def text(value: bytes):
        return train.Feature(bytes_list=train.BytesList(value=[value]))

    features = {
        "image/encoded": text(image),
        "image/id": text(name.encode()),
        "image/class/label": train.Feature(int64_list=train.Int64List(value=[label])),
    }
    return train.Example(features=train.Features(feature=features)).SerializeToString()


def write_records(path: Path, records: list[bytes]) -> Path:
    """Write a TFRecord file."""
    from minia_spark.base.networks import load_tensorflow

    with load_tensorflow().io.TFRecordWriter(str(path)) as file:
        for one in records:
            file.write(one)
    return path


def write_training_set(folder: Path) -> Path:
    """Write 18 images to learn from, in two files, 6 to validate, and the manifest."""
    folder.mkdir()
    encoded = [
        record(cv2.imencode(".jpg", p[..., ::-1])[1].tobytes(), n % 2, f"image{n}")
        for n, p in enumerate(pictures(24))
    ]
    write_records(folder / "train-00000-of-00002", encoded[:10])
    write_records(folder / "train-00001-of-00002", encoded[10:18])
    write_records(folder / "validation-00000-of-00001", encoded[18:])
    (folder / "manifest.json").write_text('{"classes": ["disk", "stripes"]}')
    return folder


def legacy_file(path, model, *, names=None, change=None, pieces=False, scale=1.0):
    """Write weights as Keras 1 and 2 did: a group a layer, names in attributes."""
    import h5py

    from minia_spark.delf.network import legacy_name

    random = np.random.default_rng(3)
    stored = {}
    with h5py.File(path, "w") as file:
        for layer in model.layers:
            if not layer.weights or not layer.name.startswith("conv"):
                continue
            name = (names or legacy_name)(layer.name)
            arrays = [
                (scale * random.uniform(0.5, 1, w.shape)).astype(np.float32) for w in layer.weights
            ]
            stored[layer.name] = arrays
            if change:
                name, arrays = change(name, arrays)
            group = file.create_group(name)
            own = [f"{name}_{n}:0" for n in range(len(arrays))]
            group.attrs["weight_names"] = [n.encode() for n in own]
            for place, array in zip(own, arrays, strict=True):
                group[place] = array
        listed = [name.encode() for name in file]
        empty = file.create_group("zero_padding2d_1")
        empty.attrs["weight_names"] = np.zeros(0, "S1")
        listed.append(b"zero_padding2d_1")
        if pieces:
            file.attrs["layer_names0"], file.attrs["layer_names1"] = listed[:50], listed[50:]
        else:
            file.attrs["layer_names"] = listed
    return stored
