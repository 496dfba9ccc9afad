"""Sources of images: what is there, and whether it changed; without Spark."""

from __future__ import annotations

import hashlib
import os

from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.settings import Settings
from minia_spark.engine.sources import entries_of, title_of
from minia_spark.engine.stage import Source
from minia_spark.images.listing import ListingDigest
from minia_spark.images.reader import open_regular
from minia_spark.ingest.labels import check_labels
from minia_spark.ingest.settings import IngestSettings

__all__ = ["source_digest"]


def source_digest(source: Source, settings: Settings) -> str:
    """Return what tells whether a batch's folder or its labels changed since it was ingested.

    Names, sizes and times of the files, not their content: the content is hashed when it is read,
    and later stages go by that.

    Raises
    ------
    InputError
        The folder or the labels cannot be read, or the folder is empty.
    """
    ingest = settings.of(IngestSettings)
    digest = ListingDigest()
    for listed in entries_of(source, follow_links_outside=ingest.follow_links_outside):
        digest.add(listed.path, listed.size_bytes, listed.mtime_ns)
    if digest.entries == 0:
        raise InputError(
            f"{title_of(source)} holds no files; expected are JPEG, PNG, TIFF, FITS, Parquet "
            "or HDF5 files or archives of images, also in folders below it"
        )
    root = hashlib.sha256(os.fsencode(source.place.resolve())).hexdigest()
    return f"{root}:{digest.hexdigest()}:{_labels_digest(ingest)}"


def _labels_digest(settings: IngestSettings) -> str:
    """Return a digest of the labels, after a look at them: before Spark starts is early enough."""
    file = settings.labels.file
    if file is None:
        return "none"
    check_labels(file, **settings.labels.columns())
    try:
        with open_regular(os.fsencode(file)) as labels:
            return hashlib.file_digest(labels, "sha256").hexdigest()
    except (Rejected, OSError) as error:
        said = error.detail if isinstance(error, Rejected) else error
        raise InputError(f"labels {file} cannot be read: {said}") from None
