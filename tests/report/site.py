"""Report data by hand, and a reader of the pages that were made from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from minia_spark.report.data import (
    BatchDrift,
    CodebookData,
    DriftData,
    MatchedImage,
    RejectCount,
    ReportData,
    RunSummary,
    StageTime,
    StructureCard,
    TableCount,
    Thumbnail,
    VariantData,
)
from minia_spark.report.site import Rendered, render, wanted_images
from minia_spark.thumbnails.thumbnail import thumbnail

CSP = "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'"


def gradient():
    """An image that is easy to recognise: red grows to the right, green downwards."""
    ramp = np.linspace(40, 220, 50).astype(np.uint8)
    image = np.zeros((50, 50, 3), np.uint8)
    image[..., 0] = ramp[None, :]
    image[..., 1] = ramp[:, None]
    return image


def thumbnail_of(key, **more):
    """The thumbnail of an image of 500 x 500 pixels."""
    values = {"width": 500, "height": 500, "data": thumbnail(gradient(), 50, 95)}
    return Thumbnail(batch=key[0], image_id=key[1], **values | more)


def make(data, folder, *, thumbnails=thumbnail_of, **options) -> Rendered:
    """Render with a thumbnail of every image shown; `thumbnails` makes them, None is missing."""
    limits = {"structures": 12, "images_per_structure": 6}
    wanted = wanted_images(data.variants, **{k: options.get(k, v) for k, v in limits.items()})
    made = (thumbnails(key) for key in wanted)
    return render(data, folder, [one for one in made if one is not None], **options)


def matched(name, batch="b1", angle=(-1, -1)):
    return MatchedImage(
        batch=batch,
        image_id=name,
        x=np.array([160, 240], np.float32),
        y=np.array([260, 340], np.float32),
        size=np.array([20, 20], np.float32),
        angle=np.array(angle, np.float32),
    )


def structure(name, images, *, labels=None, words=(7, 3, 11), images_total=None, **more):
    values = {"sets": 42}
    return StructureCard(
        structure=name,
        words=words,
        images_total=len(images) if images_total is None else images_total,
        images=images,
        labels=labels or {},
        **values | more,
    )


def codebook(**more):
    rng = np.random.default_rng(2)
    values = {
        "version": "v-0123abcd",
        "centres": rng.integers(0, 255, (12, 8)).astype(np.float32),
        "word_counts": np.array([5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 0, 90]),
        "descriptors": rng.integers(0, 255, (40, 8)).astype(np.float32),
        "costs": [300.0, 200.0, 190.0],
    }
    return CodebookData(**values | more)


def run(**more):
    values = {
        "title": "Visual structures",
        "run": "run-1",
        "finished": "2026-01-02 03:04 UTC",
        "version": "9.9.9",
        "images": 30,
        "batches": 2,
        "tables": [
            TableCount(table="images", batch="b1", rows=10),
            TableCount(table="images", batch="b2", rows=20),
            TableCount(table="structures", batch=None, rows=2),
        ],
        "rejects": [
            RejectCount(
                reason="truncated", stage="ingest", records=3, example="a.jpg", detail="cut off"
            )
        ],
        "stages": [
            StageTime(stage="ingest", batch="b1", seconds=1.5),
            StageTime(stage="ingest", batch="b2", seconds=2.5),
            StageTime(stage="mine", batch=None, seconds=130.0),
        ],
        "settings": {"mining": {"tables": 750, "binary": None}, "spark": {"conf": {}}},
    }
    return RunSummary(**values | more)


def variant(structures=(), **more):
    values = {
        "name": "sift",
        "structures_total": len(structures),
        "features": 600,
        "codebook": codebook(),
    }
    total = {"patterns_total": (values | more)["structures_total"]}
    return VariantData(structures=structures, **total | values | more)


def report(structures=(), **more):
    """A report of one variant; arguments are those of the report or of the variant."""
    own = ("run", "labels", "labelled", "advice", "pages", "newest", "attention")
    of_report = {k: more.pop(k) for k in own if k in more}
    return ReportData(variants=[variant(structures, **more)], **{"run": run()} | of_report)


def with_variants(data, *variants):
    return replace(data, variants=variants)


def batch(name, **more):
    """One batch that differs no more than chance makes it."""
    values = {
        "trained_on": False,
        "images": 200,
        "error_ratio": 1.04,
        "error_deviation": 0.02,
        "divergence": 0.021,
        "expected_divergence": 0.02,
        "divergence_deviation": 0.001,
        "dead_words": 0,
        "overfull_words": 1,
    }
    return BatchDrift(batch=name, **values | more)


def drift(*batches):
    return DriftData(batches=batches, max_error_ratio=1.25, max_divergence=0.03)


ODD = {"error_ratio": 1.9, "divergence": 0.31, "dead_words": 12, "clauses": ["its words diverge"]}
EMPTY = dict.fromkeys(
    ("error_ratio", "error_deviation", "divergence", "expected_divergence", "divergence_deviation")
)


class Page(HTMLParser):
    """One parsed page: tags, attributes, references and visible text."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})
    INLINE = frozenset({"a", "b", "bdi", "code", "span", "label", "input"})

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.path = path
        self.tags: Counter[str] = Counter()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.drawn = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == [], f"{path}: not closed: {self._open}"
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.text += "" if tag in self.INLINE else " "
        if tag not in self.VOID:
            self._open.append(tag)
        for name, value in attributes:
            self.attributes.append((tag, name, value))
            if name in ("src", "href", "srcset"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"{self.path}: </{tag}> closes something else"

    def handle_data(self, data):
        if "svg" not in self._open:  # numbers of axes, and what bars and dots say on hover
            self.text += data
        else:
            self.drawn += f" {data}"

    def values(self, tag, name):
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def read_site(folder: Path) -> dict[str, Page]:
    """Parse every page and check what holds for any site.

    References lead to files and anchors of the site, every file is used, nothing leaves the site,
    nothing can run, every image has a text and ids are unique.
    """
    pages = {path.name: Page(path) for path in sorted(folder.glob("*.html"))}
    used = {"index.html", "assets"}
    for page in pages.values():
        for reference in page.references:
            parts = urlsplit(reference)
            assert not parts.scheme, reference
            assert not parts.netloc, reference
            target = unquote(parts.path) or page.path.name
            used.add(target)
            assert (folder / target).is_file(), reference
            assert ".." not in target
            if parts.fragment and target.endswith(".html"):
                assert parts.fragment in pages[target].ids, reference
        assert len(set(page.ids)) == len(page.ids)
        assert page.values("meta", "content")[0] == CSP
        forbidden = {"script", "iframe", "object", "embed", "form", "base", "style"}
        assert not forbidden & set(page.tags)
        names = {name for _, name, _ in page.attributes}
        assert "style" not in names
        assert not any(name.startswith("on") for name in names)
        assert len(page.values("img", "alt")) == page.tags["img"]
        assert all(page.values("img", "alt"))
        drawn = [value for value in page.values("svg", "role") if value == "img"]
        assert len(drawn) <= len(page.values("svg", "aria-label"))
    style = (folder / "assets" / "style.css").read_text(encoding="utf-8")
    for word in ("url(", "@import", "http:", "https:"):
        assert word not in style
    present = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*")}
    assert present == used
    return pages
