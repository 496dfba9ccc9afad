"""What embeddings are computed with: checked before a run, and handed to the workers."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.base.networks import require_tensorflow
from minia_spark.embedding.files import RANDOM, sha256_of, side_file
from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.engine.settings import Settings, read_yaml
from minia_spark.engine.stage import fingerprint
from minia_spark.features.delf_model import read_manifest
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["RANDOM_WEIGHTS", "check", "fitted_to", "network_of", "read_side_file", "wants_anew"]

RANDOM_WEIGHTS = "embedding.resnet50.weights is random: the network was never trained"
"""What everybody who sees the result must know."""

_HERE = "minia_spark.embedding.network"
_REQUIRED = ("size", "order", "mean", "scale", "output", "sha256")
_OPTIONAL = ("layout", "fit", "stretch")
_CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}


def check(settings: Settings, warehouse: Warehouse, variant: str | None) -> None:
    """Raise SettingsError where embeddings of this kind cannot be computed.

    A network is loaded once, on the driver: what is wrong with its files is told before anything
    starts, and not by a worker.
    """
    if variant == "words":
        wanted = settings.of(EmbeddingSettings).words.extractor
        there = settings.get("features.extractors")
        if wanted not in there:
            raise SettingsError(
                f"embedding.words.extractor is {wanted}, and features.extractors are "
                f"{', '.join(there)}: --set embedding.words.extractor={there[0]}"
            )
        return
    assert variant is not None
    place, options = network_of(settings.of(EmbeddingSettings), variant)
    if variant == "onnx":
        _check_stretch(settings)
    from minia_spark.embedding.network import make  # noqa: PLC0415 - only where one is wanted

    try:
        make(place, 1, **options)
    except InputError as error:
        raise SettingsError(str(error)) from None


def network_of(settings: EmbeddingSettings, method: str) -> tuple[str, dict[str, Any]]:
    """Return the class of a method's network, as ``module:class``, and its arguments.

    Raises
    ------
    SettingsError
        The file of the network is not named, cannot be read, or is not what is said of it; or a
        package that it needs is not installed.
    """
    if method == "resnet50":
        return f"{_HERE}:ResnetNetwork", _resnet(settings)
    if method == "onnx":
        return f"{_HERE}:OnnxNetwork", _onnx(settings)
    return f"{_HERE}:DelfNetwork", _delf(settings)


def _resnet(settings: EmbeddingSettings) -> dict[str, Any]:
    own = settings.resnet50
    require_tensorflow("embedding.methods names resnet50, which")
    if own.weights is None:
        raise SettingsError(
            "embedding.methods names resnet50, which needs its weights: --set "
            "embedding.resnet50.weights=FILE, Keras' "
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 (ImageNet); 'random' takes "
            "weights that mean nothing, for trials"
        )
    return {
        "weights": own.weights,
        "sha256": _hash(own.weights, "embedding.resnet50.weights"),
        "batch_images": own.batch_images,
    }


def _onnx(settings: EmbeddingSettings) -> dict[str, Any]:
    own = settings.onnx
    if importlib.util.find_spec("onnxruntime") is None:
        raise SettingsError(
            "embedding.methods names onnx, which needs ONNX Runtime, and it is not installed: pip "
            "install 'minia-spark[networks]'"
        )
    if own.model is None:
        raise SettingsError(
            "embedding.methods names onnx, which needs a network: --set "
            "embedding.onnx.model=FILE.onnx, with FILE.yaml beside it"
        )
    told = read_side_file(side_file(own.model))
    found = _hash(own.model, "embedding.onnx.model")
    if found != told["sha256"]:
        raise SettingsError(
            f"embedding.onnx.model: {own.model} has the SHA-256 {found}, and its side file says "
            f"{told['sha256']}: it was copied in part, or is another network"
        )
    told.pop("stretch")
    return {"model": own.model, "batch_images": own.batch_images, **told}


def _delf(settings: EmbeddingSettings) -> dict[str, Any]:
    own = settings.delf
    require_tensorflow("embedding.methods names delf, which")
    if own.model is None:
        raise SettingsError(
            "embedding.methods names delf, which needs a network: --set embedding.delf.model=DIR, "
            "a folder that 'minia delf export' wrote"
        )
    weights = read_manifest(Path(own.model)).weights
    return {
        "model": own.model,
        "weights": weights,
        "side_px": own.side_px,
        "batch_images": own.batch_images,
    }


def _hash(path: str, setting: str) -> str:
    if path == RANDOM:
        return RANDOM
    try:
        return sha256_of(Path(path))
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error.strerror}") from None


# -- what is said of an ONNX file ------------------------------------------------------------------


def read_side_file(path: Path) -> dict[str, Any]:
    """Read what an ONNX file takes.

    YAML with the keys ``size`` (a number, or height and width, in pixels), ``order`` (rgb, bgr or
    grey), ``mean`` and ``scale`` (a number a channel; the network gets (pixel - mean) / scale, with
    pixels of 0 to 255), ``output`` (its name) and ``sha256`` (of the .onnx file). These may be left
    out: ``layout`` (nchw or nhwc; nchw), ``fit`` (squeeze the whole image into the size, or crop
    its middle; squeeze), ``stretch`` (how deeper counts must have become eight bits, e.g.
    zscale+asinh; any).

    Raises
    ------
    SettingsError
        It cannot be read, or a key is missing, unknown, or has a value that cannot be.
    """
    told = read_yaml(path, what="embedding.onnx.model: side file", holds="keys such as 'size:'")
    try:
        return _checked(told)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"embedding.onnx.model: side file {path}: {error}") from None


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(told) - {*_REQUIRED, *_OPTIONAL})
    missing = [name for name in _REQUIRED if name not in told]
    if unknown or missing:
        known = ", ".join((*_REQUIRED, *_OPTIONAL))
        parts = [f"unknown key {name!r}" for name in unknown]
        parts += [f"{name} is missing" for name in missing]
        raise ValueError(f"{'; '.join(parts)}; keys: {known}")
    size = told["size"] if isinstance(told["size"], list) else [told["size"]] * 2
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 4096 for n in size)
    if len(size) != 2 or not whole:
        raise ValueError(f"size is {told['size']!r}, not one or two whole numbers of 1 to 4096")
    found = {
        "size": size,
        "order": _one_of(told, "order", tuple(_CHANNELS)),
        "layout": _one_of(told, "layout", ("nchw", "nhwc")),
        "fit": _one_of(told, "fit", ("squeeze", "crop")),
        "output": told["output"],
        "sha256": told["sha256"],
        "stretch": told.get("stretch"),
    }
    channels = _CHANNELS[str(found["order"])]
    for name in ("mean", "scale"):
        values = told[name] if isinstance(told[name], list) else [told[name]] * channels
        real = all(isinstance(v, int | float) and math.isfinite(v) for v in values)
        if len(values) != channels or not real or (name == "scale" and 0 in values):
            raise ValueError(f"{name} is {told[name]!r}, not {channels} numbers, other than 0")
        found[name] = [float(v) for v in values]
    if not isinstance(found["output"], str) or not found["output"]:
        raise ValueError(f"output is {told['output']!r}, not a name")
    if not re.fullmatch(r"[0-9a-f]{64}", str(found["sha256"])):
        raise ValueError(f"sha256 is {told['sha256']!r}, not 64 hexadecimal digits")
    return found


def _one_of(told: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = told.get(name, choices[0])
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(choices)}")
    return str(value)


def _check_stretch(settings: Settings) -> None:
    own = settings.of(EmbeddingSettings).onnx
    assert own.model is not None
    wanted = read_side_file(side_file(own.model))["stretch"]
    here = f"{settings.get('ingest.fits_interval')}+{settings.get('ingest.fits_stretch')}"
    if wanted not in (None, here):
        raise SettingsError(
            f"embedding.onnx.model: {own.model} was made for images that were stretched by "
            f"{wanted}, and ingest.fits_interval and ingest.fits_stretch are {here}; set them so, "
            "or leave 'stretch' out of the side file where no image has more than eight bits"
        )


# -- what is frozen --------------------------------------------------------------------------------


def fitted_to(settings: Settings, view: Catalogue, method: str) -> str:
    """Return a hash of all that weights and components are fitted to."""
    table, variant = "scaled_pixels", method
    if method == "words":
        table, variant = "words", settings.of(EmbeddingSettings).words.extractor
    return fingerprint([(e.batch, e.digest) for e in view.of_table(table, None, variant)])


def wants_anew(
    settings: Settings, warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether fitting weights and components anew would give others than those there."""
    assert variant is not None
    there = view.of_table("embedding_models", None, variant)
    return not any(e.digest.endswith(fitted_to(settings, view, variant)) for e in there)
