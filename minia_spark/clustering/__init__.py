"""Clusterings of vectors: five methods, each a variant of table ``clusters``."""

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS
from minia_spark.engine.room import Facet, Room
from minia_spark.engine.stage import Stage, Variants
from minia_spark.galaxies.tables import FACETS
from minia_spark.reduce import SPLIT
from minia_spark.reduce.tables import COMPONENTS, REDUCTIONS

CLUSTERINGS_STAGE = Stage(
    name="clusterings",
    about="fit clusterings to the vectors of the training images",
    line="lab",
    scope="collection",
    command="clusters",
    # frozen: new batches do not make it outdated, but components that are fitted anew do
    reads=(REDUCTIONS, FACETS, COMPONENTS),
    writes=(CLUSTERINGS,),
    uses=(ClusteringSettings, *SPLIT),
    variants=Variants(ClusteringSettings, "methods"),
    frozen=True,
    run="minia_spark.clustering.stage:fitted",
    wants_anew="minia_spark.clustering.stage:wants_anew",
    cost="minia_spark.clustering.cost:fit_cost",
)

CLUSTERS_STAGE = Stage(
    name="clusters",
    about="cluster the images by several methods: fit on the training images, place all",
    line="lab",
    scope="batch",
    reads=(REDUCTIONS, CLUSTERINGS),
    writes=(CLUSTERS,),
    run="minia_spark.clustering.stage:placed",
    cost="minia_spark.clustering.cost:place_cost",
)

ROOM = Room(
    name="clustering",
    about="Clusterings of the images' vectors.",
    settings={"clustering": ClusteringSettings},
    outputs=(CLUSTERINGS, CLUSTERS),
    stages=(CLUSTERINGS_STAGE, CLUSTERS_STAGE),
    facets=(Facet("cluster", CLUSTERS, "cluster", "Of the image; c-1 is noise.", text="c{}"),),
)

__all__ = ["CLUSTERINGS_STAGE", "CLUSTERS_STAGE", "ROOM"]
