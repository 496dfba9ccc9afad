"""Training and test lists as the study draws them: shuffled once, then cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from minia_spark.base.errors import InputError
from minia_spark.galaxies.morphology import reduced_class
from minia_spark.galaxies.split import TEST, TRAIN, shuffled

__all__ = ["Drawn", "Galaxy", "draw", "unique_rows"]


@dataclass(frozen=True, order=True)
class Galaxy:
    """A galaxy of the catalogue that has an image.

    Attributes
    ----------
    object_id : str
        Of SDSS data release 7.
    asset_id : str
        Number of its image, which is called so.
    gz2_class : str
        As the catalogue has it.
    """

    object_id: str
    asset_id: str
    gz2_class: str

    @property
    def galaxy_class(self) -> str:
        """The class of twelve."""
        return reduced_class(self.gz2_class) or ""


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes
    ----------
    lists : dict
        ``train`` and ``test`` to their galaxies, in the order of the shuffle.
    missing : list of Galaxy
        That would have been drawn, but whose image is not there.
    without_class, without_image_name : int
        Rows of the catalogue that have no class, or that the mapping gives no image.
    classes : Counter
        Class of twelve to galaxies of the catalogue that could be drawn.
    """

    lists: dict[str, list[Galaxy]] = field(default_factory=lambda: {TRAIN: [], TEST: []})
    missing: list[Galaxy] = field(default_factory=list)
    without_class: int = 0
    without_image_name: int = 0
    classes: Counter[str] = field(default_factory=Counter)


def unique_rows(rows: Iterable[tuple[str, str | None]], what: str) -> dict[str, str]:
    """Return key to value, both stripped; empty values stay.

    Raises
    ------
    InputError
        A key has two values.
    """
    found: dict[str, str] = {}
    for key, value in rows:
        plain = (value or "").strip()
        if found.setdefault(key.strip(), plain) != plain:
            raise InputError(
                f"the {what} gives {key.strip()!r} both {found[key.strip()]!r} and {plain!r}: "
                "leave one of the rows out"
            )
    return found


def draw(
    classes: Mapping[str, str],
    assets: Mapping[str, str],
    *,
    there: Collection[str] | None,
    train: int,
    test: int,
    seed: int,
) -> Drawn:
    """Draw training and test galaxies: a shuffle of all, the first so many, the next so many.

    Parameters
    ----------
    classes : mapping
        Object id to class string; empty for none.
    assets : mapping
        Object id to the number of its image.
    there : collection of str or None
        Numbers of the images that are there; galaxies without are passed over. None: not asked.
    train, test : int
        How many of each; fewer where there are no more.
    seed : int
        The same seed draws the same, whatever the order of rows.
    """
    found = Drawn()
    galaxies = []
    without_class = without_name = 0
    for object_id in sorted(classes):
        if not classes[object_id]:
            without_class += 1
        elif not assets.get(object_id):
            without_name += 1
        else:
            galaxies.append(Galaxy(object_id, assets[object_id], classes[object_id]))
    found.classes.update(g.galaxy_class for g in galaxies)
    for index in shuffled([g.object_id for g in galaxies], seed):
        galaxy = galaxies[index]
        which = TRAIN if len(found.lists[TRAIN]) < train else TEST
        if len(found.lists[which]) >= (train if which == TRAIN else test):
            break
        if there is not None and galaxy.asset_id not in there:
            found.missing.append(galaxy)
        else:
            found.lists[which].append(galaxy)
    return Drawn(found.lists, found.missing, without_class, without_name, found.classes)
