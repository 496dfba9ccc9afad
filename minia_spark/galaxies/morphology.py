"""Class strings of Galaxy Zoo 2 (Willett et al. 2013, Hart et al. 2016), and what they say.

A string such as ``SBb2m(r)`` says in order what the volunteers saw: a disc (S) with a bar (B), an
obvious bulge (b), two arms (2) of medium winding (m), and a ring (r).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ARMS", "BULGES", "CLASSES", "EDGE_ON", "FEATURES", "LEGEND", "ROUNDNESS", "WINDINGS"]
__all__ += ["Facets", "facets_of", "reduced_class"]

CLASSES = ("A", "Ec", "Ei", "Er", "SB", "Sa", "Sb", "Sc", "Sd", "Seb", "Sen", "Ser")
"""The twelve classes of the study, in the order in which its tables list them."""

_CONTAINED = ("Ser", "Seb", "Sen", "SB", "Sd", "Sc", "Sb", "Sa", "Er", "Ei", "Ec")

ROUNDNESS: Mapping[str, str] = MappingProxyType(
    {"r": "completely round", "i": "intermediate", "c": "elongated"}
)
EDGE_ON: Mapping[str, str] = MappingProxyType({"r": "round", "b": "square", "n": "none"})
BULGES: Mapping[str, str] = MappingProxyType(
    {"d": "none", "c": "barely noticeable", "b": "obvious", "a": "dominant"}
)
ARMS: Mapping[str, str] = MappingProxyType(
    {"1": "1", "2": "2", "3": "3", "4": "4", "+": "more than 4", "?": "not determined"}
)
WINDINGS: Mapping[str, str] = MappingProxyType({"t": "tight", "m": "medium", "l": "loose"})
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "r": "ring",
        "l": "lens or arc",
        "d": "disturbed",
        "i": "irregular",
        "o": "other",
        "m": "merger",
        "u": "dust lane",
    }
)

LEGEND: Mapping[str, str] = MappingProxyType(
    {
        "base": "E smooth, S with features or a disc, A star or artifact.",
        "roundness": f"Of a smooth galaxy: {', '.join(ROUNDNESS.values())}.",
        "edge_on": "Whether a disc is seen from its edge.",
        "bulge": f"Of a disc seen edge-on: {', '.join(EDGE_ON.values())}; of another: "
        f"{', '.join(BULGES.values())}.",
        "bar": "Whether a disc that is not edge-on has a bar.",
        "arms": f"Number of spiral arms: {', '.join(ARMS.values())}.",
        "winding": f"Of the arms: {', '.join(WINDINGS.values())}.",
        "feature": f"What is odd: {', '.join(FEATURES.values())}.",
    }
)
"""A facet, which is a column, and what its values mean."""

_STRING = re.compile(
    r"(?:A"
    r"|(?:E(?P<round>[ric])"
    r"|Se(?P<edge>[rbn])"
    r"|S(?:(?P<bar>B)?(?P<bulge>[dcba])|(?P<bare>B))(?:(?P<arms>[1234+?])(?P<winding>[tml]))?)"
    r"(?:\((?P<odd>[rldiomu])\))?)"
)


@dataclass(frozen=True)
class Facets:
    """What a class string says; None where it says nothing, or the question was not asked.

    Attributes
    ----------
    base, roundness, bulge, arms, winding, feature : str or None
    edge_on, bar : bool or None
        The values of each are in :data:`LEGEND`.
    """

    base: str | None = None
    roundness: str | None = None
    edge_on: bool | None = None
    bulge: str | None = None
    bar: bool | None = None
    arms: str | None = None
    winding: str | None = None
    feature: str | None = None


def facets_of(text: str | None) -> Facets | None:
    """Return the facets of a class string; None where it is not of the catalogue's grammar.

    Parameters
    ----------
    text : str or None
        Such as ``Sc2m``, ``SBb?t(r)``, ``Ei(m)``, ``Sen``, ``A``. ``SB`` alone, which the twelve
        classes have, is a disc with a bar of which the bulge is not told.
    """
    found = _STRING.fullmatch((text or "").strip())
    if found is None:
        return None
    odd = FEATURES[found["odd"]] if found["odd"] else None
    if found["round"]:
        return Facets("E", roundness=ROUNDNESS[found["round"]], feature=odd)
    if found["edge"]:
        return Facets("S", edge_on=True, bulge=EDGE_ON[found["edge"]], feature=odd)
    if not found["bulge"] and not found["bare"]:
        return Facets("A")
    return Facets(
        "S",
        edge_on=False,
        bulge=BULGES[found["bulge"]] if found["bulge"] else None,
        bar=bool(found["bar"] or found["bare"]),
        arms=ARMS[found["arms"]] if found["arms"] else None,
        winding=WINDINGS[found["winding"]] if found["winding"] else None,
        feature=odd,
    )


def reduced_class(text: str | None) -> str | None:
    """Return the class of the twelve that a string belongs to.

    The first of Ser, Seb, Sen, SB, Sd, Sc, Sb, Sa, Er, Ei, Ec that the string contains; what holds
    none of them, such as ``A``, is its own class. None for an empty string.
    """
    plain = (text or "").strip()
    return next((one for one in _CONTAINED if one in plain), plain or None)
