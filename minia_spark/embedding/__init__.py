"""Embeddings: a vector an image, by its words, its pixels or a network."""

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.embedding.reasons import Reason
from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS, SCALED_PIXELS
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Foreign, Stage, Use, Variants
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.words.tables import WORD_COUNTS, WORDS

METHODS = Variants(EmbeddingSettings, "methods")
_NETWORKS = Variants(EmbeddingSettings, "methods", ("resnet50", "onnx", "delf"))
_PCA = Variants(EmbeddingSettings, "methods", ("pca",))
_WORDS = Variants(EmbeddingSettings, "methods", ("words",))
_STRETCH = Use(IngestSettings, ("fits_interval", "fits_stretch"))
_HERE = "minia_spark.embedding"
_CHECK = f"{_HERE}.methods:check"

EMBED = Stage(
    name="embed",
    about="give every image a vector: by its words, its pixels or a network",
    line="map",
    scope="batch",
    over="pixels",
    reads=(IMAGES,),
    writes=(EMBEDDINGS, REJECTS),
    uses=(EmbeddingSettings, _STRETCH),
    variants=_NETWORKS,
    kernel=f"{_HERE}.stage:network_kernel",
    check=_CHECK,
    run=f"{_HERE}.stage:embed",
    cost=f"{_HERE}.cost:networks",
)

NETWORK = Stage(
    name="embedding_network",
    about="note which network it is",
    line="map",
    scope="collection",
    command="embed",
    writes=(EMBEDDING_MODELS,),
    uses=(EmbeddingSettings,),
    variants=_NETWORKS,
    check=_CHECK,
    run=f"{_HERE}.stage:note_network",
    cost=f"{_HERE}.cost:note",
)

SCALE = Stage(
    name="scaled_pixels",
    about="scale every image down, for principal components",
    line="map",
    scope="batch",
    command="embed",
    over="pixels",
    reads=(IMAGES,),
    writes=(SCALED_PIXELS, REJECTS),
    uses=(EmbeddingSettings, _STRETCH),
    variants=_PCA,
    kernel=f"{_HERE}.stage:scale_kernel",
    run=f"{_HERE}.stage:scale",
    cost=f"{_HERE}.cost:scaled",
)

FIT_PCA = Stage(
    name="embedding_pca",
    about="fit the principal components of the pixels",
    line="map",
    scope="collection",
    command="embed",
    reads=(SCALED_PIXELS,),
    writes=(EMBEDDING_MODELS,),
    uses=(EmbeddingSettings,),
    variants=_PCA,
    frozen=True,
    replaces="the embeddings and the map",
    wants_anew=f"{_HERE}.methods:wants_anew",
    run=f"{_HERE}.stage:fit_pca",
    cost=f"{_HERE}.cost:fitted_pca",
)

EMBED_PCA = Stage(
    name="embed_pca",
    about="project the pixels",
    line="map",
    scope="batch",
    command="embed",
    reads=(SCALED_PIXELS, EMBEDDING_MODELS),
    writes=(EMBEDDINGS,),
    variants=_PCA,
    run=f"{_HERE}.stage:embed_pca",
    cost=f"{_HERE}.cost:projected",
)

FIT_WORDS = Stage(
    name="embedding_words",
    about="fit the weights and components of the words",
    line="map",
    scope="collection",
    command="embed",
    reads=(CODEBOOKS, WORDS, WORD_COUNTS),
    writes=(EMBEDDING_MODELS,),
    uses=(EmbeddingSettings,),
    variants=_WORDS,
    foreign=Foreign((CODEBOOKS, WORDS, WORD_COUNTS), "embedding.words.extractor"),
    frozen=True,
    replaces="the embeddings and the map",
    check=_CHECK,
    wants_anew=f"{_HERE}.methods:wants_anew",
    run=f"{_HERE}.stage:fit_words",
    cost=f"{_HERE}.cost:fitted_words",
)

EMBED_WORDS = Stage(
    name="embed_words",
    about="weight and project the words",
    line="map",
    scope="batch",
    command="embed",
    reads=(WORDS, EMBEDDING_MODELS),
    writes=(EMBEDDINGS,),
    uses=(Use(EmbeddingSettings, ("words",)),),
    variants=_WORDS,
    foreign=Foreign((WORDS,), "embedding.words.extractor"),
    run=f"{_HERE}.stage:embed_words",
    cost=f"{_HERE}.cost:projected",
)

ROOM = Room(
    name="embedding",
    about="A vector an image: by its words, its pixels or a network.",
    settings={"embedding": EmbeddingSettings},
    outputs=(SCALED_PIXELS, EMBEDDING_MODELS, EMBEDDINGS),
    stages=(EMBED, NETWORK, SCALE, FIT_PCA, EMBED_PCA, FIT_WORDS, EMBED_WORDS),
    reasons=Reason,
)

__all__ = ["METHODS", "ROOM"]
