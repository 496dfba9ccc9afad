"""IngestSettings: defaults, ranges, and their agreement with the kernels."""

from __future__ import annotations

import inspect

import pytest
from pydantic import ValidationError

from minia_spark.images.decode import decode
from minia_spark.images.stretch import INTERVALS, STRETCHES
from minia_spark.ingest.labels import label_batches
from minia_spark.ingest.record import decoded_of_file
from minia_spark.ingest.settings import IngestSettings, LabelSettings


def test_defaults_are_those_of_decode():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(decode).parameters.items()
        if name not in ("data", "care")  # which is the engine's to choose
    }
    # images that were let in are not asked for their checksums again
    assert defaults.pop("fits_checksums") == "ignore"
    assert defaults.pop("fits_positions") is False
    assert IngestSettings().decode_options() == defaults


def test_defaults_are_those_of_reading():
    settings = IngestSettings()
    parameters = inspect.signature(decoded_of_file).parameters
    assert settings.read_options() == settings.decode_options() | {
        name: parameters[name].default for name in ("max_archive_members", "max_archive_ratio")
    } | {"fits_checksums": "warn", "fits_positions": True}
    assert set(LabelSettings().columns()) == set(inspect.signature(label_batches).parameters) - {
        "path"
    }


def test_every_interval_and_stretch_can_be_chosen_and_no_other():
    for interval in INTERVALS:
        for stretch in STRETCHES:
            assert IngestSettings(fits_interval=interval, fits_stretch=stretch)
    with pytest.raises(ValidationError, match="fits_interval"):
        IngestSettings(fits_interval="percentile42")
    with pytest.raises(ValidationError, match="fits_stretch"):
        IngestSettings(fits_stretch="sinh")


@pytest.mark.parametrize(
    "wrong",
    [{"max_pixels": 0}, {"max_file_mib": 2048}, {"max_pixels": 2**30}, {"max_archive_ratio": 0}],
)
def test_ranges(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        IngestSettings(**wrong)


def test_unknown_keys_are_refused_and_every_field_has_a_sentence():
    with pytest.raises(ValidationError, match="max_pixel"):
        IngestSettings(max_pixel=1)
    for model in (IngestSettings, LabelSettings):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert field.description.endswith("."), name
