"""Settings of the galaxies: their classes, and the split."""

from __future__ import annotations

import hashlib
from typing import Any, Self

from pydantic import Field, model_validator

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import open_regular
from minia_spark.base.settings import StageSettings

__all__ = ["ClassesSettings", "GalaxiesSettings", "VotesSettings"]


class ClassesSettings(StageSettings):
    """A table with the class strings of Galaxy Zoo 2."""

    file: str | None = Field(
        None,
        description="CSV file with class strings of the galaxies, e.g. what 'minia lab dataset' "
        "writes; if not set, the labels of the images are their classes.",
    )
    key_column: str | None = Field(
        None,
        description="Column that names the image by path, file name or stem; if not set, the "
        "first known name such as image, file or dr7objid.",
    )
    class_column: str = Field("gz2_class", description="Column with the class string.")
    split_column: str | None = Field(
        None,
        description="Column that says train or test; where it is empty, or not set, the name of "
        "the image decides.",
    )

    @model_validator(mode="after")
    def _columns_have_a_file(self) -> Self:
        idle = [name for name in ("key_column", "split_column") if getattr(self, name) is not None]
        if self.file is None and idle:
            raise ValueError(f"{idle[0]} names a column of a table of classes: file is not set")
        return self

    def content_of(self, name: str, value: Any) -> Any:
        """Return for the file what is in it: another file of the same rows changes nothing."""
        return _content(value, "classes") if name == "file" else value


class VotesSettings(StageSettings):
    """A table with the votes that galaxies got, such as the fractions of Galaxy Zoo 2."""

    file: str | None = Field(
        None, description="CSV file with the votes: a row a galaxy, a column an answer."
    )
    key_column: str | None = Field(
        None,
        description="Column that names the image by path, file name or stem; if not set, the "
        "first known name such as image, file or dr7objid.",
    )
    columns: tuple[str, ...] = Field(
        (),
        description="Columns with the fractions, or the numbers, of votes; answers to one question "
        "that are the classes of classify.target=votes.",
    )

    @model_validator(mode="after")
    def _they_belong_together(self) -> Self:
        if self.file is None and (self.key_column is not None or self.columns):
            raise ValueError("columns of a table of votes are named: file is not set")
        if self.file is not None and len(self.columns) < 2:
            raise ValueError("columns has to name at least two columns with votes")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns names one twice")
        return self

    def content_of(self, name: str, value: Any) -> Any:
        """Return for the file what is in it: another file of the same rows changes nothing."""
        return _content(value, "votes") if name == "file" else value


def _content(file: str | None, section: str) -> str | None:
    if file is None:
        return None
    try:
        with open_regular(file) as content:
            return hashlib.sha256(content.read()).hexdigest()
    except OSError as error:
        raise SettingsError(
            f"galaxies.{section}.file {file} cannot be read: {error.strerror or error}; give "
            "the place where it is now, or null to go without"
        ) from None


class GalaxiesSettings(StageSettings):
    """Which images teach and which test, and where the classes are."""

    classes: ClassesSettings = Field(
        default_factory=ClassesSettings, description="Classes of the galaxies."
    )
    votes: VotesSettings = Field(
        default_factory=VotesSettings, description="Votes that galaxies got."
    )
    test_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the images that are kept for testing: nothing is fitted to them. "
        "The study keeps as many as it trains with.",
    )
    seed: int = Field(
        31, ge=0, description="Of the split into training and test images, and of the errors."
    )
