"""What the codebook costs."""

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.size import choose_size
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.features.cost import dimension

__all__ = ["ROW_SECONDS", "assigned", "codebook_bytes", "cost", "words_of"]

ROW_SECONDS = 0.03e-3
"""Reading an image's descriptors or words as a row."""
_MLLIB = 8.0  # times a plain product that a distance takes in MLlib
_MORE_PASSES = 2  # of MLlib: for the start, and to count what each centre got
_OVERSAMPLED = 2  # centres of MLlib that one word is chosen from
_JOB_SECONDS = 0.4


def words_of(sizes: Sizes) -> int:
    """Return the number of visual words, as it is set or would be chosen."""
    size = sizes.settings.of(CodebookSettings).size
    if size != "auto":
        return size
    return choose_size(sizes.images, round(sizes.images * sizes.features))[0]


def codebook_bytes(sizes: Sizes) -> float:
    """Return what a task holds of the codebook: sums are 64-bit, and exist twice while added."""
    return 5.0 * 4 * words_of(sizes) * dimension(sizes)


def assigned(sizes: Sizes) -> float:
    """Return the core-seconds of finding the nearest word of every descriptor."""
    products = sizes.images * sizes.features * words_of(sizes) * dimension(sizes)
    return products * sizes.rates.product


def cost(sizes: Sizes) -> Cost:
    """Return what starting centres on a sample and passes over all descriptors take."""
    settings = sizes.settings.of(CodebookSettings)
    total = sizes.images * sizes.features
    sample = min(total, float(settings.sample_size or total))
    on_sample = sample * words_of(sizes) * dimension(sizes) * sizes.rates.product
    passes = 1 + settings.refine_iterations
    passes_of_mllib = _MORE_PASSES + settings.mllib_iterations
    return Cost(
        tasks=sizes.tasks,
        core_seconds=passes * (assigned(sizes) + sizes.images * ROW_SECONDS)
        + on_sample * _OVERSAMPLED * _MLLIB * passes_of_mllib,
        driver_seconds=_JOB_SECONDS * (passes + 2 * passes_of_mllib),
        written_bytes=4 * words_of(sizes) * dimension(sizes),
        task_bytes=codebook_bytes(sizes),
        because="the codebook several times: codebook.size x numbers of a descriptor x 20 bytes",
    )
