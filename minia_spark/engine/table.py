"""What a table is: its columns, each with a type, a sentence and a unit.

Spark is imported when a schema is asked for, so that declarations cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrameReader, SparkSession
    from pyspark.sql.types import DataType, StructType

__all__ = ["VARIANT", "Artefact", "Column", "Table", "arrow_type", "spark_type"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    type : str
        In Spark's words: ``string``, ``int``, ``bigint``, ``float``, ``double``, ``boolean``,
        ``binary``, or ``array<...>`` of one of these.
    about : str
        One sentence.
    unit : str
        Of the values; empty for numbers without one and for text.
    null : bool
        Whether a value may be missing.
    described : bool
        The files hold metadata of the column, which tell what is in it.
    """

    name: str
    type: str
    about: str
    unit: str = ""
    null: bool = False
    described: bool = False


VARIANT = Column(
    "variant", "string", "The extractor or method that the row was made with.", null=True
)


@dataclass(frozen=True)
class Table:
    """A table of Parquet files.

    Attributes
    ----------
    name : str
    row : str
        What a row is, e.g. ``a readable image``.
    columns : tuple of Column
    variants : bool
        Exists once for every variant of what made it; then it has the column ``variant``, which
        the engine fills in.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    variants: bool = False

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns as they are stored."""
        return (*self.columns, VARIANT) if self.variants else self.columns

    def schema(
        self, *without: str, metadata: Mapping[str, Mapping[str, Any]] | None = None
    ) -> StructType:
        """Return Spark's schema of the columns that a stage gives.

        Parameters
        ----------
        *without : str
            Columns to leave out.
        metadata : mapping, optional
            Column to what is stored with it.
        """
        return _schema(self.columns, without, metadata)

    def stored_schema(self, metadata: Mapping[str, Mapping[str, Any]] | None = None) -> StructType:
        """Return Spark's schema of the columns as they are stored."""
        return _schema(self.all_columns, (), metadata)

    def reader(self, spark: SparkSession) -> DataFrameReader:
        """Return what reads the table's files.

        Spark looks into the files for their schema, by a job, only where a column is described.
        """
        if any(c.described for c in self.columns):
            return spark.read
        return spark.read.schema(self.stored_schema())

    def arrow_schema(self) -> pa.Schema:
        """Return Arrow's schema of the columns that a stage gives."""
        import pyarrow as pa  # noqa: PLC0415

        return pa.schema([(c.name, arrow_type(c.type)) for c in self.columns])


@dataclass(frozen=True)
class Artefact:
    """A folder of files that is no table: a site, a trained network.

    Attributes
    ----------
    name : str
    about : str
        What it is.
    variants : bool
        As of a table.
    page : bool
        Its folder has a page for people, ``index-above.html``, as it must be to stand one folder
        above: there the one of the newest state is ``index.html``.
    """

    name: str
    about: str
    variants: bool = False
    page: bool = False


def _schema(
    columns: tuple[Column, ...],
    without: tuple[str, ...],
    metadata: Mapping[str, Mapping[str, Any]] | None,
) -> StructType:
    from pyspark.sql.types import StructField, StructType  # noqa: PLC0415

    known = metadata or {}
    return StructType(
        [
            StructField(c.name, spark_type(c.type), c.null, dict(known.get(c.name, {})))
            for c in columns
            if c.name not in without
        ]
    )


def spark_type(name: str) -> DataType:
    """Return Spark's type of a column."""
    from pyspark.sql import types as t  # noqa: PLC0415

    if name.startswith("array<"):
        return t.ArrayType(spark_type(name[6:-1]), True)
    plain: dict[str, DataType] = {
        "string": t.StringType(),
        "int": t.IntegerType(),
        "bigint": t.LongType(),
        "float": t.FloatType(),
        "double": t.DoubleType(),
        "boolean": t.BooleanType(),
        "binary": t.BinaryType(),
    }
    return plain[name]


def arrow_type(name: str) -> pa.DataType:
    """Return Arrow's type of a column."""
    import pyarrow as pa  # noqa: PLC0415

    if name.startswith("array<"):
        return pa.list_(pa.field("element", arrow_type(name[6:-1])))
    return {
        "string": pa.string(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
    }[name]
