"""Tables of the nearest images."""

from minia_spark.engine.table import Column, Table

__all__ = ["NEIGHBOURS", "NEIGHBOUR_BATCHES", "NEIGHBOUR_CELLS"]

NEIGHBOURS = Table(
    "neighbours",
    "an image that has an embedding",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("neighbours", "array<string>", "The nearest other images, the nearest first."),
        Column("batches", "array<string>", "The batch of each."),
        Column("distances", "array<double>", "How far each is, by neighbours.distance."),
    ),
    variants=True,
)

NEIGHBOUR_BATCHES = Table(
    "neighbour_batches",
    "a batch whose images are in table neighbours",
    (
        Column("batch", "string", "The batch."),
        Column("embeddings", "string", "Digest of its embeddings."),
    ),
    variants=True,
)

NEIGHBOUR_CELLS = Table(
    "neighbour_cells",
    "a cell of the inverted file that neighbours are found by, frozen with the embedding",
    (
        Column("cell", "int", "Its number."),
        Column("vector", "array<float>", "Its centre: images belong to the nearest."),
    ),
    variants=True,
)
