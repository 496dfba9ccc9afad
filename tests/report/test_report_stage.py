"""The page's stage: what it collects from a warehouse, against the tables themselves."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from commands import SETTINGS, chosen, rows_of, table_of

from minia_spark.engine.room import Panel
from minia_spark.engine.stage import load
from minia_spark.explorer.tables import EXPLORER
from minia_spark.gallery.tables import GALLERY
from minia_spark.ingest.tables import IMAGES
from minia_spark.report import stage as module
from minia_spark.report.settings import ReportSettings
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse import manifest

from .site import read_site


def panel(_context):
    from markupsafe import Markup

    return Markup(
        '<p>What another room shows.</p>\n<a href="warehouse:/other/run=1/{}">{}</a>'
    ).format("page.html", 'not ="warehouse:/ itself')


def heed(_context):
    from markupsafe import Markup

    return [Markup('Look at <a href="warehouse:/other/run=1/x.html">this</a>')]


@pytest.fixture
def collected(context, monkeypatch):
    """Run the stage and return what it gave to the page, the thumbnails, and its context."""

    def run(location, *settings, panels=()):
        kept = {}
        render = module.render

        def keep(data, folder, thumbnails, **options):
            kept["data"], kept["thumbnails"] = data, list(thumbnails)
            return render(data, folder, kept["thumbnails"], **options)

        monkeypatch.setattr(module, "render", keep)
        made = context(location, "report", None, *settings)
        made.panels = panels
        load(made.stage.run)(made)
        return kept["data"], kept["thumbnails"], made

    return run


def test_the_page_shows_what_the_tables_hold(collected, own_warehouse):
    data, thumbnails, made = collected(
        own_warehouse, "report.images_per_structure=3", "report.sampled_descriptors=200"
    )
    (variant,) = data.variants
    assert variant.name == "sift"
    assert variant.background is None
    assert all(card.sets and card.lift_beyond is None for card in variant.structures)
    structures = rows_of(
        own_warehouse,
        "structures",
        "structure_id",
        "words",
        "support",
        "significant",
        "reproducible",
        "lift_beyond",
    )
    assert variant.structures_total == len(structures) == len(variant.structures) > 1
    assert variant.established_total == sum(s and r for *_, s, r, _ in structures)
    strong = [lift for *_, s, r, lift in structures if s and r and lift >= 3]
    assert variant.strong_total == len(strong)
    assert sum(card.strength == "strong" for card in variant.structures) == len(strong)
    matches = rows_of(
        own_warehouse, "structure_images", "structure_id", "rank", "image_id", "features"
    )
    images = dict(rows_of(own_warehouse, "images", "image_id", "label"))
    places = {
        name: np.array(rest)
        for name, *rest in rows_of(own_warehouse, "features", "image_id", "x", "y", "size", "angle")
    }
    for number, (card, row) in enumerate(zip(variant.structures, structures, strict=True)):
        assert (card.structure, list(card.words), card.support) == (
            f"s{number:04d}",
            list(row[1]),
            row[2],
        )
        own = sorted(match[1:] for match in matches if match[0] == number)
        assert card.images_total == len(own)
        labels = Counter(images[name] for _, name, *_ in own)
        assert dict(card.labels) == {k: v for k, v in labels.items() if k is not None}
        assert [image.image_id for image in card.images] == [name for _, name, *_ in own[:3]]
        for image, (_, name, features) in zip(card.images, own, strict=False):
            drawn = np.stack([image.x, image.y, image.size, image.angle])
            np.testing.assert_array_equal(drawn, places[name][:, features].astype(np.float32))
        assert card.event == "born"
    labels = Counter(images.values())
    assert dict(data.labels) == {label: labels[label] for label in data.labels}
    assert data.labelled == sum(labels.values()) - labels[None]
    shown = {image.image_id for card in variant.structures for image in card.images}
    assert {one.image_id for one in thumbnails} == shown
    assert (thumbnails[0].width, thumbnails[0].height) == (128, 128)
    picture = cv2.imdecode(np.frombuffer(thumbnails[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 128, 3)
    counts = dict(rows_of(own_warehouse, "word_counts", "word", "occurrences"))
    assert {w: n for w, n in enumerate(variant.codebook.word_counts) if n} == counts
    assert variant.features == sum(counts.values()) == sum(p.shape[1] for p in places.values())
    assert 100 < len(variant.codebook.descriptors) < 400
    assert variant.codebook.descriptors.shape[1] == 128
    assert made.counts["missing"] == 0
    site = own_warehouse / made.entries[-1].path
    (site / "index-above.html").unlink()
    (site / manifest.NAME).unlink()
    read_site(site)


BEYOND = ("mining.chance=background", "mining.link=consensus", "mining.partners_by_chance=3")
BEYOND += ("mining.tables=null", "mining.tuple_size=null", "mining.decoys=1")


def test_images_at_both_ends_of_the_factors(collected, own_warehouse, minia):
    """Against a sort of all scores here."""
    given = [*SETTINGS, *BEYOND]
    minia("run", "--warehouse", own_warehouse, *chosen(*given, "report.structures=0")).expect(0)
    data, thumbnails, made = collected(own_warehouse, *given, "report.images_per_structure=1")
    (variant,) = data.variants
    background = variant.background
    fitted = table_of(own_warehouse, "background").iloc[0]
    assert background.rank == len(fitted["loadings"]) == len(background.factors) > 0
    assert list(background.spreads) == fitted["spreads"].tolist()
    labels = dict(rows_of(own_warehouse, "images", "image_id", "label"))
    scores = dict(rows_of(own_warehouse, "factors", "image_id", "scores"))
    for number, factor in enumerate(background.factors):
        places = sorted((own[number], name) for name, own in scores.items() if own is not None)
        values = [score for score, _ in places]
        low, high = np.percentile(values, [10, 90])
        assert [(i.score, i.image_id) for i in factor.low.images] == places[:6]
        assert [(i.score, i.image_id) for i in factor.high.images] == places[:-7:-1]
        assert {i.batch for i in factor.low.images} == {"b1"}
        for end, there in (
            (factor.low, [name for score, name in places if score <= low]),
            (factor.high, [name for score, name in places if score >= high]),
        ):
            counts = Counter(labels[name] for name in there)
            del counts[None]
            assert dict(end.labels) == counts
            assert end.labelled == sum(counts.values()) > 0
            assert set(counts) <= set(data.labels)
    wanted = {i.image_id for f in background.factors for i in (*f.low.images, *f.high.images)}
    assert wanted <= {one.image_id for one in thumbnails}
    assert made.counts["images"] >= 12 * background.rank
    columns = ("structure_id", "expected_beyond", "lift_beyond")
    structures = sorted(rows_of(own_warehouse, "structures", *columns))
    cards = [(c.expected_beyond, c.lift_beyond, c.sets) for c in variant.structures]
    assert cards == [(beyond, lift, None) for _, beyond, lift in structures[:2]]
    assert len(cards) > 0


def test_sampled_descriptors_are_descriptors(collected, own_warehouse):
    everything, _, _ = collected(own_warehouse, "report.sampled_descriptors=200000")
    held = rows_of(own_warehouse, "features", "image_id", "descriptors")
    all_of_them = np.frombuffer(b"".join(block for _, block in held), np.uint8)
    all_of_them = all_of_them.reshape(-1, 128).astype(np.float32)
    found = everything.variants[0].codebook.descriptors
    assert sorted(map(bytes, found)) == sorted(map(bytes, all_of_them))
    some, _, _ = collected(own_warehouse, "report.sampled_descriptors=300")
    few = some.variants[0].codebook.descriptors
    assert set(map(bytes, few)) <= set(map(bytes, all_of_them))
    none, _, _ = collected(own_warehouse, "report.sampled_descriptors=0")
    assert none.variants[0].codebook.descriptors.shape == (0, 128)


def test_behind_the_last_picture_images_are_counted(collected, own_warehouse):
    whole, _, _ = collected(own_warehouse)
    cut, _, _ = collected(own_warehouse, "report.images_per_structure=1")
    for all_of_it, some in zip(
        whole.variants[0].structures, cut.variants[0].structures, strict=True
    ):
        assert some.images_total == all_of_it.images_total
        assert dict(some.labels) == dict(all_of_it.labels)
        assert len(some.images) == min(1, all_of_it.images_total)


def test_nothing_of_images_is_read_where_no_structure_is_shown(collected, own_warehouse):
    data, thumbnails, made = collected(own_warehouse, "report.structures=0")
    assert data.variants[0].structures_total > 0
    assert list(data.variants[0].structures) == thumbnails == []
    assert made.counts == {"structures": 0, "images": 0, "missing": 0}


def test_what_the_page_says_about_settings_stays_in_their_bounds(collected, own_warehouse):
    data, _, made = collected(own_warehouse, "mining.decoys=0", "report.title=Mine")
    assert data.run.title == "Mine"
    assert data.variants[0].max_q is None
    assert data.variants[0].established_total is None
    assert {row.table for row in data.run.tables} >= {IMAGES.name, THUMBNAILS.name}
    assert made.settings(ReportSettings).title == "Mine"


def test_panels_of_other_rooms_are_shown_where_their_tables_are(collected, own_warehouse):
    place = f"{__name__}:panel"
    heed = f"{__name__}:heed"
    missing = Panel("A third", (IMAGES, EXPLORER), place, attention=heed)
    panels = (Panel("Another room", (IMAGES,), place, page=GALLERY, attention=heed), missing)
    data, _, made = collected(own_warehouse, panels=panels)
    assert [title for title, _ in data.panels] == ["Another room"]
    page = (own_warehouse / made.entries[-1].path / "index.html").read_text()
    assert "<h2>Another room</h2>\n<p>What another room shows.</p>" in page
    assert "#panel-1" not in page  # the head leads to its page already
    assert data.pages == [("Another room", "gallery/index.html")]
    assert '<a href="../../gallery/index.html">Another room</a>' in page
    assert '<p>Look at <a href="../../other/run=1/x.html">this</a></p>' in page
    assert page.count("Look at") == 1
    assert (data.newest.batch, data.newest.images, data.newest.rejected) == ("b1", 60, 0)
    (variant,) = data.variants
    lineage = [event for (event,) in rows_of(own_warehouse, "lineage", "event")]
    assert variant.events == Counter(lineage)
    assert variant.older_state is None
    assert "These are the first structures" in page
    # links to other artefacts, as they are seen from the page and from its copy in the folder above
    assert '<a href="../../other/run=1/page.html">not =&#34;warehouse:/ itself</a>' in page
    above = (own_warehouse / made.entries[-1].path / "index-above.html").read_text()
    assert '<a href="../other/run=1/page.html">not =&#34;warehouse:/ itself</a>' in above
