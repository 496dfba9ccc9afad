"""Sources of batches: folders, lists of files, archives; what is there, without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from minia_spark.base.errors import InputError
from minia_spark.engine.stage import Source
from minia_spark.images.identity import image_id_of
from minia_spark.images.listing import Listed, list_file, list_files, list_folder
from minia_spark.images.reader import is_file_of_images

__all__ = ["count_of_source_digest", "entries_of", "holds", "refuse_own_warehouse", "title_of"]


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


def holds(source: Source, warehouse: Path | None) -> bool:
    """Tell whether images are looked for in a folder that is, or holds, a local warehouse.

    Names that begin with a dot are not looked into. None is a warehouse elsewhere.
    """
    if warehouse is None or source.files is not None or not source.place.is_dir():
        return False
    place = Path(os.path.realpath(warehouse))
    top = Path(os.path.realpath(source.place))
    if not place.is_relative_to(top):
        return False
    return not any(name.startswith(".") for name in place.relative_to(top).parts)


def refuse_own_warehouse(source: Source, warehouse: Path | None) -> None:
    """Raise InputError where a source holds the warehouse that it is to go into."""
    if holds(source, warehouse):
        raise InputError(
            f"the warehouse {warehouse} lies in {title_of(source)}, so that pictures of its own "
            "page would become images: keep it elsewhere, or call it by a name that begins with a "
            "dot"
        )


def title_of(source: Source) -> str:
    """Return how a source is called in messages: its path, fit to print."""
    return image_id_of(os.fsencode(source.files or source.place))


def count_of_source_digest(digest: str) -> int:
    """Return how many entries the folder had that a digest is of."""
    return int(digest.split(":")[1].rpartition("-")[2])
