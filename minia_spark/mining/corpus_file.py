"""``minia mine --words FILE --model OUT``: mines a corpus file, without warehouse and Spark."""

from __future__ import annotations

import csv
import functools
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minia_spark.base.bags import Bags, read_bags, write_bags
from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import require_replaceable, whole_file
from minia_spark.engine.settings import Settings
from minia_spark.mining.assess import Assessment
from minia_spark.mining.local import LocalCollection, numbered_documents
from minia_spark.mining.methods import consensus_of, link_of, sketch_of, trials_of
from minia_spark.mining.miner import choose_way, mine, mine_beyond
from minia_spark.mining.pulse import Pulse
from minia_spark.mining.rows import kept_of
from minia_spark.mining.settings import MiningSettings
from minia_spark.smh.engine import Engine, get_engine
from minia_spark.words.bag import kept_words
from minia_spark.words.settings import WordsSettings

__all__ = ["COLUMNS", "mine_file"]

COLUMNS = (
    *("structure", "words", "sets", "support", "expected_support", "lift", "expected_beyond"),
    *("lift_beyond", "surprise", "q", "stability"),
)
"""Of the table that says how far each structure is to be believed."""

_SHOWN = 10
_WORDS_SHOWN = 8
_MOST_WORDS = 1 << 27


def mine_file(
    words: Path,
    model: Path,
    settings: Settings,
    *,
    assessment: Path | None,
    vocabulary: Path | None,
    quiet: bool,
) -> int:
    """Mine a ``.words`` file, write the structures as a ``.model`` file and print the best.

    Parameters
    ----------
    words : Path
        A document a line; its number, from 0, is the document's key. Read once if it is small.
    model : Path
        A structure a line, those first that are significant and reproducible.
    settings : Settings
        Sections ``mining`` and ``words`` (outliers).
    assessment : Path or None
        Where to write, as CSV, what is known of each structure; see :data:`COLUMNS`.
    vocabulary : Path or None
        The words' names, one a line: that of word 0 first.
    quiet : bool
        Print the result only.

    Raises
    ------
    SettingsError
        A file would be written over another one that is given.
    InputError
        A file cannot be read or is malformed (the message names the line and the value).
    MiniaError
        A result cannot be written. All this is found before the work begins.
    """
    _check_places(words, vocabulary, {"model": model, "table": assessment})
    mining = settings.of(MiningSettings)
    names = None if vocabulary is None else _names(vocabulary)
    print_line = functools.partial(tqdm.write, file=sys.stderr)
    with Pulse((lambda _: None) if quiet else print_line) as pulse:
        pulse.at(f"reading {words}", 0, 0)
        kept = _kept(words, names, vocabulary, settings)
        if kept is not None:
            pulse.say(f"{int(kept.sum()):,} of {len(kept):,} words are no outliers, and are mined")

        @functools.cache
        def engine(threads: int) -> Engine:
            return get_engine(mining.engine, binary=mining.binary, threads=threads)

        collection = LocalCollection(
            lambda: numbered_documents(kept_of(bags, kept) for bags in _bags(words)),
            engine,
            seed=mining.seed,
            cores=_cores(),
            progress=pulse.at,
        )
        found, beyond = _mined(collection, mining, pulse)
    structures = found.structures
    bags = Bags(structures.offsets, structures.items, structures.frequencies)
    with _told("model", model), whole_file(model) as stream:
        write_bags(stream, bags)
    if assessment is not None:
        with _told("table", assessment), whole_file(assessment) as stream:
            stream.write(_table(found).encode())
    for line in _best(found, names, beyond=beyond):
        print(line)
    print(f"{len(found)} structures: {model}{_belief(found, mining)}")
    return 0


def _mined(
    collection: LocalCollection, mining: MiningSettings, pulse: Pulse
) -> tuple[Assessment, bool]:
    """Return what is found, and whether it was mined against a background."""
    tuple_size, tables, background = mining.tuple_size, mining.tables, None
    link = link_of(mining)
    if tuple_size is None or tables is None or mining.chance == "background":
        choice = choose_way(
            collection,
            link,
            chance=mining.chance,
            tuple_size=tuple_size,
            tables=tables,
            seed=mining.seed,
        )
        tuple_size, tables, background = choice.tuple_size, choice.tables, choice.background
        for reason in choice.reasons:
            pulse.say(reason)
    if background is not None:
        pulse.say(
            f"Counting all pairs of words: in the documents, without {mining.seeds} parts of them, "
            f"in {mining.decoys} decoys; {collection.parallelism} cores."
        )
        link = consensus_of(mining, beyond=True)
        return mine_beyond(collection, background, link, trials_of(mining))[0], True
    assert tuple_size is not None
    assert tables is not None
    pulse.say(
        f"Mining with {tables} tables of {tuple_size} MinHashes: the documents, the same under "
        f"{mining.seeds} other seeds, {mining.decoys} decoys; engine {collection.engine().name}, "
        f"{collection.parallelism} cores."
    )
    found, look = mine(collection, sketch_of(mining, tuple_size, tables), link, trials_of(mining))
    pulse.say(f"{look.mined:,} sets of words met, {look.different:,} different ones.")
    return found, False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --------------------------------------------------------------------------- before the work


def _check_places(words: Path, vocabulary: Path | None, results: dict[str, Path | None]) -> None:
    """Refuse what would be found out after the work otherwise."""
    if words.exists() and not words.is_file():
        raise InputError(f"corpus {words} is no file that can be read more than once")
    taken = {words.resolve(): "corpus"}
    if vocabulary is not None:
        taken[vocabulary.resolve()] = "vocabulary"
    for what, path in results.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise SettingsError(
                f"the {what} would be written over the {taken[path.resolve()]}, {path}: "
                "give another name"
            )
        taken[path.resolve()] = what
        with _told(what, path):
            if path.is_dir():
                raise IsADirectoryError(None, "it is a folder")
            with tempfile.TemporaryFile(dir=require_replaceable(path).parent):
                pass  # it can be written there


def _names(vocabulary: Path) -> list[str]:
    try:
        lines = vocabulary.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"vocabulary {vocabulary} cannot be read: {error.strerror or error}"
        ) from None
    names = []
    for number, line in enumerate(lines, start=1):
        try:
            name = line.decode().strip()
        except UnicodeDecodeError as error:
            raise InputError(
                f"vocabulary {vocabulary}, line {number}: not UTF-8 ({error.reason} at byte "
                f"{error.start + 1} of the line); convert it, for example with iconv"
            ) from None
        names.append(name if name.isprintable() else ascii(name))
    return names


def _bags(words: Path) -> Iterator[Bags]:
    try:
        with words.open("rb") as lines:
            yield from read_bags(lines, name=str(words))
    except OSError as error:
        raise InputError(f"corpus {words} cannot be read: {error.strerror or error}") from None


def _kept(
    words: Path, names: Sequence[str] | None, vocabulary: Path | None, settings: Settings
) -> NDArray[np.bool_] | None:
    """Return which words are mined, None for all; refuse names that are too few."""
    drop = settings.of(WordsSettings).drop_outliers
    if names is None and not drop:
        return None
    counts = np.zeros(0, dtype=np.int64)
    for bags in _bags(words):
        largest = int(bags.items.max(initial=0))
        if names is not None and len(bags.items) and largest >= len(names):
            raise InputError(
                f"vocabulary {vocabulary} has {len(names):,} lines, too few: the corpus holds word "
                f"{largest:,}; it must name every word from 0 on, one a line"
            )
        if largest >= _MOST_WORDS:
            raise InputError(
                f"the corpus holds word {largest:,}: outliers among so many words cannot be told; "
                "number the words from 0, or set words.drop_outliers=false"
            )
        if drop:
            size = max(len(counts), largest + 1 if names is None else len(names))
            # sums of integers below 2**53 are exact in the float64 of bincount
            own = np.bincount(bags.items, weights=bags.counts, minlength=size).astype(np.int64)
            own[: len(counts)] += counts
            counts = own
    return kept_words(counts, settings.of(WordsSettings).outlier_deviations) if drop else None


# --------------------------------------------------------------------------- after it


def _belief(found: Assessment, mining: MiningSettings) -> str:
    """Say how many structures are to be believed."""
    parts = []
    if mining.decoys:
        parts.append(f"{int(found.significant.sum())} with q <= {mining.max_q:g}")
    if mining.seeds:
        stable = int(found.reproducible.sum())
        parts.append(f"{stable} with stability >= {mining.min_stability:g}")
    return f" ({', '.join(parts)})" if parts else ""


def _best(found: Assessment, names: Sequence[str] | None, *, beyond: bool) -> Iterator[str]:
    """Yield the lines of a table of the first structures, with a head.

    `beyond` tells whether they have a lift beyond a background.
    """
    if not len(found):
        return
    also = f" {'beyond':>8}" if beyond else ""
    yield f"{'rank':>4} {'support':>8} {'lift':>8}{also} {'q':>7} {'stability':>9}  words"
    structures = found.structures
    for number in range(min(_SHOWN, len(found))):
        start, stop = structures.offsets[number : number + 2].tolist()
        own = structures.items[start : min(stop, start + _WORDS_SHOWN)].tolist()
        told = ", ".join(str(word) if names is None else names[word] for word in own)
        more = f" and {stop - start - len(own)} more" if stop - start > len(own) else ""
        columns = [(found.lift, 8), (found.q, 7), (found.stability, 9)]
        if beyond:
            columns.insert(1, (found.lift_beyond, 8))
        numbers = " ".join(f"{_figure(values[number]):>{width}}" for values, width in columns)
        yield f"{number + 1:>4} {found.support[number]:>8} {numbers}  {told}{more}"
    if len(found) > _SHOWN:
        yield f"{'...':>4} the best {_SHOWN} of {len(found)}"


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"


def _table(found: Assessment) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for number in range(len(found)):
        values = (
            *(found.expected_support, found.lift, found.beyond, found.lift_beyond),
            *(found.surprise, found.q, found.stability),
        )
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
