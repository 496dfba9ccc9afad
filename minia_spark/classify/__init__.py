"""Networks that learn the classes of galaxies: the study's, and a better one."""

from minia_spark.classify.settings import ClassifySettings
from minia_spark.classify.tables import CURVES, EVALUATIONS, NETWORK_FIGURES, NETWORKS, PREDICTIONS
from minia_spark.engine.room import Facet, Panel, Room
from minia_spark.engine.stage import Stage, Use, Variants
from minia_spark.galaxies.tables import FACETS, VOTES
from minia_spark.ingest.tables import IMAGES
from minia_spark.reduce import SPLIT
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.tables import COMPONENTS, CROPS

NETWORKS_STAGE = Stage(
    name="networks",
    about="train networks on the training images, with cross-validation",
    line="lab",
    scope="collection",
    command="classify",
    reads=(IMAGES, FACETS, CROPS, COMPONENTS),
    optional=(VOTES,),
    writes=(NETWORKS,),
    uses=(ClassifySettings, ReduceSettings, *SPLIT),
    variants=Variants(ClassifySettings, "networks"),
    frozen=True,
    replaces="trained networks",
    check="minia_spark.classify.stage:check",
    run="minia_spark.classify.stage:trained",
    wants_anew="minia_spark.classify.stage:wants_anew",
    cost="minia_spark.classify.cost:train_cost",
)

CLASSIFY = Stage(
    name="classify",
    about="train networks on classes, and say what they see in every image",
    line="lab",
    scope="batch",
    reads=(CROPS, COMPONENTS, NETWORKS),
    writes=(PREDICTIONS,),
    uses=(Use(ClassifySettings, ("pixels",)), Use(ReduceSettings, ("side_px",))),
    run="minia_spark.classify.stage:predicted",
    cost="minia_spark.classify.cost:predict_cost",
)

EVALUATE = Stage(
    name="evaluate",
    about="measure how well networks recognise test images",
    line="lab",
    scope="collection",
    command="classify",
    all_variants=True,
    reads=(IMAGES, FACETS),
    optional=(NETWORKS, PREDICTIONS, VOTES),
    writes=(EVALUATIONS, CURVES, NETWORK_FIGURES),
    uses=(Use(ClassifySettings, ("target", "seed")),),
    revision=2,
    exact=True,
    run="minia_spark.classify.stage:evaluated",
    cost="minia_spark.classify.cost:evaluate_cost",
)

ROOM = Room(
    name="classify",
    about="Networks that learn the classes of galaxies.",
    settings={"classify": ClassifySettings},
    outputs=(NETWORKS, PREDICTIONS, EVALUATIONS, CURVES, NETWORK_FIGURES),
    stages=(NETWORKS_STAGE, CLASSIFY, EVALUATE),
    facets=(
        Facet("prediction", PREDICTIONS, "predicted", "The class that the network sees."),
        Facet("probability", PREDICTIONS, "probability", "How sure the network is of it, 0 to 1."),
    ),
    panel=Panel(
        "Galaxy classification",
        (EVALUATIONS, CURVES, NETWORK_FIGURES),
        "minia_spark.classify.panel:panel",
    ),
)

__all__ = ["CLASSIFY", "EVALUATE", "NETWORKS_STAGE", "ROOM"]
