"""The galaxy lab: which methods find the classes of Galaxy Zoo without having seen them."""

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.room import Command, Panel, Room
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Stage, Use
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.tables import IMAGES
from minia_spark.lab.settings import LabSettings
from minia_spark.lab.tables import AGREEMENTS, CONTINGENCIES, FIGURES, RECALLS, REPEATS
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.tables import COMPONENTS, CROPS, REDUCTIONS
from minia_spark.structures.tables import STRUCTURE_IMAGES


def _repeats(settings: Settings) -> bool:
    """Tell whether clusterings are fitted again."""
    return settings.of(LabSettings).repeats > 0


AGREEMENT = Stage(
    name="agreement",
    about="measure how far clusterings agree with classes, facets and structures",
    line="lab",
    scope="collection",
    all_variants=True,
    reads=(IMAGES, FACETS, REDUCTIONS, CLUSTERS),
    optional=(STRUCTURE_IMAGES, EMBEDDINGS),
    writes=(AGREEMENTS, RECALLS, REPEATS, CONTINGENCIES),
    uses=(
        Use(LabSettings, ("seed", "silhouette_sample", "repeats")),
        Use(ClusteringSettings, without=("embeddings", "seed"), when=_repeats),
    ),
    exact=True,  # labels are no content of images
    revision=2,
    run="minia_spark.lab.stage:compared",
    cost="minia_spark.lab.cost:agreement_cost",
)

FIGURES_STAGE = Stage(
    name="figures",
    about="draw the clusters: classes, sizes, centres, members, the tree",
    line="lab",
    scope="collection",
    all_variants=True,
    reads=(IMAGES, FACETS, CROPS, COMPONENTS, CLUSTERINGS, CLUSTERS, AGREEMENTS, REPEATS),
    writes=(FIGURES,),
    revision=3,
    uses=(
        Use(LabSettings, ("seed", "clusters_shown", "members", "reconstructions")),
        Use(ReduceSettings, ("side_px",)),
    ),
    exact=True,
    run="minia_spark.lab.stage:drawn",
    cost="minia_spark.lab.cost:figures_cost",
)

_HERE = "minia_spark.lab.command"

COMMANDS = (
    Command(
        "lab report",
        "the galaxy lab: do what is missing, compare, draw, build the page",
        f"{_HERE}:report",
        f"{_HERE}:report_arguments",
        "Brings everything up to date, from images to structures, clusters and their comparison\n"
        "with classes, and builds the page, which then has the lab's panel. The pictures are\n"
        "PNG and PDF files in the folder that 'minia status' names for figures. With --refit,\n"
        "components and clusterings are fitted anew to the training images of all batches.",
        "  minia lab report --images galaxies/ --batch b1 --labels galaxies.csv --warehouse W\n"
        "  minia lab report --warehouse W --set galaxies.classes.file=gz2_classes.csv\n"
        "  minia lab report --warehouse W --set reduce.components=147 --set reduce.crop=object",
    ),
    Command(
        "lab reduce",
        "images as short vectors, and what that needs",
        f"{_HERE}:reduce",
        f"{_HERE}:run_arguments",
        examples="  minia lab reduce --warehouse W\n"
        "  minia lab reduce --warehouse W --refit   # also learn from batches that came later",
    ),
    Command(
        "lab cluster",
        "clusters by several methods, and what they need",
        f"{_HERE}:cluster",
        f"{_HERE}:run_arguments",
        examples="  minia lab cluster --warehouse W\n"
        "  minia lab cluster --warehouse W --set clustering.methods=[kmeans,som]\n"
        "  minia lab cluster --warehouse W --set clustering.embeddings=[words]",
    ),
    Command(
        "lab classify",
        "train networks on the classes, predict, evaluate",
        f"{_HERE}:classify",
        f"{_HERE}:classify_arguments",
        "Trains networks on the training images that have a class (classify.target), cross-\n"
        "validated by stratified folds; classes with fewer training images than folds are left\n"
        "out. study: three convolutions (64 of 6 x 6, 64 and 32 of 3 x 3) and a dense layer;\n"
        "ours: four pairs of convolutions, and images turned, mirrored, scaled and with noise;\n"
        "*_balanced: classify.per_class images of every class, missing ones are rotated\n"
        "copies. Copies stay in the fold of their original. The network of the first fold is kept\n"
        "in Keras' format and predicts all images (table predictions). A training that broke off\n"
        "goes on after its last epoch. It runs on the driver, on its GPUs or all of its cores.\n"
        "Needs TensorFlow: pip install 'minia-spark[networks]'.",
        "  minia lab classify --warehouse W --networks study_balanced,ours_balanced\n"
        "  minia lab classify --warehouse W --networks ours --set classify.target=label",
    ),
    Command(
        "lab compare",
        "how far clusterings agree with classes, facets and structures",
        f"{_HERE}:compare",
        f"{_HERE}:compare_arguments",
        "Prints what 'minia lab report' measured; nothing is computed. Numbers after +- are\n"
        "standard errors by bootstrap over the images. nmi, ami, ari: mutual information\n"
        "(normalised; adjusted for chance) and adjusted Rand index of clusters and classes;\n"
        "purity: share of the images that are of their cluster's most frequent class;\n"
        "silhouette: how much nearer images are to their own cluster than to the next.\n"
        "seconds: of fitting the clustering. Below: the same clusterings, fitted again from other\n"
        "seeds to nine tenths of the training images, and to as many of every class.",
        "  minia lab compare --warehouse W\n  minia lab compare --warehouse W --json",
    ),
    Command(
        "lab sweep",
        "representations and clusterings in one table: which recovers the classes best",
        f"{_HERE}:sweep",
        f"{_HERE}:sweep_arguments",
        "Compares, on test images, principal components in several numbers, the bags of words\n"
        "of every extractor and the map's embeddings, by at most 75 components, each clustered\n"
        "by every method: adjusted mutual information with the classes, mean and standard\n"
        "deviation over --repeats fits, each to nine tenths of the training images. Of each\n"
        "representation it tells the pixel error of what it keeps of test images, in grey\n"
        "levels, and the F1 of a vote of the 15 nearest training images.\n"
        "Runs in memory, on --images images at most; k-means is scikit-learn's. Nothing in the\n"
        "warehouse changes. Other crops are other warehouses, given by --with.",
        "  minia lab sweep --warehouse W --classes label\n"
        "  minia lab sweep --warehouse W --with W_OBJECT --components 75,147 --balanced --json",
    ),
    Command(
        "lab dataset",
        "draw training and test galaxies of Galaxy Zoo 2 as the study does",
        f"{_HERE}:dataset",
        f"{_HERE}:dataset_arguments",
        "Joins the catalogue (gz2_hart16.csv) with the names of the images\n"
        "(gz2_filename_mapping.csv), shuffles the galaxies that have a class, and takes the first\n"
        "N to train and the next N to test. With --images, galaxies whose image is not there are\n"
        "passed over. The class histogram is printed; written are\n"
        "  log_data_train.csv, log_data_test.csv   dr7objid,asset_id,gz2_class: one of 12 classes\n"
        "  classes.csv   image,dr7objid,gz2_class,split: whole class strings, for\n"
        "                galaxies.classes.file with galaxies.classes.split_column=split\n"
        "  missing.csv   galaxies that were passed over\n"
        "The same seed draws the same galaxies, whatever the order of rows.",
        "  minia lab dataset --catalogue gz2_hart16.csv --mapping gz2_filename_mapping.csv \\\n"
        "      --images gz2/ --out study/",
    ),
)

ROOM = Room(
    name="lab",
    about="The galaxy lab: commands and comparison.",
    settings={"lab": LabSettings},
    outputs=(AGREEMENTS, RECALLS, REPEATS, CONTINGENCIES, FIGURES),
    stages=(AGREEMENT, FIGURES_STAGE),
    commands=COMMANDS,
    panel=Panel(
        "Galaxy lab",
        (AGREEMENTS, RECALLS, REPEATS, CONTINGENCIES, FIGURES),
        "minia_spark.lab.panel:panel",
    ),
)

__all__ = ["AGREEMENT", "COMMANDS", "FIGURES_STAGE", "ROOM"]
