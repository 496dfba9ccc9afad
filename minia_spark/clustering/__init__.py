"""Clusterings of vectors: five methods, of components and embeddings, each a variant of a table."""

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS
from minia_spark.engine.room import Facet, Room
from minia_spark.engine.stage import Foreign, Stage, Use, Variants
from minia_spark.galaxies.tables import FACETS
from minia_spark.reduce import SPLIT
from minia_spark.reduce.tables import COMPONENTS, REDUCTIONS

_METHODS = Variants(ClusteringSettings, "methods")
_PAIRS = Variants(ClusteringSettings, "methods", by="embeddings")

CLUSTERINGS_STAGE = Stage(
    name="clusterings",
    about="fit clusterings to the vectors of the training images",
    line="lab",
    scope="collection",
    command="clusters",
    # frozen: new batches do not make it outdated, but components that are fitted anew do
    reads=(REDUCTIONS, FACETS, COMPONENTS),
    writes=(CLUSTERINGS,),
    uses=(Use(ClusteringSettings, without=("embeddings",)), *SPLIT),
    variants=_METHODS,
    frozen=True,
    run="minia_spark.clustering.stage:fitted",
    mllib=True,
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
    variants=_METHODS,
    run="minia_spark.clustering.stage:placed",
    cost="minia_spark.clustering.cost:place_cost",
)

EMBEDDING_CLUSTERINGS = Stage(
    name="embedding_clusterings",
    about="fit clusterings to the embeddings of the training images",
    line="lab",
    scope="collection",
    command="clusters",
    reads=(EMBEDDINGS, FACETS, EMBEDDING_MODELS),
    writes=(CLUSTERINGS,),
    uses=(Use(ClusteringSettings, without=("embeddings",)), *SPLIT),
    variants=_PAIRS,
    foreign=Foreign((EMBEDDINGS, EMBEDDING_MODELS)),
    frozen=True,
    check="minia_spark.clustering.stage:check",
    run="minia_spark.clustering.stage:fitted",
    mllib=True,
    wants_anew="minia_spark.clustering.stage:wants_anew",
    cost="minia_spark.clustering.cost:fit_cost",
)

EMBEDDING_CLUSTERS = Stage(
    name="embedding_clusters",
    about="place the embeddings of all images in their clusterings",
    line="lab",
    scope="batch",
    command="clusters",
    reads=(EMBEDDINGS, CLUSTERINGS),
    writes=(CLUSTERS,),
    variants=_PAIRS,
    foreign=Foreign((EMBEDDINGS,)),
    check="minia_spark.clustering.stage:check",
    run="minia_spark.clustering.stage:placed",
    cost="minia_spark.clustering.cost:place_cost",
)

ROOM = Room(
    name="clustering",
    about="Clusterings of the images' vectors.",
    settings={"clustering": ClusteringSettings},
    outputs=(CLUSTERINGS, CLUSTERS),
    stages=(CLUSTERINGS_STAGE, CLUSTERS_STAGE, EMBEDDING_CLUSTERINGS, EMBEDDING_CLUSTERS),
    facets=(Facet("cluster", CLUSTERS, "cluster", "Of the image; c-1 is noise.", text="c{}"),),
)

__all__ = [
    "CLUSTERINGS_STAGE",
    "CLUSTERS_STAGE",
    "EMBEDDING_CLUSTERINGS",
    "EMBEDDING_CLUSTERS",
    "ROOM",
]
