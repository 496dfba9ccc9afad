"""The one pass over the pixels: every image is opened and decoded once, for all who want it.

The stage that takes in the images reads their records; every stage over the pixels gives a kernel
from decoded images to the columns of its rows. One Spark job applies all kernels that are due to a
batch, and writes wide rows to a scratch folder; each stage then writes its own table from its
columns. On a survey's storage, reading the images is the cost.

Of a batch that is replaced, only images whose content changed go through kernels whose results are
still valid; the rows of the others are carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from minia_spark.base.errors import Rejected
from minia_spark.engine.context import Context
from minia_spark.engine.plan import Planner, StepKey
from minia_spark.engine.session import is_local
from minia_spark.engine.stage import Stage, load
from minia_spark.engine.table import Column, Table, arrow_type, spark_type
from minia_spark.images.care import Care

if TYPE_CHECKING:
    from minia_spark.images.decode import Decoded

__all__ = ["Kernel", "PixelPass", "Reader", "Records", "care_of_task", "despite_deadly_images"]

_CHUNK_IMAGES = 64
_CHUNK_BYTES = 64 << 20
"""Of decoded pixels that a task holds at a time, but for a single larger image."""

Found = tuple[dict[str, Any], "Image | None"]
Image: TypeAlias = "Decoded | Rejected"
"""What a kernel sees: pixels, or why an image that was readable once cannot be read now."""


@dataclass(frozen=True)
class Kernel:
    """What one stage does with the pixels.

    Attributes
    ----------
    columns : tuple of Column
        Of its rows.
    make : callable
        Called once in a worker; returns what turns some images, at least one, into arrays of their
        columns, by name. It is sent to the workers.
    """

    columns: tuple[Column, ...]
    make: Callable[[], Callable[[Sequence[Image]], Mapping[str, pa.Array]]]


@dataclass(frozen=True)
class Records:
    """Records to go through, and how they are read.

    Attributes
    ----------
    frame : DataFrame
        What the workers get, spread over tasks.
    columns : tuple of Column
        What is told of every record besides the kernels' columns, among it ``uri``,
        ``content_hash``, ``reason`` and ``detail`` (null where the image can be read).
    read : callable
        From batches of `frame`, and how far decoders are trusted, to (values of `columns` by name,
        image or None where kernels are not to see it). It is sent to the workers.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    read: Callable[[Iterator[pa.RecordBatch], Care], Iterator[Found]]


class Reader(Protocol):
    """How the stage that takes in images opens them."""

    def listed(self, context: Context) -> Records:
        """Return the records of a source, for the stage itself."""

    def known(self, context: Context, images: DataFrame) -> Records:
        """Return the records of images that were taken in before, for stages over pixels."""


@dataclass
class _Due:
    """A kernel that is due, and where valid rows of an earlier one are."""

    key: StepKey
    name: str
    kernel: Kernel
    earlier: tuple[str, ...] = ()


@dataclass
class PixelPass:
    """The pass over one batch.

    Attributes
    ----------
    source : Stage
        The stage that takes in the images.
    images : Table
        What it makes of them.
    is_listing : bool
        Whether files are listed anew; else the images are known.
    due : list
        Kernels that go along.
    path : str
        Scratch folder, relative to the warehouse.
    """

    source: Stage
    images: Table
    is_listing: bool
    due: list[_Due]
    path: str
    _context: Context

    @classmethod
    def plan(cls, planner: Planner, context: Context, following: Sequence[StepKey]) -> PixelPass:
        """Find out which kernels go along.

        Parameters
        ----------
        planner : Planner
        context : Context
            Of the step that needs the pass first.
        following : sequence
            This step and those after it.
        """
        house = planner.house
        gives = context.stage.gives or context.stage.over
        source = next(stage for stage in house.stages if stage.gives == gives)
        images = next(o for o in source.writes if isinstance(o, Table) and o.name != "rejects")
        is_listing = context.stage is source
        due = []
        for key in following:
            name, batch, variant = key
            stage = house.by_name[name]
            if stage.over != gives or batch != context.batch:
                continue
            existing = context.view.of_step(name, batch, variant)
            step = planner.decide(key, context.view) if existing or not is_listing else None
            if step is not None and step.action != "run" and not is_listing:
                continue
            valid = step is not None and step.action == "skip"
            valid = valid and context.warehouse.are_whole(existing)
            earlier = [e.path for e in existing if e.table != "rejects"] if valid else []
            own = replace(context, stage=stage, variant=variant, counts={}, entries=[])
            kernel = load(stage.kernel)(own)
            title = "__".join(filter(None, (name, variant)))
            due.append(_Due(key, title, kernel, tuple(earlier)))
        path = f"scratch/run={context.run}/batch={context.batch}"
        return cls(source, images, is_listing, due, path, context)

    def run(self, context: Context) -> None:
        """Do the pass: afterwards the scratch folder holds a row a record."""
        reader: Reader = load(self.source.rows)
        earlier_hashes = None
        if self.is_listing:
            records = reader.listed(context)
            earlier_hashes = self._earlier_hashes(context)
        else:
            records = reader.known(context, self._read(context, self.images))
        names = ", ".join(due.name.replace("__", " ") for due in self.due)
        context.say(f"one pass over the pixels{f', also for {names}' if names else ''}")
        shared = context.spark.sparkContext.broadcast(earlier_hashes)
        plain = records.columns
        kernels = [(due.name, due.kernel, bool(due.earlier)) for due in self.due]
        read = records.read

        def work(
            batches: Iterator[pa.RecordBatch], *, is_retried: bool
        ) -> Iterator[pa.RecordBatch]:
            makers = [(kernel.make(), kernel.columns, kept) for _, kernel, kept in kernels]
            known = shared.value or {}
            for chunk in _chunks(read(batches, care_of_task(is_retried=is_retried))):
                yield _wide(chunk, plain, [name for name, _, _ in kernels], makers, known)

        schema = StructType(
            [StructField(c.name, spark_type(c.type), True) for c in plain]
            + [
                StructField(
                    due.name,
                    StructType(
                        [StructField(c.name, spark_type(c.type), True) for c in due.kernel.columns]
                    ),
                    True,
                )
                for due in self.due
            ]
        )

        def write(is_retried: bool) -> None:
            wide = records.frame.mapInArrow(partial(work, is_retried=is_retried), schema)
            with context.watched("images"):
                wide.write.mode("overwrite").parquet(context.uri(self.path))

        despite_deadly_images(context, write)
        shared.destroy()
        self._schema = schema

    def _earlier_hashes(self, context: Context) -> dict[str, str] | None:
        """Return name to content of the batch as it is now, where rows may be carried over."""
        if not any(due.earlier for due in self.due):
            return None
        frame = self._read(context, self.images).select("image_id", "content_hash")
        table = frame.toArrow()
        return dict(
            zip(table["image_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True)
        )

    def _read(self, context: Context, table: Table) -> DataFrame:
        entries = context.view.of_table(table.name, context.batch)
        return table.reader(context.spark).parquet(*[context.pattern(e.path) for e in entries])

    def rows(self, context: Context) -> DataFrame:
        """Return what the pass made for a step; see :meth:`Context.passed`."""
        wide = context.spark.read.schema(self._schema).parquet(context.pattern(self.path))
        if context.stage is self.source:
            return wide.drop(*(due.name for due in self.due))
        key = (context.stage.name, context.batch, context.variant)
        due = next(due for due in self.due if due.key == key)
        images = self._read(context, self.images).select("batch", "image_id", "uri")
        made = wide.where("reason is null").select("uri", due.name)
        joined = images.join(made, "uri")
        fresh = joined.where(F.col(due.name).isNotNull() | F.lit(not due.earlier))
        found = fresh.select("batch", "image_id", f"{due.name}.*")
        if not due.earlier:
            return found
        carried = joined.where(F.col(due.name).isNull()).select("image_id")
        older = context.spark.read.parquet(*map(context.pattern, due.earlier))
        older = older.join(carried, "image_id", "left_semi").select(*found.columns)
        return found.unionByName(older)

    def remove(self) -> None:
        """Remove the scratch folder."""
        self._context.warehouse.storage.remove_folder(self.path.rpartition("/")[0])


def care_of_task(*, is_retried: bool) -> Care:
    """Return how far a task trusts decoders: less when it, or its whole job, is tried again."""
    task = TaskContext.get()
    again = is_retried or (task is not None and task.attemptNumber() > 0)
    return Care.GUARD if again else Care.ALARM


def despite_deadly_images(context: Context, write: Callable[[bool], None]) -> None:
    """Run a job that decodes images; once more, with care, where a worker died of one.

    Clusters try a task again by themselves; local mode does not.

    Parameters
    ----------
    context : Context
    write : callable
        Runs the job; its argument says whether it is tried again, for :func:`care_of_task`.
    """
    try:
        write(False)
    except Exception as error:
        if "Python worker exited unexpectedly" not in str(error) or not is_local(context.spark):
            raise
        context.progress.warn(
            f"{context.title}: a worker died; the pass is made again, with every image decoded in "
            "a process of its own"
        )
        write(True)


def _chunks(found: Iterator[Found]) -> Iterator[list[Found]]:
    chunk: list[Found] = []
    size_bytes = 0
    for row, image in found:
        chunk.append((row, image))
        size_bytes += 0 if image is None or isinstance(image, Rejected) else image.pixels.nbytes
        if len(chunk) >= _CHUNK_IMAGES or size_bytes >= _CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def _wide(
    chunk: list[Found],
    plain: Sequence[Column],
    names: Sequence[str],
    makers: Sequence[tuple[Callable[..., Mapping[str, pa.Array]], tuple[Column, ...], bool]],
    known: Mapping[str, str],
) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {
        c.name: pa.array([row[c.name] for row, _ in chunk], arrow_type(c.type)) for c in plain
    }
    for name, (kernel, its_columns, kept) in zip(names, makers, strict=True):
        places: list[int | None] = []
        images: list[Image] = []
        for row, image in chunk:
            unchanged = kept and known.get(row.get("image_id", "")) == row["content_hash"]
            if image is None or unchanged:
                places.append(None)
            else:
                places.append(len(images))
                images.append(image)
        columns[name] = _structs(kernel(images) if images else None, its_columns, places)
    return pa.RecordBatch.from_pydict(columns)


def _structs(
    made: Mapping[str, pa.Array] | None, columns: Sequence[Column], places: Sequence[int | None]
) -> pa.StructArray:
    """Return a struct a record; null where the kernel did not see it."""
    index = pa.array(places, pa.int32())
    children, fields = [], []
    for column in columns:
        kind = arrow_type(column.type)
        fields.append(pa.field(column.name, kind))
        if made is None:
            children.append(pa.nulls(len(places), kind))
        else:
            children.append(made[column.name].cast(kind).take(index))
    return pa.StructArray.from_arrays(children, fields=fields, mask=index.is_null())
