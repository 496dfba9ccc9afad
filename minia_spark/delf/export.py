"""The command ``minia delf export``: a SavedModel, with a manifest that tells what is in it."""
# ruff: noqa: PLC0415 - TensorFlow takes seconds to load

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import sync_folder
from minia_spark.base.networks import load_tensorflow, require_tensorflow
from minia_spark.delf.train import CHECKPOINTS, recipe_of, settings_there
from minia_spark.features.delf_model import MANIFEST, SCALES, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.delf.network import Design

__all__ = ["arguments", "export", "module_of", "multiplications", "saved"]

_LEAST_PIXELS = 10
_COPIES = 16
"""Scores are computed so many times: the last values of a row of odd length would else be computed
by other instructions than the others, and depend in the last bit on the images in the batch."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "training", type=Path, metavar="TRAINING", help="what 'minia delf train' made"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist")
    parser.add_argument(
        "--scales",
        type=_positive,
        nargs="+",
        default=list(SCALES),
        metavar="S",
        help=f"sizes at which extraction sees an image (default {' '.join(map(str, SCALES))})",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=100.0,
        metavar="X",
        help="least attention score of a feature (default 100, minIA's; scores depend on the "
        "training: see attention/p75 in TensorBoard)",
    )
    parser.add_argument(
        "--max-features",
        type=int,
        default=1000,
        metavar="N",
        help="most features of an image (default 1000)",
    )
    parser.add_argument(
        "--nms-iou",
        type=_positive,
        default=1.0,
        metavar="X",
        help="drop a feature whose box overlaps a better one's by more than this share of their "
        "union; 1 keeps all (default)",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def export(options: argparse.Namespace) -> int:
    """Write the network of the newest checkpoint."""
    settings = settings_there(options.training)
    out: Path = options.out
    if os.path.lexists(out):
        raise SettingsError(f"{out} exists already, and is not overwritten: give another path")
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"there is no folder {out.absolute().parent} to write {out.name} in")
    if options.nms_iou > 1 or options.max_features < 1 or not math.isfinite(options.threshold):
        raise SettingsError(
            "--nms-iou must be at most 1, --max-features at least 1, --threshold a number"
        )
    require_tensorflow("minia delf export")
    from minia_spark.delf import checkpoints, network

    last, problems = checkpoints.newest(options.training / CHECKPOINTS)
    for problem in problems:
        print(f"warning: {problem}; an older one is taken", file=sys.stderr)
    if last is None:
        raise InputError(
            f"{options.training} holds no checkpoint yet: 'minia delf train --out "
            f"{options.training}' goes on, and writes one every {settings.checkpoint_every:,} steps"
        )
    load_tensorflow(gpu=None)
    design = recipe_of(settings).design
    model = network.build(design)
    weights = {n.removeprefix("weights/"): a for n, a in last.arrays.items() if n[:8] == "weights/"}
    _set(model, weights)
    part = network.extraction_part(model)
    variables = [*part.weights, *model.get_layer("attention_conv2").weights]
    used = {variable.path: weights[variable.path] for variable in variables}
    manifest = Manifest(
        weights=checkpoints.hash_of(used),
        dimension=design.dimension,
        receptive_field=design.field,
        stride=design.stride,
        padding=design.field // 2,
        multiplications=multiplications(part),
        width=design.width,
        scales=tuple(options.scales),
        threshold=options.threshold,
        max_features=options.max_features,
        nms_iou=options.nms_iou,
        training=last.state.get("told", {}),
        files={},
    )
    saved(model, design, manifest, out)
    print(f"{out}: {design.dimension} numbers a descriptor, step {last.step:,}")
    print(f"weights {manifest.weights}")
    return 0


def _set(model: Any, weights: Mapping[str, NDArray[Any]]) -> None:
    for variable in model.weights:
        array = weights.get(variable.path)
        if array is None or array.shape != tuple(variable.shape):
            raise InputError(
                f"the checkpoint is of another network: {variable.path} is missing, or has not the "
                f"shape {tuple(variable.shape)}"
            )
        variable.assign(array)


def multiplications(part: Any) -> float:
    """Return the multiplications of a network for a pixel of a large image."""
    total = 0.0
    for layer in part.layers:
        if hasattr(layer, "kernel"):
            total += math.prod(layer.kernel.shape) / _pixels_a_position(layer)
    return total


def _pixels_a_position(layer: Any) -> float:
    """Return how many pixels of the image belong to a position of a layer's output."""
    if layer.name.startswith("conv1"):
        side = 2
    elif layer.name.startswith("conv"):
        side = 2 ** int(layer.name[4])
    else:
        side = 32
    return float(side * side)


def module_of(model: Any, design: Design, *, iou: float) -> Any:
    """Return what is saved: the network with functions from images to features.

    Parameters
    ----------
    model : keras.Model
        Of :func:`minia_spark.delf.network.build`.
    design : Design
    iou : float

    Returns
    -------
    tf.Module
        ``serving_default`` works on one image at several scales, ``batch`` on images of one size at
        one scale.
    """
    tf = load_tensorflow()
    from minia_spark.delf.network import extraction_part

    part, last = extraction_part(model), model.get_layer("attention_conv2")
    stride = float(design.stride)
    dimension = design.dimension

    def maps(images: Any, scale: Any) -> tuple[Any, Any]:
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        scaled = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), 1)
        found = part(tf.image.resize(tf.cast(images, tf.float32), scaled), training=False)
        kernel = tf.tile(last.kernel.value, [1, 1, 1, _COPIES])
        scores = tf.nn.softplus(
            tf.nn.conv2d(found["attended"], kernel, 1, "VALID") + last.bias.value
        )
        return scores[..., 0], found["features"]

    def of_scale(image: Any, scale: Any, threshold: Any) -> tuple[Any, Any, Any, Any]:
        scores, features = maps(image[None], scale)
        rows, columns = tf.shape(scores)[1], tf.shape(scores)[2]
        y, x = tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij")
        first = (
            tf.cast(tf.reshape(tf.stack([y, x], -1), [-1, 2]), tf.float32) * stride
            - design.field // 2
        )
        boxes = tf.concat([first, first + (design.field - 1)], 1) / scale
        flat = tf.reshape(scores, [-1])
        kept = tf.where(flat >= threshold)[:, 0]
        chosen = tf.gather(flat, kept)
        described = tf.gather(tf.reshape(features, [-1, dimension]), kept)
        return tf.gather(boxes, kept), described, tf.ones_like(chosen) / scale, chosen

    def extract(
        input_image: Any, input_scales: Any, input_max_feature_num: Any, input_abs_thres: Any
    ) -> dict[str, Any]:
        is_large = tf.reduce_min(tf.shape(input_image)[:2]) >= _LEAST_PIXELS
        count = tf.where(is_large, tf.shape(input_scales)[0], 0)

        def one_more(index: Any, *found: Any) -> Any:
            new = of_scale(input_image, input_scales[index], input_abs_thres)
            return (index + 1, *(tf.concat(pair, 0) for pair in zip(found, new, strict=True)))

        shapes = ([0, 4], [0, dimension], [0], [0])
        _, boxes, features, scales, scores = tf.while_loop(
            lambda index, *_: index < count,
            one_more,
            (tf.constant(0), *map(tf.zeros, shapes)),
            shape_invariants=(
                tf.TensorShape([]),
                *(tf.TensorShape([None, *shape[1:]]) for shape in shapes),
            ),
            parallel_iterations=1,
        )
        limit = tf.minimum(input_max_feature_num, tf.shape(scores)[0])
        if iou < 1:
            kept = tf.image.non_max_suppression(boxes, scores, limit, iou_threshold=iou)
        else:
            kept = tf.argsort(scores, direction="DESCENDING", stable=True)[:limit]
        return {
            "boxes": tf.gather(boxes, kept),
            "features": tf.gather(features, kept),
            "scales": tf.gather(scales, kept),
            "scores": tf.gather(scores, kept)[:, None],
        }

    def batch(input_images: Any, input_scale: Any) -> dict[str, Any]:
        scores, features = maps(input_images, input_scale)
        return {"scores": scores, "features": features}

    spec = tf.TensorSpec
    module = tf.Module(name="delf")
    module.part, module.last = part, last  # else their weights would not be saved
    module.extract = tf.function(
        extract,
        autograph=False,
        input_signature=[
            spec([None, None, 3], tf.uint8, "input_image"),
            spec([None], tf.float32, "input_scales"),
            spec([], tf.int32, "input_max_feature_num"),
            spec([], tf.float32, "input_abs_thres"),
        ],
    )
    module.batch = tf.function(
        batch,
        autograph=False,
        input_signature=[
            spec([None, None, None, 3], tf.uint8, "input_images"),
            spec([], tf.float32, "input_scale"),
        ],
    )
    return module


def saved(model: Any, design: Design, manifest: Manifest, out: Path) -> None:
    """Write a SavedModel and its manifest to a folder that appears when it is complete.

    Raises
    ------
    MiniaError
        It cannot be written, or the folder appeared in the meantime.
    """
    tf = load_tensorflow()
    module = module_of(model, design, iou=manifest.nms_iou)
    aside = out.absolute().with_name(f".{uuid.uuid4().hex}.part")
    try:
        signatures = {"serving_default": module.extract, "batch": module.batch}
        tf.saved_model.save(module, str(aside), signatures=signatures)
        files = sorted(path for path in aside.rglob("*") if path.is_file())
        sizes = {str(path.relative_to(aside)): path.stat().st_size for path in files}
        text = replace(manifest, files=sizes).as_json()
        (aside / MANIFEST).write_text(text, encoding="utf-8")
        if os.path.lexists(out):
            raise MiniaError(f"{out} was made by somebody else in the meantime; it stays as it is")
        aside.rename(out)
        sync_folder(out.absolute().parent)
    except (OSError, tf.errors.OpError) as error:
        raise MiniaError(f"{out} cannot be written: {error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
