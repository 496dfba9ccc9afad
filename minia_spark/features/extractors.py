"""The extractors there are: what is known of each without loading it, and how it is made.

A new one is a module with a class of the shape of :class:`.extractor.Extractor` and a line in
`_KNOWN`. Nothing here loads OpenCV or a network: plans and schemas need dimension, type and memory
law only.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import SettingsError
from minia_spark.base.networks import require_tensorflow
from minia_spark.features.delf_model import (
    SCALES,
    Manifest,
    known_manifest,
    read_manifest,
    read_pca,
)
from minia_spark.features.extractor import Extractor
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.told import told_of_descriptors

if TYPE_CHECKING:
    from minia_spark.engine.settings import Settings
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "EXTRACTORS",
    "Description",
    "check_extracted",
    "create",
    "extractor_of",
    "implementation_of",
    "make",
]

# DELF where the network is not there to ask: ResNet50 to its fourth stage
_DELF_DIMENSION = 128
_DELF_PRODUCTS = 62_000.0
_TENSORFLOW_BYTES = 750 << 20
_FLAT_BYTES = 30.0
_NETWORK_BYTES = 270.0


@dataclass(frozen=True)
class Description:
    """What is known of an extractor without loading it.

    Attributes
    ----------
    name : str
        The variant's name.
    module : str
        ``module:class``, imported where images are extracted; empty where features are only
        imported: then type and dimension are assumptions for plans.
    dtype : str
        Type of a descriptor's numbers, as NumPy writes it.
    dimension : callable
        From the settings to the numbers of a descriptor.
    task_bytes : callable
        From the settings and the pixels of an image to the memory that extracting takes.
    products : callable or None
        From the settings to the multiplications that a pixel of an image takes, where these are
        the cost; None: it costs what SIFT does.
    is_scored : bool
        Whether `response` is a score that exports carry.
    on_device : bool
        Whether it is told which cores and which GPU a task has.
    """

    name: str
    module: str
    dtype: str
    dimension: Callable[[FeaturesSettings], int]
    task_bytes: Callable[[FeaturesSettings, float], float]
    products: Callable[[FeaturesSettings], float] | None = None
    is_scored: bool = False
    on_device: bool = False

    def options(self, settings: FeaturesSettings) -> dict[str, Any]:
        """Return the keyword arguments of the extractor's class."""
        own: dict[str, Any] = getattr(settings, self.name).model_dump()
        common = ("median_filter", "background_mask", "max_features", "max_pixels")
        if self.name == "surf":
            own["implementation"] = implementation_of(settings)
        if self.name == "delf":
            own = _options_of_delf(settings)
        return own | {name: getattr(settings, name) for name in common}

    def layout(self, settings: FeaturesSettings) -> dict[str, Any]:
        """Return what stands in the metadata of column ``descriptors``."""
        told = {
            "extractor": self.name,
            "dtype": self.dtype,
            "dimension": self.dimension(settings),
            "scored": self.is_scored,
        }
        if self.name == "surf":
            told["implementation"] = implementation_of(settings)
        if self.name == "delf":
            told["model"] = _manifest(settings).weights
        return told


def _manifest(settings: FeaturesSettings) -> Manifest:
    """Return the manifest of the network; SettingsError where there is none."""
    if settings.delf.model is None:
        raise SettingsError(
            "features.extractors names delf, which needs a network: --set features.delf.model=DIR, "
            "a folder that 'minia delf export' wrote"
        )
    return read_manifest(Path(settings.delf.model))


def _chosen(
    settings: FeaturesSettings, manifest: Manifest | None, name: str, usual: Any = None
) -> Any:
    """Return a parameter of DELF: as it is set, else as the model says, else the usual one."""
    own = getattr(settings.delf, name)
    return getattr(manifest, name, usual) if own is None else own


def _options_of_delf(settings: FeaturesSettings) -> dict[str, Any]:
    manifest, own = _manifest(settings), settings.delf
    assert own.model is not None
    return {
        "model": str(Path(own.model).absolute()),
        "weights": manifest.weights,
        "scales": list(_chosen(settings, manifest, "scales")),
        "threshold": _chosen(settings, manifest, "threshold"),
        "limit": _chosen(settings, manifest, "max_features"),
        "nms_iou": _chosen(settings, manifest, "nms_iou"),
        "pca": None if own.pca is None else str(Path(own.pca).absolute()),
        "batch_pixels": own.batch_pixels,
    }


def _dimension_of_delf(settings: FeaturesSettings) -> int:
    """Return the numbers of a descriptor; 128 where the network is not there to ask."""
    if settings.delf.pca is not None:
        return len(read_pca(Path(settings.delf.pca)).matrix)
    manifest = known_manifest(settings.delf.model)
    return _DELF_DIMENSION if manifest is None else manifest.dimension


def _products_of_delf(settings: FeaturesSettings) -> float:
    manifest = known_manifest(settings.delf.model)
    a_pixel = _DELF_PRODUCTS if manifest is None else manifest.multiplications
    scales: tuple[float, ...] = _chosen(settings, manifest, "scales", SCALES)
    return a_pixel * sum(scale * scale for scale in scales)


def _bytes_of_delf(settings: FeaturesSettings, pixels: float) -> float:
    """Return TensorFlow's own memory, and that of the largest batch."""
    manifest = known_manifest(settings.delf.model)
    scales: tuple[float, ...] = _chosen(settings, manifest, "scales", SCALES)
    largest = max(scales) ** 2 * pixels
    width = 1.0 if manifest is None else manifest.width
    batch = max(largest, min(settings.delf.batch_pixels, 32 * largest))
    return _TENSORFLOW_BYTES + batch * (_FLAT_BYTES + width * _NETWORK_BYTES)


_KNOWN = {
    "sift": Description(
        name="sift",
        module="minia_spark.features.sift:SiftExtractor",
        dtype="|u1",
        dimension=lambda _: 128,
        task_bytes=lambda _, pixels: 230 * pixels,
    ),
    "surf": Description(
        name="surf",
        module="minia_spark.features.surf:SurfExtractor",
        dtype="<f4",
        dimension=lambda settings: 128 if settings.surf.extended else 64,
        task_bytes=lambda _, pixels: 120 * pixels,
    ),
    "delf": Description(
        name="delf",
        module="minia_spark.features.delf:DelfExtractor",
        dtype="<f4",
        dimension=_dimension_of_delf,
        task_bytes=_bytes_of_delf,
        products=_products_of_delf,
        is_scored=True,
        on_device=True,
    ),
    "imported": Description(
        name="imported",
        module="",
        dtype="<f4",
        dimension=lambda _: 128,
        task_bytes=lambda _settings, _pixels: 0,
    ),
}
EXTRACTORS = tuple(_KNOWN)


def implementation_of(settings: FeaturesSettings) -> str:
    """Return who computes SURF: on the driver, once for all workers.

    Raises
    ------
    SettingsError
        The one that is asked for is not there, or none is.
    """
    from minia_spark.features.surf import available  # noqa: PLC0415 - only where SURF is wanted

    wanted, there = settings.surf.implementation, available()
    if wanted == "opencv" and wanted not in there:
        raise SettingsError(
            "features.surf.implementation: opencv is not possible, as the OpenCV that is installed "
            "was built without its non-free modules; auto takes mahotas then"
        )
    if not there or (wanted == "mahotas" and wanted not in there):
        raise SettingsError(
            "features.extractors names surf, which needs the package mahotas (or an OpenCV that "
            "was built with its non-free modules): pip install mahotas"
        )
    return there[0] if wanted == "auto" else wanted


def check_extracted(settings: Settings, warehouse: Warehouse, variant: str) -> None:
    """Raise SettingsError where a run would extract in vain.

    Features that only come in cannot be searched for; an implementation may be missing, or not be
    the one that made the features which are there: their descriptors have no words in common.
    """
    if variant == "surf":
        here = implementation_of(settings.of(FeaturesSettings))
        told = told_of_descriptors(warehouse, warehouse.catalogue(), variant) or {}
        theirs = told.get("implementation", here)
        if theirs != here and settings.of(FeaturesSettings).surf.implementation == "auto":
            raise SettingsError(
                f"the SURF features of this warehouse are by {theirs}, and this machine would take "
                f"{here}, whose descriptors have no words in common with them: "
                f"--set features.surf.implementation={theirs} goes on with them"
            )
    if variant == "delf":
        own = settings.of(FeaturesSettings)
        dimension = _manifest(own).dimension
        if own.delf.pca is not None:
            expected = len(read_pca(Path(own.delf.pca)).mean)
            if expected != dimension:
                raise SettingsError(
                    f"features.delf.pca: {own.delf.pca} projects {expected} numbers, and the "
                    f"network's descriptors have {dimension}"
                )
        require_tensorflow("features.extractors names delf, which")
    if not extractor_of(variant).module:
        raise SettingsError(
            f"features.extractors names {variant!r}: nothing extracts these from images; leave "
            "that to batches of 'minia import features', which need a warehouse of their own, or "
            "of the same kind of features"
        )


def extractor_of(name: str) -> Description:
    """Return what is known of an extractor; KeyError when there is none of this name."""
    return _KNOWN[name]


def create(settings: FeaturesSettings, name: str = "sift") -> Extractor:
    """Make the extractor of a name with its part of the settings, for one core."""
    known = extractor_of(name)
    here = {"threads": 1, "gpu": None} if known.on_device else {}
    return make(known.module, **known.options(settings), **here)


def make(module: str, **options: Any) -> Extractor:
    """Make an extractor, once in a process: workers are reused, and a network is costly to load.

    OpenCV is held to one thread, as Spark gives every core a task of its own.
    """
    return _made(module, json.dumps(options, sort_keys=True))


@functools.lru_cache(maxsize=4)
def _made(module: str, options: str) -> Extractor:
    import cv2  # noqa: PLC0415 - the driver makes no extractor

    cv2.setNumThreads(1)
    place, _, name = module.partition(":")
    extractor: Extractor = getattr(importlib.import_module(place), name)(**json.loads(options))
    return extractor
