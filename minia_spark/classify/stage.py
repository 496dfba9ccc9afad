"""Networks trained on the driver, predictions on Spark, and how good they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import from_lists
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.base.networks import load_tensorflow, require_tensorflow
from minia_spark.classify import figures as draw
from minia_spark.classify.folds import balanced, split_folds, unchanged
from minia_spark.classify.network import as_bytes, from_bytes, probabilities
from minia_spark.classify.scores import MEASURES, calibration, roc, scores
from minia_spark.classify.settings import ClassifySettings
from minia_spark.classify.tables import (
    CURVES,
    EVALUATIONS,
    NETWORK_FIGURES,
    NETWORKS,
    PREDICTIONS,
)
from minia_spark.classify.training import Course, Recipe, train
from minia_spark.engine.context import Context
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import fingerprint
from minia_spark.galaxies.spark import is_outdated, training_digest, training_rows
from minia_spark.galaxies.tables import FACETS, VOTES
from minia_spark.ingest.tables import IMAGES
from minia_spark.lab.pictures import Pictures
from minia_spark.reduce.pca import Components
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.spark import pixels_of
from minia_spark.reduce.stage import loaded_components
from minia_spark.reduce.tables import CROPS
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["check", "evaluated", "predicted", "trained", "wants_anew"]

NETWORK, MANIFEST = "network.keras", "manifest.json"
_KEYS = ["batch", "image_id"]
_REPEATS = 100


def check(settings: Settings, _warehouse: Warehouse, _variant: str | None) -> None:
    """Raise SettingsError where TensorFlow is not installed, or there are no votes to learn."""
    require_tensorflow("training networks")
    is_votes = settings.of(ClassifySettings).target == "votes"
    if is_votes and settings.get("galaxies.votes.file") is None:
        raise SettingsError(
            "classify.target is votes, and there are none: --set galaxies.votes.file=FILE --set "
            "galaxies.votes.columns=[ANSWER,ANSWER]"
        )


def wants_anew(
    _settings: Settings, _warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether other images would be learned from than those that were."""
    return is_outdated(view, NETWORKS, training_digest(view, CROPS, FACETS), variant)


# -- training -------------------------------------------------------------------------------------


def _truth(context: Context, settings: ClassifySettings) -> DataFrame:
    """Return the class of every image that has one, and the votes behind it where they are it."""
    none = F.lit(None).cast("array<double>").alias("votes")
    if settings.target == "label":
        found = context.read(IMAGES).select(*_KEYS, F.col("label").alias("class"), none)
    elif settings.target == "galaxy_class":
        found = context.read(FACETS).select(*_KEYS, F.col("galaxy_class").alias("class"), none)
    else:  # of equal votes the first answer
        most = F.expr("answers[array_position(votes, array_max(votes)) - 1]")
        counted = context.read(VOTES).where("array_max(votes) > 0")
        found = counted.select(*_KEYS, most.alias("class"), "votes")
    return found.where("class is not null")


def _crops_with_classes(
    context: Context, settings: ClassifySettings, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.str_], NDArray[np.float64] | None]:
    """Return the training images that have a class, ordered by name, classes, and votes if any."""
    rows = training_rows(context, CROPS).join(_truth(context, settings), _KEYS)
    table = rows.select(*_KEYS, "class", "votes", "pixels").toArrow()
    table = table.sort_by([(k, "ascending") for k in _KEYS])
    dims = 3 * side * side
    pixels = [pixels_of(batch, dims) for batch in table.to_batches()]
    crops = np.concatenate([*pixels, np.empty((0, dims), np.uint8)])
    names = np.array(table["class"].to_pylist(), np.str_)
    votes = np.array(table["votes"].to_pylist(), np.float64) if settings.target == "votes" else None
    return crops.reshape(-1, side, side, 3), names, votes


def _targets(
    context: Context, votes: NDArray[np.float64], classes: list[str]
) -> NDArray[np.float32]:
    """Return shares of the votes for classes, shape (n, classes); votes for others do not count."""
    (answers,) = context.read(VOTES).select("answers").limit(1).toArrow()["answers"].to_pylist()
    own = votes[:, [answers.index(name) for name in classes]]
    return np.asarray(own / own.sum(axis=1, keepdims=True), np.float32)


def _seen(
    crops: NDArray[np.uint8], settings: ClassifySettings, components: Components
) -> NDArray[np.uint8]:
    """Return what networks see of crops: themselves, or what the components keep."""
    if settings.pixels == "crops" or not len(crops):
        return crops
    flat = components.inverse(components.transform(crops.reshape(len(crops), -1)))
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(crops.shape)


def trained(context: Context) -> None:
    """Train one network: once a fold to see how good it is, then on all training images.

    Raises
    ------
    InputError
        Fewer than two classes have as many training images as there are folds.
    """
    settings = context.settings(ClassifySettings)
    side = context.settings(ReduceSettings).side_px
    with context.watched("training images"):
        crops, names, votes = _crops_with_classes(context, settings, side)
    counts = Counter(names.tolist())
    classes = sorted(c for c, n in counts.items() if n >= settings.folds)
    left_out = sorted(set(counts) - set(classes))
    if len(classes) < 2:
        raise InputError(
            f"{context.title}: training needs two classes of at least {settings.folds} training "
            f"images (classify.folds) each; there are {dict(sorted(counts.items()))}"
        )
    if left_out:
        context.progress.warn(
            f"{context.title}: classes of fewer than {settings.folds} training images are left "
            f"out: {', '.join(left_out)}"
        )
    kept = np.isin(names, classes)
    labels = np.searchsorted(np.array(classes), names[kept]).astype(np.int64)
    targets = None if votes is None else _targets(context, votes[kept], classes)
    crops = _seen(crops[kept], settings, loaded_components(context))
    design, _, is_balanced = str(context.variant).partition("_")
    recipe = Recipe(
        design=design,
        side_px=side,
        classes=len(classes),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        patience=settings.patience,
        seed=settings.seed,
        augment=design == "ours",
        mirror=settings.mirror,
    )
    place = _checkpoints(context)
    measured: list[dict[str, float]] = []
    courses: list[Course] = []
    kept_network = b""
    for number, (teach, check_rows) in enumerate(
        split_folds(labels, settings.folds, settings.seed)
    ):
        rng = np.random.default_rng([settings.seed, number])
        copies = (
            balanced(labels, teach, settings.per_class, rng) if is_balanced else unchanged(teach)
        )

        def say(line: str, number: int = number) -> None:
            context.say(f"fold {number + 1} of {settings.folds}: {line}")

        network, course = train(
            recipe,
            crops,
            labels,
            copies,
            check_rows,
            targets=targets,
            place=None if place is None else place / f"fold-{number}",
            say=say,
        )
        known = probabilities(network, crops[check_rows]).astype(np.float64)
        measured.append(scores(labels[check_rows], known).overall)
        courses.append(course)
        if not number:  # any of them would do; a choice by their scores would flatter it
            kept_network = as_bytes(network)
    _publish(
        context,
        kept_network,
        classes=classes,
        measured=measured,
        courses=courses,
        images=len(labels),
    )
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)
    accuracy = float(np.mean([m["accuracy"] for m in measured]))
    context.counts |= {"images": len(labels), "classes": len(classes), "accuracy": accuracy}


def _checkpoints(context: Context) -> Path | None:
    """Return the folder of checkpoints, which a later run of the same step finds again.

    None on storage that is not local: training then begins anew when it broke off.
    """
    local = context.warehouse.storage.local
    training = training_digest(context.view, CROPS, FACETS)
    name = fingerprint(context.fingerprint, training, str(context.variant))
    return None if local is None else Path(local) / "scratch" / "networks" / name


def _publish(
    context: Context,
    network: bytes,
    *,
    classes: list[str],
    measured: list[dict[str, float]],
    courses: list[Course],
    images: int,
) -> None:
    tf = load_tensorflow()
    training = training_digest(context.view, CROPS, FACETS)
    stage = context.stage
    manifest = {
        "network": context.variant,
        "classes": classes,
        "images": images,
        "settings": stage.used(context.all_settings, context.variant, stage.variants),
        "training_digest": training,
        "hash": hashlib.sha256(network).hexdigest(),
        "made_with": {"tensorflow": tf.__version__, "keras": tf.keras.__version__},
        "folds": [{n: _or_none(v) for n, v in one.items()} for one in measured],
        "courses": [{"best_epoch": c.best_epoch, "curves": c.curves} for c in courses],
    }
    folder, storage = context.folder(NETWORKS), context.warehouse.storage
    storage.remove_folder(folder)
    storage.replace(f"{folder}/{NETWORK}", network)
    storage.replace(f"{folder}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
    context.publish(NETWORKS, folder, digest=f"{training}-{context.fingerprint}")


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _known_network(context: Context, variant: str | None) -> tuple[dict[str, Any], bytes]:
    """Return manifest and file of a network.

    Raises
    ------
    InputError
        They cannot be read, or do not belong together.
    """
    (entry,) = [e for e in context.entries_of(NETWORKS) if e.variant == variant]
    storage = context.warehouse.storage
    try:
        manifest = json.loads(storage.read(f"{entry.path}/{MANIFEST}"))
        data = storage.read(f"{entry.path}/{NETWORK}")
        wanted = manifest["hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the network in {storage}/{entry.path} cannot be read: {error}; train it anew with "
            "'minia lab classify --replace'"
        ) from None
    if hashlib.sha256(data).hexdigest() != wanted:
        raise InputError(
            f"the network in {storage}/{entry.path} is not the one that its manifest tells of; "
            "train it anew with 'minia lab classify --replace'"
        )
    return manifest, data


# -- prediction -----------------------------------------------------------------------------------


def predicted(context: Context) -> None:
    """Write what a network sees in every image of a batch."""
    manifest, data = _known_network(context, context.variant)
    side = context.settings(ReduceSettings).side_px
    settings = context.settings(ClassifySettings)
    components = loaded_components(context) if settings.pixels == "reconstructed" else None
    classes = manifest["classes"]
    shared = context.spark.sparkContext.broadcast((data, components))
    dims = 3 * side * side

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        load_tensorflow(threads=1, gpu=None)
        file, model = shared.value
        network = from_bytes(file)
        for batch in batches:
            crops = pixels_of(batch, dims)
            if model is not None:
                flat = model.inverse(model.transform(crops))
                crops = np.clip(np.rint(flat), 0, 255).astype(np.uint8)
            found = probabilities(network, crops.reshape(-1, side, side, 3))
            best = found.argmax(axis=1)
            count = len(classes)
            offsets = np.arange(len(found) + 1, dtype=np.int64) * count
            yield pa.RecordBatch.from_pydict(
                {
                    "batch": batch["batch"],
                    "image_id": batch["image_id"],
                    "predicted": pa.array([classes[i] for i in best], pa.string()),
                    "probability": found[np.arange(len(found)), best],
                    "classes": pa.array([classes] * len(found), pa.list_(pa.string())),
                    "probabilities": from_lists(found.ravel(), offsets),
                }
            )

    made = context.read(CROPS).mapInArrow(work, PREDICTIONS.schema())
    context.write(PREDICTIONS, made)
    shared.destroy()
    images = context.entries[-1].rows or 0
    context.check_counts("crops", context.rows(CROPS), images)
    context.counts["images"] = images


# -- evaluation -----------------------------------------------------------------------------------


def evaluated(context: Context) -> None:
    """Write how well every network recognises test images, and its curves."""
    settings = context.settings(ClassifySettings)
    measures: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    predictions = {e.variant for e in context.entries_of(PREDICTIONS)}
    for name in sorted(
        e.variant for e in context.entries_of(NETWORKS) if e.variant in predictions and e.variant
    ):
        manifest, _ = _known_network(context, name)
        measures += _of_folds(name, manifest)
        curves += _learning(name, manifest)
        labels, known = _test_images(context, settings, name, manifest["classes"])
        if not len(labels):
            context.progress.warn(f"{context.title}: {name}: no test image has a class it knows")
            continue
        measures += _of_test(name, manifest["classes"], labels, known, settings.seed)
        curves += _curves(name, manifest["classes"], labels, known)
    context.write_rows(EVALUATIONS, pa.Table.from_pylist(measures, EVALUATIONS.arrow_schema()))
    context.write_rows(CURVES, pa.Table.from_pylist(curves, CURVES.arrow_schema()))
    networks = sorted({m["network"] for m in measures})
    pictures = Pictures()
    for name in networks:
        own = [p for p in curves if p["network"] == name]
        told = [m for m in measures if m["network"] == name]
        _draw(pictures, name, own, told)
    pictures.publish(context, NETWORK_FIGURES)
    context.counts |= {"networks": len(networks)}


def _draw(
    pictures: Pictures, network: str, points: list[dict[str, Any]], measures: list[dict[str, Any]]
) -> None:
    def curves(kind: str) -> dict[str, NDArray[np.float64]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for p in points:
            if p["curve"] == kind and p["x"] is not None and p["y"] is not None:
                found.setdefault(p["name"] or "", []).append((p["x"], p["y"]))
        return {name: np.array(pairs) for name, pairs in found.items()}

    learning = draw.learning_curves(curves("learning"))
    pictures.put(f"{network}-learning", "Loss and accuracy of the first fold", network, learning)
    cells = [p for p in points if p["curve"] == "confusion"]
    if not cells:
        return
    classes = list(dict.fromkeys(p["name"] for p in cells))
    counts = np.array([p["y"] for p in cells]).reshape(len(classes), -1)
    figure = draw.confusion_matrix(classes, counts)
    pictures.put(f"{network}-confusion", "Test images of each class", network, figure)
    areas = {m["class"]: m["value"] for m in measures if m["class"] and m["measure"] == "auc"}
    known = {name: np.nan if area is None else area for name, area in areas.items()}
    figure = draw.roc_curves(curves("roc"), known)
    pictures.put(f"{network}-roc", "ROC curves, test images", network, figure)
    for points_of_all in curves("calibration").values():
        figure = draw.calibration_curve(points_of_all)
        pictures.put(f"{network}-calibration", "Calibration, test images", network, figure)


def _test_images(
    context: Context, settings: ClassifySettings, network: str, classes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes of test images that the network knows, and their probabilities."""
    facets = context.read(FACETS).where("split = 'test'")
    truth = facets.select(*_KEYS).join(_truth(context, settings).drop("votes"), _KEYS)
    rows = context.read(PREDICTIONS).where(F.col("variant") == network)
    table = rows.join(truth.where(F.col("class").isin(classes)), _KEYS).toArrow()
    table = table.sort_by([(k, "ascending") for k in _KEYS])
    names = np.array(table["class"].to_pylist(), np.str_)
    known = np.array(table["probabilities"].to_pylist(), np.float64).reshape(-1, len(classes))
    return np.searchsorted(np.array(classes), names).astype(np.int64), known


def _row(
    network: str,
    part: str,
    kind: str | None,
    measure: str,
    value: float,
    *,
    error: float = np.nan,
) -> dict[str, Any]:
    told = {"network": network, "part": part, "class": kind, "measure": measure}
    return told | {"value": _or_none(value), "error": _or_none(error)}


def _of_folds(name: str, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for measure in MEASURES:
        values = [f[measure] for f in manifest["folds"] if f[measure] is not None]
        if values:
            error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            found.append(
                _row(name, "folds", None, measure, float(np.mean(values)), error=float(error))
            )
    return found


def _of_test(
    name: str,
    classes: list[str],
    labels: NDArray[np.int64],
    known: NDArray[np.float64],
    seed: int,
) -> list[dict[str, Any]]:
    whole = scores(labels, known)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_REPEATS):
        rows = rng.integers(0, len(labels), len(labels))
        drawn.append(scores(labels[rows], known[rows]).overall)
    found = [_row(name, "test", None, "images", float(len(labels)))]
    for measure in MEASURES:
        usable = [d[measure] for d in drawn if np.isfinite(d[measure])]
        error = float(np.std(usable, ddof=1)) if len(usable) > 1 else np.nan
        found.append(_row(name, "test", None, measure, whole.overall[measure], error=error))
    for kind, told in zip(classes, whole.by_class, strict=True):
        found += [_row(name, "test", kind, measure, value) for measure, value in told.items()]
    return found


def _point(
    network: str,
    curve: str,
    name: str | None,
    x: float,
    y: float,
    *,
    other: str | None = None,
) -> dict[str, Any]:
    point = {"network": network, "curve": curve, "name": name, "other": other}
    return point | {"x": _or_none(x), "y": _or_none(y)}


def _learning(network: str, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the curves of the network that was kept: that of the first fold."""
    return [
        _point(network, "learning", measure, epoch + 1.0, value)
        for epoch, told in enumerate(manifest["courses"][0]["curves"])
        for measure, value in told.items()
    ]


def _curves(
    network: str, classes: list[str], labels: NDArray[np.int64], known: NDArray[np.float64]
) -> list[dict[str, Any]]:
    found = []
    for which, kind in enumerate(classes):
        wrong, right = roc(labels, known, which)
        points = zip(wrong.tolist(), right.tolist(), strict=True)
        found += [_point(network, "roc", kind, x, y) for x, y in points]
    said, is_right, _ = calibration(labels, known)
    pairs = zip(said.tolist(), is_right.tolist(), strict=True)
    found += [_point(network, "calibration", None, x, y) for x, y in pairs]
    table = scores(labels, known).confusion
    for i, kind in enumerate(classes):
        for j, other in enumerate(classes):
            found.append(
                _point(network, "confusion", kind, np.nan, float(table[i, j]), other=other)
            )
    return found
