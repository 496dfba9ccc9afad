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
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import SettingsError
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
    bytes_a_pixel : int
        Memory that extracting takes, for a pixel of the image.
    is_scored : bool
        Whether `response` is a score that exports carry.
    """

    name: str
    module: str
    dtype: str
    dimension: Callable[[FeaturesSettings], int]
    bytes_a_pixel: int
    is_scored: bool = False

    def options(self, settings: FeaturesSettings) -> dict[str, Any]:
        """Return the keyword arguments of the extractor's class."""
        own: dict[str, Any] = getattr(settings, self.name).model_dump()
        common = ("median_filter", "background_mask", "max_features", "max_pixels")
        if self.name == "surf":
            own["implementation"] = implementation_of(settings)
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
        return told


_KNOWN = {
    "sift": Description(
        name="sift",
        module="minia_spark.features.sift:SiftExtractor",
        dtype="|u1",
        dimension=lambda _: 128,
        bytes_a_pixel=230,
    ),
    "surf": Description(
        name="surf",
        module="minia_spark.features.surf:SurfExtractor",
        dtype="<f4",
        dimension=lambda settings: 128 if settings.surf.extended else 64,
        bytes_a_pixel=120,
    ),
    "imported": Description(
        name="imported",
        module="",
        dtype="<f4",
        dimension=lambda _: 128,
        bytes_a_pixel=0,
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
        told = told_of_descriptors(warehouse.storage, warehouse.catalogue(), variant) or {}
        theirs = told.get("implementation", here)
        if theirs != here and settings.of(FeaturesSettings).surf.implementation == "auto":
            raise SettingsError(
                f"the SURF features of this warehouse are by {theirs}, and this machine would take "
                f"{here}, whose descriptors have no words in common with them: "
                f"--set features.surf.implementation={theirs} goes on with them"
            )
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
    """Make the extractor of a name with its part of the settings."""
    known = extractor_of(name)
    return make(known.module, **known.options(settings))


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
