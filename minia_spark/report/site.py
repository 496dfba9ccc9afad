"""Writes the report: a static site of one folder that needs no network and runs no script.

``index.html`` tells what was found, a card each of the first structures, which leads on to the
gallery; ``assets/`` has the thumbnails and the style. Texts are escaped by Jinja2, names of files
are running numbers, and a Content-Security-Policy forbids whatever is not an image or a style of
the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from minia_spark.base.errors import MiniaError
from minia_spark.base.pages import WAREHOUSE, templates_of
from minia_spark.report import text
from minia_spark.report.closeup import CloseUp, close_up
from minia_spark.report.data import (
    BackgroundData,
    BatchDrift,
    CodebookData,
    DriftData,
    FactorEnd,
    MatchedImage,
    ReportData,
    RunSummary,
    ScoredImage,
    StructureCard,
    Thumbnail,
    VariantData,
)
from minia_spark.report.plots import (
    plot_drift,
    plot_principal_axes,
    plot_steps,
    plot_word_counts,
)
from minia_spark.structures.classes import stands_out
from minia_spark.words.bag import outlier_bounds

__all__ = ["ABOVE", "MOST_LABELS", "Rendered", "named_labels", "render", "wanted_images"]

ABOVE = "index-above.html"

_LABELS = 6  # labels of a histogram, before "other"
MOST_LABELS = _LABELS + 1
"""So many labels are all named: one label alone is named rather than called "other"."""
_BATCHES = 200  # batches listed by name
_ENDINGS = {"jpeg": "jpg"}
_VARIANT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

_Key = tuple[str, str]  # batch and image_id


@dataclass(frozen=True)
class Rendered:
    """What `render` wrote."""

    index: Path
    structures: int
    """Structures shown."""
    images: int
    """Images shown, counting one that several structures share every time."""
    missing: int
    """Images replaced by a placeholder because they have no thumbnail."""


@dataclass(frozen=True)
class _Picture:
    """A thumbnail that was written."""

    file: str
    width: int
    """Of the original image, in pixels; also `height`."""
    height: int


@dataclass(frozen=True)
class _Shown:
    """An image as the templates see it."""

    image: MatchedImage | ScoredImage
    picture: _Picture | None
    close_up: CloseUp | None = None
    """What of it is shown; None: all."""


@dataclass(frozen=True)
class _Bar:
    """A label: how many images of the structure have it, beside the whole collection."""

    label: str
    count: int
    share: float
    """Of the structure's labelled images."""
    whole: float | None
    """Of all labelled images; None where that is not known."""
    percent: float
    """Length of the bar."""
    mark: float | None
    """Where the share in the whole collection is marked."""
    stands_out: bool = False
    """Whether it is more frequent here than chance makes it."""

    @property
    def ratio(self) -> float | None:
        return self.share / self.whole if self.whole else None


@dataclass(frozen=True)
class _Page:
    """A structure as the templates see it."""

    card: StructureCard
    name: str
    """Its anchor."""
    shown: Sequence[_Shown]
    labels: Sequence[_Bar]

    @property
    def typical(self) -> _Bar | None:
        """The label that is the most frequent beside the whole collection, if one stands out."""
        found = [bar for bar in self.labels if bar.stands_out]
        return max(found, key=lambda bar: bar.ratio or 0.0, default=None)


@dataclass(frozen=True)
class _Plot:
    title: str
    note: str
    svg: markupsafe.Markup


@dataclass(frozen=True)
class _End:
    """One end of a factor as the templates see it."""

    name: str
    shown: Sequence[_Shown]
    labels: Sequence[_Bar]
    labelled: int


@dataclass(frozen=True)
class _Section:
    """A variant as the templates see it."""

    variant: VariantData
    suffix: str
    """Of the identifiers of its sections; empty when there is one variant only."""
    pages: Sequence[_Page]
    plots: Sequence[_Plot]
    drift: Sequence[BatchDrift]
    spread: _Plot | None
    factors: Sequence[Sequence[_End]]


def wanted_images(
    variants: Iterable[VariantData], *, structures: int, images_per_structure: int
) -> list[_Key]:
    """Return (batch, image_id) of every image that `render` shows, once, in the order of places."""
    found: dict[_Key, None] = {}
    for variant in variants:
        for card in variant.structures[:structures]:
            found |= {(i.batch, i.image_id): None for i in card.images[:images_per_structure]}
        for factor in () if variant.background is None else variant.background.factors:
            ends = (*factor.low.images, *factor.high.images)
            found |= {(i.batch, i.image_id): None for i in ends}
    return list(found)


def named_labels(labels: Mapping[str, int]) -> list[str]:
    """Return the labels that a structure's bars name, most frequent first, equal ones by name."""
    ordered = sorted(labels, key=lambda label: (-labels[label], label))
    return ordered if len(ordered) <= MOST_LABELS else ordered[:_LABELS]


def render(
    data: ReportData,
    folder: Path,
    thumbnails: Iterable[Thumbnail],
    *,
    structures: int = 12,
    images_per_structure: int = 6,
    seen_from_above: bool = False,
) -> Rendered:
    """Write the report into a folder.

    Parameters
    ----------
    data : ReportData
    folder : Path
        Made when it does not exist; must be empty. Nobody should look at it before this returns.
    thumbnails : iterable of Thumbnail
        Those of :func:`wanted_images`, in any order; others are passed over. Each is written when
        it comes and then forgotten. An image without one has a placeholder.
    structures : int
        Most structures to show of a variant.
    images_per_structure : int
        Most images to show of each.
    seen_from_above : bool
        Also write `ABOVE`: the first page as it must be when it stands in the folder above, to be
        put there once the whole site is complete.

    Returns
    -------
    Rendered

    Raises
    ------
    MiniaError
        The folder is not empty or cannot be written.
    ValueError
        Names of variants are not unique, or not of small letters, digits and hyphens.
    """
    names = [variant.name for variant in data.variants]
    if len(set(names)) < len(names) or not all(map(_VARIANT.fullmatch, names)):
        raise ValueError(f"variants must have different names of letters a-z, 0-9 and -: {names}")
    assets = folder / "assets"
    try:
        assets.mkdir(parents=True, exist_ok=True)
        if any(path != assets for path in folder.iterdir()) or any(assets.iterdir()):
            raise MiniaError(f"report: the folder {folder} is not empty")
        wanted = wanted_images(
            data.variants, structures=structures, images_per_structure=images_per_structure
        )
        pictures = _write_thumbnails(thumbnails, wanted, assets)
        sections = []
        for variant in data.variants:
            prefix = f"{variant.name}-" if len(names) > 1 else ""
            pages = [
                _Page(
                    card=card,
                    name=f"{prefix}structure-{rank:04d}",
                    shown=_shown(card, pictures, images_per_structure),
                    labels=_bars(card.labels, data.labels, data.labelled),
                )
                for rank, card in enumerate(variant.structures[:structures], start=1)
            ]
            plots = [*_codebook_plots(variant.codebook), *_drift_plots(variant.drift)]
            suffix = f"-{variant.name}" if len(names) > 1 else ""
            rows, spread = _drift_rows(variant.drift), _spread_plot(variant.background)
            factors = _factors(variant.background, pictures, data)
            sections.append(_Section(variant, suffix, pages, plots, rows, spread, factors))
        _write_pages(data, sections, folder)
        if seen_from_above:
            above = _index(data, sections, here=f"{folder.name}/")
            (folder / ABOVE).write_text(above, encoding="utf-8")
    except OSError as error:
        raise MiniaError(f"report: {folder} cannot be written: {error}") from error
    shown = [one for section in sections for page in section.pages for one in page.shown]
    shown += [
        one for section in sections for ends in section.factors for end in ends for one in end.shown
    ]
    missing = sum(one.picture is None for one in shown)
    count = sum(len(section.pages) for section in sections)
    return Rendered(folder / "index.html", count, len(shown) - missing, missing)


def _write_thumbnails(
    thumbnails: Iterable[Thumbnail], wanted: Sequence[_Key], assets: Path
) -> dict[_Key, _Picture]:
    """Write every wanted thumbnail under a number that does not depend on the order they come."""
    numbers = {key: number for number, key in enumerate(wanted, start=1)}
    written = {}
    for one in thumbnails:
        key = (one.batch, one.image_id)
        ending = _ENDINGS.get(one.format)
        if key not in numbers or ending is None or not (one.width > 0 and one.height > 0):
            continue
        name = f"i{numbers[key]:05d}.{ending}"
        (assets / name).write_bytes(one.data)
        written[key] = _Picture(f"assets/{name}", one.width, one.height)
    return written


def _shown(card: StructureCard, pictures: Mapping[_Key, _Picture], images: int) -> Sequence[_Shown]:
    shown = []
    for image in card.images[:images]:
        picture = pictures.get((image.batch, image.image_id))
        square = None
        if picture is not None:
            sides = {"width": picture.width, "height": picture.height}
            square = close_up(image.x, image.y, image.size, image.angle, **sides)
        shown.append(_Shown(image, picture, square))
    return shown


def _factors(
    background: BackgroundData | None, pictures: Mapping[_Key, _Picture], data: ReportData
) -> list[list[_End]]:
    def shown(name: str, end: FactorEnd) -> _End:
        images = [_Shown(i, pictures.get((i.batch, i.image_id))) for i in end.images]
        labels = _bars(end.labels, data.labels, data.labelled, total=end.labelled)
        return _End(name, images, labels, end.labelled)

    factors = () if background is None else background.factors
    return [[shown("Lowest", f.low), shown("Highest", f.high)] for f in factors]


def _bars(
    labels: Mapping[str, int], whole: Mapping[str, int], labelled: int, *, total: int | None = None
) -> list[_Bar]:
    """Most frequent first, equal ones by name; the rest is summed up.

    Bars are as long as the largest share allows, of the structure or of the collection. `total`
    is what shares are of; by default the sum of all labels.
    """
    named = named_labels(labels)
    known = labelled > 0 and all(label in whole for label in named)
    rows = [(label, labels[label], whole[label] / labelled if known else None) for label in named]
    total = sum(labels.values()) if total is None else total
    if len(named) < len(labels):
        rest = total - sum(labels[label] for label in named)
        others = 1 - sum(whole[label] for label in named) / labelled if known else None
        rows.append((f"{len(labels) - len(named):,} other labels", rest, others))
    longest = max((max(count / total, share or 0.0) for _, count, share in rows), default=1.0)
    return [
        _Bar(
            label,
            count,
            count / total,
            share,
            100 * count / total / longest,
            None if share is None else 100 * share / longest,
            share is not None and label in labels and stands_out(count, total, share),
        )
        for label, count, share in rows
    ]


def _codebook_plots(codebook: CodebookData | None) -> list[_Plot]:
    if codebook is None or not len(codebook.centres):
        return []
    counts = np.asarray(codebook.word_counts)
    words, drawn, sampled = len(counts), len(codebook.centres), len(codebook.descriptors)
    dots = f"all {words:,}" if drawn == words else f"{drawn:,} of the {words:,}"
    plots = [
        _Plot(
            "Descriptors and words",
            f"A descriptor is the list of numbers that describes a feature. Shaded: how densely "
            f"{sampled:,} sampled descriptors lie. Dots: the centres of {dots} words. Words should "
            "lie wherever descriptors are dense.",
            plot_principal_axes(
                codebook.descriptors,
                codebook.centres,
                f"Density of {sampled:,} sampled descriptors and the centres of {dots} words on "
                "the first two principal axes of the descriptors.",
            ),
        ),
        _counts_plot(codebook, counts),
    ]
    if len(codebook.costs):
        first, last = codebook.costs[0], codebook.costs[-1]
        iterations = text.plural(len(codebook.costs) - 1, "iteration", "iterations")
        plots.append(
            _Plot(
                "Refinement of the codebook",
                f"Mean squared distance of a descriptor from its word: {iterations} over all "
                f"descriptors lowered it by {text.percent((first - last) / first if first else 0)}."
                " Where the line still falls at its end, more iterations "
                "(codebook.refine_iterations) help.",
                plot_steps(
                    codebook.costs,
                    f"Line plot of the mean squared distance over {iterations}, from "
                    f"{first:,.6g} to {last:,.6g}.",
                    titles=("refinement iteration", "mean squared distance"),
                    step="iteration",
                ),
            )
        )
    return plots


def _spread_plot(background: BackgroundData | None) -> _Plot | None:
    """Plot what factors leave; None where that cannot be told, or there is nothing to plot."""
    if background is None or not background.spreads or not all(background.spreads):
        return None
    spreads, rank = background.spreads, background.rank
    factors = text.plural(rank, "factor", "factors")
    more = len(spreads) - 1 - rank
    tried = f" Hollow: with {more:,} more, which would gain little and are not used."
    return _Plot(
        "Spread of what two words share",
        f"How far pairs of words are from the expected number of shared images, as a multiple of "
        f"what chance alone gives: {spreads[0]:.2f} by totals alone, "
        f"{spreads[rank]:.2f} with {factors}. At 1 the broad differences are accounted "
        f"for, and pairs that still stand out belong to structures.{tried if more > 0 else ''}",
        plot_steps(
            spreads,
            f"Line plot of the spread over the number of factors: {spreads[0]:.2f} without, "
            f"{spreads[rank]:.2f} with {factors}; chance alone gives 1.",
            titles=("number of factors", "spread"),
            step="factors",
            level=(1.0, "chance alone"),
            used=rank,
        ),
    )


def _counts_plot(codebook: CodebookData, counts: np.ndarray[Any, Any]) -> _Plot:
    """The histogram of word counts before and after outliers are left out."""
    deviations = codebook.outlier_deviations
    low, high = outlier_bounds(counts, deviations)
    kept = (counts >= low) & (counts <= high)
    of_words = text.percent(kept.mean())
    of_occurrences = text.percent(counts[kept].sum() / max(counts.sum(), 1))
    beyond = f"more than {deviations:g} standard deviations from the mean"
    outliers = text.plural(int((~kept).sum()), "word is", "words are")
    if codebook.outliers_dropped:
        fate = (
            f"{outliers} {beyond} and left out of mining: {of_words} of the words and "
            f"{of_occurrences} of their occurrences are kept."
        )
    else:
        fate = (
            f"{outliers} {beyond}, and kept: with words.drop_outliers, {of_words} of the words "
            f"and {of_occurrences} of their occurrences would be kept."
        )
    never = text.plural(int((counts == 0).sum()), "word never occurs", "words never occur")
    return _Plot(
        "Occurrences of words",
        f"Words by how often they occur in the collection; outliers in another colour. {fate} "
        f"{'Every word occurs' if counts.all() else never}.",
        plot_word_counts(
            counts,
            deviations,
            f"Histogram of the occurrences of {len(counts):,} words: mean {counts.mean():,.1f}, "
            f"outlier bounds {max(low, 0):,.1f} and {high:,.1f}.",
        ),
    )


def _drift_plots(drift: DriftData | None) -> list[_Plot]:
    """Plot the drift; of a single batch the table says all."""
    if drift is None or sum(b.divergence is not None for b in drift.batches) < 2:
        return []
    measured = [b for b in drift.batches if b.divergence is not None]
    odd = sum(bool(b.clauses) for b in measured)
    return [
        _Plot(
            "Batches beside the codebook",
            "Above, the quantisation error of each batch by that of unseen images of the same "
            "kind; below, how far its words diverge beyond chance. Bars reach three standard "
            "deviations, hollow dots are batches that the codebook was made from.",
            plot_drift(
                drift,
                f"Two dot plots of {len(measured):,} batches: quantisation error and divergence of "
                f"the words, with their limits; {odd:,} beyond.",
            ),
        )
    ]


def _write_pages(data: ReportData, sections: Sequence[_Section], folder: Path) -> None:
    style = _environment(data, here="").get_template("style.css").render()
    (folder / "assets" / "style.css").write_text(style, encoding="utf-8")
    (folder / "index.html").write_text(_index(data, sections, here=""), encoding="utf-8")


def _index(data: ReportData, sections: Sequence[_Section], *, here: str) -> str:
    return (
        _environment(data, here=here)
        .get_template("index.html")
        .render(
            data=data,
            paged={title for title, _ in data.pages},
            panels=[(title, _rooted(shown, here)) for title, shown in data.panels],
            attention=[_rooted(shown, here) for shown in data.attention],
            run=data.run,
            sections=sections,
            counts=_counts(data.run),
            times=_times(data.run),
            settings=list(_flat(data.run.settings)),
            rejected=sum(row.records for row in data.run.rejects),
        )
    )


def _rooted(shown: markupsafe.Markup, here: str) -> markupsafe.Markup:
    """Return a panel's HTML with addresses as they are seen from the page."""
    root = "../" if here else "../../"  # the page's folder, or the one above it
    # a quotation mark of a text is escaped: this is an attribute
    return markupsafe.Markup(str(shown).replace(f'="{WAREHOUSE}', f'="{root}'))  # noqa: S704


def _environment(data: ReportData, *, here: str) -> jinja2.Environment:
    """Return the templates; `here` goes before the name of every file of the site."""
    # in `finalize`, so that no template can forget it
    environment = templates_of("minia_spark.report", finalize=_visible)
    environment.filters.update(text.FILTERS)
    ways = {variant.background is not None for variant in data.variants}
    terms = text.terms(tables=True not in ways or False in ways, background=True in ways)
    root = "../" if here else "../../"  # the page's folder, or the one above it
    site = [("Overview", f"{root}report/index.html")]
    site += [(title, f"{root}{address}") for title, address in data.pages]
    gallery = next((address for title, address in site if title == "Gallery"), None)
    environment.globals |= {"here": here, "terms": terms, "site": site, "gallery": gallery}
    return environment


def _visible(value: Any) -> Any:
    plain = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
    return text.visible(value) if plain else value


@dataclass(frozen=True)
class _Counts:
    """Rows of tables: a line a batch, a column a table."""

    tables: Sequence[str]
    totals: Sequence[int]
    batches: Sequence[tuple[str, Sequence[int | None]]]
    hidden: int


def _counts(run: RunSummary) -> _Counts:
    tables = list(dict.fromkeys(row.table for row in run.tables))
    cells: dict[str | None, dict[str, int]] = {}
    for row in run.tables:
        line = cells.setdefault(row.batch, {})
        line[row.table] = line.get(row.table, 0) + row.rows
    named = [(batch, line) for batch, line in cells.items() if batch is not None]
    return _Counts(
        tables=tables,
        totals=[sum(line.get(table, 0) for line in cells.values()) for table in tables],
        batches=[
            (batch, [line.get(table) for table in tables]) for batch, line in named[-_BATCHES:]
        ],
        hidden=max(len(named) - _BATCHES, 0),
    )


def _drift_rows(drift: DriftData | None) -> Sequence[BatchDrift]:
    """The batches to list: those beyond limits, then the last by name, in the order of names."""
    batches = [] if drift is None else list(drift.batches)
    first = [*(b for b in batches if b.clauses), *(b for b in reversed(batches) if not b.clauses)]
    shown = {b.batch for b in first[:_BATCHES]}
    return [b for b in batches if b.batch in shown]


def _times(run: RunSummary) -> list[tuple[str, int, float, float]]:
    """(stage, steps, seconds, percent of the longest stage), in the order of the first steps."""
    steps: dict[str, list[float]] = {}
    for row in run.stages:
        steps.setdefault(row.stage, []).append(row.seconds)
    longest = max((sum(seconds) for seconds in steps.values()), default=0.0)
    return [
        (stage, len(seconds), sum(seconds), 100 * sum(seconds) / longest if longest > 0 else 0.0)
        for stage, seconds in steps.items()
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", text.setting(value)
