"""How values are printed."""

from __future__ import annotations

import math

import pytest

from minia_spark.report.text import (
    changes,
    css_string,
    duration,
    history,
    percent,
    plural,
    q_value,
    ratio,
    score,
    setting,
    significant,
    terms,
    thousands,
    visible,
)
from minia_spark.structures.lineage import Event

from .site import structure


@pytest.mark.parametrize(
    ("function", "value", "printed"),
    [
        (changes, {}, ""),
        (changes, {"same": 9}, ""),
        (
            changes,
            {"born": 1, "split": 1, "grown": 1200, "merged": 1},
            "2 new, 1,200 grown, 1 ended",
        ),
        (thousands, 5_300_000, "5,300,000"),
        (significant, 0, "0"),
        (significant, 0.04213, "0.0421"),
        (significant, 1.5, "1.50"),
        (significant, 77.24, "77.2"),
        (significant, 1234.5, "1,234"),
        (significant, 12_345_678, "1.23e+07"),
        (significant, 0.00001234, "1.23e-05"),
        (significant, -2.0, "-2.00"),
        (significant, math.inf, "∞"),
        (significant, math.nan, "nan"),
        (q_value, 0.0, "<0.001"),
        (q_value, 0.00099, "<0.001"),
        (q_value, 0.0123, "0.012"),
        (q_value, math.nan, "nan"),
        (percent, 0, "0 %"),
        (percent, 1, "100 %"),
        (percent, 0.374, "37 %"),
        (percent, 0.0321, "3.2 %"),
        (percent, 0.00041, "<0.1 %"),
        (percent, 0.9996, ">99.9 %"),
        (percent, 0.996, "99.6 %"),
        (ratio, 0.0, "0"),
        (ratio, 0.002, "<0.01"),
        (ratio, 0.614, "0.61"),
        (ratio, 0.998, "1.0"),
        (ratio, 9.87, "9.9"),
        (ratio, 16.4, "16"),
        (ratio, 1234.5, "1,234"),
        (css_string, "it's 100 %", '"it\'s 100 %"'),
        (css_string, 'a"; } b\\', '"a\\22 ; \\7d  b\\5c "'),
        (score, -1280, "\N{MINUS SIGN}1.25"),
        (score, 512, "0.50"),
        (duration, 0.0, "0.0 s"),
        (duration, 9.94, "9.9 s"),
        (duration, 9.96, "10 s"),
        (duration, 73.4, "73 s"),
        (duration, 725, "12 min 5 s"),
        (duration, 12_000, "3 h 20 min"),
        (setting, "sift", "sift"),
        (setting, None, "null"),
        (setting, True, "true"),
        (setting, [1, 2], "[1, 2]"),
        (visible, "M 51 — Übersicht 銀河.jpg", "M 51 — Übersicht 銀河.jpg"),
        (visible, "a\nb\tc\x07", r"a\nb\tc\x07"),
        (visible, "gpj.\u202egnp", r"gpj.\u202egnp"),
        (visible, "\udc80\u2028", r"\udc80\u2028"),
    ],
)
def test_printed(function, value, printed):
    assert function(value) == printed


def test_plural():
    assert plural(1, "image", "images") == "1 image"
    assert plural(1024, "image", "images") == "1,024 images"


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (None, ""),
        ("born", "new in state 2"),
        ("same", "as in state 1"),
        ("grown", "1 word more than in state 1"),
        ("shrunk", "3 words fewer than in state 1"),
        ("changed", "1 word more and 3 words fewer than in state 1"),
        ("split", "split off s0003 of state 1"),
        ("unheard of", "unheard of"),
    ],
)
def test_history(event, sentence):
    card = structure(
        "s0",
        [],
        lineage="2.0",
        event=event,
        older_state=1,
        older_structure="s0003",
        words_gained=1,
        words_lost=3,
    )
    assert history(card) == sentence


def test_history_knows_every_event_of_a_structure_that_is_there():
    for event in set(Event) - {Event.GONE, Event.MERGED}:
        card = structure("s0", [], lineage="2.0", event=str(event), older_state=1)
        assert history(card) != str(event)


def test_terms_say_what_was_done():
    """With other random numbers, or without some images; both where the page has both."""
    tables, background, both = (
        terms(tables=t, background=b) for t, b in ((True, False), (False, True), (True, True))
    )
    shuffled, drawn = "Found by mining shuffled copies", "images are drawn anew, word by word"
    random, left_out = "other random numbers", "without another eighth of the images"
    for key, of_tables, of_background in (
        ("q", shuffled, drawn),
        ("stability", random, left_out),
    ):
        assert of_tables in tables[key][1]
        assert of_background not in tables[key][1]
        assert of_background in background[key][1]
        assert of_tables not in background[key][1]
        first, second = both[key][1].split(" Against a background: ")
        assert first == f"With hash tables: {tables[key][1]}"
        assert second == background[key][1]
    assert both.keys() - tables.keys() == {"expectedbeyond", "liftbeyond", "factor"}
    assert both.keys() - background.keys() == {"sets", "table"}
    assert tables["lift"] == background["lift"] == both["lift"]


@pytest.mark.parametrize(("tables", "background"), [(True, False), (False, True), (True, True)])
def test_terms_fit_into_class_names_and_sentences(tables, background):
    for key, (name, sentence) in terms(tables=tables, background=background).items():
        assert key.isalpha()
        assert key.islower()
        assert name
        assert sentence.endswith(".")


def test_changes_tell_of_every_event():
    every = {str(event): 1 for event in Event if event != Event.SAME}
    counts = [int(part.split()[0]) for part in changes(every).split(", ")]
    assert sum(counts) == len(every)
