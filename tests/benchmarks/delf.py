"""DELF in CPU seconds: extractor against bare network, a training step against Keras' loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import checkpoints, export, network
from minia_spark.delf.training import CLIP, MOMENTUM, Recipe, Trainer
from minia_spark.features.delf import batch_size
from minia_spark.features.delf_model import SCALES, Manifest
from minia_spark.features.extractors import create
from minia_spark.features.regions import scaled_size
from minia_spark.features.settings import DelfSettings, FeaturesSettings
from tests.benchmarks.figures import Figure

GALAXIES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "images"
SIDE = 64
"""Of the cutouts: at four times the size, 256 pixels."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return what a piece of work takes of all cores: other programs do not change it much."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cutouts(count: int) -> list[np.ndarray]:
    """Return the middle of real galaxies where they are, else noise."""
    if not GALAXIES.is_dir():
        random = np.random.default_rng(1)
        return list(random.integers(0, 255, (count, SIDE, SIDE, 3), dtype=np.uint8))
    found = []
    for path in sorted(GALAXIES.iterdir())[:count]:
        pixels = cv2.imread(str(path))[..., ::-1]
        top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
        found.append(np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE]))
    return found


def exported(model, design: network.Design, folder: Path) -> Path:
    """Write a network as 'minia delf export' does."""
    weights = checkpoints.hash_of({v.path: v.numpy() for v in model.weights})
    part = network.extraction_part(model)
    manifest = Manifest(
        weights=weights,
        dimension=design.dimension,
        receptive_field=export.FIELD,
        stride=design.stride,
        padding=export.PADDING,
        multiplications=export.multiplications(part),
        width=design.width,
        scales=SCALES,
        threshold=0.0,
        max_features=1000,
        nms_iou=1.0,
        training={},
        files={},
    )
    export.saved(model, design, manifest, folder)
    return folder


def bare(model, images: list[np.ndarray], scales: tuple[float, ...], batch_pixels: int):
    """Return a function that puts images through the network, scaled and batched before."""
    tf = load_tensorflow()
    wanted = {name: model.output[name] for name in ("scores", "features")}
    part = tf.keras.Model(model.input, wanted)
    run = tf.function(
        lambda batch: part(batch, training=False),
        autograph=False,
        input_signature=[tf.TensorSpec([None, None, None, 3])],
    )
    batches = []
    for scale in scales:
        size = batch_size(SIDE, SIDE, scale, batch_pixels)
        scaled = tf.image.resize(np.stack(images), scaled_size(SIDE, SIDE, scale))
        batches += [scaled[start : start + size] for start in range(0, len(images), size)]
    return lambda: [
        (found["scores"].numpy(), found["features"].numpy()) for found in map(run, batches)
    ]


def extraction(scale: float, folder: Path) -> Iterator[Figure]:
    """Yield the figures of the extractor, on one core."""
    tf = load_tensorflow(threads=1)
    images = cutouts(max(8, int(64 * scale)))
    design = network.Design(9)
    model = network.build(design)
    place = exported(model, design, folder / "model")
    signature = tf.saved_model.load(str(place)).signatures["serving_default"]
    for title, scales in (("minIA's scales", SCALES), ("scales up to 1", SCALES[:3])):
        own = DelfSettings(model=str(place), scales=scales)
        extractor = create(FeaturesSettings(extractors=("delf",), delf=own), "delf")

        def one_by_one(scales=scales) -> None:
            for image in images:
                for at in scales:
                    signature(
                        input_image=tf.constant(image),
                        input_scales=tf.constant([at]),
                        input_max_feature_num=tf.constant(1000),
                        input_abs_thres=tf.constant(0.0),
                    )["features"].numpy()

        works = {
            "bare network": bare(model, images, scales, own.batch_pixels),
            "extractor": lambda extractor=extractor: extractor.extract_many(images),
            "one image and scale a call": one_by_one,
        }
        seconds: dict[str, list[float]] = {name: [] for name in works}
        for work in works.values():
            work()  # warm
        for _ in range(3):
            for name, work in works.items():
                seconds[name].append(cpu_seconds(work))
        for name, found in seconds.items():
            yield Figure(f"  {title}: {name}, images a CPU second", len(images) / min(found))
        ours = np.array(seconds["extractor"])
        for name, least in (("bare network", 0.8), ("one image and scale a call", 1.5)):
            ratio = float(np.median(np.array(seconds[name]) / ours))
            yield Figure(f"{title}: throughput / {name}", ratio, at_least=least)


def keras_loop(design: network.Design, recipe: Recipe):
    """Return the network with Keras' own way of training: losses, weights, optimizer, fit."""
    keras = load_tensorflow().keras
    model = network.build(design)
    outputs = {name: model.output[name] for name in ("descriptor_logits", "attention_logits")}
    outputs["reconstruction"] = keras.layers.Subtract(name="reconstruction")(
        [model.output["expanded"], model.output["block3"]]
    )
    whole = keras.Model(model.input, outputs)
    schedule = keras.optimizers.schedules.PolynomialDecay(recipe.initial_lr, recipe.max_iters, 0.0)

    def squared(_, difference):
        return keras.ops.mean(keras.ops.square(difference), axis=(1, 2, 3))

    entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
    whole.compile(
        keras.optimizers.SGD(schedule, momentum=MOMENTUM, global_clipnorm=CLIP),
        loss={
            "descriptor_logits": entropy,
            "attention_logits": keras.losses.CategoricalCrossentropy(from_logits=True),
            "reconstruction": squared,
        },
        loss_weights={
            "descriptor_logits": 1.0,
            "attention_logits": network.ATTENTION_WEIGHT,
            "reconstruction": network.RECONSTRUCTION_WEIGHT,
        },
        metrics={
            "descriptor_logits": "categorical_accuracy",
            "attention_logits": "categorical_accuracy",
        },
        jit_compile=False,
    )
    return whole


def training(scale: float) -> Iterator[Figure]:
    """Yield the figures of a training step, on images in memory."""
    tf = load_tensorflow()
    steps, size, side = max(5, int(20 * scale)), 8, 65
    design = network.Design(9)
    recipe = Recipe(design, 10_000, 1e-4, size, side, seed=1, log_every=steps)
    random = np.random.default_rng(1)
    images = random.uniform(0, 255, (size, side, side, 3)).astype(np.float32)
    targets = np.eye(9, dtype=np.float32)[random.integers(0, 9, size)]
    data = tf.data.Dataset.from_tensors((images, targets)).repeat(steps)

    def for_keras(pixels, classes):
        wanted = {"descriptor_logits": classes, "attention_logits": classes}
        return pixels, wanted | {"reconstruction": tf.zeros([size])}

    theirs = keras_loop(design, recipe)
    their_data = data.map(for_keras)
    ours = Trainer(recipe)

    def our_steps() -> None:
        for _ in ours.train(data):
            pass

    def their_steps() -> None:
        theirs.fit(their_data, verbose=0, shuffle=False)

    our_steps(), their_steps()  # warm
    ratios = []
    for _ in range(5):
        our_seconds, their_seconds = cpu_seconds(our_steps), cpu_seconds(their_steps)
        ratios.append(our_seconds / their_seconds)
        yield Figure("  ours, CPU seconds a step", our_seconds / steps)
        yield Figure("  Keras' fit, CPU seconds a step", their_seconds / steps)
    yield Figure(
        "training step / Keras' fit (median of 5 pairs)", float(np.median(ratios)), at_most=1.15
    )


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory() as folder:
        yield from extraction(scale, Path(folder))
    yield from training(scale)
