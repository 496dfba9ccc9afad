"""What fingerprints are made of."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import CAME_LATER, OF_THE_CALL, StageSettings, flat
from minia_spark.features.settings import FeaturesSettings


class Inner(StageSettings):
    depth: int | None = None
    width: int = 3


class Outer(StageSettings):
    first: int = 1
    file: str = Field("x", json_schema_extra=OF_THE_CALL)
    later: bool = Field(False, json_schema_extra=CAME_LATER)
    inner: Inner = Inner()
    later_inner: Inner = Field(default_factory=Inner, json_schema_extra=CAME_LATER)


def test_what_came_later_is_left_out_at_its_default_only():
    plain = {"s.first": 1, "s.inner.depth": None, "s.inner.width": 3}
    assert dict(flat(Outer(), "s")) == plain
    assert dict(flat(Outer(file="y"), "s")) == plain
    assert dict(flat(Outer(later=True), "s")) == plain | {"s.later": True}
    moved = Outer(later_inner=Inner(depth=2))
    assert dict(flat(moved, "s")) == plain | {"s.later_inner.depth": 2, "s.later_inner.width": 3}


def test_features_of_older_versions_stay_up_to_date():
    names = [n for n, _ in flat(FeaturesSettings(), "features") if n.startswith("features.sift")]
    assert names == [
        f"features.sift.{name}"
        for name in (
            "nfeatures",
            "n_octave_layers",
            "contrast_threshold",
            "edge_threshold",
            "sigma",
            "enable_precise_upscale",
        )
    ]
    own = FeaturesSettings.model_validate({"sift": {"root": True, "grid": {"step": 8}}})
    told = dict(flat(own, "features"))
    assert told["features.sift.root"] is True
    assert told["features.sift.grid.step"] == 8
    assert told["features.sift.grid.frame"] is False
