"""Which images train and which validate, and which file each goes to; from names and a seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from minia_spark.base.errors import InputError
from minia_spark.delf.copies import MASKED, MOVED
from minia_spark.delf.draw import rank

__all__ = ["SPLITS", "Shard", "origin", "shards_of", "split_of"]

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Shard:
    """A file of records.

    Attributes
    ----------
    file : str
        Such as ``train-00000-of-00064``.
    names : tuple of str
        Its images, in order; there may be none.
    """

    file: str
    names: tuple[str, ...]


def origin(name: str, labels: Mapping[str, int]) -> str:
    """Return the image that a name is a moved or masked copy of; the name itself if of none.

    ``F123`` and ``A123`` are copies of ``123`` where ``123`` is of the same class, or where both
    are there without it. A name that merely begins with such a letter is no copy.

    Parameters
    ----------
    name : str
    labels : mapping of str to int
        The class of every image of the training set.
    """
    while name[:1] in (MASKED, MOVED) and len(name) > 1:
        rest = name[1:]
        relatives = (rest, MASKED + rest, MOVED + rest)
        kin = [one for one in relatives if one != name and labels.get(one) == labels.get(name)]
        if labels.get(name) is None or not kin:
            break
        if rest not in labels:
            return rest
        name = rest
    return name


def split_of(
    names: Collection[str],
    labels: Mapping[str, int],
    classes: Sequence[str],
    *,
    validation: float,
    seed: int,
) -> dict[str, str]:
    """Return ``train`` or ``validation`` for every image.

    An image and its copies are always together. Of each class the share `validation` of its images
    without copies is drawn, rounded, but at least one, and at least one is left to train.

    Parameters
    ----------
    names : collection of str
        The images that can be used.
    labels : mapping of str to int
        The class of all images of the training set.
    classes : sequence of str
        Their names.
    validation : float
        Greater than 0 and less than 1.
    seed : int

    Raises
    ------
    InputError
        A class has one image only, copies apart: it cannot be in both.
    """
    origins: dict[int, set[str]] = {}
    origin_of = {name: origin(name, labels) for name in names}
    for name, source in origin_of.items():
        origins.setdefault(labels[name], set()).add(source)
    drawn: set[tuple[int, str]] = set()
    for label, sources in sorted(origins.items()):
        if len(sources) < 2:
            raise InputError(
                f"class {classes[label]!r} has one image that can be used, {min(sources)!r}, not "
                "counting copies; it takes two, one to train and one to validate: add images or "
                "leave the class out"
            )
        count = min(max(1, round(validation * len(sources))), len(sources) - 1)
        ordered = sorted(sources, key=lambda one: rank(seed, "validation", one))
        drawn |= {(label, one) for one in ordered[:count]}
    return {name: SPLITS[(labels[name], source) in drawn] for name, source in origin_of.items()}


def shards_of(split: Mapping[str, str], shards: int, seed: int) -> list[Shard]:
    """Return the files of both splits, each split's images shuffled and spread evenly over them."""
    found = []
    for which in SPLITS:
        names = [name for name, chosen in split.items() if chosen == which]
        names.sort(key=lambda name: rank(seed, "shuffle", name))
        bounds = [number * len(names) // shards for number in range(shards + 1)]
        for number in range(shards):
            file = f"{which}-{number:05d}-of-{shards:05d}"
            found.append(Shard(file, tuple(names[bounds[number] : bounds[number + 1]])))
    return found
