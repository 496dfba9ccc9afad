"""Groups of words grown from links: a million of them, one thread and two, and NumPy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minia_spark.smh.arrays import MAX_STRENGTH, WordLinks
from minia_spark.smh.engine import get_engine
from minia_spark.smh.wire import write_word_links
from tests.benchmarks.figures import Figure, timed
from tests.benchmarks.programs import Use, measured

REPEATS = 3


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures of links that are mostly weak, mostly strong, and crowded on few words."""
    words, links = int(10_000 * scale**0.5), int(1_000_000 * scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, strong in (("a tenth of the chance links strong", 0.1), ("most strong", 0.8)):
            graph = planted_links(words, links, strong=strong)
            yield from _grown(folder, graph, f"{links:,} links, {words:,} words, {what}", 5.0)
        few, crowded = int(1000 * scale**0.5), int(80_140 * scale)
        graph = planted_links(few, crowded, strong=0.8, hubs=True)
        yield from _grown(folder, graph, f"{crowded:,} links, {few:,} words, hubs, most strong")
    graph = planted_links(words // 5, links // 25, strong=0.1)
    ours, found = timed(lambda: get_engine("native").grow(graph))
    theirs, wanted = timed(lambda: get_engine("datasketch").grow(graph))
    assert [group.tolist() for group in found] == [group.tolist() for group in wanted]
    yield Figure(f"{len(graph):,} links, {words // 5:,} words: native engine", ours, "s")
    yield Figure("  NumPy / native", theirs / ours, at_least=10 if scale >= 1 else None)


def _grown(
    folder: Path, graph: WordLinks, name: str, limit: float | None = None
) -> Iterator[Figure]:
    (folder / "links").write_bytes(write_word_links(graph))
    uses: dict[int, list[Use]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for threads, found in uses.items():
            line = f"grow --threads {threads} links"
            found.append(measured(line, folder=folder, target=folder / str(threads)))
    assert (folder / "1").read_bytes() == (folder / "2").read_bytes()
    one, two = Use.least(uses[1]), Use.least(uses[2])
    yield Figure(f"{name}: CPU", one.cpu, "s", at_most=limit)
    yield Figure("  one thread, on the clock", one.seconds, "s")
    yield Figure("  two threads, on the clock", two.seconds, "s")
    yield Figure("  two threads, CPU", two.cpu, "s")
    yield Figure("  one thread, peak memory", one.peak_mib, "MiB")


def planted_links(
    words: int, links: int, *, strong: float, hubs: bool = False, seed: int = 1
) -> WordLinks:
    """Return links of planted groups, and links by chance up to a number.

    Parameters
    ----------
    words, links : int
        How many there are of each.
    strong : float
        Share of the links by chance that are strong; those of groups all are.
    hubs : bool
        Words attract links by chance as ``rank ** -0.5``, not all alike.
    seed : int

    Returns
    -------
    WordLinks
        A tenth as many groups as words, of 5 to 15 words, nine of ten pairs of each linked, with
        Jaccard similarities of about 0.33; of 0.06 by chance.
    """
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(words // 10):
        members = np.sort(random.choice(words, random.integers(5, 16), replace=False))
        a, b = np.triu_indices(len(members), 1)
        kept = random.random(len(a)) < 0.9
        parts.append(members[a][kept] * words + members[b][kept])
    planted = np.unique(np.concatenate(parts))[:links]
    share = (np.arange(words) + 10.0) ** (-0.5 if hubs else 0.0)
    chance = np.zeros(0, np.int64)
    while len(chance) < links - len(planted):
        ends = np.sort(random.choice(words, (2, links), p=share / share.sum()), axis=0)
        fresh = (ends[0] * words + ends[1])[ends[0] < ends[1]]
        chance = np.setdiff1d(np.concatenate([chance, fresh]), planted)
    codes = np.concatenate([planted, random.permutation(chance)[: links - len(planted)]])
    own = np.arange(len(codes)) < len(planted)
    strength = np.where(own, random.beta(4, 8, len(codes)), random.beta(2, 30, len(codes)))
    starts: NDArray[np.bool_] = own | (random.random(len(codes)) < strong)
    order = np.argsort(codes)
    first, second = np.divmod(codes[order], words)
    return WordLinks(
        first.astype(np.uint32),
        second.astype(np.uint32),
        (strength[order] * MAX_STRENGTH).astype(np.int64),
        starts[order],
    )
