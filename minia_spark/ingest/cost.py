"""What ingest costs."""

from minia_spark.engine.cost import Cost, Sizes

__all__ = ["cost"]

OPENED_SECONDS = 0.5e-3  # opening, hashing, decoding whatever its size
_DECODED = 0.06  # share of a search for features that decoding a pixel takes
_ROW_BYTES = 200


def cost(sizes: Sizes) -> Cost:
    """Return what opening and decoding takes: the pass that all stages over pixels share."""
    work = sizes.images * (OPENED_SECONDS + sizes.pixels * sizes.rates.pixel * _DECODED)
    return Cost(
        tasks=sizes.tasks,
        core_seconds=work,
        driver_seconds=1.0,
        written_bytes=sizes.images * _ROW_BYTES,
        task_bytes=4 * sizes.pixels,
        because="an image",
    )
