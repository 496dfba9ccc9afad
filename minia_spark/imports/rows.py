"""Rows of minIA's two files as features: what a row means, and which rows are one image.

The first file is CSV, ``location_x,location_y,size[,score],image_name`` in any order; the second
has the descriptor of every row, numbers between spaces. Nothing here reads a file.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from minia_spark.features.extractor import Features
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of
from minia_spark.imports.reasons import Reason

__all__ = [
    "Bad",
    "Form",
    "Part",
    "Place",
    "dimension_of",
    "form_of",
    "is_whole",
    "join",
    "parse",
    "vectors_of",
]

NEEDED = ("location_x", "location_y", "size", "image_name")
_KNOWN = {*NEEDED, "score", "visual_word_id"}
_MAX_NAME_BYTES = 4096  # of a path, on Linux
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Form:
    """What the two files look like.

    Attributes
    ----------
    columns : tuple of str
        The header of the CSV file.
    dimension : int
        Numbers of a descriptor.
    extractor : str
        For messages.
    is_whole : bool
        Descriptors must be whole numbers from 0 to 255; another one is refused.
    """

    columns: tuple[str, ...]
    dimension: int = 0
    extractor: str = ""
    is_whole: bool = False

    @property
    def is_scored(self) -> bool:
        """Whether every feature has a score."""
        return "score" in self.columns

    @property
    def unused(self) -> list[str]:
        """Columns that nothing reads; the words of a visual_word_id are made anew."""
        return [column for column in self.columns if column not in _KNOWN]


class Bad(NamedTuple):
    """A row that cannot be used.

    Attributes
    ----------
    row : int
        Its number, from 0.
    in_matrix : bool
        The descriptor is at fault, not the row of the CSV file.
    reason, found : str
        A word, and what was found.
    """

    row: int
    in_matrix: bool
    reason: str
    found: str


@dataclass(frozen=True)
class Part:
    """Rows of one image that stand together, as far as one piece of the files has them.

    Attributes
    ----------
    image_id : str
    start, end : int
        Rows from `start` to before `end` belong to no other image; the next part of the same image,
        in the next piece, starts where this one ends.
    first : int
        Number of the first row that is used.
    x, y, size : float32 arrays, shape (n,)
        n at least 1.
    score : float32 array, shape (n,), or None
    descriptors : array, shape (n, D)
        uint8 where all are whole numbers from 0 to 255, else float32.
    """

    image_id: str
    start: int
    end: int
    first: int
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    size: NDArray[np.float32]
    score: NDArray[np.float32] | None
    descriptors: NDArray[np.uint8] | NDArray[np.float32]


def form_of(header: str) -> Form:
    """Return the form of a CSV file with this header.

    Raises
    ------
    ValueError
        A column is missing or there twice.
    """
    columns = tuple(name.strip() for name in fields_of(header.removeprefix("\ufeff")))
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        shown = sentence(ValueError(", ".join(map(repr, columns[:20]))))
        raise ValueError(
            f"the first line must name the columns {', '.join(NEEDED)} and may name score, and "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing from {shown}"
        )
    twice = [name for name in (*NEEDED, "score") if columns.count(name) > 1]
    if twice:
        raise ValueError(f"the first line names {twice[0]} twice")
    return Form(columns)


def fields_of(line: str) -> list[str]:
    """Return the fields of a line of CSV.

    Raises
    ------
    ValueError
        A quote is out of place, or not closed on the line.
    """
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"a quote out of place: {error}") from None


def parse(form: Form, first: int, table: bytes, matrix: bytes) -> tuple[list[Part], list[Bad]]:
    """Return what some rows hold.

    Parameters
    ----------
    form : Form
    first : int
        Number of the first row.
    table, matrix : bytes
        The same whole lines of the CSV file and of the file of descriptors.

    Returns
    -------
    parts : list of Part
    bad : list of Bad
        Every row is in one of the two.
    """
    lines, rows_of_numbers = _lines(table), _lines(matrix)
    assert len(lines) == len(rows_of_numbers)
    vectors, problems = vectors_of(rows_of_numbers, form.dimension)
    with np.errstate(over="ignore"):
        small = vectors.astype(np.float32)
    finite = np.asarray(np.isfinite(small).all(axis=1))
    whole = np.asarray(is_whole(vectors).all(axis=1))
    names = _Names()
    places = [form.columns.index(n) for n in ("location_x", "location_y", "size")]
    places += [form.columns.index("score")] if form.is_scored else []
    at_name, width = form.columns.index("image_name"), len(form.columns)
    good, numbers, images, bad = [], [], [], []
    for row, line in enumerate(lines):
        try:
            fields = fields_of(line.decode("utf-8", "surrogateescape"))
            if len(fields) != width:
                raise _RowError(Reason.MALFORMED_ROW, f"{len(fields)} fields, not {width}")
            image_id = names.image_id(fields[at_name])
            values = [_number(form.columns[at], fields[at]) for at in places]
            if values[2] < 0:
                raise _RowError(Reason.MALFORMED_ROW, f"a negative size, {values[2]:g}")
        except ValueError as error:
            reason = error.reason if isinstance(error, _RowError) else Reason.MALFORMED_ROW
            bad.append(Bad(first + row, False, reason, sentence(error)))
            continue
        refused = problems.get(row)
        if refused is None and not finite[row]:
            refused = (Reason.NUMBER_NOT_FINITE, "a number that is not finite in 32 bits")
        if refused is None and form.is_whole and not whole[row]:
            odd = f"descriptors of {form.extractor} are whole numbers from 0 to 255, these are not"
            refused = (Reason.NOT_WHOLE, odd)
        if refused is not None:
            bad.append(Bad(first + row, True, *refused))
            continue
        good.append(row)
        numbers.append(values)
        images.append(image_id)
    if not good:
        return [], bad
    columns = np.array(numbers, dtype=np.float64).astype(np.float32).T
    borders = [0, *(i for i in range(1, len(good)) if images[i] != images[i - 1]), len(good)]
    parts = []
    for begin, stop in itertools.pairwise(borders):
        index = np.array(good[begin:stop])
        chosen = small[index]
        parts.append(
            Part(
                images[begin],
                first + (good[begin] if begin else 0),
                first + (good[stop] if stop < len(good) else len(lines)),
                first + good[begin],
                columns[0][begin:stop],
                columns[1][begin:stop],
                columns[2][begin:stop],
                columns[3][begin:stop] if form.is_scored else None,
                chosen.astype(np.uint8) if whole[index].all() else chosen,
            )
        )
    return parts, bad


def is_whole(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which numbers are whole ones from 0 to 255; NaN is none."""
    return np.asarray((values >= 0) & (values <= 255) & (values == np.floor(values)))


class _RowError(ValueError):
    """Why a row is refused, with the word for it."""

    def __init__(self, reason: Reason, found: str) -> None:
        super().__init__(found)
        self.reason = reason


class _Names:
    """From names in a file to image ids; most rows have the name of the row before."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def image_id(self, name: str) -> str:
        """Return the id of an image: percent-encoding, as in an export, is undone first."""
        found = self._known.get(name)
        if found is None:
            path = unquote_to_bytes(name.encode("utf-8", "surrogateescape"))
            if not path:
                raise _RowError(Reason.BAD_NAME, "no name of an image")
            if len(path) > _MAX_NAME_BYTES:
                length = f"{len(path):,} bytes, more than {_MAX_NAME_BYTES:,}"
                raise _RowError(Reason.BAD_NAME, f"a name of {length}")
            found = self._known[name] = image_id_of(path)
        return found


def _number(column: str, text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # Python would read 1_0 as ten
    except ValueError:
        raise _RowError(Reason.MALFORMED_ROW, f"no number in column {column}: {text!r}") from None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        found = f"a number that is not finite in column {column}: {text.strip()}"
        raise _RowError(Reason.NUMBER_NOT_FINITE, found)
    return value


def _lines(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def vectors_of(
    lines: Sequence[bytes], dimension: int
) -> tuple[NDArray[np.float64], dict[int, tuple[str, str]]]:
    """Return the numbers of some lines.

    Parameters
    ----------
    lines : sequence of bytes
        At least one.
    dimension : int
        How many numbers each must have.

    Returns
    -------
    vectors : float64 array, shape (len(lines), dimension)
        Zero where a line has something else.
    problems : dict
        Number of such a line, from 0, to the word for it and what was found.
    """
    text = [line.decode("latin-1") for line in lines]
    block = _block(text)
    if block is not None and block.shape == (len(lines), dimension):
        return block, {}
    vectors = np.zeros((len(lines), dimension))
    problems = {}
    for number, line in enumerate(text):
        found = len(line.split())
        own = _block([line])
        if found != dimension:
            problems[number] = (Reason.OTHER_DIMENSION.value, f"{found} numbers, not {dimension}")
        elif own is None:
            problems[number] = (Reason.MALFORMED_ROW.value, f"no numbers: {_shown(line)}")
        else:
            vectors[number] = own[0]
    return vectors, problems


def dimension_of(lines: Sequence[bytes]) -> int:
    """Return how many numbers the first line has that is nothing but numbers; 0: none is."""
    blocks = (_block([line.decode("latin-1")]) for line in lines)
    return next((block.shape[1] for block in blocks if block is not None), 0)


def _block(text: list[str]) -> NDArray[np.float64] | None:
    """Return lines of numbers between spaces as a matrix; None where they are none."""
    if not all(line.strip() for line in text):
        return None
    try:
        block = np.loadtxt(text, dtype=np.float64, comments=None, ndmin=2)
    except ValueError:
        return None
    return block if len(block) == len(text) else None


def _shown(line: str) -> str:
    short = line if len(line) <= 60 else line[:60] + "..."
    return sentence(ValueError(repr(short)))


def join(parts: Iterable[Part], max_features: int) -> Iterator[tuple[str, Features]]:
    """Join the parts of every image; what stands in another place than its first is left out.

    Parameters
    ----------
    parts : iterable of Part
        Those of an image together, by `start`.
    max_features : int
        What an image has beyond is left out, from the end: rows carry no strength.

    Yields
    ------
    (image_id, Features)
        Features without orientation (angle -1); `found` counts those left out too. Where there is
        no score, response is 0.
    """
    kept: list[Part] = []
    found = held = 0
    place = Place()
    for part in parts:
        if kept and part.image_id != kept[0].image_id:
            yield kept[0].image_id, _features(kept, found, max_features)
            kept, found, held = [], 0, 0
        if not place.takes(part.image_id, part.start, part.end):
            continue
        found += len(part.x)
        if held < max_features:
            kept.append(part)
            held += len(part.x)
    if kept:
        yield kept[0].image_id, _features(kept, found, max_features)


class Place:
    """Tells apart rows that go on where those of the same image ended, and others of its name."""

    def __init__(self) -> None:
        self._image_id: str | None = None
        self._end = 0

    def takes(self, image_id: str, start: int, end: int) -> bool:
        """Say whether these rows, the next ones by image and start, are of the first place."""
        if image_id == self._image_id and start != self._end:
            return False
        self._image_id, self._end = image_id, end
        return True


def _features(parts: Sequence[Part], found: int, limit: int) -> Features:
    whole = all(part.descriptors.dtype == np.uint8 for part in parts)
    kind = np.uint8 if whole else np.float32
    x, y, size = (
        np.concatenate([getattr(part, name) for part in parts])[:limit]
        for name in ("x", "y", "size")
    )
    scores = [np.zeros(len(p.x), np.float32) if p.score is None else p.score for p in parts]
    return Features(
        x=x,
        y=y,
        size=size,
        angle=np.full(len(x), -1, dtype=np.float32),
        response=np.concatenate(scores)[:limit],
        descriptors=np.concatenate([p.descriptors.astype(kind) for p in parts])[:limit],
        found=found,
    )
