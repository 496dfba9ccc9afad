"""Folders of exposures: what is there, and whether it changed; without Spark."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.base.networks import require_tensorflow
from minia_spark.desom.files import identity_of
from minia_spark.desom.settings import DesomSettings, MapSettings
from minia_spark.engine.settings import Settings
from minia_spark.engine.sources import title_of
from minia_spark.engine.stage import Source, fingerprint
from minia_spark.images.exposure import EXPOSURE_ENDINGS
from minia_spark.images.listing import Listed, ListingDigest, list_file, list_files, list_folder
from minia_spark.ingest.settings import IngestSettings
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "check_cutout_map",
    "check_exposure_map",
    "check_networks",
    "listed",
    "source_digest",
    "training_digest",
    "wants_new_cutout_map",
    "wants_new_exposure_map",
]

_ENDS = tuple(ending.encode() for ending in EXPOSURE_ENDINGS)


def listed(source: Source, *, follow_links_outside: bool) -> Iterator[Listed]:
    """Yield the exposures of a source: files of a folder or list by their names, or one file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if source.place.is_file():
        yield from list_file(source.place)
        return
    outside = {"follow_links_outside": follow_links_outside}
    if source.files is not None:
        entries = list_files(source.place, source.files, **outside)
    else:
        entries = list_folder(source.place, **outside)
    yield from (entry for entry in entries if entry.path.lower().endswith(_ENDS))


def source_digest(source: Source, settings: Settings) -> str:
    """Return what tells whether a folder of exposures changed: names, sizes and times of its files.

    Raises
    ------
    InputError
        It cannot be read, or holds no exposure.
    """
    digest = ListingDigest()
    outside = settings.of(IngestSettings).follow_links_outside
    for entry in listed(source, follow_links_outside=outside):
        digest.add(entry.path, entry.size_bytes, entry.mtime_ns)
    if digest.entries == 0:
        raise InputError(
            f"{title_of(source)} holds no exposure: FITS files whose names end in "
            f"{', '.join(EXPOSURE_ENDINGS[:3])}, also with .fz, .gz or .bz2 after it"
        )
    root = hashlib.sha256(os.fsencode(source.place.resolve())).hexdigest()
    return f"{root}:{digest.hexdigest()}:exposures"


def training_digest(view: Catalogue, table: str) -> str:
    """Return what tells whether a map would be trained on the batches that it was trained on."""
    return fingerprint(sorted((e.batch or "", e.digest) for e in view.of_table(table)))


def wants_new_cutout_map(
    _settings: Settings, _warehouse: Warehouse, view: Catalogue, _variant: str | None
) -> bool:
    """Tell whether training anew would give another map of cutouts than the one that is there."""
    wanted = training_digest(view, "cutouts")
    return [e.digest for e in view.of_table("cutout_training")] != [wanted]


def wants_new_exposure_map(
    _settings: Settings, _warehouse: Warehouse, view: Catalogue, _variant: str | None
) -> bool:
    """The same for the map of exposures."""
    wanted = training_digest(view, "cells")
    return [e.digest for e in view.of_table("exposure_training")] != [wanted]


def check_networks(_settings: Settings, _warehouse: Warehouse, _variant: str | None) -> None:
    """Raise SettingsError where TensorFlow is not installed."""
    require_tensorflow("the map of exposures")


def check_cutout_map(settings: Settings, warehouse: Warehouse, variant: str | None) -> None:
    """Raise SettingsError where the map of cutouts could not be made."""
    _check_weights("cutouts", settings.of(DesomSettings).cutouts)
    check_networks(settings, warehouse, variant)


def check_exposure_map(settings: Settings, warehouse: Warehouse, variant: str | None) -> None:
    """Raise SettingsError where the map of exposures could not be made."""
    _check_weights("exposures", settings.of(DesomSettings).exposures)
    check_networks(settings, warehouse, variant)


def _check_weights(what: str, settings: MapSettings) -> None:
    if settings.weights is not None and identity_of(Path(settings.weights)) is None:
        raise SettingsError(
            f"desom.{what}.weights: {settings.weights} cannot be read: give a folder that minia "
            "published or a legacy HDF5 file of Keras"
        )
