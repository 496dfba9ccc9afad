"""The site as files: complete, self-contained, harmless, and honest about what is missing."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError, Rejected
from minia_spark.report.data import RejectCount, TableCount
from minia_spark.report.site import render

from .site import (
    EMPTY,
    ODD,
    batch,
    drift,
    gradient,
    matched,
    read_site,
    report,
    run,
    structure,
    vocabulary,
)

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
        [matched("one.png", 0.91, "spiral"), matched("two.png", 0.52)],
        images_total=31,
        labels={"spiral": 30, "ring": 1},
        support=29,
        expected_support=0.4,
        lift=72.5,
        q=0.0002,
        stability=0.955,
    )
    second = structure("S-b", [matched("two.png", 0.7, words=None)])
    rendered = render(
        report([first, second], structures_total=812, advice=["Look twice."]),
        tmp_path / "site",
        gradient,
    )
    assert (rendered.structures, rendered.images, rendered.missing) == (2, 3, 0)
    pages = read_site(tmp_path / "site")
    assert sorted(pages) == ["index.html", "structure-0001.html", "structure-0002.html"]
    index = pages["index.html"].text
    for sentence in (
        "Images 30",
        "Features 600",
        "Words 12",
        "Structures 812",
        "Rejected 3",
        "Look twice.",
        "Showing 2 of 812",
        "1 Structure S-a",
        "Words 3 Sets 42 Images 31 Support 29 Expected 0.400 Lift 72.5 q <0.001 Stability 0.95",
        "0.91",
        "spiral 30",
        "1 of 12 words lie outside mean ± 2 standard deviations; they are kept for mining. "
        "1 never occur.",
        "3 iterations over all descriptors lowered the cost by 36.67% after the first.",
        "Batch images structures b1 10 b2 20 All 30 2",
        "truncated ingest 3 a.jpg cut off",
        "ingest 2 4.0 s",
        "mine 1 2 min 10 s",
        "Settings (3) mining.tables 750 mining.binary null spark.conf {}",
        "Vocabulary v-0123abcd",
        "minia-spark 9.9.9",
        "run run-1",
    ):
        assert sentence in index, sentence
    one = pages["structure-0001.html"].text
    for sentence in (
        "Showing the best 2 of 31.",
        "overlap 0.91 2 features spiral one.png",
        "Labels of its 31 images",
        "7 20 3 19 11 18",
        "2 →",
    ):
        assert sentence in one, sentence
    # The second structure has no significance columns, no labels, and no more images than shown.
    two = pages["structure-0002.html"].text
    for word in ("Support", "Lift", "Stability", "Labels", "Showing", "3 →"):
        assert word not in two, word
    assert "← 1" in two
    assert "not measured" not in index
    render(report([second]), tmp_path / "plain", gradient)
    assert "how many of these it made is not measured" in (
        read_site(tmp_path / "plain")["index.html"].text
    )


@pytest.mark.parametrize(
    ("believed", "sentence", "headings"),
    [
        ((True, True), "2 of 2 structures are beyond chance and reappear under other seeds.", 0),
        (
            (True, False),
            "1 of 2 structures is beyond chance and reappears under other seeds; it",
            1,
        ),
        ((False, False), "0 of 2 structures are beyond chance", 1),
        ((None, None), None, 0),
    ],
)
def test_what_is_to_be_believed_comes_first(tmp_path, believed, sentence, headings):
    cards = [
        structure(f"s{i}", [matched("a")], q=0.01 if b else 0.8, stability=0.9, believed=b)
        for i, b in enumerate(believed)
    ]
    total = None if None in believed else sum(believed)
    data = report(cards, believed_total=total, mining=["Tuples of 2 and 300 tables are set."])
    render(data, tmp_path / "site", gradient)
    index = read_site(tmp_path / "site")["index.html"].text
    assert ("beyond chance" in index) == (sentence is not None)
    assert sentence is None or sentence in index
    assert index.count("Not told from chance, or not found again under other seeds") == headings
    assert "Tuples of 2 and 300 tables are set." in index


def test_drawn_images_show_the_matched_features_in_their_word_s_colour(tmp_path):
    card = structure("s", [matched("a", words=(7, 99))], words=[7, 3])
    render(report([card]), tmp_path / "site", gradient, thumbnail_px=500)
    drawing = cv2.imread(str(tmp_path / "site" / "assets" / "s0001-001.jpg"))[..., ::-1].astype(int)
    assert drawing.shape == (500, 500, 3)
    # (x 10, y 20, size 8) at ten times the size; the middle of the line is at the right end.
    np.testing.assert_allclose(drawing[204, 104 + 40], (255, 176, 0), atol=45)
    np.testing.assert_allclose(drawing[404, 304 + 60], (217, 217, 217), atol=45)  # no word of it
    assert drawing[204, 104, 0] == pytest.approx(gradient("")[20, 10, 0], abs=12)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (report(run=run(images=0, features=0, rejects=[])), "There are no images yet. Add some"),
        (report(run=run(images=0)), "3 files were found and none of them could be used"),
        (report(), "No structures were found in 30 images. What usually helps"),
        (report(run=run(images=1)), "No structures were found in 1 image."),
        (report(run=run(features=0)), "Here no image has any feature"),
        (report(structures_total=1), "There is 1 structure, but the report is set to show none."),
        (report(run=run(rejects=[])), "Nothing was rejected."),
        (report([structure("s", [])]), "No image holds enough of its words"),
        (report([structure("s", [], images_total=5)]), "5 images hold it; none are shown"),
    ],
)
def test_empty_cases_say_what_is_missing(tmp_path, data, sentence):
    render(data, tmp_path / "site", gradient)
    assert sentence in read_site(tmp_path / "site")["index.html"].text


def test_nothing_at_all(tmp_path):
    bare = report(
        vocabulary=None,
        run=run(
            images=0,
            features=None,
            batches=None,
            vocabulary=None,
            tables=[],
            rejects=[],
            stages=[],
            settings={},
        ),
    )
    rendered = render(bare, tmp_path / "site", gradient)
    page = read_site(tmp_path / "site")["index.html"]
    assert rendered.index == tmp_path / "site" / "index.html"
    assert page.tags["img"] == 0
    for heading in ("Vocabulary", "Time per stage", "Settings", "Features"):
        assert heading not in page.text


def test_a_vocabulary_without_centres_or_costs(tmp_path):
    empty = vocabulary(centres=np.zeros((0, 8), np.float32), word_counts=np.zeros(0, int))
    render(report(vocabulary=empty), tmp_path / "empty", gradient)
    assert read_site(tmp_path / "empty")["index.html"].tags["img"] == 0
    render(report(vocabulary=vocabulary(costs=[])), tmp_path / "pure", gradient)
    page = read_site(tmp_path / "pure")["index.html"]
    assert page.tags["img"] == 2
    assert "Refinement" not in page.text


def test_images_that_cannot_be_opened_show_the_reason(tmp_path):
    problems = {
        "store/rejected": Rejected("truncated", "ends after 7 bytes"),
        "store/gone": FileNotFoundError(2, "No such file or directory", "rejected"),
        "store/silent": OSError(),
        "store/store": MiniaError("the bucket <b>is closed</b>"),
    }

    def opener(uri):
        if uri in problems:
            raise problems[uri]
        return gradient(uri)

    names = ["good", *(uri.removeprefix("store/") for uri in problems)]
    card = structure("s", [matched(name) for name in names])
    rendered = render(report([card]), tmp_path / "site", opener)
    assert (rendered.images, rendered.missing) == (1, 4)
    page = read_site(tmp_path / "site")["structure-0001.html"]
    assert page.tags["img"] == 1
    for reason in (
        "Image not available truncated: ends after 7 bytes",
        "Image not available [Errno 2] No such file or directory",
        "Image not available OSError",
        "Image not available the bucket <b>is closed</b>",
    ):
        assert reason in page.text
    assert page.tags["b"] == 4 + 5 + 3  # four placeholders, five overlaps, three words; none more


def test_other_errors_of_the_opener_are_not_hidden(tmp_path):
    def broken(_uri):
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        render(report([structure("s", [matched("a")])]), tmp_path / "site", broken)


def test_pictures_far_down_load_late(tmp_path):
    """The first ones load at once: a page that is printed or captured right away has them."""
    cards = [structure(f"s{i}", [matched("same")]) for i in range(12)]
    render(report(cards, vocabulary=None), tmp_path / "site", gradient, thumbnail_px=16)
    pages = read_site(tmp_path / "site")
    assert pages["index.html"].values("img", "loading") == ["lazy"] * 2
    assert pages["structure-0012.html"].values("img", "loading") == []


def test_limits(tmp_path):
    cards = [structure(f"s{i}", [matched(f"{i}-{j}") for j in range(9)]) for i in range(7)]
    opened = []

    def opener(uri):
        opened.append(uri)
        return gradient(uri)

    rendered = render(
        report(cards), tmp_path / "site", opener, structures=3, images_per_structure=8
    )
    assert (rendered.structures, rendered.images) == (3, 24)
    assert sorted(opened) == [f"store/{i}-{j}" for i in range(3) for j in range(8)]
    pages = read_site(tmp_path / "site")
    assert "Showing 3 of 7" in pages["index.html"].text
    assert pages["index.html"].tags["img"] == 3 * 6 + 3  # strips of six, and the plots
    assert "Showing the best 8 of 9." in pages["structure-0003.html"].text
    render(report(cards), tmp_path / "none", opener, structures=0)
    assert "Raise report.structures" in read_site(tmp_path / "none")["index.html"].text
    render(report(cards), tmp_path / "bare", opener, images_per_structure=0)
    assert "9 images hold it" in read_site(tmp_path / "bare")["structure-0001.html"].text


def test_a_shared_image_is_opened_once_from_a_thread(tmp_path):
    threads = []

    def opener(uri):
        threads.append(threading.current_thread().name)
        return gradient(uri)

    cards = [structure(f"s{i}", [matched("same"), matched(f"own-{i}")]) for i in range(5)]
    rendered = render(report(cards), tmp_path / "site", opener, threads=2)
    assert rendered.images == 10
    assert len(threads) == 6
    assert all(name.startswith("draw") for name in threads)
    read_site(tmp_path / "site")


def test_the_same_data_gives_the_same_bytes(tmp_path):
    cards = [structure(f"s{i}", [matched(f"{i}-{j}") for j in range(4)]) for i in range(3)]
    for name, threads in (("a", 1), ("b", 4)):
        render(report(cards), tmp_path / name, gradient, threads=threads)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 1 + 3 + 1 + 12 + 6
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_many_labels_and_batches_are_cut(tmp_path):
    labels = {f"label-{i:02d}": 50 - i for i in range(20)}
    exact = {f"l{i}": 9 for i in range(7)}
    tables = [TableCount(table="images", batch=f"b{i:03d}", rows=2) for i in range(250)]
    data = report(
        [structure("s", [], labels=labels), structure("t", [], labels=exact)],
        run=run(tables=tables),
    )
    render(data, tmp_path / "site", gradient)
    text = read_site(tmp_path / "site")["index.html"].text
    rest = sum(labels.values()) - sum(range(45, 51))
    assert f"label-05 45 14 other labels {rest}" in text
    assert "l6 9" in text  # a single further label has its name
    assert "1 other" not in text
    assert "Showing the last 200 of 250 batches" in text
    assert "b049" not in text
    assert "b050 2" in text
    assert "All 500" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_inert(tmp_path, hostile):
    card = structure(
        hostile,
        [matched(hostile, label=hostile), matched("gone", label="x")],
        labels={hostile: 3},
    )
    summary = run(
        title=hostile,
        run=hostile,
        finished=hostile,
        version=hostile,
        vocabulary=hostile,
        tables=[TableCount(table=hostile, batch=hostile, rows=1)],
        rejects=[
            RejectCount(reason=hostile, stage=hostile, records=1, example=hostile, detail=hostile)
        ],
        settings={hostile: {hostile: hostile}},
    )

    def opener(uri):
        if uri == "store/gone":
            raise Rejected(hostile, hostile)
        return gradient(uri)

    render(
        report([card], run=summary, advice=[hostile], vocabulary=None), tmp_path / "site", opener
    )
    pages = read_site(tmp_path / "site")
    # The same elements as with harmless texts: nothing broke out of its place.
    plain = structure("s", [matched("n", label="l"), matched("gone", label="x")], labels={"l": 3})
    harmless = report(
        [plain],
        run=run(tables=[TableCount(table="t", batch="b", rows=1)], settings={"a": {"b": "c"}}),
        advice=["a"],
        vocabulary=None,
    )
    render(harmless, tmp_path / "harmless", opener)
    for name, page in read_site(tmp_path / "harmless").items():
        assert pages[name].tags == page.tags
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not set(text) & {"\x00", "\x1b", "\r", "\u202e"}
    assert sorted(path.name for path in (tmp_path / "site" / "assets").glob("s0*")) == [
        "s0001-001.jpg"
    ]


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.text(), label=st.text())
def test_any_text_is_shown_or_escaped(tmp_path_factory, name, label):
    folder = tmp_path_factory.mktemp("any") / "site"
    card = structure(name, [matched(name, label=label)], labels={label: 1})
    render(report([card], vocabulary=None), folder, gradient, thumbnail_px=16)
    read_site(folder)


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "index.html").write_text("old")
    with pytest.raises(MiniaError, match="is not empty"):
        render(report(), tmp_path, gradient)
    assert (tmp_path / "index.html").read_text() == "old"
    (tmp_path / "file").write_text("")
    with pytest.raises(MiniaError, match=r"report: .*file cannot be written: .*Not a directory"):
        render(report(), tmp_path / "file", gradient)


def test_drift_of_the_batches(tmp_path):
    batches = [
        batch("b1", trained_on=True),
        batch("b2"),
        batch("b3", **ODD),
        batch("b4", images=0, **EMPTY),
        batch("b5", error_ratio=None, error_deviation=None),
    ]
    render(report(drift=drift(*batches)), tmp_path / "site", gradient)
    page = read_site(tmp_path / "site")["index.html"]
    for line in (
        "b1 200 1.04 0.021 0.020 0 1 trained on",
        "b2 200 1.04 0.021 0.020 0 1",
        "b3 200 1.90 0.310 0.020 12 1 unlike the vocabulary",
        "b4 0 no features",
        "b5 200 0.021 0.020 0 1",
    ):
        assert line in page.text, line
    assert (tmp_path / "site" / "assets" / "drift-dark.png").exists()
    assert ("tr", "class", "odd") in page.attributes


def test_one_batch_has_a_table_and_no_plot(tmp_path):
    render(report(drift=drift(batch("b1")), vocabulary=None), tmp_path / "site", gradient)
    page = read_site(tmp_path / "site")["index.html"]
    assert "Drift of the batches" in page.text
    assert not list((tmp_path / "site" / "assets").glob("drift-*"))


def test_of_many_batches_the_odd_and_the_last_are_listed(tmp_path):
    names = [f"n{number:03d}" for number in range(250)]
    batches = [batch(name, **(ODD if name == "n003" else {})) for name in names]
    render(report(drift=drift(*batches)), tmp_path / "site", gradient)
    text = read_site(tmp_path / "site")["index.html"].text
    assert "Showing 200 of 250 batches" in text
    shown = [name for name in names if f" {name} " in text]
    assert shown == ["n003", *names[51:]]
