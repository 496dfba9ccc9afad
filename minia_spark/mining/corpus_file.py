"""``minia mine --words FILE --model OUT``: mines a corpus file, without warehouse and Spark."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minia_spark.base.bags import Bags, read_bags, write_bags
from minia_spark.base.errors import InputError, MiniaError
from minia_spark.base.files import whole_file
from minia_spark.engine.settings import Settings
from minia_spark.mining.assess import Assessment, assess, miner
from minia_spark.mining.auto import choose_for
from minia_spark.mining.corpus import numbered_documents
from minia_spark.mining.settings import MiningSettings
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine

__all__ = ["COLUMNS", "mine_file"]

COLUMNS = ("structure", "words", "sets", "support", "expected_support", "lift", "q", "stability")
"""Of the table that says how far each structure is to be believed."""


def mine_file(
    words: Path, model: Path, settings: Settings, *, assessment: Path | None, quiet: bool
) -> int:
    """Mine a ``.words`` file and write the structures as a ``.model`` file.

    Parameters
    ----------
    words : Path
        A document a line; its number, from 0, is the document's key. Read several times.
    model : Path
        A structure a line, those first that are significant and reproducible.
    settings : Settings
        Section ``mining``.
    assessment : Path or None
        Where to write, as CSV, what is known of each structure; see :data:`COLUMNS`.
    quiet : bool

    Raises
    ------
    InputError
        The file cannot be read or is malformed (the message names the line and the value).
    MiniaError
        The model cannot be written.
    """
    mining = settings.of(MiningSettings)

    def report(stage: str, count: int) -> None:
        if not quiet:
            tqdm.write(f"{stage}: {count:,}", file=sys.stderr)

    def collection() -> Iterator[Documents]:
        try:
            with words.open("rb") as lines:
                yield from numbered_documents(read_bags(lines, name=str(words)))
        except OSError as error:
            raise InputError(f"corpus {words} cannot be read: {error.strerror or error}") from None

    if words.exists() and not words.is_file():
        raise InputError(f"corpus {words} is no file that can be read more than once")
    tuple_size, tables = mining.tuple_size, mining.tables
    if tuple_size is None or tables is None:
        choice = choose_for(
            collection,
            link=mining.link,
            partners_by_chance=mining.partners_by_chance,
            min_lift=mining.min_lift,
            tuple_size=tuple_size,
            tables=tables,
            seed=mining.seed,
        )
        tuple_size, tables = choice.tuple_size, choice.tables
        if not quiet:
            for reason in choice.reasons:
                tqdm.write(reason, file=sys.stderr)
    engine = get_engine(mining.engine, binary=mining.binary)
    report(f"engine {engine.name}, tuples of {tuple_size}, tables", tables)
    mine = miner(
        engine,
        link=mining.link,
        tuple_size=tuple_size,
        tables=tables,
        min_set_size=mining.min_set_size,
        partners_by_chance=mining.partners_by_chance,
        pairs_by_chance=mining.pairs_by_chance,
        min_lift=mining.min_lift,
        density=mining.density,
        cluster_tuple_size=mining.cluster_tuple_size,
        cluster_tables=mining.cluster_tables,
        overlap=mining.overlap,
        min_cluster_size=mining.min_cluster_size,
        expand=mining.expand,
        progress=report,
    )
    found = assess(
        collection,
        mine,
        decoys=mining.decoys,
        seeds=mining.seeds,
        seed=mining.seed,
        max_q=mining.max_q,
        min_stability=mining.min_stability,
        progress=report,
    )
    structures = found.structures
    bags = Bags(structures.offsets, structures.items, structures.frequencies)
    with _told("model", model), whole_file(model) as stream:
        write_bags(stream, bags)
    if assessment is not None:
        with _told("table", assessment), whole_file(assessment) as stream:
            stream.write(_table(found).encode())
    print(f"{len(found)} structures: {model}{_belief(found, mining)}")
    return 0


def _belief(found: Assessment, mining: MiningSettings) -> str:
    """Say how many structures are to be believed."""
    parts = []
    if mining.decoys:
        parts.append(f"{int(found.significant.sum())} with q <= {mining.max_q:g}")
    if mining.seeds:
        stable = int(found.reproducible.sum())
        parts.append(f"{stable} with stability >= {mining.min_stability:g}")
    return f" ({', '.join(parts)})" if parts else ""


def _table(found: Assessment) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for number in range(len(found)):
        values = (found.expected_support, found.lift, found.q, found.stability)
        rows.writerow(
            [
                number,
                found.structures.sizes[number],
                found.structures.sets[number],
                found.support[number],
                *("" if np.isnan(v[number]) else f"{v[number]:.6g}" for v in values),
            ]
        )
    return text.getvalue()


@contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MiniaError(f"{what} {path} cannot be written: {error.strerror or error}") from None
