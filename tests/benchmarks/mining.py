"""The native engine against the datasketch engine on the same planted corpus, one thread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minia_spark.mining.arrays import Documents
from minia_spark.mining.corpus import mine_corpus
from minia_spark.mining.engine import get_engine
from minia_spark.sky.corpus import planted_corpus
from tests.benchmarks.figures import Figure, timed


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    corpus = planted_corpus(documents=int(50_000 * scale), items=2000)
    documents = Documents(corpus.keys, corpus.offsets, corpus.items)
    native, twin = get_engine("native"), get_engine("datasketch")
    for r, tables in ((2, 750), (3, 750)):
        sketch = {"tuple_size": r, "tables": tables}
        ours, left = timed(lambda sketch=sketch: native.sketch([documents], **sketch))
        theirs, right = timed(lambda sketch=sketch: twin.sketch([documents], **sketch))
        assert np.array_equal(left.minima, right.minima)
        yield Figure(f"r={r} l={tables}: sketch, native seconds", ours)
        yield Figure(f"r={r} l={tables}: sketch, datasketch / native", theirs / ours, at_least=10)
        ours, _ = timed(lambda sketch=sketch: mine_corpus([documents], native, **sketch))
        yield Figure(f"r={r} l={tables}: everything, native seconds", ours)
