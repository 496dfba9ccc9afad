"""Class strings of Galaxy Zoo 2: hand cases, and every combination of the legend."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product

import pytest

from minia_spark.galaxies.morphology import (
    ARMS,
    BULGES,
    CLASSES,
    EDGE_ON,
    FEATURES,
    LEGEND,
    ROUNDNESS,
    WINDINGS,
    Facets,
    facets_of,
    reduced_class,
)
from minia_spark.galaxies.tables import FACETS

CASES = {
    "SBc2m": (
        "SB",
        Facets("S", None, False, "barely noticeable", True, "2", "medium", None),
    ),
    "Sc+t": ("Sc", Facets("S", None, False, "barely noticeable", False, "more than 4", "tight")),
    "Ei": ("Ei", Facets("E", roundness="intermediate")),
    "A": ("A", Facets("A")),
    "Sen(o)": ("Sen", Facets("S", edge_on=True, bulge="none", feature="other")),
    "SBb?t(r)": (
        "SB",
        Facets("S", None, False, "obvious", True, "not determined", "tight", "ring"),
    ),
    "Sb+t(d)": (
        "Sb",
        Facets("S", None, False, "obvious", False, "more than 4", "tight", "disturbed"),
    ),
    "Ei(m)": ("Ei", Facets("E", roundness="intermediate", feature="merger")),
    "Sen(u)": ("Sen", Facets("S", edge_on=True, bulge="none", feature="dust lane")),
    "SB": ("SB", Facets("S", edge_on=False, bar=True)),
    " Er ": ("Er", Facets("E", roundness="completely round")),
    "": (None, None),
    None: (None, None),
    "Quasar": ("Quasar", None),
    "Scd": ("Sc", None),  # contained, but no string of the catalogue
    "Sc2": ("Sc", None),  # arms without winding
    "Ei(r)(r)": ("Ei", None),
    "A(r)": ("A(r)", None),
}


@pytest.mark.parametrize("text", CASES, ids=repr)
def test_hand_cases(text):
    assert (reduced_class(text), facets_of(text)) == CASES[text]


def combinations():
    """Yield every string of the legend with what it means, by the legend's own tables."""
    odd = [("", None), *((f"({k})", v) for k, v in FEATURES.items())]
    for (k, v), (tail, feature) in product(ROUNDNESS.items(), odd):
        yield f"E{k}{tail}", f"E{k}", Facets("E", roundness=v, feature=feature)
    for (k, v), (tail, feature) in product(EDGE_ON.items(), odd):
        yield f"Se{k}{tail}", f"Se{k}", Facets("S", edge_on=True, bulge=v, feature=feature)
    spirals = [("", None, None)]
    spirals += [
        (a + w, arms, winding)
        for (a, arms), (w, winding) in product(ARMS.items(), WINDINGS.items())
    ]
    for bar, (k, v), (s, arms, winding), (tail, feature) in product(
        ("", "B"), BULGES.items(), spirals, odd
    ):
        kind = "SB" if bar else f"S{k}"
        told = Facets("S", None, False, v, bool(bar), arms, winding, feature)
        yield f"S{bar}{k}{s}{tail}", kind, told


def test_all_combinations_of_the_legend():
    strings = set()
    for text, kind, facets in combinations():
        assert reduced_class(text) == kind, text
        assert facets_of(text) == facets, text
        strings.add(text)
    assert len(strings) == 6 * 8 + 2 * 4 * 19 * 8  # none is written in two ways
    assert {reduced_class(text) for text in strings} == set(CLASSES) - {"A"}


def test_every_facet_is_a_column():
    names = [column.name for column in FACETS.columns]
    assert list(LEGEND) == list(asdict(Facets())) == names[-len(LEGEND) :]
