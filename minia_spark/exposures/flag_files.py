"""Flags as text: a table in CSV, and FITS keywords."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from astropy.io import fits

from minia_spark.base.spreadsheet import inert, inert_path

__all__ = ["as_csv", "as_keywords"]

_COLUMNS = ("batch", "exposure_id", "ccd", "cell", "quality", "confidence")


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows of table ``flags`` as CSV; the row of a whole exposure has no ccd.

    Texts that a spreadsheet would run are made inert.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        told = {name: row[name] for name in _COLUMNS}
        told["exposure_id"] = inert_path(told["exposure_id"])
        for name in ("ccd", "quality"):
            told[name] = None if told[name] is None else inert(told[name])
        writer.writerow("" if value is None else value for value in told.values())
    return out.getvalue()


def as_keywords(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows of table ``flags`` as FITS keywords, for programs that edit headers.

    A block begins with a comment line, ``# exposure_id`` or, for a CCD, ``# exposure_id[hdu]``;
    then come cards of 80 characters: ``MIQUAL`` (quality), ``MICONF`` (confidence) and
    ``MICELL`` (cell of the map). What is not known has no card.
    """
    lines = []
    for row in rows:
        of_ccd = "" if row["hdu"] is None else f"[{row['hdu']}]"
        lines.append(f"# {row['exposure_id']}{of_ccd}")
        cards = (
            ("MIQUAL", row["quality"], "quality, by minia"),
            (
                "MICONF",
                None if row["confidence"] is None else round(row["confidence"], 4),
                "confidence, 0 to 1",
            ),
            ("MICELL", row["cell"], "cell of the map of exposures"),
        )
        lines += [str(fits.Card(*card)) for card in cards if card[1] is not None]
    return "".join(f"{line}\n" for line in lines)
