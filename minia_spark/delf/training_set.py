"""A training set as a CSV file in minIA's form: a class a line, with the names of its images.

::

    type_galaxy_id,images
    0,F123 F456 123 456
    1,F789 789

A name is a file's without ``.jpg`` (or ``.JPG``, ``.jpeg``, ``.JPEG``), between single spaces.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minia_spark.base.errors import InputError
from minia_spark.base.files import open_regular, whole_file

__all__ = [
    "ENDINGS",
    "HEADER",
    "TrainingSet",
    "file_of",
    "name_fault",
    "no_file",
    "parse_training_set",
    "read_training_set",
    "write_training_set",
]

HEADER = ("type_galaxy_id", "images")
ENDINGS = (".jpg", ".JPG", ".jpeg", ".JPEG")
"""What is added to a name, the first that is there."""

_MOST_CLASSES = 100_000
_SHOWN = 80
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})  # of whatever Unicode version


@dataclass(frozen=True)
class TrainingSet:
    """Names of images by class.

    Attributes
    ----------
    classes : tuple of str
        In the order of their labels, from 0. Where the file numbers its classes, a number is its
        label, and numbers that it leaves out are classes without images; otherwise labels follow
        the order of the lines.
    labels : dict of str to int
        The label of every name, in the order of the file.
    digest : str
        SHA-256 of the file, as 64 hexadecimal digits.
    """

    classes: tuple[str, ...]
    labels: Mapping[str, int]
    digest: str


def read_training_set(path: Path) -> TrainingSet:
    """Read a training set; see :func:`parse_training_set`."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"the training set {path} cannot be read: {error.strerror}") from None
    return parse_training_set(data, str(path))


def parse_training_set(data: bytes, title: str) -> TrainingSet:
    """Check the bytes of a training set, UTF-8.

    Parameters
    ----------
    data : bytes
    title : str
        What messages call the file.

    Raises
    ------
    InputError
        It is not of this form. The message names the line, and the class or image at fault: a class
        or an image named twice, a name that is none (:func:`name_fault`), two spaces.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{title} is not UTF-8 (at byte {error.start})") from None
    form = f"expected is a line '{','.join(HEADER)}', then a class a line"
    members: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    with _long_fields():
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = next(reader, [])
            if len(header) != len(HEADER) or header[1] != HEADER[1]:
                raise InputError(f"{title} begins with {_short(','.join(header))!r}; {form}")
            for row in reader:
                if row:
                    _take(row, f"{title}, line {reader.line_num}", members, owners)
        except csv.Error as error:
            raise InputError(f"{title}, line {reader.line_num}: {error}; {form}") from None
    if not members:
        raise InputError(f"{title} names no class; {form}")
    classes = _ordered(members, title)
    labels = {one: number for number, one in enumerate(classes)}
    digest = hashlib.sha256(data).hexdigest()
    return TrainingSet(classes, {n: labels[owner] for n, owner in owners.items()}, digest)


def _take(
    row: list[str], where: str, members: dict[str, list[str]], owners: dict[str, str]
) -> None:
    if len(row) != len(HEADER):
        raise InputError(f"{where}: {len(row)} fields, expected are 2: the class and its images")
    owner, names = row
    if not owner.strip():
        raise InputError(f"{where}: the class has no name")
    if owner in members:
        raise InputError(f"{where}: class {_short(owner)!r} has a line already; put them together")
    if not names:
        raise InputError(f"{where}: class {_short(owner)!r} has no images; leave its line out")
    members[owner] = names.split(" ")
    for name in members[owner]:
        if not name:
            raise InputError(
                f"{where}: names stand between single spaces, and those of class "
                f"{_short(owner)!r} have two, or one at an end"
            )
        fault = name_fault(name)
        if fault is not None:
            raise InputError(f"{where}: {_short(name)!r} cannot be an image's name: {fault}")
        if name in owners:
            other = owners[name]
            how = "twice" if other == owner else f"in class {_short(other)!r} too"
            raise InputError(
                f"{where}: image {name!r} of class {_short(owner)!r} is named {how}; an image "
                "belongs to one class"
            )
        owners[name] = owner


def _ordered(members: Mapping[str, list[str]], title: str) -> tuple[str, ...]:
    """Return the classes in the order of their labels."""
    if not all(one.isascii() and one.isdigit() for one in members):
        return tuple(members)
    numbers = {int(one): one for one in members}
    if len(numbers) < len(members):
        raise InputError(f"{title}: two classes have the same number, such as 1 and 01")
    if max(numbers) >= _MOST_CLASSES:
        raise InputError(
            f"{title}: class {max(numbers)}: numbers of classes count from 0 and are less than "
            f"{_MOST_CLASSES}"
        )
    return tuple(numbers.get(number, str(number)) for number in range(max(numbers) + 1))


def name_fault(name: str) -> str | None:
    """Return why a text cannot be the name of an image in one folder; None: it can."""
    if not name:
        return "it is empty"
    if "/" in name or "\\" in name:
        return "it has a path separator, and images are looked for in one folder"
    if ".." in name:
        return "it has '..', and images are looked for in one folder"
    if name.startswith("."):
        return "it begins with a dot, as hidden files do"
    if any(c == "," or unicodedata.category(c) in _UNSEEN for c in name):
        return "it has a space, a comma, or a sign that does not print"
    return None


def file_of(name: str, files: Collection[str]) -> str | None:
    """Return which of these file names is the image's; None: there is none."""
    return next((name + ending for ending in ENDINGS if name + ending in files), None)


def no_file(name: str, files: Collection[str]) -> str:
    """Return one sentence on an image that is not there."""
    told = f"There is no {name}.jpg, nor with .JPG, .jpeg or .JPEG."
    if name in files and name.endswith(ENDINGS):
        return f"{told} Names stand without their ending."
    return told


def write_training_set(path: Path, members: Mapping[str, Sequence[str]]) -> None:
    """Write a training set; classes without images are left out. Whole or not at all.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with whole_file(path) as file:
        file.write((",".join(HEADER) + "\n").encode())
        for owner, names in members.items():
            if names:
                file.write(f"{owner},{' '.join(names)}\n".encode())


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Let a field of a CSV file be as long as it is: a class names its images in one."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
