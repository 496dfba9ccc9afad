"""Settings of feature extraction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["FeaturesSettings", "GridSettings", "SiftSettings", "SurfSettings"]


class GridSettings(StageSettings):
    """Where SIFT describes patches instead of at keypoints; step null: at keypoints."""

    step: float | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Distance of neighbouring positions in pixels; null: keypoints, no grid.",
    )
    scales: tuple[Annotated[float, Field(ge=8, le=10_000)], ...] = Field(
        default=(12.0, 24.0, 40.0),
        min_length=1,
        max_length=20,
        description="Sides of the square patches in pixels.",
    )
    within: Literal["object", "image"] = Field(
        default="object",
        description="Where patches have their centres: in the object at the middle of the image, "
        "or anywhere. The object: the component of bright pixels nearest to the middle, after a "
        "Gaussian of 2 pixels; none within a tenth of the shorter side: no features.",
    )
    threshold: float = Field(
        default=3.0,
        gt=0,
        le=1000,
        description="How bright pixels of the object are, in units of the sky's noise above the "
        "sky; sky: the median of the image, noise: 1.4826 times the median deviation from it.",
    )
    frame: bool = Field(
        default=False,
        description="Whether grid and patches are turned along the object's major axis, with step "
        "and scales in pixels of an image in which every object has the same radius.",
    )
    radius: float = Field(
        default=48.0,
        ge=1,
        le=10_000,
        description="That radius, in pixels: twice the standard deviation of the object's light "
        "along its major axis.",
    )

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> GridSettings:
        if self.step is None:
            _refuse(self, ("scales", "within", "threshold", "frame", "radius"), "grid.step is null")
        if self.within == "image":
            _refuse(self, ("threshold", "frame", "radius"), "grid.within is image")
        if not self.frame:
            _refuse(self, ("radius",), "grid.frame is false")
        return self


class SiftSettings(StageSettings):
    """Parameters of SIFT, with OpenCV's defaults."""

    nfeatures: int = Field(
        default=0, ge=0, description="How many of the strongest features SIFT keeps; 0 keeps all."
    )
    n_octave_layers: int = Field(default=3, ge=1, le=20, description="Layers of each octave.")
    contrast_threshold: float = Field(
        default=0.04,
        ge=0,
        le=1,
        description="Weakest contrast of a feature, as a share of full scale.",
    )
    edge_threshold: float = Field(
        default=10.0,
        gt=0,
        description="Ratio of curvatures beyond which a feature is an edge and dropped.",
    )
    sigma: float = Field(
        default=1.6,
        gt=0,
        le=20,
        description="Gaussian that is taken to blur the first octave, in pixels.",
    )
    enable_precise_upscale: bool = Field(
        default=False, description="Whether doubling the image keeps pixel centres exact."
    )
    root: bool = Field(
        default=False,
        description="Whether descriptors are RootSIFT: square roots of their numbers' shares of "
        "the sum, times 255, as whole numbers.",
    )
    grid: GridSettings = Field(
        default_factory=GridSettings,
        description="Patches on a grid instead of keypoints (dense SIFT).",
    )

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> SiftSettings:
        if self.grid.step is not None:
            only_for_keypoints = (
                "nfeatures",
                "n_octave_layers",
                "contrast_threshold",
                "edge_threshold",
                "sigma",
                "enable_precise_upscale",
            )
            _refuse(self, only_for_keypoints, "grid.step is set, so that there are no keypoints")
        return self


class SurfSettings(StageSettings):
    """Parameters of SURF, with minIA's defaults."""

    implementation: Literal["auto", "opencv", "mahotas"] = Field(
        default="auto",
        description="Who computes it; auto: OpenCV where it was built with its non-free modules, "
        "else mahotas.",
    )
    hessian_threshold: float = Field(
        default=100.0,
        ge=0,
        le=1e9,
        description="Least determinant of the Hessian, in OpenCV's units; mahotas' is converted.",
    )
    octaves: int = Field(
        default=4,
        ge=1,
        le=8,
        description="Octaves; with mahotas, one whose filters do not fit into the image gives "
        "nothing.",
    )
    layers: int = Field(default=3, ge=1, le=20, description="Layers of each octave.")
    extended: bool = Field(
        default=False, description="Whether descriptors have 128 numbers instead of 64."
    )
    upright: bool = Field(
        default=True,
        description="Whether patches are taken as they stand, without an orientation.",
    )


def _refuse(model: StageSettings, names: tuple[str, ...], because: str) -> None:
    """Raise ValueError where a field that would have no effect is not at its default."""
    fields = type(model).model_fields
    moved = [
        n for n in names if getattr(model, n) != fields[n].get_default(call_default_factory=True)
    ]
    if moved:
        raise ValueError(f"{', '.join(moved)} would have no effect: {because}")


class FeaturesSettings(StageSettings):
    """Which features are extracted, and from which pixels."""

    extractors: tuple[Literal["sift", "surf", "imported"], ...] = Field(
        default=("sift",),
        min_length=1,
        description="Kinds of local features; everything after them is done once for each. "
        "Those that another program made ('minia import features') are sift's, surf's or "
        "imported.",
    )
    sift: SiftSettings = Field(default_factory=SiftSettings, description="Parameters of SIFT.")
    surf: SurfSettings = Field(default_factory=SurfSettings, description="Parameters of SURF.")
    median_filter: int = Field(
        default=0,
        ge=0,
        le=255,
        description="Side of a median filter on the grey image, in pixels, odd; 0 for none "
        "(minIA: 9).",
    )
    background_mask: bool = Field(
        default=False,
        description="Whether pixels outside of sources are set to black (minIA's filter).",
    )
    max_features: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Most features of one image; the strongest are kept.",
    )
    max_pixels: int = Field(
        default=16_000_000,
        ge=1,
        description="Largest image that is extracted, in pixels; "
        "SIFT takes about 230 bytes of memory a pixel.",
    )

    @field_validator("median_filter")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value == 1 or (value and value % 2 == 0):
            raise ValueError("must be 0 or an odd number of at least 3")
        return value
