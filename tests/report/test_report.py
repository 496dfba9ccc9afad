"""The site as files: complete, self-contained, harmless, and honest about what is missing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from minia_spark.base.errors import MiniaError
from minia_spark.report.data import (
    BackgroundData,
    FactorData,
    FactorEnd,
    RejectCount,
    ScoredImage,
    TableCount,
)
from minia_spark.report.settings import ReportSettings
from minia_spark.report.site import named_labels, render, wanted_images
from minia_spark.report.text import repeated, visible

from .site import (
    EMPTY,
    ODD,
    Page,
    batch,
    codebook,
    drift,
    make,
    matched,
    read_site,
    report,
    run,
    structure,
    thumbnail_of,
    variant,
    with_variants,
)

TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"

HOSTILE = [
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "' autofocus onfocus='alert(1)",
    "</title><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "../../../etc/passwd",
    "javascript:alert(1)",
    "line\nbreak\r\t\x00\x1b[31m",
    "right-to-left \u202egpj.exe",
    "lone surrogate \udcff",
    "&lt;b&gt; &amp;",
    "x" * 255,
    "",
]


def test_a_small_report(tmp_path):
    first = structure(
        "S-a",
        [matched("one.png"), matched("two.png")],
        images_total=31,
        labels={"spiral": 30, "ring": 1},
        support=29,
        expected_support=0.4,
        lift=72.5,
        q=0.0002,
        stability=0.955,
        lineage="2.0",
        event="born",
    )
    second = structure("S-b", [matched("two.png")])
    data = report(
        [first, second],
        structures_total=812,
        advice=["Look twice."],
        labels={"spiral": 40, "ring": 60},
        labelled=100,
        mining=["Tuples of 2 and 300 tables are set."],
    )
    rendered = make(data, tmp_path / "site")
    assert (rendered.structures, rendered.images, rendered.missing) == (2, 3, 0)
    pages = read_site(tmp_path / "site")
    assert list(pages) == ["index.html"]
    index = pages["index.html"].text
    for sentence in (
        "Images 30",
        "Features 600",
        "Words 12",
        "Structures 812",
        "Rejected 3",
        "Look twice.",
        "The first 2 of 812",
        "Structure S-a 31 images, 72.5 times as many as by chance, found again in 96 % of "
        "repetitions 30 of 31 are spiral: 97 %, and 40 % of all images",
        "Figures Words 3 Sets 42 Images 31 Support 29 Expected 0.400 Lift 72.5 q <0.001 "
        "Stability 0.95 History new in state 2",
        f"spiral 30 97 % {TIMES}2.4 ring 1 3.2 % {TIMES}0.05",
        "1 word is more than 2 standard deviations from the mean, and kept: with "
        "words.drop_outliers, 92 % of the words and 40 % of their occurrences would be kept. "
        "1 word never occurs.",
        "2 iterations over all descriptors lowered it by 37 %.",
        "Batch images structures b1 10 b2 20 All 30 2",
        "truncated ingest 3 a.jpg cut off",
        "ingest 2 4.0 s",
        "mine 1 2 min 10 s",
        "Settings (3) mining.tables 750 mining.binary null spark.conf {}",
        "Its identifier is v-0123abcd.",
        "minia-spark 9.9.9",
        "run run-1",
        "Tuples of 2 and 300 tables are set.",
        "Lift Support divided by expected",
    ):
        assert sentence in index, sentence
    assert "1 Structure" not in index  # the rank is not a second name
    # the second one has no significance, and no labels
    second = index[index.index("Structure S-b") : index.index("Codebook The codebook")]
    assert "Structure S-b 2" not in second
    for word in ("Support", "Lift", "Stability", "History", "established", "spiral"):
        assert word not in second, word


def test_terms_are_explained_for_mouse_keyboard_and_reader(tmp_path):
    cards = [structure(f"s{i}", [matched("a")], lift=2.0) for i in range(2)]
    make(report(cards), tmp_path / "site")
    for page in read_site(tmp_path / "site").values():
        described = set(page.values("span", "aria-describedby"))
        assert {"about-words", "about-sets", "about-images", "about-lift"} == described
        assert described <= set(page.ids)
        stops = page.values("span", "tabindex")  # tables that scroll have one too
        # of many cards, the terms of the first one are stops for the tabulator key
        assert stops == ["0"] * 4 + ["-1"] * 4
    style = (tmp_path / "site" / "assets" / "style.css").read_text()
    assert '.t-lift::after { content: "Support divided by expected: how many times' in style


@pytest.mark.parametrize(
    ("established", "sentence", "headings"),
    [
        (
            (True, True),
            "2 of 2 structures are significant (q at most 0.05) and reproducible (stability at "
            "least 0.5).",
            0,
        ),
        (
            (True, False),
            "1 of 2 structures is significant (q at most 0.05) and reproducible (stability at "
            "least 0.5); it comes first.",
            1,
        ),
        ((False, False), "0 of 2 structures are significant", 1),
    ],
)
def test_significant_and_reproducible_ones_come_first(tmp_path, established, sentence, headings):
    cards = [
        structure(f"s{i}", [matched("a")], q=0.01 if e else 0.8, stability=0.9, established=e)
        for i, e in enumerate(established)
    ]
    data = report(cards, established_total=sum(established), max_q=0.05, min_stability=0.5)
    make(data, tmp_path / "site")
    index = read_site(tmp_path / "site")["index.html"].text
    assert f"Significance and stability {sentence}" in index
    assert index.count("Not significant, or not reproducible") == headings


def test_what_was_not_measured_is_said(tmp_path):
    cards = [structure("s", [matched("a")])]
    make(report(cards), tmp_path / "neither")
    make(report(cards, max_q=0.05), tmp_path / "no-seeds")
    texts = [read_site(tmp_path / n)["index.html"].text for n in ("neither", "no-seeds")]
    assert "how many of these it made is not measured here" in texts[0]
    assert "Whether they are found again with other random numbers is not measured" in texts[1]


def beyond(rank=2, spreads=(4.0, 2.0, 1.05), labels=True, hostile="a.png"):
    """A background with two factors that are shown."""

    def end(names, first, **counts):
        images = [ScoredImage(batch="b1", image_id=n, score=first - i) for i, n in enumerate(names)]
        return FactorEnd(images=images, labels=counts if labels else {}, labelled=len(names))

    factors = [
        FactorData(low=end([hostile, "b.png"], -1024, ring=2), high=end(["c.png"], 2560, spiral=1)),
        FactorData(low=end(["c.png"], -512), high=end(["b.png"], 0)),
    ]
    return BackgroundData(spreads=spreads, rank=rank, factors=factors)


def test_what_the_images_differ_in(tmp_path):
    card = structure(
        *("s", [matched("a.png"), matched("x.png")]),
        sets=None,
        support=30,
        expected_support=3.0,
        lift=10.0,
        expected_beyond=15.0,
        lift_beyond=2.0,
        q=0.01,
        stability=1.0,
    )
    data = report(
        [card],
        background=beyond(rank=9, spreads=(4.0, *[1.5] * 9)),
        labels={"ring": 50, "spiral": 10},
        labelled=100,
        mining=["Images differ in 9 broad ways."],
        max_q=0.05,
    )
    rendered = make(data, tmp_path / "site")
    assert (rendered.images, rendered.missing) == (2 + 5, 0)
    pages = read_site(tmp_path / "site")
    index = pages["index.html"]
    for sentence in (
        "Words 3 Images 2 Support 30 Expected 3.00 Lift 10.0 Expected beyond 15.0 Lift beyond 2.00 "
        "q 0.010 Stability 1.00",
        "What the images differ in Images differ in a few broad ways",
        "4.00 by totals alone, ",
        "The first 2 of 9 factors, which explain most. Factor 1 Lowest scores score "
        f"{MINUS}1.00 score {MINUS}1.00 Lowest tenth; the mark: all images "
        f"ring 2 100 % {TIMES}2.0 Highest scores score 2.50 Highest "
        f"tenth; the mark: all images spiral 1 100 % {TIMES}10 Factor 2 Lowest scores "
        f"score {MINUS}0.50 Highest scores score 0.00",
        "How the background of the mining was chosen Images differ in 9 broad ways.",
        "without some of the images is not measured here",
        "Lift beyond Support divided by expected beyond",
    ):
        assert sentence in index.text, sentence
    assert "#differences" in index.references
    alts = index.values("img", "alt")
    assert f"c.png with a score of {MINUS}0.50 on factor 2" in alts
    for word in ("Sets", "Hash table", "other random numbers", "shuffled"):
        assert word not in index.text, word
    # one file for an image that is shown in several places
    assert len(list((tmp_path / "site" / "assets").glob("*.jpg"))) == 4


@pytest.mark.parametrize(
    ("background", "sentences", "lines"),
    [
        (beyond(), ("Images differ in a few broad ways", "1.05 with 2 factors. At 1"), 1),
        (beyond(spreads=(4.0, 2.0, 1.05, 1.04)), ("Hollow: with 1 more, which would",), 1),
        (beyond(rank=0, spreads=(1.02,)), ("The images differ in no broad way", "0 factors"), 1),
        (BackgroundData(spreads=(0.0,), rank=0), ("The images differ in no broad way",), 0),
        (BackgroundData(spreads=(), rank=0), ("The images differ in no broad way",), 0),
    ],
)
def test_a_spread_that_can_be_told_is_drawn(tmp_path, background, sentences, lines):
    make(report(background=background, codebook=None), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    for sentence in (*sentences, "all that these images share may be the broad ways"):
        assert sentence in page.text, sentence
    assert page.values("path", "class").count("limit quiet") == lines
    assert "mining.tuple_size" not in page.text


def test_without_a_background_nothing_is_said_of_it(tmp_path):
    make(report([structure("s", [matched("a")], lift=2.0)]), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    for word in ("differ in", "beyond", "factor"):
        assert word not in page.text.replace("standard deviations", ""), word
    assert "differences" not in page.ids


def test_each_variant_tells_how_it_was_mined(tmp_path):
    cards = [structure("s", [matched("a.png")], q=0.01, stability=1.0)]
    reasons = {"structures_total": 1, "mining": ["Because."], "max_q": 0.05}
    tables = variant(cards, name="sift", **reasons)
    against = variant(cards, name="grid", background=beyond(), **reasons)
    make(with_variants(report(), tables, against), tmp_path / "site")
    index = read_site(tmp_path / "site")["index.html"]
    assert {"differences-grid"} == {i for i in index.ids if i.startswith("differences")}
    assert "Differences of grid" in index.text
    _, of_tables, of_background = index.text.split("Significance and stability")
    assert "How the hash tables of the mining were chosen" in of_tables
    assert "with other random numbers is not measured" in of_tables
    assert "How the background of the mining was chosen" in of_background
    assert "without some of the images is not measured" in of_background
    for key in ("q", "stability"):
        assert f"{key.capitalize() if key != 'q' else key} With hash tables: " in index.text
    assert index.text.count("Against a background: ") == 2


def test_images_of_factors_cannot_break_out(tmp_path):
    for name in HOSTILE:
        folder = tmp_path / str(HOSTILE.index(name))
        make(report(background=beyond(hostile=name)), folder / "site", thumbnails=lambda _: None)
        make(report(background=beyond(hostile=name)), folder / "shown")
        read_site(folder / "site")
        alts = read_site(folder / "shown")["index.html"].values("img", "alt")
        assert f"{visible(name)} with a score of {MINUS}1.00 on factor 1" in alts


def test_close_ups_show_where_the_features_are(tmp_path):
    card = structure("s", [matched("a"), matched("b", angle=(90, 90))])
    make(report([card]), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    # the middle of both features; the farther side of both and their radius, with a margin, or the
    # middle of an image that was turned, at 250, 250
    moved = "translate(-200.50 -300.50)"
    near, far = 2 * (np.hypot(40, 40) + 10), 2 * np.hypot(49.5, 50.5)
    assert page.values("image", "transform") == [
        f"rotate(-0.00) scale({1 / near:.6f}) {moved}",
        f"rotate(-90.00) scale({1 / far:.6f}) {moved}",
    ]
    # in pixels of the original image, whatever the thumbnail's size
    assert page.values("image", "width") == ["500", "500"]
    assert page.values("svg", "aria-label")[:2] == ["Close-up of a", "Close-up of b"]
    style = (tmp_path / "site" / "assets" / "style.css").read_text()
    assert "\\" not in style
    assert len(re.findall(r"^ +--dots: .*;$", style, re.MULTILINE)) == 2  # light and dark


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (report(run=run(images=0, rejects=[]), features=0), "There are no images yet. Add some"),
        (report(run=run(images=0)), "3 files were found and none of them could be used"),
        (report(), "No structures were found in 30 images. What usually helps"),
        (report(run=run(images=1)), "No structures were found in 1 image."),
        (report(features=0), "Here no image has any feature"),
        (report(structures_total=1), "There is 1 structure, but the report is set to show none."),
        (report(run=run(rejects=[])), "Nothing was rejected."),
        (report([structure("s", [])]), "No image holds enough of its words"),
        (report([structure("s", [], images_total=5)]), "5 images hold it; no pictures are shown"),
    ],
)
def test_empty_cases_say_what_is_missing(tmp_path, data, sentence):
    make(data, tmp_path / "site")
    assert sentence in read_site(tmp_path / "site")["index.html"].text


@pytest.mark.parametrize("grid", [None, {"step": 6}])
def test_settings_for_galaxies_are_advised_to_who_has_others(tmp_path, grid):
    own = run(settings={"features": {"sift": {"grid": grid}}})
    make(report(run=own), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    assert ("conf/galaxies.yaml" in page.text) == (grid is None)


def test_what_people_call_structures(tmp_path):
    cards = [
        structure("s0000", [matched("i/0?")], called="<b>sky</b>", kind="artefact"),
        structure("s0001", [], called="trail", kind="artefact", left_out=True, lineage="1?2"),
    ]
    pages = [("Gallery", "gallery/index.html")]
    told = {
        "established_total": 1,
        "strong_total": 1,
        "strong_patterns": 1,
        "left_out_total": 1,
        "max_q": 0.05,
        "min_stability": 0.5,
    }
    folder = tmp_path / "site"
    make(report(cards, pages=pages, **told), folder)
    site = {path.name: Page(path) for path in folder.glob("*.html")}
    index = site["index.html"].text
    left_out = "1 of kinds that are left out"
    strong = "1 strong structure, of 1 pattern: significant, found again, and in at least three"
    rest = "In all there are 2, of these 0 moderate, 0 weak, hardly more frequent than by chance,"
    assert strong in index
    assert f"{rest} and 0 not established; {left_out}" in index
    assert "Structure s0000: <b>sky</b> (artefact)" in index
    assert index.count("Structures of this kind are left out") == 1
    links = set(site["index.html"].references)
    assert "../../gallery/index.html#/s/sift/1%3F2" in links
    assert "../../gallery/index.html#/i/b1/i%2F0%3F" in links
    assert "../../gallery/index.html#/structures/sift" in links


def test_nothing_at_all(tmp_path):
    bare = report(
        codebook=None,
        features=None,
        run=run(images=0, batches=None, tables=[], rejects=[], stages=[], settings={}),
    )
    rendered = make(bare, tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    assert rendered.index == tmp_path / "site" / "index.html"
    assert page.tags["img"] == 0
    assert "codebook" not in page.ids
    for heading in ("Time per stage", "Settings", "How the hash tables"):
        assert heading not in page.text
    none = make(with_variants(bare), tmp_path / "none")
    assert none.structures == 0
    read_site(tmp_path / "none")


def test_a_codebook_without_centres_or_costs(tmp_path):
    empty = codebook(centres=np.zeros((0, 8), np.float32), word_counts=np.zeros(0, int))
    make(report(codebook=empty), tmp_path / "empty")
    assert read_site(tmp_path / "empty")["index.html"].tags["svg"] == 2  # the bars of the stages
    make(report(codebook=codebook(costs=[])), tmp_path / "pure")
    page = read_site(tmp_path / "pure")["index.html"]
    assert page.tags["svg"] == 2 + 2
    assert "Refinement" not in page.text


def test_dropped_outliers_are_told(tmp_path):
    make(report(codebook=codebook(outliers_dropped=True)), tmp_path / "site")
    text = read_site(tmp_path / "site")["index.html"].text
    assert "1 word is more than 2 standard deviations from the mean and left out of mining" in text
    assert "92 % of the words and 40 % of their occurrences are kept." in text
    every = codebook(word_counts=np.full(12, 3))
    make(report(codebook=every), tmp_path / "every")
    text = read_site(tmp_path / "every")["index.html"].text
    assert "100 % of the words and 100 % of their occurrences" in text
    assert "Every word occurs." in text


def test_of_many_words_some_are_drawn(tmp_path):
    many = codebook(word_counts=np.arange(600))
    make(report(codebook=many), tmp_path / "site")
    index = read_site(tmp_path / "site")["index.html"].text
    assert "centres of 12 of the 600 words" in index
    assert "Words 600" in index


def test_images_without_a_thumbnail_have_a_placeholder(tmp_path):
    def some(key):
        return {
            "good": thumbnail_of(key),
            "odd": thumbnail_of(key, format="unheard-of"),
            "flat": thumbnail_of(key, height=0),
        }.get(key[1])

    card = structure("s", [matched(name) for name in ("good", "gone", "odd", "flat")])
    rendered = make(report([card]), tmp_path / "site", thumbnails=some)
    assert (rendered.images, rendered.missing) == (1, 3)
    page = read_site(tmp_path / "site")["index.html"]
    assert page.tags["image"] == 1
    assert page.text.count("No picture The image has no thumbnail.") == 3


def test_thumbnails_nobody_asked_for_are_not_written(tmp_path):
    card = structure("s", [matched("a")])
    others = [thumbnail_of(("b1", "../../x")), thumbnail_of(("b2", "a")), thumbnail_of(("b1", "a"))]
    rendered = render(report([card]), tmp_path / "site", iter(others))
    assert (rendered.images, rendered.missing) == (1, 0)
    read_site(tmp_path / "site")


def test_an_image_of_several_structures_is_written_once(tmp_path):
    cards = [structure(f"s{i}", [matched("same"), matched(f"own-{i}")]) for i in range(5)]
    asked = []

    def noted(key):
        asked.append(key)
        return thumbnail_of(key)

    rendered = make(report(cards), tmp_path / "site", thumbnails=noted)
    assert rendered.images == 10
    assert asked == [("b1", "same"), *(("b1", f"own-{i}") for i in range(5))]
    names = sorted(path.name for path in (tmp_path / "site" / "assets").glob("*.jpg"))
    assert names == [f"i{number:05d}.jpg" for number in range(1, 7)]
    # images of one name in two batches are two
    two = [structure("s", [matched("a"), matched("a", batch="b2")])]
    assert wanted_images(report(two).variants, structures=1, images_per_structure=2) == [
        ("b1", "a"),
        ("b2", "a"),
    ]


def test_limits(tmp_path):
    cards = [structure(f"s{i}", [matched(f"{i}-{j}") for j in range(9)]) for i in range(7)]
    rendered = make(report(cards), tmp_path / "site", structures=3, images_per_structure=8)
    assert (rendered.structures, rendered.images) == (3, 24)
    index = read_site(tmp_path / "site")["index.html"]
    assert "The first 3 of 7" in index.text
    assert index.tags["image"] == 3 * 8
    make(report(cards), tmp_path / "none", structures=0)
    assert "Raise report.structures" in read_site(tmp_path / "none")["index.html"].text
    make(report(cards), tmp_path / "bare", images_per_structure=0)
    assert "9 images hold it" in read_site(tmp_path / "bare")["index.html"].text


def test_the_same_data_gives_the_same_bytes(tmp_path):
    cards = [structure(f"s{i}", [matched(f"{i}-{j}") for j in range(4)]) for i in range(3)]
    data = report(cards)
    made = [
        thumbnail_of(key, width=400 + number)
        for number, key in enumerate(
            wanted_images(data.variants, structures=9, images_per_structure=9)
        )
    ]
    render(data, tmp_path / "a", made)
    render(data, tmp_path / "b", made[::-1])  # thumbnails come in any order
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 1 + 1 + 12
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_variants_stand_one_after_another(tmp_path):
    sift = variant([structure("s0", [matched("a")])], features=600)
    surf = variant(
        [structure("s0", [matched("b")]), structure("s1", [matched("a")])],
        name="surf",
        features=99,
        drift=drift(batch("b1"), batch("b2")),
    )
    rendered = make(with_variants(report(), sift, surf), tmp_path / "site", seen_from_above=True)
    assert (rendered.structures, rendered.images) == (3, 3)
    (tmp_path / "site" / "index-above.html").unlink()
    pages = read_site(tmp_path / "site")
    index = pages["index.html"]
    names = "Structures of sift Codebook of sift Structures of surf Codebook of surf"
    assert names in index.text
    assert index.text.index("sift Features 600") < index.text.index("surf Features 99")
    assert {"structures-sift", "codebook-surf", "run"} <= set(index.ids)
    assert {"sift-structure-0001", "surf-structure-0001", "surf-structure-0002"} <= set(index.ids)
    assert len(list((tmp_path / "site" / "assets").glob("*.jpg"))) == 2  # shared by the variants


@pytest.mark.parametrize("names", [("sift", "sift"), ("../x",), ("",), ("Sift",), ("a" * 41,)])
def test_names_of_variants_are_checked(tmp_path, names):
    data = with_variants(report(), *(variant(name=name) for name in names))
    with pytest.raises(ValueError, match="variants must have different names of letters a-z"):
        make(data, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_labels_are_set_against_the_whole_collection(tmp_path):
    card = structure("s", [matched("a")], labels={"ring": 3, "spiral": 1}, images_total=5)
    data = report([card], labels={"ring": 30, "spiral": 50}, labelled=100)
    make(data, tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    assert f"ring 3 75 % {TIMES}2.5 spiral 1 25 % {TIMES}0.50" in page.text
    assert page.values("tr", "title") == [
        "3 images of 4: 75 % here, 30 % in the whole collection",
        "1 image of 4: 25 % here, 50 % in the whole collection",
    ]
    # the longest bar fills the width; marks are on the same scale
    assert page.values("rect", "width")[:2] == ["100.0", "33.3"]
    assert "M40.0 0V8" in page.values("path", "d")
    assert "M66.7 0V8" in page.values("path", "d")
    make(report([card]), tmp_path / "unknown")
    page = read_site(tmp_path / "unknown")["index.html"]
    assert "ring 3 75 % spiral 1 25 %" in page.text
    assert page.values("tr", "title")[0] == "3 images of 4: 75 % here"


def test_strength_is_told(tmp_path):
    card = structure("s", [], established=True, lift=3.0, strength="strong", alike=2)
    made = report([card], structures_total=3, patterns_total=1, strong_total=2, strong_patterns=1)
    make(made, tmp_path / "site")
    index = read_site(tmp_path / "site")["index.html"].text
    assert "Structure s strong: 0 images, 3.00 times as many as by chance" in index
    assert "and 2 more structures of this pattern: in the same images, turned, or mirrored" in index
    assert "Those that show the same pattern, in the same images or turned, are one here." in index


@pytest.mark.parametrize(
    ("stability", "seeds", "told"),
    [
        (2 / 3, 3, "2 of 3 repetitions"),
        (1.0, 1, "1 of 1 repetition"),
        (0.96, 3, "96 % of repetitions"),
        (0.5, 50, "50 % of repetitions"),
        (0.5, None, "50 % of repetitions"),
        (0.0, 4, "0 of 4 repetitions"),
    ],
)
def test_how_often_it_was_found_again(stability, seeds, told):
    assert repeated(stability, seeds) == told


@pytest.mark.parametrize(
    ("count", "share", "told"),
    [
        (30, 0.10, True),  # of 100; expected 10 +- 3
        (19, 0.10, True),  # 10 + 3 x 3
        (18, 0.10, False),
        (9, 0.01, False),  # nine times as many, but not a tenth
        (95, 0.85, False),  # 2.8 standard deviations, an eighth more
    ],
)
def test_a_label_stands_out(tmp_path, count, share, told):
    card = structure("s", [matched("a")], labels={"ring": count, "spiral": 100 - count})
    whole = {"ring": round(1000 * share), "spiral": 1000}
    make(report([card], labels=whole, labelled=1000), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    assert (f"{count} of 100 are ring" in page.text) == told
    assert page.values("tr", "class") == (["more"] if told else [])


def test_many_labels_and_batches_are_cut(tmp_path):
    labels = {f"label-{i:02d}": 50 - i for i in range(20)}
    exact = {f"l{i}": 9 for i in range(7)}
    tables = [TableCount(table="images", batch=f"b{i:03d}", rows=2) for i in range(250)]
    whole = dict.fromkeys(named_labels(labels), 10)
    data = report(
        [structure("s", [], labels=labels), structure("t", [], labels=exact)],
        run=run(tables=tables),
        labels=whole,
        labelled=100,
    )
    make(data, tmp_path / "site")
    text = read_site(tmp_path / "site")["index.html"].text
    rest = sum(labels.values()) - sum(range(45, 51))
    assert f"label-05 45 5.6 % {TIMES}0.56 14 other labels {rest}" in text
    assert "l6 9" in text  # a single further label has its name
    assert "1 other" not in text
    assert "Showing the last 200 of 250 batches" in text
    assert "b049" not in text
    assert "b050 2" in text
    assert "All 500" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_inert(tmp_path, hostile):
    def some(key):
        return None if key[1] == "gone" else thumbnail_of(key)

    def data(text, name):
        card = structure(
            text,
            [matched(name, batch=name), matched("gone")],
            labels={text: 3},
            lineage=text,
            event=text,
        )
        summary = run(
            title=text,
            run=text,
            finished=text,
            version=text,
            tables=[TableCount(table=text, batch=text, rows=1)],
            rejects=[RejectCount(reason=text, stage=text, records=1, example=text, detail=text)],
            settings={text: {text: text}},
        )
        return report(
            [card],
            run=summary,
            advice=[text],
            mining=[text],
            codebook=codebook(version=text),
            drift=drift(batch(text), batch("b")),
        )

    # tables are UTF-8: a lone surrogate cannot come from one
    name = hostile.replace("\udcff", "?")
    make(data(hostile, name), tmp_path / "site", thumbnails=some)
    pages = read_site(tmp_path / "site")
    # The same elements as with harmless texts: nothing broke out of its place.
    make(data("harmless", "harmless"), tmp_path / "harmless", thumbnails=some)
    for file, page in read_site(tmp_path / "harmless").items():
        assert pages[file].tags == page.tags
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not set(text) & {"\x00", "\x1b", "\r", "\u202e"}
    assert sorted(path.name for path in (tmp_path / "site").rglob("*") if path.is_file()) == [
        "i00001.jpg",
        "index.html",
        "style.css",
    ]


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.text(), label=st.text())
def test_any_text_is_shown_or_escaped(tmp_path_factory, name, label):
    folder = tmp_path_factory.mktemp("any") / "site"
    card = structure(name, [matched(name)], labels={label: 1})
    make(report([card], codebook=None), folder)
    read_site(folder)


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "index.html").write_text("old")
    with pytest.raises(MiniaError, match="is not empty"):
        make(report(), tmp_path)
    assert (tmp_path / "index.html").read_text() == "old"
    (tmp_path / "file").write_text("")
    with pytest.raises(MiniaError, match=r"report: .*file cannot be written: .*Not a directory"):
        make(report(), tmp_path / "file")


def test_drift_of_the_batches(tmp_path):
    batches = [
        batch("b1", trained_on=True),
        batch("b2"),
        batch("b3", **ODD),
        batch("b4", images=0, **EMPTY),
        batch("b5", error_ratio=None, error_deviation=None),
    ]
    make(report(drift=drift(*batches)), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    for line in (
        "b1 200 1.04 0.021 0.020 0 1 trained on",
        "b2 200 1.04 0.021 0.020 0 1",
        "b3 200 1.90 0.310 0.020 12 1 unlike the codebook",
        "b4 0 no features",
        "b5 200 0.021 0.020 0 1",
    ):
        assert line in page.text, line
    assert "b3: 1.9" in page.drawn
    assert ("tr", "class", "odd") in page.attributes


def test_one_batch_has_a_table_and_no_plot(tmp_path):
    make(report(drift=drift(batch("b1")), codebook=None), tmp_path / "site")
    page = read_site(tmp_path / "site")["index.html"]
    assert "Drift of the batches" in page.text
    assert "Batches beside the codebook" not in page.text


def test_of_many_batches_the_odd_and_the_last_are_listed(tmp_path):
    names = [f"n{number:03d}" for number in range(250)]
    batches = [batch(name, **(ODD if name == "n003" else {})) for name in names]
    make(report(drift=drift(*batches)), tmp_path / "site")
    text = read_site(tmp_path / "site")["index.html"].text
    assert "Showing 200 of 250 batches" in text
    shown = [name for name in names if f" {name} " in text]
    assert shown == ["n003", *names[51:]]


def test_settings_bound_what_is_held():
    with pytest.raises(ValidationError, match="structures"):
        ReportSettings(structures=1001)
    with pytest.raises(ValidationError, match="thumbnail_px"):
        ReportSettings(thumbnail_px=360)
