"""Classes of galaxies by name, and how an image finds its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from minia_spark.base.errors import InputError
from minia_spark.ingest.labels import match_keys

__all__ = ["ClassCatalogue", "catalogue_of"]

_LEVELS = ("path", "name", "stem")


@dataclass(frozen=True)
class ClassCatalogue:
    """Class strings under the three names that a row of a table may call an image.

    Attributes
    ----------
    by : mapping
        ``path``, ``name`` or ``stem`` to (key to class); a class of None stands for a key that
        rows of different classes have.
    rows : int
        That were read.
    """

    by: Mapping[str, Mapping[str, str | None]]
    rows: int

    def find(self, image_id: str) -> tuple[str | None, bool]:
        """Return (class or None, whether rows of different classes could be meant)."""
        keys = match_keys(image_id)
        for level in _LEVELS:
            key = getattr(keys, level)
            if key in self.by[level]:
                found = self.by[level][key]
                return found, found is None
        return None, False


def catalogue_of(rows: Iterable[tuple[str, str, str, str, str | None]]) -> ClassCatalogue:
    """Make a catalogue.

    Parameters
    ----------
    rows : iterable of (key, path, name, stem, class)
        Rows without a class are left out.

    Raises
    ------
    InputError
        Two rows give the same key different classes.
    """
    by: dict[str, dict[str, str | None]] = {level: {} for level in _LEVELS}
    seen: dict[str, str] = {}
    count = 0
    for key, *names, value in rows:
        count += 1
        plain = (value or "").strip()
        if not plain:
            continue
        if seen.setdefault(key, plain) != plain:
            raise InputError(
                f"the table of classes gives {key!r} two classes, {seen[key]!r} and {plain!r}: "
                "leave one of the rows out"
            )
        for level, name in zip(_LEVELS, names, strict=True):
            known = by[level]
            known[name] = plain if known.get(name, plain) == plain else None
    return ClassCatalogue(by, count)
