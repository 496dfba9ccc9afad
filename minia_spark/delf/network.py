"""The network of DELF (Noh et al. 2017; autoencoder: Cao, Araujo & Sim 2020), in Keras 3.

A ResNet50 whose fourth stage gives local features: each position of its output sees a field of 291
pixels. A head after the fifth stage learns the classes, and with that the features; two heads on
the fourth learn what to look at and how to write 1,024 numbers as 128, and must not change the
features while they do: gradients stop there.

All padding is symmetric, so that the field of position k has its centre at pixel ``stride * k``.
"""
# ruff: noqa: PLC0415 - Keras takes seconds to load

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minia_spark.base.errors import InputError

__all__ = [
    "ATTENTION_WEIGHT",
    "RECONSTRUCTION_WEIGHT",
    "Design",
    "build",
    "extraction_part",
    "layers_of",
    "legacy_name",
    "load_backbone",
    "losses",
]

ATTENTION_WEIGHT = 1.0
RECONSTRUCTION_WEIGHT = 10.0
REDUCED = 128
"""Numbers of a descriptor that the autoencoder leaves."""

_BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
"""Stage of ResNet50 to its blocks."""
_EPSILON = 1.001e-5  # of batch normalisation, as in Keras' own ResNet50
_HEADS = ("descriptor_logits", "attention_", "autoencoder_")


@dataclass(frozen=True)
class Design:
    """What a network is built from.

    Attributes
    ----------
    num_classes : int
    block3_strides : bool
        Whether the fourth stage's output is taken at every second position: 32 pixels from one
        field to the next instead of 16. The fifth stage then has no stride of its own.
    autoencoder : bool
        Whether descriptors are reduced to 128 numbers; else they have those of the fourth stage.
    width : float
        Share of ResNet50's channels; 1 is ResNet50, and what published weights fit.
    depth : float
        Share of ResNet50's blocks, at least one in each stage; 1 likewise.
    """

    num_classes: int
    block3_strides: bool = True
    autoencoder: bool = True
    width: float = 1.0
    depth: float = 1.0

    def channels(self, count: int) -> int:
        """Return how many channels there are where ResNet50 has `count`."""
        return max(1, round(count * self.width))

    def blocks(self, stage: int) -> int:
        """Return how many blocks a stage, 2 to 5, has."""
        return max(1, round(_BLOCKS[stage] * self.depth))

    @property
    def field(self) -> int:
        """Pixels, across, that a position of the fourth stage's output sees."""
        # 11 after the pooling, at every 4th pixel; then a convolution of 3 x 3 in every block
        return 11 + sum(2 * 2**stage * self.blocks(stage) for stage in (2, 3, 4))

    @property
    def stride(self) -> int:
        """Pixels from one field to the next."""
        return 32 if self.block3_strides else 16

    @property
    def dimension(self) -> int:
        """Numbers of a descriptor."""
        return REDUCED if self.autoencoder else 16 * self.channels(64)


def build(design: Design, *, precision: str = "float32") -> Any:
    """Return the network.

    Parameters
    ----------
    design : Design
    precision : str
        Keras' policy of the numbers inside; outputs are float32 whatever it is.

    Returns
    -------
    keras.Model
        From images, float32 of 0 to 255, shape (n, height, width, 3), to a dict:
        ``descriptor_logits`` (n, classes); ``attention_logits`` (n, classes); ``scores``
        (n, rows, columns, 1), positive; ``features`` (n, rows, columns, dimension); ``block3``
        (n, rows, columns, channels), which no gradient goes through; ``expanded`` like it, with an
        autoencoder only.
    """
    import keras

    layers = keras.layers

    def conv(x: Any, filters: int, size: int, name: str, **options: Any) -> Any:
        return layers.Conv2D(filters, size, dtype=precision, name=name, **options)(x)

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=_EPSILON, dtype=precision, name=name)(x)

    def relu(x: Any, name: str) -> Any:
        return layers.Activation("relu", dtype=precision, name=name)(x)

    def block(x: Any, filters: int, name: str, stride: int, *, is_first: bool) -> Any:
        way = x
        if is_first:
            way = conv(x, 4 * filters, 1, f"{name}_0_conv", strides=stride)
            way = norm(way, f"{name}_0_bn")
        x = conv(x, filters, 1, f"{name}_1_conv", strides=stride)
        x = relu(norm(x, f"{name}_1_bn"), f"{name}_1_relu")
        x = conv(x, filters, 3, f"{name}_2_conv", padding="same")
        x = relu(norm(x, f"{name}_2_bn"), f"{name}_2_relu")
        x = norm(conv(x, 4 * filters, 1, f"{name}_3_conv"), f"{name}_3_bn")
        return relu(layers.Add(dtype=precision, name=f"{name}_add")([way, x]), f"{name}_out")

    def stage(x: Any, number: int, stride: int) -> Any:
        filters = design.channels(64) * 2 ** (number - 2)
        for index in range(1, design.blocks(number) + 1):
            name = f"conv{number}_block{index}"
            first = index == 1
            x = block(x, filters, name, stride if first else 1, is_first=first)
        return x

    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalised")(image)
    x = layers.ZeroPadding2D(3, dtype=precision, name="conv1_pad")(x)
    x = conv(x, design.channels(64), 7, "conv1_conv", strides=2)
    x = relu(norm(x, "conv1_bn"), "conv1_relu")
    # after a ReLU, zeros are as good as nothing: the largest value is not changed by them
    x = layers.ZeroPadding2D(1, dtype=precision, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, dtype=precision, name="pool1_pool")(x)
    for number in (2, 3, 4):
        x = stage(x, number, 1 if number == 2 else 2)
    if design.block3_strides:
        x = layers.MaxPooling2D(1, strides=2, dtype=precision, name="block3_strides")(x)
    block3 = keras.ops.stop_gradient(x)
    x = stage(x, 5, 1 if design.block3_strides else 2)
    outputs = _heads(block3, x, design, precision)
    return keras.Model(image, outputs, name="delf")


def _heads(block3: Any, block4: Any, design: Design, precision: str) -> dict[str, Any]:
    """Return the network's outputs, from those of its fourth and fifth stage."""
    import keras

    layers = keras.layers

    def conv(x: Any, filters: int, name: str, dtype: str = precision) -> Any:
        return layers.Conv2D(filters, 1, dtype=dtype, name=name)(x)

    def classes(x: Any, name: str) -> Any:
        return layers.Dense(design.num_classes, dtype="float32", name=name)(x)

    def mean(x: Any, name: str) -> Any:
        return layers.GlobalAveragePooling2D(dtype="float32", name=name)(x)

    def as_float(x: Any, name: str) -> Any:
        return layers.Activation("linear", dtype="float32", name=name)(x)

    def relu(x: Any, name: str) -> Any:
        return layers.Activation("relu", dtype=precision, name=name)(x)

    outputs = {
        "descriptor_logits": classes(mean(block4, "block4_pool"), "descriptor_logits"),
        "block3": as_float(block3, "block3"),
    }
    looked_at = described = block3
    if design.autoencoder:
        described = conv(block3, REDUCED, "autoencoder_reduce")
        looked_at = conv(described, design.channels(64) * 16, "autoencoder_expand")
        looked_at = relu(looked_at, "expanded_relu")
        outputs["expanded"] = as_float(looked_at, "expanded")
    outputs["features"] = as_float(described, "features")
    attended = conv(looked_at, design.channels(512), "attention_conv1")
    attended = layers.BatchNormalization(epsilon=_EPSILON, dtype=precision, name="attention_bn")(
        attended
    )
    last = conv(relu(attended, "attention_relu"), 1, "attention_conv2", "float32")
    scores = layers.Activation("softplus", dtype="float32", name="scores")(last)
    outputs["scores"] = scores
    unit = layers.UnitNormalization(axis=-1, dtype="float32", name="unit_block3")(block3)
    weighted = layers.Multiply(dtype="float32", name="weighted")([unit, scores])
    outputs["attention_logits"] = classes(mean(weighted, "attention_pool"), "attention_logits")
    return outputs


def extraction_part(model: Any) -> Any:
    """Return the part of a network that extraction needs, up to the last layer of the attention.

    Returns
    -------
    keras.Model
        From images to ``attended`` (n, rows, columns, channels), of which layer
        ``attention_conv2`` makes the scores, and ``features``.
    """
    import keras

    wanted = {
        "attended": model.get_layer("attention_relu").output,
        "features": model.output["features"],
    }
    return keras.Model(model.input, wanted, name="delf_extraction")


def losses(outputs: Mapping[str, Any], targets: Any) -> dict[str, Any]:
    """Return the losses of every image.

    Parameters
    ----------
    outputs : mapping
        Of :func:`build`'s model, for n images.
    targets : float32 tensor, shape (n, classes)
        Shares of the classes; those of an image sum to 1. A hard class is a single 1.

    Returns
    -------
    dict of float32 tensors, shape (n,)
        ``descriptor`` and ``attention``: cross-entropies; ``reconstruction``: mean squared error
        (0 without an autoencoder); ``total``: descriptor + 1 attention + 10 reconstruction.
    """
    from keras import ops

    def entropy(logits: Any) -> Any:
        return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)

    found = {
        "descriptor": entropy(outputs["descriptor_logits"]),
        "attention": entropy(outputs["attention_logits"]),
    }
    if "expanded" in outputs:
        difference = outputs["expanded"] - outputs["block3"]
        found["reconstruction"] = ops.mean(ops.square(difference), axis=(1, 2, 3))
    else:
        found["reconstruction"] = ops.zeros_like(found["descriptor"])
    found["total"] = (
        found["descriptor"]
        + ATTENTION_WEIGHT * found["attention"]
        + RECONSTRUCTION_WEIGHT * found["reconstruction"]
    )
    return found


# -- published weights ----------------------------------------------------------------------------


def legacy_name(name: str) -> str:
    """Return what Keras 1 and 2 called a layer of ResNet50.

    >>> legacy_name("conv4_block6_2_conv"), legacy_name("conv2_block1_0_bn")
    ('res4f_branch2b', 'bn2a_branch1')
    """
    if name == "conv1_conv":
        return "conv1"
    if name == "conv1_bn":
        return "bn_conv1"
    stage, block, place, kind = name.removeprefix("conv").split("_")
    letter = "abcdefgh"[int(block.removeprefix("block")) - 1]
    branch = "1" if place == "0" else "2" + "abc"[int(place) - 1]
    return f"{'res' if kind == 'conv' else 'bn'}{stage}{letter}_branch{branch}"


def load_backbone(model: Any, path: Path) -> int:
    """Load ImageNet's weights of ResNet50 from Keras' legacy HDF5 file, by the names of layers.

    Both files of the name ``resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5`` fit: that of
    Keras 1 and 2 (``res2a_branch2a``), and that of Keras' applications (``conv2_block1_1_conv``).

    Parameters
    ----------
    model : keras.Model
        Of :func:`build`, of width 1.
    path : Path

    Returns
    -------
    int
        Layers that were loaded: all of the five stages.

    Raises
    ------
    InputError
        The file cannot be read, is of another kind, or lacks a layer or has one of another shape;
        all of these are named, and nothing was loaded.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            there = dict(layers_of(file.get("model_weights", file)))
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a legacy HDF5 file of Keras' weights ({error}); it is "
            "published as resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
        ) from None
    wanted = [layer for layer in model.layers if layer.weights and not _is_of_a_head(layer.name)]
    problems = []
    pairs = []
    for layer in wanted:
        name = layer.name if layer.name in there else legacy_name(layer.name)
        if name not in there:
            problems.append(f"{layer.name} is missing (also as {name})")
            continue
        ours = [tuple(weight.shape) for weight in layer.weights]
        theirs = [tuple(array.shape) for array in there[name]]
        if ours != theirs:
            problems.append(f"{name} has shapes {theirs}, not {ours}")
        pairs.append((layer, there[name]))
    known = {layer.name for layer in wanted} | {legacy_name(layer.name) for layer in wanted}
    known |= {"fc1000", "predictions"}  # of files with the top, which is not used
    problems += [f"{name} is no layer of ResNet50" for name in there if name not in known]
    if problems:
        shown = "; ".join(problems[:8])
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise InputError(f"{path} does not fit the network: {shown}{more}")
    for layer, arrays in pairs:
        layer.set_weights(arrays)
    return len(pairs)


def _is_of_a_head(name: str) -> bool:
    return name.startswith(_HEADS)


def layers_of(group: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the layers that have weights: name, and arrays in their order."""
    for name in _texts(group, "layer_names"):
        names = _texts(group[name], "weight_names")
        if names:
            yield name, [group[name][weight][()] for weight in names]


def _texts(group: Any, attribute: str) -> list[str]:
    """Return a list of names; long ones are cut into pieces (``layer_names0``, ...)."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    elif f"{attribute}0" in group.attrs:
        values, piece = [], 0
        while f"{attribute}{piece}" in group.attrs:
            values += list(group.attrs[f"{attribute}{piece}"])
            piece += 1
    else:
        raise KeyError(f"there is no attribute {attribute}")
    return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
