"""Labels and sky positions from a CSV file, and how its rows find their images.

A row matches an image by the whole relative path, else by the file name, else by the name without
its extension. Both sides get the same three keys here; the stage joins them one after another.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from minia_spark.base.errors import InputError, Rejected, SettingsError
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of
from minia_spark.images.reader import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

__all__ = [
    "KEY_COLUMNS",
    "LABELS_SCHEMA",
    "Columns",
    "MatchKeys",
    "Matches",
    "ambiguous",
    "check_labels",
    "choose_columns",
    "label_batches",
    "match_keys",
]

# Column names that are taken where none is set, the first present one wins.
KEY_COLUMNS = ("image_id", "image", "file", "filename", "path", "name", "id", "objid", "dr7objid")
LABEL_COLUMNS = ("label", "class", "class_name")
RA_COLUMNS = ("ra_deg", "ra")
DEC_COLUMNS = ("dec_deg", "dec")

LABELS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("key_path", pa.string(), nullable=False),
        pa.field("key_name", pa.string(), nullable=False),
        pa.field("key_stem", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("ra_deg", pa.float64()),
        pa.field("dec_deg", pa.float64()),
    ]
)

_EXTENSION = re.compile(r"(?:\.(?:jpe?g|png|tiff?|fits?|fts))?(?:\.(?:gz|bz2|fz))?$", re.IGNORECASE)
_BLOCK_BYTES = 4 << 20
_LIKELY_KEYS = re.compile("id|image|file|name|path", re.IGNORECASE)
_LIKELY_LABELS = re.compile("class|label|type|category", re.IGNORECASE)
_FEW = 0.1
_MAX_SHOWN = 20
_PACKINGS = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"))


class MatchKeys(NamedTuple):
    """What a row of labels may call an image, from the most to the least precise.

    Attributes
    ----------
    path : str
        The whole image_id.
    name : str
        Its last part.
    stem : str
        The name without an image extension; ``NGC.1234.fits.bz2`` gives ``NGC.1234``.
    """

    path: str
    name: str
    stem: str


class Columns(NamedTuple):
    """The columns of a label file that are used; None where there is none."""

    key: str
    label: str | None
    ra: str | None
    dec: str | None


def match_keys(image_id: str) -> MatchKeys:
    """Return the three keys of an image_id, or of the name that a label row gives.

    A leading ``./`` does not count. An extension counts as one only if it is of an image format, so
    that object names with dots stay whole.
    """
    path = image_id.removeprefix("./")
    name = path.rpartition("/")[2]
    stem = _EXTENSION.sub("", name, count=1)
    return MatchKeys(path, name, stem or name)


def choose_columns(
    names: Sequence[str],
    *,
    key: str | None = None,
    label: str | None = None,
    ra: str | None = None,
    dec: str | None = None,
) -> Columns:
    """Choose the columns of a label file: those set, else the first known name present.

    Parameters
    ----------
    names : sequence of str
        The header of the file.
    key, label, ra, dec : str or None
        Settings ``labels.key_column`` and so on.

    Raises
    ------
    SettingsError
        If a column that is set is missing, no key column is found, or there is nothing to read:
        neither label nor position.
    InputError
        If a column that would be used stands twice in the header.
    """
    found = _shown(names) or "none"

    def pick(wanted: str | None, known: Sequence[str], setting: str) -> str | None:
        name = wanted or next((k for k in known if k in names), None)
        if name is None:
            return None
        if name not in names:
            raise SettingsError(
                f"ingest.labels.{setting} is {name!r}, but the label file has the columns {found}."
            )
        if list(names).count(name) > 1:
            raise InputError(f"The label file has the column {name!r} more than once.")
        return name

    key_name = pick(key, KEY_COLUMNS, "key_column")
    if key_name is None:
        raise SettingsError(
            f"No column of the label file names the image: it has {found}; expected is one of "
            f"{', '.join(KEY_COLUMNS)}, or set ingest.labels.key_column"
            f"{_likely(_LIKELY_KEYS, names)}."
        )
    chosen = Columns(
        key_name,
        pick(label, LABEL_COLUMNS, "label_column"),
        pick(ra, RA_COLUMNS, "ra_column"),
        pick(dec, DEC_COLUMNS, "dec_column"),
    )
    if (chosen.ra is None) != (chosen.dec is None):
        raise SettingsError(
            "A sky position needs right ascension and declination, but the label file has the "
            f"columns {found}; set ingest.labels.ra_column and ingest.labels.dec_column."
        )
    if chosen.label is None and chosen.ra is None:
        raise SettingsError(
            f"The label file has neither a label nor a position: its columns are {found}; set "
            f"ingest.labels.label_column{_likely(_LIKELY_LABELS, names)}, or ra_column and "
            "dec_column."
        )
    return chosen


def label_batches(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    label: str | None = None,
    ra: str | None = None,
    dec: str | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Read a CSV file (UTF-8, commas, one header line) in pieces of a few MiB.

    Parameters
    ----------
    path : path
        The file, a regular one; gzip and bzip2 are unpacked.
    key, label, ra, dec : str or None
        Column names, as for :func:`choose_columns`. A key column named ``image_id`` holds ids as
        this program writes them; any other holds names as they are on disk.

    Yields
    ------
    pyarrow.RecordBatch
        With `LABELS_SCHEMA`. Empty fields are null; positions in degrees.

    Raises
    ------
    InputError
        If the file cannot be read, is not CSV, has a row without a key, or a position that is not
        a number within 0 <= ra < 360 and -90 <= dec <= 90.
    SettingsError
        As :func:`choose_columns`.
    """
    with _reading(path) as file:
        names = _header(file)
    columns = choose_columns(names, key=key, label=label, ra=ra, dec=dec)
    used = list(dict.fromkeys(name for name in columns if name is not None))
    options = pv.ConvertOptions(
        include_columns=used,
        column_types=dict.fromkeys(used, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        null_values=[""],
    )
    blocks = pv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    with (
        _reading(path) as file,
        pv.open_csv(file, read_options=blocks, convert_options=options) as reader,
    ):
        for batch in reader:
            yield _label_batch(batch, columns)


def check_labels(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    label: str | None = None,
    ra: str | None = None,
    dec: str | None = None,
) -> Columns:
    """Find out early, from its first few MiB, whether a label file can be used; return its columns.

    Never waits for a pipe.

    Raises
    ------
    SettingsError, InputError
        As :func:`label_batches`; also if the file has no rows.
    """
    with contextlib.closing(label_batches(path, key=key, label=label, ra=ra, dec=dec)) as batches:
        if not any(batch.num_rows for batch in batches):
            raise InputError(f"The label file {_title(path)} has no rows.")
    with _reading(path) as file:
        return choose_columns(_header(file), key=key, label=label, ra=ra, dec=dec)


class Matches(NamedTuple):
    """How the rows of a label file and the images of a batch found each other.

    Attributes
    ----------
    images, rows : int
        How many there are.
    matched_images, matched_rows : int
        How many of them found one of the others.
    """

    images: int
    rows: int
    matched_images: int
    matched_rows: int

    @property
    def few(self) -> bool:
        """Whether less than a tenth of the images and less than a tenth of the rows matched.

        Both: a catalogue has rows of many more images, and a collection may be labelled in part.
        """
        return self.matched_images < _FEW * self.images and self.matched_rows < _FEW * self.rows

    def told(
        self,
        path: str | os.PathLike[str],
        column: str,
        keys: Sequence[str],
        image_ids: Sequence[str],
    ) -> str:
        """Say so with examples of rows and of images without each other, and what to do.

        Parameters
        ----------
        path : path
            The label file.
        column : str
            The one that names images.
        keys, image_ids : sequence of str
            Some of those that found nothing.
        """
        rows = f"{self.rows:,} rows of the label file {_title(path)}"
        images = f"{self.images:,} images"
        if self.matched_rows:
            found = (
                f"only {self.matched_rows:,} of {rows} name an image, and only "
                f"{self.matched_images:,} of {images} are named"
            )
        else:
            found = f"none of {rows} names one of {images}"
        return (
            f"{found}: column {column!r} has {_shown(keys, repr)}; images are called "
            f"{_shown(image_ids, repr)}. Set ingest.labels.key_column to the column that has the "
            "images' paths, file names or names without extension"
        )


@contextlib.contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[pa.NativeFile]:
    """Open a label file, unpacked, and say whose failure it is while it is read."""
    try:
        with open_regular(os.fsencode(path)) as file:
            start = file.peek(3)
            packing = next((name for magic, name in _PACKINGS if start.startswith(magic)), None)
            stream = pa.PythonFile(file, mode="r")
            yield stream if packing is None else pa.CompressedInputStream(stream, packing)
    except (Rejected, OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        said = error.detail if isinstance(error, Rejected) else sentence(error)
        said = said.removeprefix("The system says: ")
        raise InputError(f"The label file {_title(path)} cannot be read: {said}") from error


def _header(file: pa.NativeFile) -> list[str]:
    # the header alone: types are per column, and the columns are not known before
    with pv.open_csv(file, read_options=pv.ReadOptions(block_size=_BLOCK_BYTES)) as reader:
        return list(reader.schema.names)


def _title(path: str | os.PathLike[str]) -> str:
    return image_id_of(os.fsencode(path))


def _shown(names: Sequence[str], how: Callable[[str], str] = str) -> str:
    """Return the first names, as many as a sentence bears, each fit to print."""
    shown = [how(sentence(ValueError(name)) if name else name) for name in names[:_MAX_SHOWN]]
    return ", ".join([*shown, "..."] if len(names) > _MAX_SHOWN else shown)


def _likely(pattern: re.Pattern[str], names: Sequence[str]) -> str:
    likely = [name for name in names if pattern.search(name)]
    return f" (likely: {_shown(likely)})" if likely else ""


def ambiguous(image_id: str, first_key: str, second_key: str) -> InputError:
    """Make the error for an image that two different rows of labels match equally well."""
    return InputError(
        f"The image {image_id!r} matches two different rows of the label file, {first_key!r} and "
        f"{second_key!r}; give the whole path relative to the input folder in the key column."
    )


def _label_batch(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    raw_keys = [(k or "").strip() for k in batch.column(columns.key).to_pylist()]
    if "" in raw_keys:
        raise InputError(f"The label file has a row without a value in column {columns.key!r}.")
    plain = columns.key == "image_id"
    keys = [match_keys(k if plain else image_id_of(k.encode())) for k in raw_keys]
    empty = pa.nulls(len(keys), pa.string())
    label = empty if columns.label is None else batch.column(columns.label)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(raw_keys, pa.string()),
            pa.array([k.path for k in keys], pa.string()),
            pa.array([k.name for k in keys], pa.string()),
            pa.array([k.stem for k in keys], pa.string()),
            label,
            _degrees(batch, columns.ra, 0.0, 360.0, upper_included=False),
            _degrees(batch, columns.dec, -90.0, 90.0, upper_included=True),
        ],
        schema=LABELS_SCHEMA,
    )


def _degrees(
    batch: pa.RecordBatch, name: str | None, low: float, high: float, *, upper_included: bool
) -> pa.Array:
    if name is None:
        return pa.nulls(batch.num_rows, pa.float64())
    text = batch.column(name)
    try:
        values = pc.cast(pc.utf8_trim_whitespace(text), pa.float64())
    except pa.ArrowInvalid as error:
        raise InputError(
            f"Column {name!r} of the label file holds something other than decimal degrees: "
            f"{sentence(error)}"
        ) from error
    below = pc.less_equal(values, high) if upper_included else pc.less(values, high)
    good = pc.and_(pc.greater_equal(values, low), below)  # false for NaN
    if pc.any(pc.invert(good)).as_py():
        bad = text.filter(pc.invert(good))[0].as_py()
        bound = "<=" if upper_included else "<"
        raise InputError(
            f"Column {name!r} of the label file holds {bad!r}; expected are degrees with "
            f"{low:g} <= {name} {bound} {high:g}, or nothing where unknown."
        )
    return values
