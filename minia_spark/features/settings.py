"""Settings of feature extraction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from minia_spark.base.settings import OF_THE_CALL, StageSettings

__all__ = ["DelfSettings", "FeaturesSettings", "GridSettings", "SiftSettings", "SurfSettings"]


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


class DelfSettings(StageSettings):
    """Parameters of DELF; what is null is taken from the manifest of the exported network."""

    model: str | None = Field(
        default=None,
        description="Folder that 'minia delf export' wrote; every worker reads it there, so on a "
        "cluster it is on storage that all of them have under this name.",
    )
    scales: tuple[Annotated[float, Field(gt=0, le=16)], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Sizes at which the network sees an image; null: the model's (minIA: 0.5, "
        "0.7071, 1, 1.4142, 2, 2.4494, 4).",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        description="Least attention score of a feature; null: the model's (minIA: 100).",
    )
    max_features: int | None = Field(
        default=None,
        ge=1,
        description="Most features of an image, those of highest score; null: the model's (minIA: "
        "1000).",
    )
    nms_iou: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Of two features whose boxes overlap by more than this share of their union "
        "the weaker is dropped, 1 keeps all; null: the model's (minIA: 1).",
    )
    pca: str | None = Field(
        default=None,
        description="File .npz with a projection of descriptors: arrays mean and matrix (a "
        "component a row), dim, whitening and variances if wanted; null: none. Where the model is, "
        "every worker reads it.",
    )
    batch_pixels: int = Field(
        default=1 << 16,
        ge=1,
        le=1 << 30,
        description="Pixels, after scaling, that go through the network at once: images of equal "
        "size, as many as fit, at least one. More suits GPUs.",
    )
    gpu: Literal["offered", "always", "never"] = Field(
        default="offered",
        description="Whether a GPU is used: one that Spark's resources offer to a task; the first, "
        "by all tasks (local mode offers none); or none.",
        json_schema_extra=OF_THE_CALL,
    )

    def content_of(self, name: str, value: Any) -> Any:
        """Return for files what is in them, and for null what the model says."""
        from minia_spark.features.delf_model import identity_of, known_manifest  # noqa: PLC0415

        if name in ("model", "pca"):
            return identity_of(value, name)
        manifest = known_manifest(self.model) if value is None else None
        told = getattr(manifest, name, None)
        return list(told) if isinstance(told, tuple) else value if told is None else told


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

    extractors: tuple[Literal["sift", "surf", "delf", "imported"], ...] = Field(
        default=("sift",),
        min_length=1,
        description="Kinds of local features; everything after them is done once for each. "
        "Those that another program made ('minia import features') are sift's, surf's, "
        "delf's or imported.",
    )
    sift: SiftSettings = Field(default_factory=SiftSettings, description="Parameters of SIFT.")
    surf: SurfSettings = Field(default_factory=SurfSettings, description="Parameters of SURF.")
    delf: DelfSettings = Field(default_factory=DelfSettings, description="Parameters of DELF.")
    median_filter: int = Field(
        default=0,
        ge=0,
        le=255,
        description="Side of a median filter on the grey image (for delf, on each colour), in "
        "pixels, odd; 0 for none (minIA: 9).",
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
        description="Largest image that is extracted, in pixels (for delf, at its largest scale); "
        "SIFT takes about 230 bytes of memory a pixel, DELF 300.",
    )

    @field_validator("median_filter")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value == 1 or (value and value % 2 == 0):
            raise ValueError("must be 0 or an odd number of at least 3")
        return value
