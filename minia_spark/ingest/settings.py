"""Settings of ingest."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from minia_spark.base.settings import OF_THE_CALL, StageSettings

__all__ = ["IngestSettings", "LabelSettings"]

# What Pillow itself refuses to open; a larger setting could not be kept.
_PILLOW_LIMIT = 178_956_970


class LabelSettings(StageSettings):
    """Where labels and sky positions come from: a file, folders, or nowhere."""

    file: str | None = Field(
        default=None,
        description="CSV file with labels or sky positions of the images; none if not set.",
        json_schema_extra=OF_THE_CALL,  # labels come with their images
    )
    key_column: str | None = Field(
        default=None,
        description="Column that names the image by path, file name or stem; "
        "if not set, the first known name such as image, file or name.",
    )
    label_column: str | None = Field(
        default=None, description="Column with the label; if not set, label or class where present."
    )
    ra_column: str | None = Field(
        default=None,
        description="Column with the right ascension in degrees; if not set, ra_deg or ra.",
    )
    dec_column: str | None = Field(
        default=None,
        description="Column with the declination in degrees; if not set, dec_deg or dec.",
    )
    from_folders: bool = Field(
        default=False,
        description="Whether the folder that directly holds an image is its label, in archives "
        "too; images at the top have none, and a label from the file comes first.",
    )
    must_match: bool = Field(
        default=True,
        description="Whether it is an error that no row of the file is of an image of a batch. "
        "Once another batch matched the same file and columns it is a warning only: a night "
        "without labels.",
    )

    def columns(self) -> dict[str, str | None]:
        """Return the keyword arguments of :func:`minia_spark.ingest.labels.label_batches`."""
        return {
            "key": self.key_column,
            "label": self.label_column,
            "ra": self.ra_column,
            "dec": self.dec_column,
        }


class IngestSettings(StageSettings):
    """How images are found and decoded."""

    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=_PILLOW_LIMIT,
        description="Largest width times height of an image, in pixels; "
        "checked in the header before anything is decoded.",
    )
    max_file_mib: int = Field(
        default=512,
        ge=1,
        le=2047,  # a binary column of Arrow holds 2 GiB
        description="Largest size of an image file, and of what a compressed one unpacks to, "
        "in MiB.",
    )
    max_archive_members: int = Field(
        default=1_000_000,
        ge=1,
        le=2**31 - 1,
        description="Most members of a tar or ZIP archive that are read, folders and all; the "
        "others are left out, and the archive is told of in rejects.",
    )
    max_archive_ratio: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="How many times its own size an archive may unpack to; what follows is left "
        "out. One file of max_file_mib always may be.",
    )
    fits_interval: Literal[
        "zscale", "minmax", "percentile99", "percentile99.5", "percentile99.9"
    ] = Field(
        default="zscale",
        description="Range of counts that is shown, for FITS and for grey images of more than "
        "eight bits.",
    )
    fits_stretch: Literal["linear", "sqrt", "asinh", "log"] = Field(
        default="asinh", description="Curve from counts to grey levels, for the same images."
    )
    fits_checksums: Literal["ignore", "warn", "reject"] = Field(
        default="warn",
        description="What is done with a FITS file that has checksums (CHECKSUM, DATASUM) which "
        "are wrong.",
    )
    follow_links_outside: bool = Field(
        default=False, description="Whether symbolic links may lead out of the input folder."
    )
    labels: LabelSettings = Field(
        default_factory=LabelSettings, description="Labels and sky positions of the images."
    )

    @property
    def max_bytes(self) -> int:
        """`max_file_mib` in bytes."""
        return self.max_file_mib << 20

    def read_options(self) -> dict[str, Any]:
        """Return the keyword arguments of :func:`minia_spark.ingest.record.decoded_of_file`."""
        return {
            **self.decode_options(),
            "max_archive_members": self.max_archive_members,
            "max_archive_ratio": self.max_archive_ratio,
            "fits_checksums": self.fits_checksums,
            "fits_positions": True,
        }

    def decode_options(self) -> dict[str, Any]:
        """Return the keyword arguments of :func:`minia_spark.images.decode.decode`."""
        return {
            "max_pixels": self.max_pixels,
            "max_bytes": self.max_bytes,
            "fits_interval": self.fits_interval,
            "fits_stretch": self.fits_stretch,
        }
