"""Sources of batches: folders, lists of files, archives; what is there, without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from minia_spark.base.errors import InputError
from minia_spark.engine.stage import Source
from minia_spark.images.identity import image_id_of
from minia_spark.images.listing import Listed, list_file, list_files, list_folder
from minia_spark.images.reader import is_file_of_images

__all__ = ["count_of_source_digest", "entries_of", "title_of"]


def entries_of(source: Source, *, follow_links_outside: bool) -> Iterator[Listed]:
    """Yield what a source holds: the files of a folder or of a list, or one file of images.

    Raises
    ------
    InputError
        It cannot be read, or is a single file that is neither an archive nor Parquet.
    """
    if source.place.is_file():
        if not is_file_of_images(source.place):
            raise InputError(
                f"{title_of(source)} is neither a folder nor an archive (.tar, .tar.gz, .zip) or "
                "Parquet file of images"
            )
        return list_file(source.place)
    if source.files is not None:
        return list_files(source.place, source.files, follow_links_outside=follow_links_outside)
    return list_folder(source.place, follow_links_outside=follow_links_outside)


def title_of(source: Source) -> str:
    """Return how a source is called in messages: its path, fit to print."""
    return image_id_of(os.fsencode(source.files or source.place))


def count_of_source_digest(digest: str) -> int:
    """Return how many entries the folder had that a digest is of."""
    return int(digest.split(":")[1].rpartition("-")[2])
