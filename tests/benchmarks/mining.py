"""Mining by the native program: speed, threads, datasketch, new documents, memory, many words."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minia_spark.base.bags import Bags, write_bags
from minia_spark.cli.main import main
from minia_spark.rooms import HOUSE
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine
from minia_spark.smh.sets import merge_sets
from minia_spark.smh.wire import read_sets, write_documents, write_sets
from tests.benchmarks.figures import Figure, carry_out, session, timed
from tests.benchmarks.programs import Use, measured

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PLANTED = {"items": 2000, "structures": 100, "background_words": 93.5, "zipf_exponent": 0.5}
REPEATS = 7
_TWO_CORES = 1.8
"""Least throughput of two processes, in that of one, where threads are judged: elsewhere there is
no second core, or it is busy."""


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures; without the Associated Press's texts and the galaxies, fewer of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _speed(folder, scale)
        yield from _datasketch(scale)
        yield from _incremental(folder, scale)
        yield from _memory(folder, scale)
        yield from _many_words(folder, scale)


# ---------------------------------------------------------------------------- the whole program


def _speed(folder: Path, scale: float) -> Iterator[Figure]:
    corpus = planted_corpus(documents=int(50_000 * scale), **PLANTED)
    with (folder / "planted.words").open("wb") as stream:
        write_bags(stream, Bags(corpus.offsets, corpus.items, corpus.freqs))
    yield from _discovered(folder, "planted.words", "-r 3 -l 750", 1.0, threads=True)
    texts = DATA / "words" / "ap.dat"
    if texts.is_file():
        yield from _discovered(folder, str(texts), "-r 2 -l 432", 1.6, threads=True)
    if (DATA / "galaxies" / "images").is_dir():
        _galaxy_words(folder / "galaxies.words")
        yield from _discovered(folder, "galaxies.words", "-r 2 -l 750", 0.4, threads=False)


def _discovered(
    folder: Path, corpus: str, options: str, limit: float, *, threads: bool
) -> Iterator[Figure]:
    """Yield what a corpus takes; the kinds of runs take turns, so that noise meets all alike."""
    discover = f"discover {options} corpus.ifs"
    kinds = {
        "ifindex": [f"ifindex {corpus} corpus.ifs"],
        "one": [f"{discover} a"],
        "two": [f"{discover} --threads 2 a"],
        "both": [f"{discover} a", f"{discover} b"],
    }
    uses: dict[str, list[Use]] = {kind: [] for kind in kinds}
    for _, (kind, lines) in itertools.product(range(REPEATS), kinds.items()):
        uses[kind].append(measured(*lines, folder=folder))
    least = {kind: Use.least(found) for kind, found in uses.items()}
    name = f"{Path(corpus).name} {options}"
    total = least["ifindex"].seconds + least["one"].seconds
    yield Figure(f"{name}: ifindex and discover, one thread", total, "s", at_most=limit)
    yield Figure("  of it CPU", least["ifindex"].cpu + least["one"].cpu, "s")
    yield Figure("  discover, one thread", least["one"].seconds, "s")
    yield Figure("  discover, two threads", least["two"].seconds, "s")
    gain = least["one"].seconds / least["two"].seconds
    ceiling = 2 * least["one"].seconds / least["both"].seconds
    judged = threads and ceiling >= _TWO_CORES
    note = "" if judged or not threads else ": not judged, there was no second core"
    yield Figure(f"  one thread / two threads{note}", gain, at_least=1.7 if judged else None)
    yield Figure("  throughput of two processes at once / of one (the ceiling)", ceiling)
    yield Figure("  discover, one thread, peak memory", least["one"].peak_mib, "MiB")


def _galaxy_words(out: Path) -> None:
    """Bag the real galaxies: SIFT, 1,000 words."""
    settings = HOUSE.load_settings(None, ["spark.master=local[2]", "codebook.size=1000"])
    spark = session()
    stages = ("ingest", "features", "codebook", "words")
    with tempfile.TemporaryDirectory() as folder:
        carry_out(
            folder, DATA / "galaxies" / "images", settings, lambda mllib: spark, stages=stages
        )
        spark.stop()
        main(["export", "words", str(out), "--warehouse", folder, "--quiet"])


# ---------------------------------------------------------------------------- the same in Python


def _datasketch(scale: float) -> Iterator[Figure]:
    """Both engines, called from Python, give the same signatures; streams included."""
    corpus = planted_corpus(documents=int(50_000 * scale), **PLANTED)
    documents = Documents(corpus.keys, corpus.offsets, corpus.items)
    native, twin = get_engine("native"), get_engine("datasketch")
    for r in (2, 3):
        shape = {"tuple_size": r, "tables": 750}
        runs = [timed(lambda shape=shape: native.sketch([documents], **shape)) for _ in range(3)]
        ours = min(seconds for seconds, _ in runs)
        theirs, wanted = timed(lambda shape=shape: twin.sketch([documents], **shape))
        assert np.array_equal(runs[0][1].minima, wanted.minima)
        yield Figure(f"planted, sketch r={r} l=750: native engine", ours, "s")
        yield Figure("  datasketch / native", theirs / ours, at_least=10)


# ---------------------------------------------------------------------------- new documents


def _stream(folder: Path, name: str, documents: Documents) -> Path:
    path = folder / name
    with path.open("wb") as stream:
        for start in range(0, len(documents), 50_000):
            offsets = documents.offsets[start : start + 50_001]
            part = Documents(
                documents.keys[start : start + 50_000],
                offsets - offsets[0],
                documents.items[offsets[0] : offsets[-1]],
            )
            stream.write(write_documents(part))
    return path


def _incremental(folder: Path, scale: float) -> Iterator[Figure]:
    """1 % more documents: their sketch and the merge with what is stored, against a sketch of all.

    Mining and clustering, which follow both, are excluded.
    """
    count = int(1_000_000 * scale)
    corpus = planted_corpus(documents=count + count // 100, items=1000)
    cut = corpus.offsets[count]
    everything = Documents(corpus.keys, corpus.offsets, corpus.items)
    old = Documents(corpus.keys[:count], corpus.offsets[: count + 1], corpus.items[:cut])
    new = Documents(corpus.keys[count:], corpus.offsets[count:] - cut, corpus.items[cut:])
    paths = {
        name: _stream(folder, name, documents)
        for name, documents in (("all", everything), ("old", old), ("new", new))
    }
    sketch = "sketch -r 2 -l 750"
    signatures = {name: folder / f"{name}.smhs" for name in (*paths, "merged")}
    measured(sketch, folder=folder, source=paths["old"], target=signatures["old"])
    whole, added, merged = [], [], []
    for _ in range(REPEATS):
        whole.append(measured(sketch, folder=folder, source=paths["all"], target=signatures["all"]))
        added.append(measured(sketch, folder=folder, source=paths["new"], target=signatures["new"]))
        merged.append(
            measured("merge old.smhs new.smhs", folder=folder, target=signatures["merged"])
        )
    assert signatures["merged"].read_bytes() == signatures["all"].read_bytes()
    scratch, sketched, joined = (Use.least(uses) for uses in (whole, added, merged))
    yield Figure(f"sketch of {len(everything):,} documents, r=2 l=750", scratch.seconds, "s")
    yield Figure(f"  sketch of the {len(new):,} new", sketched.seconds, "s")
    yield Figure("  merge with the stored signatures", joined.seconds, "s")
    share = (sketched.seconds + joined.seconds) / scratch.seconds
    yield Figure("  both / sketch of all", 100 * share, "%", at_most=3)
    for name in (*paths, *(path.name for path in signatures.values())):
        (folder / name).unlink()


# ---------------------------------------------------------------------------- memory

_SPARE_MIB = 8
"""Of the program itself: code, buffers, and the ends of large pages."""


def _memory(folder: Path, scale: float) -> Iterator[Figure]:
    """Peak memory of a sketch against its law: signatures + 3 times the partition."""
    corpus = planted_corpus(documents=int(100_000 * scale), **PLANTED)
    path = _stream(folder, "part", Documents(corpus.keys, corpus.offsets, corpus.items))
    target = folder / "part.smhs"
    for options in ("-r 2 -l 50", "-r 3 -l 750"):
        use = measured(f"sketch {options}", folder=folder, source=path, target=target)
        law = (target.stat().st_size + 3 * path.stat().st_size) / 2**20
        yield Figure(
            f"sketch {options}, partition of {path.stat().st_size / 2**20:.0f} MiB, peak",
            use.peak_mib,
            "MiB",
            at_most=round(law + _SPARE_MIB),
        )
    path.unlink()
    target.unlink()


def _many_words(folder: Path, scale: float) -> Iterator[Figure]:
    """A million words, whose signatures would take 6 GB: sketched and mined by ranges of tables."""
    words, r, tables, step = int(1_000_000 * scale), 3, 500, 20
    corpus = planted_corpus(
        documents=int(200_000 * scale),
        items=words,
        structures=50,
        background_words=60,
        zipf_exponent=0.0,
        frequency=0.002,
    )
    path = _stream(folder, "wide", Documents(corpus.keys, corpus.offsets, corpus.items))
    signatures, sets = folder / "range.smhs", folder / "range.smhc"
    law = 4 * r * step * words + 3 * path.stat().st_size
    parts, seconds, peak = [], 0.0, 0.0
    for begin in range(0, tables, step):
        bounds = f"--table-begin {begin} --table-end {begin + step}"
        sketch = f"sketch -r {r} -l {tables} {bounds}"
        for use in (
            measured(sketch, folder=folder, source=path, target=signatures),
            measured("mine range.smhs", folder=folder, target=sets),
        ):
            seconds, peak = seconds + use.seconds, max(peak, use.peak_mib)
        with sets.open("rb") as stream:
            parts.append(read_sets(iter(lambda: stream.read(1 << 20), b"")))
    found = merge_sets(parts)
    sets.write_bytes(write_sets(found))
    use = measured("cluster range.smhc", folder=folder, target=folder / "links")
    yield Figure(f"{words:,} words, {len(corpus.items):,} postings, r={r} l={tables}", seconds, "s")
    yield Figure("  signatures of all tables, never held", 4 * r * tables * words / 2**20, "MiB")
    yield Figure(
        f"  peak of a range of {step} tables", peak, "MiB", at_most=law // 2**20 + _SPARE_MIB
    )
    yield Figure(f"  cluster of {len(found):,} distinct sets, peak", use.peak_mib, "MiB")
