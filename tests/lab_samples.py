"""Settings with which the lab runs on sixty small images."""

from __future__ import annotations

SETTINGS = (
    "reduce.side_px=24",
    "reduce.components=5",
    "clustering.clusters=3",
    "clustering.kmeans.starts=2",
    "clustering.hdbscan.smallest=4",
    "clustering.som.rows=2",
    "clustering.som.columns=2",
    "clustering.som.passes=4",
    "lab.members=2",
    "lab.repeats=2",
    "lab.reconstructions=3",
    "spark.partitions=2",
)
METHODS = ("kmeans", "hierarchical", "hdbscan", "som", "mixture")
