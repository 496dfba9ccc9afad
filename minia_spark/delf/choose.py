"""Which galaxies become a training set: those with a class and an image, drawn by a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.delf.draw import rank
from minia_spark.delf.galaxy_zoo import CLASSES
from minia_spark.delf.reasons import Reason
from minia_spark.delf.training_set import file_of, name_fault, no_file

__all__ = ["Candidate", "Choice", "Drawn", "LeftOut", "choose"]


class Candidate(NamedTuple):
    """A galaxy, as votes and mapping have it together.

    Attributes
    ----------
    objid : str
    first, second : int
        Its class, and the next whose rule holds too; -1 for none.
    shares : list of float
        Of the voters, for each class.
    reason, detail : str or None
        Why its row cannot be used.
    different : bool
        Rows with its id differ in what they say.
    assets, shared : list of str
        Names of its images; those that other galaxies have too.
    """

    objid: str
    first: int
    second: int
    shares: list[float]
    reason: str | None
    detail: str | None
    different: bool
    assets: list[str]
    shared: list[str]


class LeftOut(NamedTuple):
    """A galaxy, or its image, that is not used, and why; a row of the list that is written."""

    image: str
    objid: str
    class_name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Drawn:
    """A galaxy of the training set.

    Attributes
    ----------
    name, file : str
        Of its image, without and with the ending.
    objid : str
    label : int
        Its class.
    shares : list of float
        Of the voters, for each class.
    """

    name: str
    file: str
    objid: str
    label: int
    shares: list[float]


@dataclass
class Choice:
    """What was chosen, and counts.

    Attributes
    ----------
    drawn : list of list of Drawn
        For each class, by name.
    left_out : list of LeftOut
    found : Counter
        Galaxies of each class that have an image.
    ties : Counter
        Of those, how many satisfy two rules, by (class that was taken, other class).
    several : int
        Of those, how many have several images; the first that is there is taken.
    """

    drawn: list[list[Drawn]] = field(default_factory=lambda: [[] for _ in CLASSES])
    left_out: list[LeftOut] = field(default_factory=list)
    found: Counter[int] = field(default_factory=Counter)
    ties: Counter[tuple[int, int]] = field(default_factory=Counter)
    several: int = 0


def choose(
    candidates: Iterable[Candidate], files: Collection[str], *, class_size: int, seed: int
) -> Choice:
    """Choose galaxies for a training set; the same ones whatever the order they come in.

    Parameters
    ----------
    candidates : iterable of Candidate
        Those with a class, and those whose rows cannot be used.
    files : collection of str
        Names of the files in the folder of images.
    class_size : int
        Most galaxies of a class.
    seed : int
        Decides which, where a class has more.
    """
    choice = Choice()
    for one in candidates:
        _consider(one, files, choice)
    for members in choice.drawn:
        members.sort(key=lambda galaxy: rank(seed, "draw", galaxy.name))
        del members[class_size:]
        members.sort(key=lambda galaxy: _natural(galaxy.name))
    choice.left_out.sort()
    return choice


def _consider(one: Candidate, files: Collection[str], choice: Choice) -> None:
    try:
        name = _image_of(one, files)
    except _NotUsed as fault:
        class_name = CLASSES[one.first] if one.first >= 0 else ""
        choice.left_out.append(
            LeftOut(fault.image, one.objid, class_name, fault.reason, fault.detail)
        )
        return
    if name is None:
        return
    file = file_of(name, files)
    assert file is not None
    choice.drawn[one.first].append(Drawn(name, file, one.objid, one.first, one.shares))
    choice.found[one.first] += 1
    choice.several += len(one.assets) > 1
    if one.second >= 0:
        choice.ties[one.first, one.second] += 1


class _NotUsed(Rejected):
    """A galaxy is left out, and which image of it."""

    def __init__(self, reason: str, detail: str, image: str = "") -> None:
        super().__init__(reason, detail)
        self.image = image


def _image_of(one: Candidate, files: Collection[str]) -> str | None:
    """Return the image of a galaxy; None where the galaxy has no class."""
    images = sorted(one.assets, key=_natural)
    if one.reason is not None:
        raise _NotUsed(one.reason, one.detail or "")
    if one.different:
        raise _NotUsed(Reason.DUPLICATE, "Rows with this object id have different votes.")
    if one.first < 0:
        return None
    if not images:
        raise _NotUsed(Reason.NO_MAPPING, "The mapping has no row with this object id.")
    faults = {name: name_fault(name) for name in images}
    sound = [name for name in images if faults[name] is None]
    if not sound:
        raise _NotUsed(Reason.BAD_NAME, f"The name cannot be used: {faults[images[0]]}.", images[0])
    name = next((name for name in sound if file_of(name, files)), None)
    if name is None:
        raise _NotUsed(Reason.NO_IMAGE, no_file(sound[0], files), sound[0])
    if name in one.shared:
        raise _NotUsed(Reason.SHARED_IMAGE, "The mapping gives it to several objects.", name)
    return name


def _natural(name: str) -> tuple[int, str]:
    """Order numbers as numbers: 9 before 10."""
    return len(name), name
