"""What mining costs."""

from minia_spark.codebook.cost import ROW_SECONDS, words_of
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.mining.excess import MOST_WORDS
from minia_spark.mining.settings import MiningSettings
from minia_spark.words.cost import occurrences

__all__ = ["SPAN_BYTES", "factors", "mine", "pairs", "tune"]

SPAN_BYTES = 128 << 20
"""Of minima that a task holds at a time."""
_ASSUMED_TUPLE_SIZE, _ASSUMED_TABLES = 2, 1000
_IMAGES_A_TASK = 100_000
_IMAGES_A_PIECE = 20_000  # of a shuffled collection

# In multiplications of a large product, which the probe measures.
_MINIMUM = 0.5  # an occurrence under one permutation
_GROUPED = 1_200.0  # an item in a hash table
_SHUFFLED = 12_000.0  # an occurrence in a decoy
_FITTED = 400.0  # a word of an image, when the numbers of the image are fitted
_COUNTED = 2_000.0  # an occurrence: pairs that it is in, structures that it supports


def _tables(sizes: Sizes) -> tuple[int, int]:
    mining = sizes.settings.of(MiningSettings)
    return (mining.tuple_size or _ASSUMED_TUPLE_SIZE), (mining.tables or _ASSUMED_TABLES)


def _minima(sizes: Sizes) -> int:
    tuple_size, tables = _tables(sizes)
    return tuple_size * tables


def _signature_bytes(sizes: Sizes) -> float:
    return 4.0 * words_of(sizes) * _minima(sizes)


def tune(sizes: Sizes) -> Cost:
    """Return what one shuffled collection takes."""
    work = occurrences(sizes) * (_SHUFFLED + _COUNTED) * sizes.rates.product
    return Cost(
        tasks=max(1, sizes.images // _IMAGES_A_PIECE),
        core_seconds=work,
        driver_seconds=1.0,
        written_bytes=1000,
        task_bytes=12 * _IMAGES_A_PIECE * occurrences(sizes) / max(1, sizes.images),
        because="a piece of a shuffled collection",
    )


def factors(sizes: Sizes) -> Cost:
    """Return what telling the images of a batch takes; nothing where there are too many words."""
    if words_of(sizes) > MOST_WORDS:
        return Cost(tasks=1, core_seconds=0.0, driver_seconds=0.1, because="no work")
    a_piece = 12 * occurrences(sizes) / max(1, sizes.images)
    return Cost(
        tasks=max(sizes.cores, -(-sizes.images // _IMAGES_A_TASK)),
        core_seconds=sizes.images * (words_of(sizes) * _FITTED * sizes.rates.product + ROW_SECONDS),
        driver_seconds=0.5,
        written_bytes=20.0 * sizes.images,
        task_bytes=_IMAGES_A_TASK * a_piece,
        because="an image's place on each factor",
    )


def pairs(sizes: Sizes) -> Cost:
    """Return what counting all pairs takes; nothing where there are too many words."""
    words = words_of(sizes)
    if words > MOST_WORDS:
        return Cost(tasks=1, core_seconds=0.0, driver_seconds=0.1, because="no work")
    mining = sizes.settings.of(MiningSettings)
    parts = 2 + mining.decoys
    sums = 4.0 * words * words
    work = sizes.images * words * (words / 2 + _FITTED) * parts * sizes.rates.product
    return Cost(
        tasks=max(sizes.cores, -(-sizes.images // _IMAGES_A_TASK)),
        core_seconds=work + sizes.images * ROW_SECONDS,
        driver_seconds=0.5,
        written_bytes=sums * (2 + mining.seeds + mining.decoys),
        task_bytes=_IMAGES_A_TASK * 12 * occurrences(sizes) / max(1, sizes.images) + 6 * sums,
        because="pairs of words x (2 + mining.seeds + mining.decoys) x 8 bytes",
    )


def mine(sizes: Sizes) -> Cost:
    """Return what mining takes, with decoys and other seeds."""
    mining = sizes.settings.of(MiningSettings)
    _, tables = _tables(sizes)
    trials = 1 + mining.seeds + mining.decoys
    grouped = words_of(sizes) * tables * trials * _GROUPED * sizes.rates.product
    found = occurrences(sizes)
    work = found * (mining.decoys * _SHUFFLED + trials * _minima(sizes) * _MINIMUM)
    work += found * (1 + mining.decoys) * _COUNTED
    pieces = max(1, sizes.images // _IMAGES_A_PIECE) * max(1, mining.decoys)
    a_piece = 12 * found / max(1, sizes.images)
    return Cost(
        tasks=max(-(-sizes.images // _IMAGES_A_TASK), pieces, 2 * sizes.cores),
        core_seconds=work * sizes.rates.product
        + grouped
        + sizes.images * ROW_SECONDS * (1 + mining.decoys),
        driver_seconds=2.0 + grouped / 4,
        written_bytes=words_of(sizes) * 100,
        task_bytes=4 * _IMAGES_A_PIECE * a_piece + 3 * min(_signature_bytes(sizes), SPAN_BYTES),
        because="a piece of a shuffled collection and signatures of some hash tables",
    )
