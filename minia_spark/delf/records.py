"""Records of a training set in TFRecords: where each lies, and what is in it.

An index of places makes any order possible: every pass over the data is shuffled as a whole, and a
training that was stopped goes on at the very image where it was.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError
from minia_spark.base.files import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Index", "Reader", "classes_beside", "index_files", "order_of", "read_votes"]

_HEAD = struct.Struct("<QI")
"""Length of the record, and its checksum."""
_TAIL_BYTES = 4
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Index:
    """Where records are.

    Attributes
    ----------
    files : tuple of Path
    file, offset, length : int64 arrays, shape (n,)
        Number of the file, and where the record's bytes are in it.
    """

    files: tuple[Path, ...]
    file: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.file)


def index_files(files: Sequence[Path]) -> Index:
    """Find the records of TFRecord files: their heads are read, not what is in them.

    Raises
    ------
    InputError
        A file cannot be read, or ends within a record.
    """
    found: list[tuple[int, int, int]] = []
    for number, path in enumerate(files):
        try:
            with open_regular(path) as file:
                end = file.seek(0, 2)
                place = file.seek(0)
                while place < end:
                    head = file.read(_HEAD.size)
                    length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else end
                    following = place + _HEAD.size + length + _TAIL_BYTES
                    if following > end:
                        raise InputError(
                            f"{path} is no complete TFRecord file: the record at byte {place:,} "
                            f"goes beyond its {end:,} bytes; make the TFRecords again"
                        )
                    found.append((number, place + _HEAD.size, length))
                    place = file.seek(following)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    table = np.array(found, np.int64).reshape(-1, 3).T
    return Index(tuple(files), *(np.ascontiguousarray(column) for column in table))


def order_of(seed: int, count: int, start: int, stop: int) -> NDArray[np.int64]:
    """Return which records come at some positions of an endless sequence of shuffled passes.

    Parameters
    ----------
    seed : int
    count : int
        Records of a pass, at least 1.
    start, stop : int
        Positions, from 0.

    Returns
    -------
    int64 array, shape (stop - start,)
        The same for the same arguments, wherever a caller starts.
    """
    parts = []
    place = start
    while place < stop:
        epoch, within = divmod(place, count)
        permutation = np.random.default_rng([seed, epoch]).permutation(count)
        parts.append(permutation[within : within + stop - place])
        place += len(parts[-1])
    return np.concatenate([np.zeros(0, np.int64), *parts])


class Reader:
    """Reads records by their numbers.

    Parameters
    ----------
    index : Index
    num_classes : int
    votes : mapping or None
        Name of an image to the shares of its votes, in place of its class.
    """

    def __init__(
        self,
        index: Index,
        num_classes: int,
        votes: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self._index = index
        self._num_classes = num_classes
        self._votes = votes

    def read(self, numbers: NDArray[np.int64]) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return the encoded images of some records, and their targets.

        Returns
        -------
        list of bytes
        float32 array, shape (len(numbers), num_classes)
            Each row sums to 1.

        Raises
        ------
        InputError
            A record is broken, lacks ``image/encoded`` or ``image/class/label``, has a class that
            there is not, or an image has no votes. The file and the record are named.
        """
        images, targets = [], np.zeros((len(numbers), self._num_classes), np.float32)
        for row, number in enumerate(numbers):
            image, label, name = self._record(int(number))
            images.append(image)
            if self._votes is None:
                targets[row, label] = 1
            else:
                targets[row] = self._votes_of(name, int(number))
        return images, targets

    def missing_votes(self) -> list[str]:
        """Return the names of images without votes; every record is read."""
        names = (self._record(number)[2] for number in range(len(self._index)))
        return [name for name in names if _found(self._votes or {}, name) is None]

    def place_of(self, number: int) -> str:
        """Return where a record is, for people."""
        path = self._index.files[self._index.file[number]]
        before = int(np.searchsorted(self._index.file, self._index.file[number]))
        return f"record {number - before + 1} of {path}"

    def _record(self, number: int) -> tuple[bytes, int, str]:
        tf = _tensorflow()
        index = self._index
        example = tf.train.Example()
        try:
            with open_regular(index.files[index.file[number]]) as file:
                file.seek(int(index.offset[number]))
                example.ParseFromString(file.read(int(index.length[number])))
        except OSError as error:
            raise InputError(f"{self.place_of(number)} cannot be read: {error.strerror}") from None
        except Exception as error:  # protobuf's own, which is not the same in all versions
            raise InputError(f"{self.place_of(number)} is broken ({error})") from None
        features = example.features.feature
        encoded = features["image/encoded"].bytes_list.value
        label = features["image/class/label"].int64_list.value
        name = features["image/id"].bytes_list.value
        if len(encoded) != 1 or len(label) != 1:
            raise InputError(
                f"{self.place_of(number)} needs one image/encoded and one image/class/label, and "
                f"has {len(encoded)} and {len(label)}"
            )
        if not 0 <= label[0] < self._num_classes:
            raise InputError(
                f"{self.place_of(number)} has class {label[0]}; with {self._num_classes} classes "
                f"they are 0 to {self._num_classes - 1}: give --num-classes"
            )
        return encoded[0], int(label[0]), name[0].decode("utf-8", "replace") if name else ""

    def _votes_of(self, name: str, number: int) -> NDArray[np.float32]:
        shares = _found(self._votes or {}, name)
        if shares is None:
            raise InputError(f"there are no votes for {name!r} ({self.place_of(number)})")
        return shares


def _found(votes: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32] | None:
    """Return the votes of an image; F... and A... are its masked and moved copies."""
    stem = name
    for ending in (".jpg", ".jpeg", ".JPG", ".JPEG"):
        stem = stem.removesuffix(ending)
    if stem in votes or stem[:1] not in ("F", "A"):
        return votes.get(stem)
    return votes.get(stem[1:])


def read_votes(path: Path, classes: Sequence[str] | int) -> dict[str, NDArray[np.float32]]:
    """Read shares of votes: a header, then a name without extension and a number for every class.

    Parameters
    ----------
    path : Path
        CSV in UTF-8.
    classes : sequence of str or int
        Names of the classes, which the header has in any order; or only how many there are. Names
        that are the numbers from 0 on say no more than that.

    Returns
    -------
    dict
        Name to float32 array, shape (classes,), scaled to a sum of 1.

    Raises
    ------
    InputError
        The file cannot be read, has other columns, names an image twice, or has a row whose
        numbers are no shares: not finite, negative, or all 0.
    """
    import csv  # noqa: PLC0415

    votes: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [text.strip() for text in next(rows, [])]
            columns = _columns(path, header, classes)
            for row in rows:
                if not row:
                    continue
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(header):
                    raise InputError(f"{where}: {len(row)} fields, not {len(header)}")
                name = row[0].strip()
                if name in votes:
                    raise InputError(f"{where}: {name!r} is there already")
                try:
                    shares = np.array([float(row[column]) for column in columns])
                except ValueError as error:
                    raise InputError(f"{where}: {error}") from None
                if not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
                    raise InputError(
                        f"{where}: the votes of {name!r} are no shares (numbers of at least 0, of "
                        "which one is more)"
                    )
                votes[name] = (shares / shares.sum()).astype(np.float32)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    return votes


def _columns(path: Path, header: list[str], classes: Sequence[str] | int) -> list[int]:
    if not isinstance(classes, int) and list(classes) == [str(n) for n in range(len(classes))]:
        classes = len(classes)
    if isinstance(classes, int):
        if len(header) != classes + 1:
            raise InputError(
                f"{path} has {len(header)} columns, not a name and {classes} shares of votes"
            )
        return list(range(1, classes + 1))
    missing = [name for name in classes if name not in header[1:]]
    if missing or len(header) != len(classes) + 1:
        raise InputError(
            f"{path} must have a column with the name and one for each of {', '.join(classes)}; "
            f"it has {', '.join(header)}"
        )
    return [header.index(name, 1) for name in classes]


def classes_beside(folder: Path) -> list[str] | None:
    """Return the names of the classes from the manifest beside TFRecords; None: there is none.

    Raises
    ------
    InputError
        There is a manifest, and it cannot be read or names no classes.
    """
    path = folder / "manifest.json"
    try:
        with open_regular(path) as file:
            told: Any = json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    classes = told.get("classes") if isinstance(told, dict) else None
    if isinstance(classes, dict):  # name to number, or name to count in the order of the numbers
        numbers = list(classes.values())
        if sorted(map(str, numbers)) == sorted(map(str, range(len(numbers)))):
            classes = [name for _, name in sorted((int(n), name) for name, n in classes.items())]
        else:
            classes = list(classes)
    if not isinstance(classes, list) or not 2 <= len(classes) <= _MOST_CLASSES:
        raise InputError(f"{path} does not name at least two classes under 'classes'")
    return [str(name) for name in classes]


def _tensorflow() -> Any:
    from minia_spark.base.networks import load_tensorflow  # noqa: PLC0415

    return load_tensorflow()
