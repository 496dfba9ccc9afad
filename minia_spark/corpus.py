"""``minia mine --words FILE --model OUT``: mines a corpus file, without warehouse and Spark."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from minia_spark.config import Settings
from minia_spark.errors import InputError, MiniaError
from minia_spark.mining.corpus import mine_corpus, numbered_documents
from minia_spark.mining.engine import get_engine
from minia_spark.storage import whole_file
from minia_spark.words.formats import Bags, read_bags, write_bags

__all__ = ["mine_file"]


def mine_file(words: Path, model: Path, settings: Settings, *, quiet: bool) -> int:
    """Mine a ``.words`` file and write the structures as a ``.model`` file.

    Parameters
    ----------
    words : Path
        A document a line; its number, from 0, is the document's key.
    model : Path
    settings : Settings
        Section ``mining``.
    quiet : bool

    Raises
    ------
    InputError
        The file cannot be read or is malformed (the message names the line and the value).
    MiniaError
        The model cannot be written.
    """
    mining = settings.mining
    engine = get_engine(mining.engine, binary=mining.binary)

    def report(stage: str, count: int) -> None:
        if not quiet:
            tqdm.write(f"{stage}: {count:,}", file=sys.stderr)

    report(f"engine {engine.name}, tables", mining.tables)
    try:
        with words.open("rb") as lines:
            found = mine_corpus(
                numbered_documents(read_bags(lines, name=str(words))),
                engine,
                tuple_size=mining.tuple_size,
                tables=mining.tables,
                min_set_size=mining.min_set_size,
                cluster_tuple_size=mining.cluster_tuple_size,
                cluster_tables=mining.cluster_tables,
                overlap=mining.overlap,
                min_cluster_size=mining.min_cluster_size,
                seed=mining.seed,
                expand=mining.expand,
                progress=report,
            )
    except OSError as error:
        raise InputError(f"corpus {words} cannot be read: {error.strerror or error}") from None
    try:
        with whole_file(model) as stream:
            write_bags(stream, Bags(found.offsets, found.items, found.frequencies))
    except OSError as error:
        raise MiniaError(f"model {model} cannot be written: {error.strerror or error}") from None
    print(f"{len(found)} structures: {model}")
    return 0
