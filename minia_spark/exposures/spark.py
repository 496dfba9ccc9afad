"""FITS for Spark: a data source with a row, and a partition, an image extension.

It needs nothing of this project but itself::

    from minia_spark.exposures.spark import FitsSource
    spark.dataSource.register(FitsSource)
    images = spark.read.format("fits").load("/data/night1")

Spark's own ``binaryFile`` gives whole files, of at most 2 GiB, each decoded by one task; here every
CCD of an exposure is a task of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from minia_spark.base.errors import InputError, Rejected, SettingsError
from minia_spark.images.exposure import (
    EXPOSURE_ENDINGS,
    Ccd,
    ccds,
    is_packed,
    open_exposure,
    read_ccd,
)
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of
from minia_spark.images.listing import list_folder
from minia_spark.images.reasons import Reason

__all__ = ["SCHEMA", "FitsSource", "extensions_of"]

SCHEMA = (
    "exposure_id string, hdu int, ccd string, width int, height int, exposure_seconds double, "
    "filter string, mjd double, object string, header map<string,string>, pixels array<float>, "
    "reason string, detail string"
)
"""Of all columns; a schema that is asked for may leave any out, and pixels are then not read."""

_FACTS = (("exposure_seconds", "EXPTIME"), ("mjd", "MJD-OBS"))
_TEXTS = (("filter", "FILTER"), ("object", "OBJECT"))
_AT_ONCE = 8  # files whose headers the driver reads at the same time
_OPTIONS = {"path", "maxpixels", "maxbytes"}


class _Part(InputPartition):
    """One image extension; `hdu` None stands for all of a file."""

    def __init__(self, path: str, exposure_id: str, hdu: int | None) -> None:
        self.path, self.exposure_id, self.hdu = path, exposure_id, hdu


@dataclass(frozen=True)
class _Limits:
    pixels: int
    bytes: int


class FitsSource(DataSource):
    """Spark's data source ``fits``: images of FITS files, plain or packed by fpack, gzip or bzip2.

    ``load(PATH)`` takes a file or a folder, which is searched recursively for names that end in
    .fits, .fit or .fts, also with .fz, .gz or .bz2.

    A row is an image extension of two dimensions: ``exposure_id`` (path below the folder), ``hdu``
    (0 is the primary one), ``ccd`` (EXTNAME, else the number), ``width`` and ``height`` in pixels,
    ``exposure_seconds`` (EXPTIME), ``filter``, ``mjd`` (MJD-OBS), ``object``, ``header`` (all
    keywords, those of the primary extension included) and ``pixels``, row after row, scaled by
    BSCALE and BZERO; missing ones are NaN. What cannot be read is a row with ``reason`` and
    ``detail`` in place of pixels: tables, cubes, empty extensions, damage. Ask for a schema without
    ``pixels`` to look at headers only.

    Every image of a plain or fpacked file is a partition of its own; files packed as a whole by
    gzip or bzip2 are a partition each, because any part of them means unpacking from the start.

    Options: ``maxPixels`` of an image (default 400,000,000), ``maxBytes`` that a gzip or bzip2 file
    may unpack to (default 4 GiB). Others are an error.
    """

    @classmethod
    def name(cls) -> str:
        """Return what ``spark.read.format`` takes."""
        return "fits"

    def schema(self) -> str:
        """Return all columns."""
        return SCHEMA

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return what reads some columns.

        Raises
        ------
        SettingsError
            An option or a column is unknown or of another type, or there is not one path of a
            folder or file that is mounted here.
        """
        if "paths" in self.options:
            raise SettingsError("FITS takes one path: load the folder that holds them all")
        unknown = sorted(set(self.options) - _OPTIONS)
        if unknown:
            raise SettingsError(f"FITS has no option {unknown[0]}; there are maxPixels, maxBytes")
        path = self.options.get("path")
        if not path:
            raise SettingsError('FITS needs a path: spark.read.format("fits").load("folder")')
        columns = dict(field.split(" ") for field in SCHEMA.split(", "))
        for field in schema.fields:
            if columns.get(field.name) != field.dataType.simpleString():
                asked = f"{field.name} {field.dataType.simpleString()}"
                raise SettingsError(f"FITS has no column {asked}; columns: {SCHEMA}")
        limits = _Limits(self._number("maxPixels", 400_000_000), self._number("maxBytes", 4 << 30))
        return _Reader(_place(path), schema, limits)

    def _number(self, name: str, default: int) -> int:
        text = self.options.get(name, str(default))
        if not text.isdecimal() or not int(text):
            raise SettingsError(f"FITS option {name} must be a whole number above 0, got {text!r}")
        return int(text)


def _place(path: str) -> Path:
    """Return the path that Spark was given, as it writes those of this machine."""
    if path.startswith("file:"):
        path = path.removeprefix("file:")
        return Path("/" + path.lstrip("/")) if path.startswith("/") else Path(path)
    if "://" in path:
        raise SettingsError(f"FITS reads what is mounted on every worker, which {path} is not")
    return Path(path)


class _Reader(DataSourceReader):
    def __init__(self, place: Path, schema: StructType, limits: _Limits) -> None:
        self._place, self._schema, self._limits = place, schema, limits

    def partitions(self) -> Sequence[InputPartition]:
        files = list(_files(self._place))
        if not files:
            ends = ", ".join(EXPOSURE_ENDINGS[:3])
            raise InputError(f"{self._place} holds no FITS file; names end in {ends} (.fz, .gz)")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(self._parts_of, files)
            return [part for parts in found for part in parts]

    def _parts_of(self, file: tuple[Path, str]) -> list[_Part]:
        path, exposure_id = file
        limits = {"max_pixels": self._limits.pixels, "max_bytes": self._limits.bytes}
        return [_Part(str(path), exposure_id, n) for n in extensions_of(path, **limits)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, _Part)
        schema = to_arrow_schema(self._schema, timezone="UTC")
        for row in _rows(partition, self._limits, pixels="pixels" in self._schema.names):
            yield pa.RecordBatch.from_pylist([{n: row.get(n) for n in schema.names}], schema)


def extensions_of(path: Path, *, max_pixels: int, max_bytes: int) -> list[int | None]:
    """Return the numbers of a file's image extensions, each to be read by a task of its own.

    None stands for all of a file: one that is packed as a whole, has no image, or cannot be read,
    which the task that reads it finds out for itself.
    """
    try:
        if is_packed(path):
            return [None]
        with open_exposure(path, max_bytes=max_bytes) as hdus:
            found = ccds(hdus, max_pixels=max_pixels)
            return [one.hdu if isinstance(one, Ccd) else one[0] for one in found] or [None]
    except (Rejected, OSError):
        return [None]


def _files(place: Path) -> Iterator[tuple[Path, str]]:
    if place.is_file():
        yield place, image_id_of(os.fsencode(place.name))
        return
    ends = tuple(end.encode() for end in EXPOSURE_ENDINGS)
    for one in sorted(list_folder(place), key=lambda listed: listed.path):
        if one.path.lower().endswith(ends):
            yield place / os.fsdecode(one.path), image_id_of(one.path)


def _rows(part: _Part, limits: _Limits, *, pixels: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of a partition: images, and why there is none."""
    told = 0
    try:
        with open_exposure(Path(part.path), max_bytes=limits.bytes) as hdus:
            for one in ccds(hdus, max_pixels=limits.pixels):
                number = one.hdu if isinstance(one, Ccd) else one[0]
                if part.hdu not in (None, number):
                    continue
                told += 1
                if isinstance(one, Ccd):
                    yield _row(part, one, hdus, pixels=pixels)
                else:
                    yield _refused(part, number, one[1])
                if part.hdu is not None:
                    return
        if not told:
            raise Reason.NO_IMAGE_DATA.reject("The file has headers only, and no image.")
    except Rejected as verdict:
        yield _refused(part, part.hdu, verdict)
    except OSError as error:
        yield _refused(
            part, part.hdu, Reason.UNREADABLE.reject(f"The file cannot be read: {sentence(error)}")
        )


def _row(part: _Part, ccd: Ccd, hdus: Any, *, pixels: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {column: _number(ccd.header.get(key)) for column, key in _FACTS}
    facts |= {column: ccd.header.get(key) for column, key in _TEXTS}
    row = {
        "exposure_id": part.exposure_id,
        "hdu": ccd.hdu,
        "ccd": ccd.name,
        "width": ccd.width,
        "height": ccd.height,
        "header": list(ccd.header.items()),
        **facts,
    }
    if pixels:
        try:
            row["pixels"] = read_ccd(hdus, ccd.hdu).ravel()
        except Rejected as verdict:
            row |= {"reason": verdict.reason, "detail": verdict.detail}
    return row


def _refused(part: _Part, hdu: int | None, verdict: Rejected) -> dict[str, Any]:
    return {
        "exposure_id": part.exposure_id,
        "hdu": hdu,
        "reason": verdict.reason,
        "detail": verdict.detail,
    }


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
