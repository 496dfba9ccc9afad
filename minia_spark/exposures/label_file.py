"""CSV files that say what cells, or exposures, are like."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from minia_spark.base.errors import InputError
from minia_spark.base.files import open_regular

__all__ = ["RESERVED", "LabelFile", "read_labels"]

RESERVED = "dead"
"""What CCDs without a source are called."""
_QUALITY = re.compile(r"[ -~]{1,60}")


@dataclass(frozen=True)
class LabelFile:
    """What a file of labels says.

    Attributes
    ----------
    cells : dict
        Cell to label; empty where exposures are labelled.
    exposures : dict
        exposure_id to label; empty where cells are.
    """

    cells: dict[int, str]
    exposures: dict[str, str]


def read_labels(path: Path) -> LabelFile:
    """Read a CSV file with the columns ``cell,quality`` or ``exposure_id,quality``.

    Other columns are allowed. A row without a quality labels nothing.

    Raises
    ------
    InputError
        It cannot be read, lacks a column, holds no label, or a row cannot be understood or
        contradicts another: the message names its line.
    """
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"labels {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"labels {path} cannot be read: it is no text in UTF-8") from None
    reader = csv.DictReader(text.splitlines())
    names = [name.strip() for name in reader.fieldnames or ()]
    key = next((name for name in ("cell", "exposure_id") if name in names), None)
    if {"cell", "exposure_id"} <= set(names):
        raise InputError(f"labels {path} must have the column 'cell' or 'exposure_id', not both")
    if key is None or "quality" not in names:
        raise InputError(
            f"labels {path} must have the columns 'cell' or 'exposure_id', and 'quality'; it has "
            f"{', '.join(names) or 'none'}"
        )
    reader.fieldnames = names
    found: dict[str, str] = {}
    for row in reader:
        name, quality = (row[key] or "").strip(), (row["quality"] or "").strip()
        if not quality:
            continue
        where = f"labels {path}, line {reader.line_num}"
        if not _QUALITY.fullmatch(quality) or quality == RESERVED:
            raise InputError(
                f"{where}: {quality[:70]!r} is no label: 1 to 60 printable ASCII characters, not "
                f"{RESERVED!r}"
            )
        if key == "cell" and not re.fullmatch(r"[0-9]{1,4}", name):
            raise InputError(f"{where}: {name[:70]!r} is no cell: a whole number from 0")
        name = str(int(name)) if key == "cell" else name
        if found.setdefault(name, quality) != quality:
            raise InputError(f"{where}: {key} {name} is {found[name]!r} in an earlier line")
    if not found:
        raise InputError(f"labels {path} holds no label")
    if key == "cell":
        return LabelFile({int(name): quality for name, quality in found.items()}, {})
    return LabelFile({}, found)
