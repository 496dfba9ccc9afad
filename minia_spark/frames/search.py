"""An image that is in no batch: its words under the frozen codebook, its structures, its kin."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from minia_spark.base.arrow import to_lists
from minia_spark.base.bags import Bags
from minia_spark.base.errors import InputError, Rejected, SettingsError
from minia_spark.base.files import expanded
from minia_spark.base.settings import StageSettings
from minia_spark.codebook.kmeans import NearestCentre, to_grid
from minia_spark.embedding.methods import network_of
from minia_spark.embedding.pca import Pca, project, scaled
from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.embedding.tfidf import idf, projected, weighted
from minia_spark.features.extractors import create, extractor_of
from minia_spark.features.settings import FeaturesSettings
from minia_spark.frames.scan import Scan, best, by_vector, by_words
from minia_spark.geometry.alike import Placed, alike
from minia_spark.geometry.settings import GeometrySettings
from minia_spark.images.identity import image_id_of
from minia_spark.ingest.record import ImageRecord, RejectRecord, decoded_of_file
from minia_spark.ingest.settings import IngestSettings
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import kept_of
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.structures.rows import load_structures
from minia_spark.structures.settings import StructuresSettings
from minia_spark.words.bag import bag_words, kept_words
from minia_spark.words.settings import WordsSettings

if TYPE_CHECKING:
    import pandas as pd

    from minia_spark.features.extractor import Features
    from minia_spark.images.decode import Decoded

__all__ = ["ImageFound", "WordsFound", "read_image", "records", "search_image"]

_Model = TypeVar("_Model", bound=StageSettings)
_NAMES = ["batch", "image_id"]
_PLACED = ["x", "y", "size", "angle"]


class Tables(Protocol):
    """What is asked of a collection."""

    def arrow(
        self,
        table: str,
        *,
        variant: str | None = None,
        batch: str | None = None,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
    ) -> pa.Table:
        """Return a table."""

    def variants(self, table: str) -> list[str]:
        """Return the variants of a table."""

    @property
    def tables(self) -> dict[str, int]:
        """The tables and their rows."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the state was made with: section to values."""

    def implementation(self, extractor: str) -> str | None:
        """Return who computed the descriptors, where there are several; None: it does not say."""


@dataclass(frozen=True)
class WordsFound:
    """What one extractor's features say of an image.

    Attributes
    ----------
    features : int
        How many it has.
    words, counts : int32 arrays, shape (n,)
        Its different words, ascending, and how often each occurs.
    error : float
        Mean squared distance of its descriptors to their words.
    structures : pandas.DataFrame
        Columns structure_id, lineage_id, name, kind, overlap, words_held, words, features (numbers
        of the image's features of it), by falling overlap.
    images : pandas.DataFrame
        The nearest images by tf-idf weighted words: columns batch, image_id, distance (1 - the
        cosine), label, and with a geometric check alike: how many features lie alike.
    places : Placed
        Word and place of every feature.
    """

    features: int
    words: NDArray[np.int32]
    counts: NDArray[np.int32]
    error: float
    structures: pd.DataFrame
    images: pd.DataFrame
    places: Placed = field(repr=False)


@dataclass(frozen=True)
class ImageFound:
    """What a collection says of an image.

    Attributes
    ----------
    image : str
        Its file.
    width, height : int
        In pixels.
    same : list of (batch, image_id)
        Images of the collection with the same bytes.
    by_words : dict
        Extractor to :class:`WordsFound`.
    by_embedding : dict
        Method to a frame with the nearest images: batch, image_id, distance, label.
    without : dict
        What could not be looked at, e.g. an extractor that found nothing, and why.
    """

    image: str
    width: int
    height: int
    same: list[tuple[str, str]]
    by_words: dict[str, WordsFound]
    by_embedding: dict[str, pd.DataFrame]
    without: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: numbers, texts, lists."""
        return {
            "image": self.image,
            "width": self.width,
            "height": self.height,
            "same": [{"batch": batch, "image_id": name} for batch, name in self.same],
            "by_words": {
                name: {
                    "features": one.features,
                    "quantisation_error": one.error,
                    "words": one.words.tolist(),
                    "counts": one.counts.tolist(),
                    "structures": records(one.structures),
                    "images": records(one.images),
                }
                for name, one in self.by_words.items()
            },
            "by_embedding": {name: records(one) for name, one in self.by_embedding.items()},
            "without": self.without,
        }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as JSON has them."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def settings_in(tables: Tables, section: str, model: type[_Model]) -> _Model:
    """Return a section of the state's settings; what this version does not know is left out."""

    def known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in values.items():
            one = kind.model_fields.get(name)
            if one is not None:
                nested = hasattr(one.annotation, "model_fields") and isinstance(value, Mapping)
                found[name] = known(one.annotation, value) if nested else value
        return found

    return model.model_validate(known(model, tables.settings.get(section, {})))


def read_image(file: str | Path, settings: IngestSettings) -> tuple[ImageRecord, Decoded]:
    """Read and decode one image as ingest does.

    Raises
    ------
    InputError
        There is no such file, it cannot be decoded, or it holds several images.
    """
    path = os.fsencode(expanded(file).absolute())
    shown = image_id_of(os.fsencode(file))
    if not expanded(file).exists():
        raise InputError(f"{shown} is not there: --image names one image file")
    if expanded(file).is_dir():
        raise InputError(f"{shown} is a folder: --image names one image file")
    found = []
    for one in decoded_of_file(path, b"", **settings.read_options()):
        found.append(one)
        if len(found) > 1:
            raise InputError(f"{shown} holds several images: give one, unpacked")
    if not found:
        raise InputError(f"{shown} holds no image")
    if isinstance(found[0], RejectRecord):
        raise InputError(f"{shown} cannot be used ({found[0].reason}): {found[0].detail}")
    return found[0]


def search_image(
    tables: Tables,
    scan: Scan,
    file: str | Path,
    *,
    variant: str | None = None,
    count: int = 12,
    geometry: bool = False,
) -> ImageFound:
    """Tell what a collection says of an image that need not be in it.

    Parameters
    ----------
    tables : Tables
    scan : Scan
        How the rows of all images are gone through.
    file : str or path
        A JPEG, PNG, TIFF or FITS file.
    variant : str or None
        Only this extractor; None: all whose words are there.
    count : int
        Nearest images that are wanted.
    geometry : bool
        Whether it is looked how many features lie alike in these images.

    Raises
    ------
    InputError
        The file cannot be used; there are no words; no extractor finds a feature and no embedding
        can be made.
    SettingsError
        There is no such extractor.
    """
    extractors = tables.variants("words")
    if not extractors:
        raise InputError("the collection has no words yet: 'minia run' makes them")
    if variant is not None and variant not in extractors:
        raise SettingsError(f"there are no words of {variant!r}, only of {', '.join(extractors)}")
    ingest = settings_in(tables, "ingest", IngestSettings)
    record, decoded = read_image(file, ingest)
    found, without = {}, {}
    for name in [variant] if variant else extractors:
        one = _by_words(tables, scan, decoded, name, count=count, geometry=geometry)
        if isinstance(one, str):
            without[name] = one
        else:
            found[name] = one
    kin = {}
    for method in tables.variants("embeddings"):
        made = _by_embedding(tables, scan, decoded, method, by_extractor=found, count=count)
        if isinstance(made, str):
            without[method] = made
        else:
            kin[method] = made
    shown = image_id_of(os.fsencode(file))
    if not found and not kin:
        raise InputError(f"{shown}: {'; '.join(f'{n}: {why}' for n, why in without.items())}")
    same = tables.arrow(
        "images", columns=_NAMES, where=ds.field("content_hash") == record.content_hash
    )
    return ImageFound(
        image=shown,
        width=record.width,
        height=record.height,
        same=sorted(zip(*(same[name].to_pylist() for name in _NAMES), strict=True)),
        by_words=found,
        by_embedding=kin,
        without=without,
    )


# -- by words -------------------------------------------------------------------------------------


def _by_words(
    tables: Tables, scan: Scan, image: Decoded, extractor: str, *, count: int, geometry: bool
) -> WordsFound | str:
    """Return what is found, or why nothing is."""
    if not extractor_of(extractor).module:
        return "its features were imported: nothing here extracts them from an image"
    try:
        features = _extracted(tables, image, extractor)
    except Rejected as rejected:
        return rejected.detail
    if not len(features):
        return f"no feature was found, so it has no word: nothing stands out to {extractor}"
    codebook = tables.arrow("codebooks", variant=extractor).sort_by("word")
    scale = codebook["scale"][0].as_py()
    centres = to_lists(codebook["centre"].combine_chunks())[0].reshape(codebook.num_rows, -1)
    kernel = NearestCentre(to_grid(centres, scale))
    words, squared = kernel.find(to_grid(features.descriptors, scale))
    bag = bag_words(words, features.size, np.array([0, len(words)]))
    tally = _tally(tables, extractor, codebook.num_rows)
    places = Placed(
        words, np.stack([features.x, features.y], axis=1), features.size, features.angle
    )
    total = tables.arrow("words", variant=extractor, columns=["image_id"]).num_rows
    work = by_words(bag.words, bag.counts, idf(tally["images"], total), count)
    near = _with_labels(
        tables, best(scan("words", extractor, [*_NAMES, "words", "counts"], work), count)
    )
    if geometry:
        near["alike"] = _alike(tables, extractor, places, near)
    own = bag.sizes if settings_in(tables, "words", WordsSettings).weight == "size" else bag.counts
    bags = Bags(bag.offsets, bag.words.astype(np.uint32), own.astype(np.uint32))
    return WordsFound(
        features=len(features),
        words=bag.words,
        counts=bag.counts,
        error=float(np.sum(squared)) / scale**2 / len(words),
        structures=_structures(tables, extractor, bags, words, tally["occurrences"]),
        images=near,
        places=places,
    )


def _extracted(tables: Tables, image: Decoded, extractor: str) -> Features:
    settings = settings_in(tables, "features", FeaturesSettings)
    theirs = tables.implementation(extractor)
    if extractor == "surf" and theirs is not None:
        own = settings.surf.model_copy(update={"implementation": theirs})
        settings = settings.model_copy(update={"surf": own})
    return create(settings, extractor).extract(image.pixels)


def _tally(tables: Tables, extractor: str, words: int) -> dict[str, NDArray[np.int64]]:
    """Return in how many images each word occurs, and how often."""
    rows = tables.arrow("word_counts", variant=extractor)
    found = {}
    for name in ("images", "occurrences"):
        found[name] = np.zeros(words, np.int64)
        np.add.at(found[name], rows["word"].to_numpy(), rows[name].to_numpy())
    return found


def _structures(
    tables: Tables,
    extractor: str,
    bags: Bags,
    words: NDArray[np.int32],
    occurrences: NDArray[np.int64],
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - a second to load

    known = pa.table({"structure_id": pa.array([], pa.int32()), "lineage_id": []})
    matched = []
    said: dict[str | None, dict[str, str | None]] = {}
    if extractor in tables.variants("structures"):
        own = settings_in(tables, "structures", StructuresSettings)
        weighing = settings_in(tables, "words", WordsSettings)
        kept = None
        if weighing.drop_outliers:
            kept = kept_words(occurrences, weighing.outlier_deviations)
        structures = load_structures(tables.arrow("structures", variant=extractor))
        index = StructureIndex(structures, structure_counts=own.structure_counts)
        found = index.search(kept_of(bags, kept), min_overlap=own.min_overlap)
        if extractor in tables.variants("lineage"):
            known = tables.arrow("lineage", variant=extractor)
        names = dict(
            zip(known["structure_id"].to_pylist(), known["lineage_id"].to_pylist(), strict=True)
        )
        if extractor in tables.variants("structure_names"):
            called = tables.arrow("structure_names", variant=extractor).to_pylist()
            said = {row["lineage_id"]: row for row in called}
        for number, overlap, held in zip(
            found.structures.tolist(), found.overlaps.tolist(), found.held.tolist(), strict=True
        ):
            items = structures.items[structures.offsets[number] : structures.offsets[number + 1]]
            matched.append(
                {
                    "structure_id": number,
                    "lineage_id": names.get(number),
                    "name": said.get(names.get(number), {}).get("name"),
                    "kind": said.get(names.get(number), {}).get("kind"),
                    "overlap": overlap,
                    "words_held": held,
                    "words": len(items),
                    "features": np.flatnonzero(np.isin(words, items)).tolist(),
                }
            )
    matched.sort(key=lambda row: (-row["overlap"], row["structure_id"]))
    told = ["structure_id", "lineage_id", "name", "kind", "overlap"]
    return pd.DataFrame(matched, columns=[*told, "words_held", "words", "features"])


def _alike(tables: Tables, extractor: str, own: Placed, images: pd.DataFrame) -> NDArray[np.int64]:
    """Return how many features lie alike in each image: 0 where they are too few."""
    settings = settings_in(tables, "geometry", GeometrySettings)
    wanted = ds.field("image_id").isin(images["image_id"].tolist())
    features = tables.arrow(
        "features", variant=extractor, columns=[*_NAMES, *_PLACED], where=wanted
    )
    words = tables.arrow(
        "words", variant=extractor, columns=[*_NAMES, "feature_words"], where=wanted
    )
    joined = _joined(features, words)
    found = np.zeros(len(images), np.int64)
    for place, key in enumerate(zip(images["batch"], images["image_id"], strict=True)):
        row = joined.get(key)
        if row is None:
            continue
        other = Placed(
            np.asarray(row["feature_words"], np.int32),
            np.stack([row["x"], row["y"]], axis=1).astype(np.float32),
            np.asarray(row["size"], np.float32),
            np.asarray(row["angle"], np.float32),
        )
        found[place] = alike(own, other, least=settings.least, tolerance=settings.tolerance)
    return found


def _joined(*tables: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            found.setdefault((row["batch"], row["image_id"]), {}).update(row)
    return found


# -- by embedding ---------------------------------------------------------------------------------


def _by_embedding(
    tables: Tables,
    scan: Scan,
    image: Decoded,
    method: str,
    *,
    by_extractor: Mapping[str, WordsFound],
    count: int,
) -> pd.DataFrame | str:
    vector = _vector(tables, image, method, by_extractor)
    if isinstance(vector, str):
        return vector
    distance = settings_in(tables, "neighbours", NeighboursSettings).distance
    work = by_vector(vector, distance, count)
    return _with_labels(tables, best(scan("embeddings", method, [*_NAMES, "vector"], work), count))


def _vector(
    tables: Tables, image: Decoded, method: str, by_extractor: Mapping[str, WordsFound]
) -> NDArray[np.float32] | str:
    """Return the image's vector as the map's images have theirs, or why it has none."""
    settings = settings_in(tables, "embedding", EmbeddingSettings)
    if method not in ("words", "pca"):
        return _by_network(settings, image, method)
    model = tables.arrow("embedding_models", variant=method)
    weights, flat = (
        np.asarray(model[name][0].values.to_numpy(), np.float64)
        for name in ("weights", "components")
    )
    matrix = flat.reshape(len(weights), -1) if len(flat) else None
    if method == "pca":
        assert matrix is not None
        small = scaled(image.pixels, settings.pca.side_px, settings.pca.crop)
        one: NDArray[np.float32] = project(small.reshape(1, -1), Pca(weights, matrix, np.zeros(0)))[
            0
        ]
        return one
    words = by_extractor.get(settings.words.extractor)
    if words is None:
        return f"it needs the words of {settings.words.extractor}"
    bags = weighted(words.words, words.counts, np.array([0, len(words.words)]), weights)
    vectors, has = projected(bags, matrix)
    found: NDArray[np.float32] = vectors[0]
    return found if has[0] else "none of its words tells images apart"


def _by_network(
    settings: EmbeddingSettings, image: Decoded, method: str
) -> NDArray[np.float32] | str:
    from minia_spark.embedding.network import embed, make  # noqa: PLC0415 - slow to load

    place, options = network_of(settings, method)
    (found,) = embed(make(place, os.cpu_count() or 1, **options), [image.pixels])
    return found.detail if isinstance(found, Rejected) else found


def _with_labels(tables: Tables, rows: pa.Table) -> pd.DataFrame:
    """Return images with their labels, in the same order."""
    wanted = ds.field("image_id").isin(rows["image_id"].to_pylist())
    known = tables.arrow("images", columns=[*_NAMES, "label"], where=wanted)
    keys = [pc.binary_join_element_wise(t["batch"], t["image_id"], "/") for t in (rows, known)]
    labels = known["label"].take(pc.index_in(keys[0], keys[1].combine_chunks()))
    found: pd.DataFrame = rows.append_column("label", labels).to_pandas()
    return found
