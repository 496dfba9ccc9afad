"""The command ``minia delf train``."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import open_regular, whole_file
from minia_spark.base.networks import load_tensorflow, require_tensorflow
from minia_spark.delf.training_settings import TrainingSettings

if TYPE_CHECKING:
    from minia_spark.delf.training import Recipe, Trainer, Validated

__all__ = [
    "MANIFEST",
    "SETTINGS",
    "arguments",
    "recipe_of",
    "settings_of",
    "settings_there",
    "train",
]

SETTINGS, MANIFEST, CHECKPOINTS = "settings.yaml", "manifest.json", "checkpoints"
_LOCK, _LOGS = ".lock", "logs"
_USUAL_CLASSES = 9
_PATHS = {"train": "DIR", "imagenet_checkpoint": "PATH", "votes": "CSV"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments: one for every setting, which its sentence explains."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="what training makes"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings.yaml of another training; options win"
    )
    for name, field in TrainingSettings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        default = None if field.is_required() else field.default
        told = f"{field.description}" + ("" if default is None else f" (default {default})")
        told = told.replace("%", "%%")
        if isinstance(default, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=None, help=told
            )
        elif name == "targets":
            parser.add_argument(flag, choices=("classes", "votes"), help=told)
        else:
            kinds = {
                **dict.fromkeys(("initial_lr", "width", "depth"), float),
                **dict.fromkeys(_PATHS, str),
            }
            kind = kinds.get(name, int)
            parser.add_argument(
                flag, type=kind, metavar=_PATHS.get(name, "N" if kind is int else "X"), help=told
            )
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")


def settings_of(options: argparse.Namespace) -> TrainingSettings:
    """Return the settings of a call: those of ``--config``, and options over them.

    Raises
    ------
    SettingsError
        A value is out of its range, or the file cannot be read.
    """
    values = {} if options.config is None else _read(options.config)
    for name in TrainingSettings.model_fields:
        given = getattr(options, name)
        if given is not None:
            values[name] = str(Path(given).absolute()) if name in _PATHS else given
    return _validated(values)


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            values = yaml.safe_load(file.read().decode("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold settings of a training, a line each")
    return values


def _validated(values: Mapping[str, Any]) -> TrainingSettings:
    try:
        return TrainingSettings.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = ".".join(map(str, problem["loc"])) or "settings"
            option = f"--{name.replace('_', '-')}"
            lines.append(f"{option}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(lines)) from None


def settings_there(out: Path) -> TrainingSettings:
    """Return the settings that a training was begun with.

    Raises
    ------
    SettingsError
        There is no training, or its settings cannot be read.
    """
    if not (out / SETTINGS).is_file():
        raise SettingsError(f"{out} holds no training: 'minia delf train --out {out}' makes one")
    return _validated(_read(out / SETTINGS))


def recipe_of(settings: TrainingSettings) -> Recipe:
    """Return what the kernels take of settings whose number of classes is known."""
    from minia_spark.delf.network import Design  # noqa: PLC0415
    from minia_spark.delf.training import Recipe  # noqa: PLC0415

    assert settings.num_classes is not None
    design = Design(
        settings.num_classes,
        block3_strides=settings.block3_strides,
        autoencoder=settings.autoencoder,
        width=settings.width,
        depth=settings.depth,
    )
    return Recipe(
        design,
        max_iters=settings.max_iters,
        initial_lr=settings.initial_lr,
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        seed=settings.seed,
        mixed_precision=settings.mixed_precision,
        checkpoint_every=settings.checkpoint_every,
        log_every=settings.log_every,
    )


def train(options: argparse.Namespace) -> int:
    """Train, or go on."""
    settings = settings_of(options)
    require_tensorflow("minia delf train")
    data = _Data.of(settings)
    settings = settings.model_copy(update={"num_classes": data.num_classes})
    out: Path = options.out

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    with _held(out):
        _claim(out, settings)
        _train(out, settings, data, say)
    print(
        f"trained: {out} holds step {settings.max_iters:,}; 'minia delf export {out} OUT' is next"
    )
    return 0


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; what was killed does not."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / _LOCK).open("w")
    except OSError as error:
        raise SettingsError(f"--out {out} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError(f"another training is at work in {out}") from None
        yield


def _claim(out: Path, settings: TrainingSettings) -> None:
    """Write the settings, or compare them with those that the training was begun with."""
    if (out / SETTINGS).is_file():
        before, now = settings_there(out).model_dump(), settings.model_dump()
        different = [f"{n}: {before[n]} -> {now[n]}" for n in now if before[n] != now[n]]
        if different:
            raise SettingsError(
                f"{out} holds a training with other settings ({'; '.join(different)}); give those, "
                "or another --out"
            )
        return
    others = sorted(p.name for p in out.iterdir() if p.name != _LOCK)
    if others:
        raise SettingsError(f"--out {out} holds something else ({others[0]}): give a new folder")
    with whole_file(out / SETTINGS) as file:
        text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        file.write(text.encode())


@dataclass(frozen=True)
class _Data:
    """A training set as it was found."""

    num_classes: int
    classes: list[str] | None
    training: Any
    validation: Any
    votes: Any

    @classmethod
    def of(cls, settings: TrainingSettings) -> _Data:
        from minia_spark.delf import records  # noqa: PLC0415

        folder = Path(settings.train)
        if not folder.is_dir():
            raise InputError(f"--train {folder} is no folder: it is to hold TFRecords train-*")
        files = {
            kind: sorted(p for p in folder.glob(f"{kind}-*") if p.is_file())
            for kind in ("train", "validation")
        }
        if not files["train"]:
            raise InputError(
                f"--train {folder} holds no file train-*: 'minia delf tfrecords' makes them"
            )
        classes = records.classes_beside(folder)
        number = settings.num_classes or (len(classes) if classes else _USUAL_CLASSES)
        if classes is not None and number != len(classes):
            raise SettingsError(
                f"--num-classes {number}: the manifest of {folder} names {len(classes)} classes"
            )
        training = records.index_files(files["train"])
        if not len(training):
            raise InputError(f"--train {folder}: its files train-* hold no record")
        votes = None
        if settings.votes is not None:
            votes = records.read_votes(Path(settings.votes), classes or number)
        validation = records.index_files(files["validation"])
        found = cls(number, classes, training, validation, votes)
        if votes is not None:
            missing = [n for r in found.readers() for n in r.missing_votes()]
            if missing:
                raise InputError(
                    f"--votes {settings.votes} lacks {len(missing):,} images of the training set, "
                    f"e.g. {', '.join(missing[:3])}"
                )
        return found

    def readers(self) -> list[Any]:
        """Return who reads the records: to train, to validate."""
        from minia_spark.delf.records import Reader  # noqa: PLC0415

        both = (self.training, self.validation)
        return [Reader(index, self.num_classes, self.votes) for index in both]


def _train(out: Path, settings: TrainingSettings, data: _Data, say: Callable[[str], None]) -> None:
    tf = load_tensorflow()
    from minia_spark.delf import checkpoints, network, training  # noqa: PLC0415

    recipe = recipe_of(settings)
    last, problems = checkpoints.newest(out / CHECKPOINTS)
    for problem in problems:
        say(f"warning: {problem}; an older one is taken")
    if last is not None and last.step == settings.max_iters:
        return
    trainer = training.Trainer(recipe)
    if last is not None:
        trainer.restore(last)
        say(f"going on at step {last.step:,} of {settings.max_iters:,}")
    elif settings.imagenet_checkpoint is not None:
        layers = network.load_backbone(trainer.model, Path(settings.imagenet_checkpoint))
        say(f"ImageNet's weights of {layers} layers from {settings.imagenet_checkpoint}")
    else:
        say("training from scratch: no --imagenet-checkpoint was given")
    say(
        f"{len(data.training):,} images to learn from, {len(data.validation):,} to validate, "
        f"{data.num_classes} classes"
    )
    if not len(data.validation):
        say(f"warning: {settings.train} holds no validation-*: nothing is validated")
    reader, validating = data.readers()
    failures: list[Any] = []
    learnt_from = training.batches(reader, len(data.training), recipe, trainer.step, failures)
    tested_on = training.validation_batches(validating, len(data.validation), recipe, failures)
    writer = tf.summary.create_file_writer(str(out / _LOGS))
    with _told_by_us(failures, settings.train), writer.as_default():
        for means, scores in trainer.train(learnt_from):
            for name, value in means.items():
                tf.summary.scalar(name, value, trainer.step)
            for name, value in training.attention_figures(scores).items():
                tf.summary.scalar(f"attention/{name}", value, trainer.step)
            say(_line(trainer.step, settings.max_iters, means))
            if trainer.step % settings.checkpoint_every and trainer.step != settings.max_iters:
                continue
            validated = None
            if len(data.validation):
                validated = trainer.validate(tested_on)
                _record(tf, validated, trainer.step)
                say(_validated_line(validated))
            _checkpoint(out, trainer, settings, data, validated)
            writer.flush()


@contextlib.contextmanager
def _told_by_us(failures: list[Any], place: str) -> Iterator[None]:
    """Say what is wrong with a record, where TensorFlow says that a function failed."""
    tf = load_tensorflow()
    try:
        yield
    except tf.errors.OpError as error:
        if failures:
            raise failures[0] from None
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise MiniaError(
                "the memory does not hold a step: train with a smaller --batch-size, "
                f"--image-size, --width or --depth ({error.message.splitlines()[0]})"
            ) from None
        if isinstance(error, tf.errors.InvalidArgumentError):
            raise InputError(
                f"an image of {place} cannot be decoded as a JPEG image: "
                f"{error.message.splitlines()[0]}"
            ) from None
        raise


def _line(step: int, steps: int, means: Mapping[str, float]) -> str:
    return (
        f"step {step:,} of {steps:,}: loss {means['loss/total']:.4f} (descriptor "
        f"{means['loss/descriptor']:.4f}, attention {means['loss/attention']:.4f}, reconstruction "
        f"{means['loss/reconstruction']:.4f}), accuracy {means['accuracy/descriptor']:.3f} and "
        f"{means['accuracy/attention']:.3f}, {means['images_per_second']:.1f} images a second"
    )


def _validated_line(found: Validated) -> str:
    return (
        f"validated on {found.images:,} images: loss {found.losses['total']:.4f}, accuracy "
        f"{found.accuracies['descriptor']:.3f} and {found.accuracies['attention']:.3f}"
    )


def _record(tf: Any, found: Validated, step: int) -> None:
    for name, value in found.losses.items():
        tf.summary.scalar(f"validation/loss/{name}", value, step)
    for name, value in found.accuracies.items():
        tf.summary.scalar(f"validation/accuracy/{name}", value, step)


def _checkpoint(
    out: Path,
    trainer: Trainer,
    settings: TrainingSettings,
    data: _Data,
    validated: Validated | None,
) -> None:
    """Write a checkpoint, then the manifest that tells of it."""
    from minia_spark.delf import checkpoints  # noqa: PLC0415

    arrays = trainer.arrays()
    told = {
        "step": trainer.step,
        "settings": settings.model_dump(mode="json"),
        "data": {
            "classes": data.classes or data.num_classes,
            "training_images": len(data.training),
            "validation_images": len(data.validation),
        },
        "validation": None
        if validated is None
        else {"losses": validated.losses, "accuracies": validated.accuracies},
        "weights": checkpoints.hash_of(
            {n: a for n, a in arrays.items() if n.startswith("weights")}
        ),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    checkpoints.write(out / CHECKPOINTS, trainer.step, arrays, {"told": told})
    with whole_file(out / MANIFEST) as file:
        file.write(json.dumps(told, indent=1).encode())
