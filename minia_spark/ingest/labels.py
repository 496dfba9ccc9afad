"""Labels and sky positions from a CSV file, and how its rows find their images.

A row matches an image by the whole relative path, else by the file name, else by the name without
its extension. Both sides get the same three keys here; the stage joins them one after another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

__all__ = [
    "KEY_COLUMNS",
    "LABELS_SCHEMA",
    "MatchKeys",
    "ambiguous",
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
    found = ", ".join(names) or "none"

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
            f"{', '.join(KEY_COLUMNS)}, or set ingest.labels.key_column."
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
            "ingest.labels.label_column, or ra_column and dec_column."
        )
    return chosen


def label_batches(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    label: str | None = None,
    ra: str | None = None,
    dec: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file (UTF-8, commas, one header line) in pieces of a few MiB.

    Parameters
    ----------
    path : path
        The file; ``.gz`` and ``.bz2`` are unpacked.
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
    try:
        # the header alone: types are per column, and the columns are not known before
        with pv.open_csv(path, read_options=pv.ReadOptions(block_size=_BLOCK_BYTES)) as reader:
            names = reader.schema.names
        columns = choose_columns(names, key=key, label=label, ra=ra, dec=dec)
        used = [name for name in columns if name is not None]
        with pv.open_csv(
            path,
            read_options=pv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            convert_options=pv.ConvertOptions(
                include_columns=used,
                column_types=dict.fromkeys(used, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        ) as reader:
            for batch in reader:
                yield _label_batch(batch, columns)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"The label file {path} cannot be read: {sentence(error)}") from error


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
