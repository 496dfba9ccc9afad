"""Writes the report: a static site of one folder that needs no network and runs no script.

``index.html`` tells what was found, a card a structure; ``structure-<rank>.html`` shows one with
more images; ``assets/`` has the drawn images, the plots and the style. Texts are escaped by Jinja2,
file names are made from ranks only, and a Content-Security-Policy in every page forbids whatever is
not an image or a style of the site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError, Rejected
from minia_spark.report import text
from minia_spark.report.data import (
    BatchDrift,
    DriftData,
    MatchedImage,
    ReportData,
    RunSummary,
    StructureCard,
    VocabularyData,
)
from minia_spark.report.draw import OTHER_COLOUR, PALETTE, colour_numbers, encode_jpeg, thumbnail
from minia_spark.report.plots import (
    DARK,
    LIGHT,
    Theme,
    outlier_bounds,
    plot_costs,
    plot_drift,
    plot_pca,
    plot_word_counts,
)

__all__ = ["ABOVE", "OpenImage", "Rendered", "render"]

ABOVE = "index-above.html"

OpenImage = Callable[[str], NDArray[np.uint8]]

_STRIP = 6  # images of a card: one row on a wide screen, two on a narrow one
_LABELS = 6  # labels of a histogram, before "other"
_BATCHES = 200  # batches listed by name


@dataclass(frozen=True)
class Rendered:
    """What `render` wrote."""

    index: Path
    structures: int
    """Structures shown."""
    images: int
    """Images drawn, counting one that several structures share every time."""
    missing: int
    """Images replaced by a placeholder because they could not be opened."""


@dataclass(frozen=True)
class _Shown:
    """An image as the templates see it: drawn, or the reason why not."""

    image: MatchedImage
    file: str | None = None
    width: int = 0
    height: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class _Place:
    """Where an image is shown: as which image of which structure."""

    rank: int
    number: int
    card: StructureCard
    image: MatchedImage


@dataclass(frozen=True)
class _Bar:
    label: str
    count: int
    percent: float
    """Of the longest bar."""


@dataclass(frozen=True)
class _Page:
    """A structure as the templates see it."""

    rank: int
    card: StructureCard
    shown: Sequence[_Shown]
    labels: Sequence[_Bar]
    colours: Sequence[int]

    @property
    def file(self) -> str:
        return f"structure-{self.rank:04d}.html"


@dataclass(frozen=True)
class _Plot:
    name: str
    title: str
    alt: str
    note: str


def render(
    data: ReportData,
    folder: Path,
    open_image: OpenImage,
    *,
    structures: int = 60,
    images_per_structure: int = 12,
    thumbnail_px: int = 360,
    threads: int = 4,
    seen_from_above: bool = False,
) -> Rendered:
    """Write the report into a folder.

    Parameters
    ----------
    data : ReportData
    folder : Path
        Made when it does not exist; must be empty. Nobody should look at it before this returns.
    open_image : callable
        uri -> uint8 array, shape (height, width), (height, width, 1) or (height, width, 3) in the
        order red, green, blue, in the pixels that the features' positions are given in. May raise
        Rejected, MiniaError or OSError; the page then shows the reason in the image's place. Called
        once an image, from several threads at once.
    structures : int
        Most structures to show.
    images_per_structure : int
        Most images to show of each.
    thumbnail_px : int
        Longer side of a drawn image in pixels.
    threads : int
        How many images are opened and drawn at the same time; the memory is theirs.
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
    """
    assets = folder / "assets"
    try:
        assets.mkdir(parents=True, exist_ok=True)
        if any(path != assets for path in folder.iterdir()) or any(assets.iterdir()):
            raise MiniaError(f"report: the folder {folder} is not empty")
        pages = _draw(
            data.structures[:structures],
            assets,
            open_image,
            images=images_per_structure,
            thumbnail_px=thumbnail_px,
            threads=threads,
        )
        plots = [*_plot(data.vocabulary, assets), *_plot_drift(data.drift, assets)]
        _write_pages(data, pages, plots, folder)
        if seen_from_above:
            above = _index(data, pages, plots, here=f"{folder.name}/")
            (folder / ABOVE).write_text(above, encoding="utf-8")
    except OSError as error:
        raise MiniaError(f"report: {folder} cannot be written: {error}") from error
    shown = [one for page in pages for one in page.shown]
    missing = sum(one.problem is not None for one in shown)
    return Rendered(folder / "index.html", len(pages), len(shown) - missing, missing)


def _draw(
    cards: Iterable[StructureCard],
    assets: Path,
    open_image: OpenImage,
    *,
    images: int,
    thumbnail_px: int,
    threads: int,
) -> list[_Page]:
    """Draw the best images of every structure; an image that several share is opened once."""
    numbered = list(enumerate(cards, start=1))
    by_uri: dict[str, list[_Place]] = {}
    for rank, card in numbered:
        for number, image in enumerate(card.images[:images], start=1):
            by_uri.setdefault(image.uri, []).append(_Place(rank, number, card, image))

    def draw_image(places: list[_Place]) -> list[tuple[_Place, _Shown]]:
        return list(_draw_places(places, assets, open_image, thumbnail_px))

    shown: dict[int, list[tuple[int, _Shown]]] = {rank: [] for rank, _ in numbered}
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="draw") as pool:
        for drawn in pool.map(draw_image, by_uri.values()):
            for place, drawing in drawn:
                shown[place.rank].append((place.number, drawing))
    return [
        _Page(
            rank=rank,
            card=card,
            shown=[drawing for _, drawing in sorted(shown[rank], key=lambda item: item[0])],
            labels=_bars(card.labels),
            colours=colour_numbers(_words(card.words), _words(card.words)).tolist(),
        )
        for rank, card in numbered
    ]


def _draw_places(
    places: Sequence[_Place], assets: Path, open_image: OpenImage, thumbnail_px: int
) -> Iterable[tuple[_Place, _Shown]]:
    """Open one image and draw it for every structure that shows it."""
    pixels, problem = None, None
    try:
        pixels = open_image(places[0].image.uri)
    except (Rejected, MiniaError, OSError) as error:
        problem = str(error) or type(error).__name__
    for place in places:
        image = place.image
        if pixels is None:
            yield place, _Shown(image, problem=problem)
            continue
        colours = None
        if image.words is not None:
            colours = colour_numbers(np.asarray(image.words), _words(place.card.words))
        drawing = thumbnail(
            pixels,
            x=image.x,
            y=image.y,
            size=image.size,
            colours=colours,
            longer_side_px=thumbnail_px,
        )
        name = f"s{place.rank:04d}-{place.number:03d}.jpg"
        (assets / name).write_bytes(encode_jpeg(drawing))
        height, width = drawing.shape[:2]
        yield place, _Shown(image, file=f"assets/{name}", width=width, height=height)


def _words(words: Sequence[int]) -> NDArray[np.int32]:
    return np.asarray(words, dtype=np.int32)


def _bars(labels: Mapping[str, int]) -> list[_Bar]:
    """Most frequent first, equal ones by name; the rest is summed up."""
    ordered = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    # One label alone is named rather than called "other".
    named = len(ordered) if len(ordered) <= _LABELS + 1 else _LABELS
    rows, rest = ordered[:named], ordered[named:]
    if rest:
        rows.append((f"{len(rest):,} other labels", sum(count for _, count in rest)))
    longest = max((count for _, count in rows), default=0)
    return [_Bar(label, count, 100 * count / max(longest, 1)) for label, count in rows]


def _plot(vocabulary: VocabularyData | None, assets: Path) -> list[_Plot]:
    """Write every plot in both themes and tell the templates about it."""
    if vocabulary is None or not len(vocabulary.centres):
        return []
    words, sampled = len(vocabulary.centres), len(vocabulary.descriptors)
    counts = np.asarray(vocabulary.word_counts)
    low, high = outlier_bounds(counts, vocabulary.outlier_deviations)
    outliers = int(((counts < low) | (counts > high)).sum())
    fate = "left out of mining" if vocabulary.outliers_dropped else "kept for mining"
    plots = [
        (
            _Plot(
                "pca",
                "Descriptors and words",
                f"Scatter plot: {sampled:,} sampled descriptors and the {words:,} words on the "
                "first two principal axes of the descriptors.",
                f"{sampled:,} sampled descriptors with the centres of all {words:,} words.",
            ),
            lambda theme: plot_pca(vocabulary.descriptors, vocabulary.centres, theme),
        ),
        (
            _Plot(
                "words",
                "Occurrences of words",
                f"Histogram of the occurrences of {words:,} words: mean {counts.mean():,.1f}, "
                f"outlier bounds {max(low, 0):,.1f} and {high:,.1f}.",
                f"{outliers:,} of {words:,} words lie outside mean \N{PLUS-MINUS SIGN} "
                f"{vocabulary.outlier_deviations:g} standard deviations; they are {fate}. "
                f"{int((counts == 0).sum()):,} never occur.",
            ),
            lambda theme: plot_word_counts(counts, vocabulary.outlier_deviations, theme),
        ),
    ]
    if len(vocabulary.costs):
        first, last = vocabulary.costs[0], vocabulary.costs[-1]
        plots.append(
            (
                _Plot(
                    "cost",
                    "Refinement of the vocabulary",
                    f"Line plot of the cost over {len(vocabulary.costs)} iterations, from "
                    f"{first:,.0f} to {last:,.0f}.",
                    f"{len(vocabulary.costs)} iterations over all descriptors lowered the cost by "
                    f"{(first - last) / first if first else 0:.2%} after the first.",
                ),
                lambda theme: plot_costs(vocabulary.costs, theme),
            )
        )
    return [_in_both_themes(plot, draw, assets) for plot, draw in plots]


def _in_both_themes(plot: _Plot, draw: Callable[[Theme], bytes], assets: Path) -> _Plot:
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        (assets / f"{plot.name}-{name}.png").write_bytes(draw(theme))
    return plot


def _plot_drift(drift: DriftData | None, assets: Path) -> list[_Plot]:
    """Write the plot of the drift; of a single batch the table says all."""
    if drift is None or sum(b.divergence is not None for b in drift.batches) < 2:
        return []
    measured = [b for b in drift.batches if b.divergence is not None]
    odd = sum(bool(b.clauses) for b in measured)
    plot = _Plot(
        "drift",
        "Batches beside the vocabulary",
        f"Two dot plots of {len(measured):,} batches: quantisation error and divergence of the "
        f"words, with their limits; {odd:,} beyond.",
        "Error and divergence of the words of every batch; bars reach three standard deviations, "
        "hollow dots are batches that the vocabulary was made from.",
    )
    return [_in_both_themes(plot, lambda theme: plot_drift(drift, theme), assets)]


def _write_pages(
    data: ReportData, pages: Sequence[_Page], plots: Sequence[_Plot], folder: Path
) -> None:
    environment = _environment(here="")
    colours = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (*PALETTE, OTHER_COLOUR)]

    def write(template: str, target: str, **values: Any) -> None:
        page = environment.get_template(template).render(**values)
        (folder / target).write_text(page, encoding="utf-8")

    write("style.css", "assets/style.css", colours=colours)
    (folder / "index.html").write_text(_index(data, pages, plots, here=""), encoding="utf-8")
    for i, page in enumerate(pages):
        write(
            "structure.html",
            page.file,
            run=data.run,
            page=page,
            before=pages[i - 1] if i > 0 else None,
            after=pages[i + 1] if i + 1 < len(pages) else None,
            palette=len(PALETTE),
        )


def _index(data: ReportData, pages: Sequence[_Page], plots: Sequence[_Plot], *, here: str) -> str:
    return (
        _environment(here=here)
        .get_template("index.html")
        .render(
            data=data,
            run=data.run,
            pages=pages,
            plots=plots,
            strip=_STRIP,
            counts=_counts(data.run),
            times=_times(data.run),
            drift=_drift_rows(data.drift),
            settings=list(_flat(data.run.settings)),
            rejected=sum(row.records for row in data.run.rejects),
        )
    )


def _environment(*, here: str) -> jinja2.Environment:
    """Return the templates; `here` goes before the name of every file of the site."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("minia_spark.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,  # before escaping, so that no template can forget it
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(text.FILTERS)
    environment.globals["here"] = here
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
