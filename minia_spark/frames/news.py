"""What a batch brought: structures that are new or more frequent, images unlike anything.

And whether more of its images than usual show nothing at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom

from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.embedding.tfidf import idf, weighted
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import bags_of_words
from minia_spark.structures.novelty import MEASURES, Described, Novelty, novelty
from minia_spark.structures.rows import load_structures, of_kinds

if TYPE_CHECKING:
    import pandas as pd

    from minia_spark.frames.collection import Collection
    from minia_spark.mining.model import Structures

__all__ = ["NO_REASON", "Featureless", "News", "news"]

_KNOWN = 2_000
"""Images of other batches that those of a batch are compared with, chosen by a hash."""
_LEAST_KNOWN = 30
NO_REASON = "nothing in particular"
_SAID = 3.0
"""A surprise, -log(p), that is told as a reason: 1 in 20."""
_NEW = ("born", "split", "returned", "grown", "changed")
_TOLD = {
    "distance": "the most similar known image is {value:.2f} away by words, usual is {usual:.2f}",
    "error": "its features fit their words badly: {ratio:.1f} times the usual error",
    "uncovered": "{value:.0%} of its features are in no structure that it holds, usual is "
    "{usual:.0%}",
}


@dataclass(frozen=True)
class Featureless:
    """How many images of a batch have no features: clouds, or a camera that saw nothing.

    Attributes
    ----------
    images : int
    expected : float or None
        As many of the other batches' images; None: there are too few others.
    p : float or None
        The chance of so many or more (Fisher's exact test).
    alert : bool
        Whether that is too little.
    """

    images: int
    expected: float | None
    p: float | None
    alert: bool


@dataclass(frozen=True)
class News:
    """What a batch brought.

    Attributes
    ----------
    batch, variant : str
    compared_with : int or None
        The state whose structures those of now were compared with; None: there were none before.
    structures : pandas.DataFrame
        Those that are new, or more frequent in this batch than in the others, these first and the
        surest of them before the others: columns structure_id,
        lineage_id, name, kind, event, words_gained, support, established, images (of this batch),
        expected, q, alert.
    images : pandas.DataFrame
        All images of the batch, the oddest first: columns rank, image_id, features, score, p,
        alert, reasons, nearest_batch, nearest_image_id.
    featureless : Featureless
        Those that cannot be compared, as they show nothing.
    rate : float
        Alerts of each kind that a batch without anything new has on average, at most.
    known : int
        Images that those of the batch were compared with.
    copies : int
        Images of the batch whose file is that of an image of another batch, byte for byte.
    """

    batch: str
    variant: str
    compared_with: int | None
    structures: pd.DataFrame
    images: pd.DataFrame
    featureless: Featureless
    rate: float
    known: int
    copies: int

    @property
    def alerts(self) -> int:
        """How many structures and images somebody has to look at; one for all without features."""
        rows = int(self.structures["alert"].sum() + self.images["alert"].sum())
        return rows + self.featureless.alert

    def as_dict(self, count: int) -> dict[str, Any]:
        """Return it as JSON has it, with so many images."""

        def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            found: list[dict[str, Any]] = table.to_pylist()
            return found

        return {
            "batch": self.batch,
            "variant": self.variant,
            "compared_with": self.compared_with,
            "rate": self.rate,
            "known": self.known,
            "copies": self.copies,
            "alerts": self.alerts,
            "structures": rows(self.structures),
            "featureless": asdict(self.featureless),
            "images": rows(self.images.head(count)),
        }

    def metrics(self) -> str:
        """Return the counts in Prometheus' text format."""
        counts = {
            "structures": int(self.structures["alert"].sum()),
            "images": int(self.images["alert"].sum()),
            "featureless": int(self.featureless.alert),
        }
        events = self.structures["event"].value_counts().to_dict()

        def said(text: str) -> str:
            plain = text.encode(errors="replace").decode()
            return plain.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

        own = f'batch="{said(self.batch)}",variant="{said(self.variant)}"'
        lines = [
            "# HELP minia_news_alerts What somebody has to look at in a batch.",
            "# TYPE minia_news_alerts gauge",
            *(f'minia_news_alerts{{{own},of="{k}"}} {v}' for k, v in counts.items()),
            "# HELP minia_news_featureless_images Images without features.",
            "# TYPE minia_news_featureless_images gauge",
            f"minia_news_featureless_images{{{own}}} {self.featureless.images}",
            "# HELP minia_news_copied_images Images that are known from other batches.",
            "# TYPE minia_news_copied_images gauge",
            f"minia_news_copied_images{{{own}}} {self.copies}",
            "# HELP minia_news_structures Structures that are new or changed, by what happened.",
            "# TYPE minia_news_structures gauge",
            *(
                f'minia_news_structures{{{own},event="{event}"}} {int(events.get(event, 0))}'
                for event in _NEW
            ),
        ]
        return "\n".join(lines) + "\n"


def news(
    collection: Collection,
    *,
    batch: str | None = None,
    variant: str | None = None,
    rate: float = 0.01,
) -> News:
    """Tell what a batch brought.

    Parameters
    ----------
    collection : Collection
    batch : str or None
        None: the one that was read last.
    variant : str or None
        Extractor; None where there is one alone.
    rate : float
        False alerts of structures, of images, and of images without features, that a batch
        without anything new may have on average; above 0, at most 1.

    Raises
    ------
    InputError
        There is no such batch, or there are no structures, or too few images to compare with.
    SettingsError
        The variant is not clear, or the rate cannot be.
    """
    if not 0 < rate <= 1:
        raise SettingsError(f"rate must be above 0 and at most 1, not {rate}")
    name = collection.structure_variant(variant)
    batch = collection.newest_batch() if batch is None else batch
    if batch not in collection.batches:
        there = ", ".join(collection.batches)
        raise InputError(f"there is no batch {batch!r} in {collection!r}; batches: {there}")
    structures = load_structures(collection.arrow("structures", variant=name))
    told, before = _of_structures(collection, batch, name, rate)
    images, known, featureless = _of_images(collection, batch, name, structures, rate)
    copies = _copies(collection, batch)
    return News(batch, name, before, told, images, featureless, rate, known, copies)


# -- structures -----------------------------------------------------------------------------------


def _of_structures(
    collection: Collection, batch: str, variant: str, rate: float
) -> tuple[pd.DataFrame, int | None]:
    columns = ["structure_id", "support", "significant", "reproducible"]
    frame = collection.frame("structures", variant=variant, columns=columns)
    lineage = collection.frame("lineage", variant=variant).dropna(subset=["structure_id"])
    states = lineage["older_state"].dropna()
    before = int(states.iloc[0]) if len(states) else None
    frame = frame.merge(
        lineage[["structure_id", "lineage_id", "event", "words_gained"]], on="structure_id"
    ).sort_values("structure_id", ignore_index=True)
    frame["established"] = frame.pop("significant") & frame.pop("reproducible")
    names = collection.structure_names(variant)
    frame = frame.merge(names[["lineage_id", "name", "kind"]], on="lineage_id", how="left")
    held, sizes = _images_of(collection, variant)
    every = sum(sizes.values())
    here = frame["structure_id"].map(held.get(batch, {})).fillna(0).astype(np.int64)
    total = frame["structure_id"].map(_summed(held)).fillna(0).astype(np.int64)
    frame["images"] = here
    others = every - sizes[batch]
    if others:
        frame["expected"] = (total - here) * sizes[batch] / others
        chance = hypergeom.sf(here - 1, every, total, sizes[batch])
        frame["q"] = false_discovery_control(np.clip(chance, 0, 1)) if len(frame) else chance
        frame["alert"] = frame["q"] <= rate
    else:
        frame["expected"], frame["q"], frame["alert"] = np.nan, np.nan, False
    unwanted = collection.settings.get("structures", {}).get("exclude_kinds", ())
    kinds = [kind for kind in frame["kind"].unique() if isinstance(kind, str)]
    frame = frame[~frame["kind"].isin([kind for kind in kinds if of_kinds(kind, unwanted)])]
    new = frame["event"].isin(_NEW) if before is not None else np.zeros(len(frame), np.bool_)
    shown = frame[new | frame["alert"]].sort_values(
        ["alert", "q", "structure_id"], ascending=[False, True, True], ignore_index=True
    )
    order = ["structure_id", "lineage_id", "name", "kind", "event", "words_gained", "support"]
    return shown[[*order, "established", "images", "expected", "q", "alert"]], before


def _images_of(
    collection: Collection, variant: str
) -> tuple[dict[str, dict[int, int]], dict[str, int]]:
    """Return how many images each batch has of each structure, and altogether."""
    sizes = dict.fromkeys(collection.batches, 0)
    for one in collection.batches_of("words", variant):
        sizes[one.batch or ""] += one.rows or 0
    pairs = collection.arrow("structure_images", variant=variant, columns=["structure_id", "batch"])
    counted = pairs.group_by(["batch", "structure_id"]).aggregate([([], "count_all")])
    held: dict[str, dict[int, int]] = {}
    for row in counted.to_pylist():
        held.setdefault(row["batch"], {})[row["structure_id"]] = row["count_all"]
    return held, sizes


def _summed(held: dict[str, dict[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for counts in held.values():
        for structure, count in counts.items():
            found[structure] = found.get(structure, 0) + count
    return found


# -- images ---------------------------------------------------------------------------------------


def _of_images(
    collection: Collection, batch: str, variant: str, structures: Structures, rate: float
) -> tuple[pd.DataFrame, int, Featureless]:
    import pandas as pd  # noqa: PLC0415 - a second to load

    names = collection.arrow("words", variant=variant, columns=["batch", "image_id"])
    others = names.filter(pc.not_equal(names["batch"], batch))
    alone = others.num_rows < _LEAST_KNOWN  # then the batch is compared with itself too
    chosen = _sample(names if alone else others)
    counts = collection.arrow("word_counts", variant=variant)
    words = collection.arrow("codebooks", variant=variant, columns=["word"]).num_rows
    images_of_words = np.zeros(words, np.int64)
    np.add.at(images_of_words, counts["word"].to_numpy(), counts["images"].to_numpy())
    weights = idf(images_of_words, names.num_rows)
    own = _rows(collection, variant, ds.field("batch") == batch)
    wanted = ds.field("image_id").isin(chosen["image_id"])
    known = _only(_rows(collection, variant, wanted), chosen)
    same = None
    if alone:
        place = {key: n for n, key in enumerate(_keys(known))}
        same = np.array([place.get(key, -1) for key in _keys(own)], np.int64)
    described = _described(own, weights, structures)
    beside = _described(known, weights, structures)
    try:
        found = novelty(described, beside, same)
    except ValueError as error:
        raise InputError(f"{collection!r}: {error}") from None
    order = found.order
    near = [found.nearest[row] for row in order]
    nearest = known.take(pa.array(np.maximum(near, 0)))
    none = np.array(near) < 0
    frame = pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "image_id": own["image_id"].take(pa.array(order)).to_pylist(),
            "features": described.features[order],
            "score": found.scores[order],
            "p": found.p[order],
            "alert": found.alerts(rate)[order],
            "reasons": [_reasons(found, row) for row in order.tolist()],
            "nearest_batch": np.where(none, None, nearest["batch"].to_pylist()),
            "nearest_image_id": np.where(none, None, nearest["image_id"].to_pylist()),
        }
    )
    blank = _featureless(described.features, None if alone else beside.features, rate)
    return frame, known.num_rows, blank


def _copies(collection: Collection, batch: str) -> int:
    """Count images of a batch whose file is in another batch too."""
    own = ds.field("batch") == batch
    here = collection.arrow("images", columns=["content_hash"], where=own)["content_hash"]
    elsewhere = ~own & ds.field("content_hash").isin(pc.unique(here.drop_null()))
    there = collection.arrow("images", columns=["content_hash"], where=elsewhere)["content_hash"]
    return int(pc.sum(pc.is_in(here, value_set=pc.unique(there), skip_nulls=True)).as_py() or 0)


def _featureless(
    here: NDArray[np.int64], known: NDArray[np.int64] | None, rate: float
) -> Featureless:
    """Count images without features beside the known ones; None: there are too few of these."""
    blank = int((here == 0).sum())
    if known is None:
        return Featureless(blank, None, None, alert=False)
    usual = int((known == 0).sum())
    chance = hypergeom.sf(blank - 1, len(here) + len(known), blank + usual, len(here))
    p = float(np.clip(chance, 0, 1))
    return Featureless(blank, usual * len(here) / len(known), p, alert=blank > 0 and p <= rate)


def _sample(names: pa.Table) -> pa.Table:
    """Return some images, chosen by a hash of their names, in the order of their names."""
    import hashlib  # noqa: PLC0415

    order = [("batch", "ascending"), ("image_id", "ascending")]
    if names.num_rows <= _KNOWN:
        return names.sort_by(order)
    texts = pc.binary_join_element_wise(names["batch"], names["image_id"], "/").to_pylist()
    hashes = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    first = np.argsort(np.array(hashes, "S8"), kind="stable")[:_KNOWN]
    return names.take(pa.array(first)).sort_by(order)


def _rows(collection: Collection, variant: str, where: ds.Expression) -> pa.Table:
    columns = ["batch", "image_id", "words", "counts", "quantisation_error"]
    rows = collection.arrow("words", variant=variant, columns=columns, where=where)
    return rows.sort_by([("batch", "ascending"), ("image_id", "ascending")])


def _keys(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["batch"].to_pylist(), rows["image_id"].to_pylist(), strict=True))


def _only(rows: pa.Table, chosen: pa.Table) -> pa.Table:
    wanted = set(_keys(chosen))
    return rows.filter(pa.array([key in wanted for key in _keys(rows)], pa.bool_()))


def _described(rows: pa.Table, weights: NDArray[np.float64], structures: Structures) -> Described:
    batch = rows.combine_chunks().to_batches()[0] if rows.num_rows else None
    if batch is None:
        none = np.zeros(0)
        empty = weighted(none.astype(int), none.astype(int), np.zeros(1, np.int64), weights)
        return Described(empty, none.astype(np.int64), none, none)
    words, offsets = to_lists(batch["words"])
    counts = to_lists(batch["counts"])[0].astype(np.int64)
    items = words.astype(np.int64)
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    features = np.bincount(owners, weights=counts, minlength=len(offsets) - 1).astype(np.int64)
    held = StructureIndex(structures).search(bags_of_words(batch, "counts"))
    inside = np.zeros(len(items), np.bool_)
    for image, number in zip(held.images.tolist(), held.structures.tolist(), strict=True):
        own = slice(offsets[image], offsets[image + 1])
        of_it = structures.items[structures.offsets[number] : structures.offsets[number + 1]]
        inside[own] |= np.isin(items[own], of_it)
    covered = np.bincount(owners, weights=counts * inside, minlength=len(features))
    with np.errstate(invalid="ignore"):
        share = np.where(features > 0, covered / np.maximum(features, 1), np.nan)
    errors = batch["quantisation_error"].to_numpy(zero_copy_only=False).astype(np.float64)
    return Described(weighted(items, counts, offsets, weights), features, errors, share)


def _reasons(found: Novelty, row: int) -> str:
    """Return what is odd about an image, the oddest first."""
    if np.isnan(found.scores[row]):
        return "it has no features"
    surprises = found.surprises[row]
    said = []
    for column in np.argsort(-surprises, kind="stable"):
        if surprises[column] < _SAID:
            break
        value, usual = float(found.values[row, column]), float(found.usual[row, column])
        ratio = value / usual if usual else float("inf")
        said.append(_TOLD[MEASURES[column]].format(value=value, usual=usual, ratio=ratio))
    return "; ".join(said) or NO_REASON
