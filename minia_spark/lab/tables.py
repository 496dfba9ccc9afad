"""What the lab writes."""

from minia_spark.engine.table import Artefact, Column, Table

__all__ = ["AGREEMENTS", "CONTINGENCIES", "FIGURES", "RECALLS", "REPEATED", "REPEATS"]

_MEASURED = (
    ("nmi", "Normalised mutual information of clusters and classes"),
    ("ami", "Adjusted mutual information: 0 is what chance makes"),
    ("ari", "Adjusted Rand index: 0 is what chance makes"),
    ("purity", "Share of the images that are of their cluster's most frequent class"),
    ("silhouette", "How much nearer images are to their cluster than to the next, on a sample"),
)
_WHERE = (
    Column("method", "string", "The clustering."),
    Column("vectors", "string", "What it clusters: components, or an embedding."),
    Column("split", "string", "train, on which it was fitted, or test."),
    Column("classes", "string", "galaxy_class: of Galaxy Zoo 2; label: of the images."),
)

AGREEMENTS = Table(
    "agreements",
    "a clustering, compared with classes on one side of the split",
    (
        *_WHERE,
        Column("images", "bigint", "Images with a class."),
        Column("clusters", "int", "Clusters that hold any of them, noise among them."),
        Column("noise", "bigint", "Images in no cluster."),
        *(
            column
            for name, about in _MEASURED
            for column in (
                Column(name, "double", f"{about}.", null=True),
                Column(f"{name}_error", "double", "Its standard error.", null=True),
            )
        ),
    ),
)

RECALLS = Table(
    "recalls",
    "a class, as a clustering recovers it",
    (
        *_WHERE,
        Column("class", "string", "The class."),
        Column("images", "bigint", "Images of it."),
        Column(
            "recall",
            "double",
            "Share of them in clusters in which the class is the most frequent.",
        ),
        Column("recall_error", "double", "Its standard error.", null=True),
    ),
)

REPEATED = ("ami", "nmi")

REPEATS = Table(
    "repeats",
    "a clustering, fitted several times to nine tenths of a sample of the training images",
    (
        *(column for column in _WHERE if column.name != "split"),
        Column(
            "fitted_to",
            "string",
            "all: the images as they are; balanced: the same number of every class.",
        ),
        Column("repeats", "int", "Fits, each from another seed and to other images."),
        Column("fitted_images", "bigint", "Images that each is fitted to."),
        Column("images", "bigint", "Test images with a class, which measures are of."),
        Column("clusters", "double", "Clusters that hold any of them, on average."),
        *(
            column
            for name, about in _MEASURED
            if name in REPEATED
            for column in (
                Column(name, "double", f"{about}; mean over the fits."),
                Column(f"{name}_error", "double", "Their standard deviation.", null=True),
            )
        ),
    ),
)

CONTINGENCIES = Table(
    "contingencies",
    "a pair of groups of images of different kinds that have images in common",
    (
        Column(
            "left_kind",
            "string",
            "cluster METHOD (of EMBEDDING), structure EXTRACTOR, class or facet NAME.",
        ),
        Column("left", "string", "The group: number of a cluster or structure, name of a class."),
        Column("right_kind", "string", "As left_kind, of the other."),
        Column("right", "string", "The other group."),
        Column("images", "bigint", "Images in both."),
        Column("left_images", "bigint", "Images of the first of which the other kind is known."),
        Column("right_images", "bigint", "The same for the other."),
        Column("all_images", "bigint", "Images of which both kinds are known."),
        Column("lift", "double", "Images in both, over what chance would make."),
        Column("p", "double", "Chance of so many or more: hypergeometric."),
        Column("q", "double", "The same, corrected for all rows (Benjamini and Hochberg)."),
    ),
)

FIGURES = Artefact(
    "figures",
    "Pictures of the lab: PNG and PDF, and figures.json, which lists them.",
)
