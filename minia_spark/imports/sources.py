"""Features from elsewhere: whether the files changed, and what their beginning says; no Spark."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minia_spark.base.errors import InputError, Rejected, SettingsError
from minia_spark.engine.settings import Settings
from minia_spark.engine.sources import entries_of
from minia_spark.engine.stage import Source
from minia_spark.features.extractors import extractor_of
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.told import told_of_descriptors
from minia_spark.images.identity import image_id_of
from minia_spark.images.listing import ListingDigest
from minia_spark.images.reader import open_regular
from minia_spark.imports.lines import MAX_LINE_BYTES
from minia_spark.imports.rows import Form, dimension_of, form_of, is_whole, vectors_of
from minia_spark.ingest.settings import IngestSettings
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "Beginning",
    "Layout",
    "beginning_of",
    "layout_of",
    "natural_extractor",
    "source_digest",
    "stored_layout",
    "title_of",
]

_LOOKED_AT_BYTES = 1 << 20
_STORED = {"|u1": "whole numbers from 0 to 255", "<f4": "32-bit floats", None: "numbers"}


def source_digest(source: Source, settings: Settings) -> str:
    """Return what tells whether the files of features, or the images, changed.

    Names, sizes and times, not content.

    Raises
    ------
    InputError
        They cannot be read.
    """
    assert source.companion is not None
    digest, images = ListingDigest(), ListingDigest()
    for role, path in ((b"table", source.place), (b"matrix", source.companion)):
        with opened(path) as file:
            told = os.fstat(file.fileno())
        digest.add(role, told.st_size, told.st_mtime_ns)
    places = [source.place, source.companion]
    if source.images is not None:
        places.append(source.images)
        outside = settings.of(IngestSettings).follow_links_outside
        for listed in entries_of(Source(source.images), follow_links_outside=outside):
            images.add(listed.path, listed.size_bytes, listed.mtime_ns)
    roots = hashlib.sha256(b"\0".join(os.fsencode(place.resolve()) for place in places))
    return f"{roots.hexdigest()}:{digest.hexdigest()}:{images.hexdigest()}"


def title_of(path: Path) -> str:
    """Return how a file is called in messages: its path, fit to print."""
    return image_id_of(os.fsencode(path))


def opened(path: Path) -> Any:
    """Open a file without waiting for a pipe.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return open_regular(os.fsencode(path))
    except Rejected as rejected:
        said = rejected.detail.removeprefix("The system says: ")
        raise InputError(f"{title_of(path)} cannot be read: {said}") from None


@dataclass(frozen=True)
class Beginning:
    """What the beginning of the two files says.

    Attributes
    ----------
    form : Form
        With the dimension of the first descriptor.
    header_bytes : int
        Of the CSV file's first line.
    is_whole : bool
        The descriptors looked at are whole numbers from 0 to 255.
    """

    form: Form
    header_bytes: int
    is_whole: bool


def beginning_of(source: Source) -> Beginning:
    """Look at the header and at the first descriptors.

    Raises
    ------
    InputError
        They are not what they should be.
    """
    assert source.companion is not None
    title = title_of(source.place)
    with opened(source.place) as file:
        header = file.readline(MAX_LINE_BYTES)
    try:
        if len(header) == MAX_LINE_BYTES:
            raise ValueError(f"its first line has more than {MAX_LINE_BYTES:,} bytes")
        form = form_of(header.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise InputError(f"{title} is no CSV file of features: {error}") from None
    with opened(source.companion) as file:
        text = file.read(_LOOKED_AT_BYTES)
    lines = text.split(b"\n")
    if len(lines) > 1 or not text:
        lines.pop()  # empty, or cut off
    dimension = dimension_of(lines)
    if not dimension:
        raise InputError(
            f"{title_of(source.companion)} is no file of descriptors: none of its first "
            f"{len(lines):,} lines has numbers between spaces and nothing else"
        )
    vectors, problems = vectors_of(lines, dimension)
    good = [number for number in range(len(lines)) if number not in problems]
    whole = bool(is_whole(vectors[good]).all())
    return Beginning(replace(form, dimension=dimension), len(header), whole)


@dataclass(frozen=True)
class Layout:
    """How descriptors are stored, and whose they are.

    Attributes
    ----------
    extractor : str
    dimension : int
    dtype : str or None
        As NumPy writes it; None: what fits all descriptors.
    is_scored : bool
        Whether `response` is a score that exports carry.
    """

    extractor: str
    dimension: int
    dtype: str | None
    is_scored: bool

    def metadata(self, dtype: str) -> dict[str, Any]:
        """Return what stands in the metadata of column ``descriptors``."""
        return {
            "extractor": self.extractor,
            "dtype": dtype,
            "dimension": self.dimension,
            "scored": self.is_scored,
        }


def stored_layout(warehouse: Warehouse, state: Catalogue, extractor: str) -> Layout | None:
    """Return the layout of an extractor's features that are there; None where none are.

    Where a codebook outlived its features, it is that of descriptors which it can tell apart.
    """
    told = told_of_descriptors(warehouse, state, extractor)
    if told is not None:
        return Layout(
            told["extractor"], int(told["dimension"]), told["dtype"], bool(told["scored"])
        )
    for entry in state.of_table("codebooks", None, extractor):
        table = warehouse.rows_of([entry], ["centre", "scale"]).slice(0, 1)
        (word,) = table.to_pylist()
        whole = word["scale"] == 1  # the grid of whole numbers
        return Layout(extractor, len(word["centre"]), "|u1" if whole else "<f4", False)
    return None


def natural_extractor(beginning: Beginning) -> str:
    """Return whose descriptors these look like."""
    fits_sift = beginning.is_whole and beginning.form.dimension == 128
    return "sift" if fits_sift else "imported"


def layout_of(
    beginning: Beginning,
    extractor: str,
    settings: FeaturesSettings,
    there: Layout | None,
    title: str,
) -> Layout:
    """Return how features are to be stored.

    Parameters
    ----------
    beginning : Beginning
        Of the files.
    extractor : str
    settings : FeaturesSettings
    there : Layout or None
        Of the features that are in the warehouse already; those of a variant are all alike.
    title : str
        What the descriptors' file is called.

    Raises
    ------
    SettingsError
        The descriptors are not of this extractor.
    InputError
        They are not like those in the warehouse.
    """
    form = beginning.form
    kind = "all" if beginning.is_whole else "not all"
    these = f"{title} has descriptors of {form.dimension} numbers, {kind} whole ones from 0 to 255"
    if there is None and extractor_of(extractor).module:
        known = extractor_of(extractor)
        own = Layout(extractor, known.dimension(settings), known.dtype, known.is_scored)
        if form.dimension != own.dimension or not (beginning.is_whole or own.dtype == "<f4"):
            raise SettingsError(
                f"{these}; those of {extractor} are {own.dimension} {_STORED[own.dtype]}: "
                "--extractor imported takes others"
            )
        return replace(own, is_scored=own.is_scored and form.is_scored)
    if there is None:
        return Layout(extractor, form.dimension, None, form.is_scored)
    fits = form.dimension == there.dimension and (beginning.is_whole or there.dtype == "<f4")
    if not fits or (there.is_scored and not form.is_scored):
        without = ", without a score" if there.is_scored and not form.is_scored else ""
        raise InputError(
            f"{these}{without}; those in the warehouse are {there.dimension} "
            f"{_STORED[there.dtype]} of {there.extractor}{', with a score' if without else ''}: "
            "descriptors of different kinds have no words in common; give these a warehouse of "
            "their own"
        )
    return there
