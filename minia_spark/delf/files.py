"""Folders of images, and lists that are written beside results."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from minia_spark.base.errors import InputError
from minia_spark.base.files import whole_file
from minia_spark.base.spreadsheet import inert

__all__ = ["names_in", "write_table"]


def names_in(folder: Path) -> frozenset[str]:
    """Return the names of what is in a folder; InputError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}") from None


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all, in which no text is a formula to a spreadsheet."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([inert(str(field)) for field in row] for row in rows)
        text.detach()
