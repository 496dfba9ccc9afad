"""What the networks write."""

from minia_spark.engine.table import Artefact, Column, Table

__all__ = ["CURVES", "EVALUATIONS", "NETWORKS", "NETWORK_FIGURES", "PREDICTIONS"]

NETWORKS = Artefact(
    "networks",
    "A trained network: network.keras in Keras' format, and manifest.json with its classes, "
    "settings, cross-validation and learning curves.",
    variants=True,
)

NETWORK_FIGURES = Artefact(
    "network_figures",
    "Pictures of the networks: PNG and PDF, and figures.json, which lists them.",
)

PREDICTIONS = Table(
    "predictions",
    "an image, by one network",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("predicted", "string", "The most probable class."),
        Column("probability", "float", "Of that class."),
        Column("classes", "array<string>", "All classes that the network knows."),
        Column("probabilities", "array<float>", "Their probabilities."),
    ),
    variants=True,
)

EVALUATIONS = Table(
    "evaluations",
    "a measure of a network",
    (
        Column("network", "string", "The network."),
        Column("part", "string", "folds: mean of the cross-validation; test: the test images."),
        Column("class", "string", "The class; null: over all.", null=True),
        Column(
            "measure",
            "string",
            "images, accuracy, loss, precision, recall, f1 (over all: weighted by class), auc, "
            "calibration_error.",
        ),
        Column("value", "double", "Its value.", null=True),
        Column(
            "error",
            "double",
            "Standard error: over the folds, or by bootstrap over test images.",
            null=True,
        ),
    ),
)

CURVES = Table(
    "curves",
    "a point of a curve of a network, or a cell of its confusion matrix",
    (
        Column("network", "string", "The network."),
        Column(
            "curve",
            "string",
            "roc: false (x) and true (y) positive rate of a class; calibration: mean probability "
            "(x) and share that is right (y); learning: epoch (x) and a measure (y); confusion: "
            "images (y) of class `name`, taken for class `other`.",
        ),
        Column("name", "string", "Class, or measure of a learning curve.", null=True),
        Column("other", "string", "Predicted class, for the confusion matrix.", null=True),
        Column("x", "double", "See curve.", null=True),
        Column("y", "double", "See curve.", null=True),
    ),
)
