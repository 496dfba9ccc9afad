"""What words cost."""

from minia_spark.codebook.cost import ROW_SECONDS, assigned, codebook_bytes, words_of
from minia_spark.engine.cost import Cost, Sizes

__all__ = ["cost", "occurrences"]


def occurrences(sizes: Sizes) -> float:
    """Return in how many (image, word) pairs a word occurs.

    An image of n features in K words has about K (1 - exp(-n / K)) different ones: at most n.
    """
    return sizes.images * min(sizes.features, float(words_of(sizes)))


def cost(sizes: Sizes) -> Cost:
    """Return what one pass over all descriptors takes."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=assigned(sizes) + sizes.images * ROW_SECONDS,
        driver_seconds=0.5,
        written_bytes=sizes.images * sizes.features * 4 + occurrences(sizes) * 12,
        task_bytes=codebook_bytes(sizes),
        because="the codebook several times: codebook.size x numbers of a descriptor x 20 bytes",
    )
