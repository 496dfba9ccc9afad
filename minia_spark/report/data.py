"""What the report is made of: plain values and arrays, collected by the stage.

Every text may be hostile (file names, labels): it is escaped where it is written, nowhere else.
Every sequence may be empty; None means "not known", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

__all__ = [
    "Arrival",
    "BackgroundData",
    "BatchDrift",
    "CodebookData",
    "DriftData",
    "FactorData",
    "FactorEnd",
    "MatchedImage",
    "RejectCount",
    "ReportData",
    "RunSummary",
    "ScoredImage",
    "StageTime",
    "StructureCard",
    "TableCount",
    "Thumbnail",
    "VariantData",
]


@dataclass(frozen=True, kw_only=True)
class TableCount:
    """Rows of one table, of one batch."""

    table: str
    batch: str | None
    """None for tables of the whole collection."""
    rows: int


@dataclass(frozen=True, kw_only=True)
class RejectCount:
    """Records that one stage could not use, for one reason."""

    reason: str
    stage: str
    records: int
    example: str | None = None
    """Image of one of them."""
    detail: str | None = None
    """What was wrong with that one."""


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """One step of the runs that made the present state."""

    stage: str
    batch: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The page's head and its tables."""

    title: str
    run: str
    """Identifier of the run that the page shows."""
    finished: str
    """When, as it shall be printed."""
    version: str
    """Version of minia_spark."""
    images: int
    batches: int | None = None
    tables: Sequence[TableCount] = ()
    rejects: Sequence[RejectCount] = ()
    stages: Sequence[StageTime] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Nested mappings; shown flat, with dotted names, in the given order."""


@dataclass(frozen=True, kw_only=True)
class CodebookData:
    """What the plots of the codebook show."""

    version: str | None = None
    """Its identifier (hash)."""
    word_counts: NDArray[np.int64]
    """Shape (words,): occurrences of every word in the whole collection."""
    centres: NDArray[np.float32]
    """Shape (m, dimension): centres of all words or of some, m <= words."""
    descriptors: NDArray[np.float32]
    """Shape (sampled, dimension): a sample of the descriptors; may be empty."""
    outlier_deviations: float = 2.0
    """Words are outliers beyond mean +- this many standard deviations of their counts."""
    outliers_dropped: bool = False
    """Whether such words were left out of mining."""
    costs: Sequence[float] = ()
    """Mean squared distance of a descriptor from its word: at first and after every iteration."""


@dataclass(frozen=True, kw_only=True)
class BatchDrift:
    """How one batch differs from what the codebook was made from."""

    batch: str
    trained_on: bool
    """The codebook was made from this batch, among others."""
    images: int
    error_ratio: float | None
    """Quantisation error by what unseen images of the codebook's kind would have."""
    error_deviation: float | None
    """Standard error of `error_ratio`; infinite for a single image."""
    divergence: float | None
    """Jensen-Shannon divergence of the words, in bits."""
    expected_divergence: float | None
    """What chance makes of it in a batch of this size."""
    divergence_deviation: float | None
    dead_words: int
    overfull_words: int
    clauses: Sequence[str] = ()
    """What is beyond its limit, in words; empty when nothing is."""


@dataclass(frozen=True, kw_only=True)
class DriftData:
    """The batches beside the codebook."""

    batches: Sequence[BatchDrift]
    """In the order of their names."""
    max_error_ratio: float
    max_divergence: float
    """Bits beyond the expected divergence."""


@dataclass(frozen=True, kw_only=True)
class MatchedImage:
    """One image of a structure, with the features that matched."""

    batch: str
    image_id: str
    x: NDArray[np.float32]
    """Shape (matched,): positions in pixels of the original image; also `y`."""
    y: NDArray[np.float32]
    size: NDArray[np.float32]
    """Shape (matched,): diameters in pixels."""
    angle: NDArray[np.float32]
    """Shape (matched,): degrees by which each was turned, x to y; below 0 or NaN: not known."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """The small copy of an image, as table ``thumbnails`` holds it."""

    batch: str
    image_id: str
    width: int
    """Of the original image, in pixels; also `height`."""
    height: int
    data: bytes
    """A file of the format below."""
    format: str = "jpeg"


@dataclass(frozen=True, kw_only=True)
class StructureCard:
    """One structure, with its best images."""

    structure: str
    """Identifier, as people name it."""
    words: Sequence[int]
    """By falling frequency."""
    sets: int | None
    """Number of mined sets that were joined into it, counting repeated ones; None where none are
    mined, as against a background."""
    images_total: int
    """Images whose overlap reaches the threshold."""
    images: Sequence[MatchedImage]
    """The best of them, to be drawn."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> how many of the `images_total` images have it; empty when there are no labels."""
    support: int | None = None
    """Images that hold more than half of its words."""
    expected_support: float | None = None
    lift: float | None = None
    expected_beyond: float | None = None
    """Expected support if broad differences mattered too; None without a background."""
    lift_beyond: float | None = None
    surprise: float | None = None
    q: float | None = None
    stability: float | None = None
    verified: float | None = None
    """Share of pairs of its images in which its features lie alike; None: not looked at."""
    lineage: str | None = None
    """The name that stays with it from state to state."""
    event: str | None = None
    """What became of it since the state before: born, same, grown, ..."""
    older_state: int | None = None
    """The state before; None when there was none to compare with."""
    older_structure: str | None = None
    """Identifier, in that state, of the structure that it continues or was split from."""
    words_gained: int = 0
    words_lost: int = 0
    established: bool | None = None
    """Whether it is significant and reproducible; None when that was not measured."""
    called: str | None = None
    """What people call it."""
    kind: str | None = None
    """What kind of thing they say it is."""
    left_out: bool = False
    """Whether structures of that kind are not looked for in images."""
    strength: str | None = None
    """How far an established one stands out: strong, moderate or weak."""
    alike: int = 0
    """How many other structures show the same pattern."""


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """One image, and where it stands on a factor."""

    batch: str
    image_id: str
    score: int
    """In units of 1 / 1024."""


@dataclass(frozen=True, kw_only=True)
class FactorEnd:
    """The images at one end of a factor."""

    images: Sequence[ScoredImage]
    """The outermost, to be drawn, in their order."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> how many of the outer tenth of the images have it; the most frequent ones."""
    labelled: int = 0
    """Images of the outer tenth that have a label."""


@dataclass(frozen=True, kw_only=True)
class FactorData:
    """One of the broad ways in which images differ."""

    low: FactorEnd
    high: FactorEnd


@dataclass(frozen=True, kw_only=True)
class BackgroundData:
    """What images differ in, beyond which structures are mined."""

    spreads: Sequence[float]
    """Spread of what two words share, by chance alone 1, without factors, with one, ..., and maybe
    with some more than are used; 0 where too few pairs are frequent enough to tell."""
    rank: int
    """Number of factors."""
    factors: Sequence[FactorData] = ()
    """The first of them, which explain most."""


@dataclass(frozen=True, kw_only=True)
class VariantData:
    """What one extractor's features led to; several stand on the page one after another."""

    name: str
    """Name of the extractor: small letters, digits and hyphens; also in file names."""
    structures: Sequence[StructureCard] = ()
    """In their ranking; those that are to be shown, or more."""
    structures_total: int = 0
    """How many there are in all."""
    left_out_total: int = 0
    """Structures of kinds that are not looked for in images."""
    strong_total: int | None = None
    moderate_total: int = 0
    weak_total: int = 0
    strong_patterns: int = 0
    """Patterns of which a structure is strong."""
    patterns_total: int = 0
    """How many established ones are in three times as many images as by chance, or more."""
    established_total: int | None = None
    """How many of all are significant and reproducible; None when that was not measured."""
    max_q: float | None = None
    """Largest q-value of a significant structure; None when q was not measured."""
    min_stability: float | None = None
    """Least stability of a reproducible structure; None when stability was not measured."""
    features: int | None = None
    """Features in the whole collection."""
    mining: Sequence[str] = ()
    """Sentences on how the hash tables of the mining, or its background, were chosen."""
    background: BackgroundData | None = None
    """None where hash tables propose."""
    codebook: CodebookData | None = None
    """None before there is one."""
    drift: DriftData | None = None
    """None when nothing was measured."""
    events: Mapping[str, int] = field(default_factory=dict)
    """What became of structures since the state before: born, grown, gone, ... -> how many."""
    older_state: int | None = None
    """The state that they were compared with; None: these are the first."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """The batch of images that was read last."""

    batch: str
    images: int
    rejected: int
    """Files of it that could not be used."""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the site."""

    run: RunSummary
    variants: Sequence[VariantData]
    labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> images of the whole collection that have it, at least for the labels shown."""
    labelled: int = 0
    """Images of the whole collection that have a label."""
    panels: Sequence[tuple[str, Markup]] = ()
    """Heading and HTML of what other rooms show: trusted, what is not theirs is escaped there."""
    pages: Sequence[tuple[str, str]] = ()
    """Title and address of the other pages of the warehouse, for the head of every page; addresses
    are below the warehouse."""
    attention: Sequence[Markup] = ()
    """HTML of what other rooms want somebody to look at, as that of `panels`."""
    newest: Arrival | None = None
    advice: Sequence[str] = ()
    """Sentences that the stages have for the user; shown above everything else."""
