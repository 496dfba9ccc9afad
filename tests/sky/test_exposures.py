"""Generated exposures: repeatable, and of the qualities that they claim."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from astropy.io import fits

from minia_spark.base.errors import SettingsError
from minia_spark.sky.exposures import (
    QUALITIES,
    Exposures,
    exposure_truth,
    pixels_of,
    point_spread,
    write_exposures,
)

FEW = Exposures(ccds=2, side_px=128, sources=20)


def width_px(light):
    """Second moments of a point spread function along its longer and its shorter axis."""
    y, x = np.indices(light.shape) - light.shape[0] // 2
    spread = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=light.ravel(), ddof=0)
    return np.sqrt(np.linalg.eigvalsh(spread))[::-1]


def test_written_files_hold_what_is_asked_for(tmp_path):
    truths = list(write_exposures(tmp_path / "night", FEW, 7))
    assert [t.quality for t in truths] == [*QUALITIES, "good"]
    with (tmp_path / "night-truth.csv").open() as file:
        assert [row["quality"] for row in csv.DictReader(file)] == [t.quality for t in truths]
    with fits.open(tmp_path / "night" / truths[1].name) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CCD01", "CCD02"]
        assert hdus[0].header["FILTER"] == truths[1].filter
        np.testing.assert_array_equal(hdus[2].data, pixels_of(FEW, 1, 2))


def test_any_part_can_be_made_alone(tmp_path):
    list(write_exposures(tmp_path / "all", FEW, 3))
    list(write_exposures(tmp_path / "one", FEW, 1, first=2))
    name = exposure_truth(FEW, 2).name
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_qualities_show_in_the_point_spread():
    sharp, unfocused, blurred, _, tracked, lost = (width_px(point_spread(FEW, k)) for k in range(6))
    assert sharp[0] < 3 < blurred[0]
    assert unfocused[0] > sharp[0]
    assert sharp[0] / sharp[1] == pytest.approx(1, abs=0.05)
    assert tracked[0] / tracked[1] > 1.2
    assert lost[0] > 1.5 * tracked[0]
    ring = point_spread(FEW, 1)
    assert ring[32, 32] < 0.5 * ring.max()  # the middle is dark


def test_dead_ccds_are_flat():
    dead = Exposures(dead=1.0, ccds=2, side_px=128)
    assert exposure_truth(dead, 0).dead == (1, 2)
    assert np.ptp(pixels_of(dead, 0, 1)) == 0


def test_nights_follow_each_other():
    days = [int(exposure_truth(Exposures(night=2), k).mjd) for k in range(5)]
    assert days == [60_000, 60_000, 60_001, 60_001, 60_002]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ccds": 0}, "ccds is 0, must be 1 or more"),
        ({"qualities": ("fair",)}, r"unknown qualities \['fair'\]; there are \['background"),
        ({"dead": 2.0}, r"dead is 2.0, must be in \[0, 1\]"),
    ],
)
def test_wrong_parameters(changes, match):
    with pytest.raises(SettingsError, match=match):
        Exposures(**changes)
