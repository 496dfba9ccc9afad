"""Where FITS images are on the sky."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.images.position import position_of_fits, position_of_header

# 0.1 degrees a pixel; the middle of 11 x 7 pixels is FITS pixel (6, 4)
PLAIN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 6.0,
    "CRPIX2": 4.0,
    "CDELT1": -0.1,
    "CDELT2": 0.1,
}


def file_of(header, *, compressed=False, shape=(7, 11)):
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = (fits.CompImageHDU if compressed else fits.PrimaryHDU)(data)
    image.header.update(header)
    hdus = fits.HDUList([fits.PrimaryHDU(), image] if compressed else [image])
    out = io.BytesIO()
    hdus.writeto(out)
    return out.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_reference_pixel_in_the_middle(compressed):
    assert position_of_fits(file_of(PLAIN, compressed=compressed)) == pytest.approx((150, 2))


def test_axes_of_length_one_do_not_count():
    assert position_of_fits(file_of(PLAIN, shape=(1, 7, 11))) == pytest.approx((150, 2))


def test_other_pixels_and_turned_images():
    # four pixels of 0.1 degrees above the reference, along a meridian
    assert position_of_header(PLAIN, 11, 15) == pytest.approx((150, 2.4), abs=1e-4)
    turned = PLAIN | {"CDELT1": 1.0, "CDELT2": 1.0}
    turned |= {"CD1_1": 0.0, "CD1_2": 0.1, "CD2_1": 0.1, "CD2_2": 0.0}
    turned = {k: v for k, v in turned.items() if "CDELT" not in k}
    assert position_of_header(turned, 19, 7) == pytest.approx((150, 2.4), abs=1e-4)


def test_right_ascension_is_from_0_to_360():
    assert position_of_header(PLAIN | {"CRVAL1": -10.0}, 11, 7) == pytest.approx((350, 2))
    ra, dec = position_of_header(PLAIN | {"CRVAL1": -1e-14, "CRVAL2": 0.0}, 11, 7)
    assert 0 <= ra < 360
    assert dec == pytest.approx(0)


def test_distortions_count():
    bent = PLAIN | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    bent |= {"A_ORDER": 2, "B_ORDER": 2, "B_0_2": 0.1}
    # eight pixels above the reference: 0.1 of them more for each squared
    assert position_of_header(bent, 11, 23)[1] == pytest.approx(2 + 0.1 * (8 + 6.4), abs=1e-2)


@pytest.mark.parametrize("frame", ["galactic", "fk4"])
def test_other_frames_are_transformed(frame):
    place = SkyCoord(150 * units.deg, 2 * units.deg, frame=frame)
    header = PLAIN | {"RADESYS": "FK4", "EQUINOX": 1950.0}
    if frame == "galactic":
        header = PLAIN | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}
    wanted = (place.icrs.ra.deg, place.icrs.dec.deg)
    assert position_of_header(header, 11, 7) == pytest.approx(wanted, abs=1e-4)
    assert wanted[0] != pytest.approx(150, abs=0.1)


@pytest.mark.parametrize("header", [
    {},
    PLAIN | {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
    PLAIN | {"CTYPE1": "WAVE"},
    PLAIN | {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"},
    PLAIN | {"CDELT1": 0.0},
    PLAIN | {"CTYPE1": "RA---TAN", "CTYPE2": "RA---TAN"},
    PLAIN | {"CTYPE1": 7},
    PLAIN | {"CRVAL1": "north", "CRVAL2": True, "CDELT1": float("nan"), "CDELT2": 0.0},
], ids=str)  # fmt: skip
def test_nothing_that_could_be_used(header):
    assert position_of_header(header, 11, 7) is None


@pytest.mark.parametrize("missing", ["CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2"])
@pytest.mark.parametrize("value", [None, "ten"])
def test_what_is_missing_is_not_made_up(missing, value):
    header = {name: v for name, v in PLAIN.items() if name != missing}
    if value is not None:
        header[missing] = value
    assert position_of_header(header, 11, 7) is None


def test_a_matrix_instead_of_scales():
    header = {name: v for name, v in PLAIN.items() if not name.startswith("CDELT")}
    matrix = {"CD1_1": PLAIN["CDELT1"], "CD2_2": PLAIN["CDELT2"]}
    assert position_of_header(header | matrix, 11, 7) == pytest.approx((150, 2))


def test_no_fits_file():
    assert position_of_fits(b"CTYPE1  = of something else") is None
    assert position_of_fits(b"") is None


KEYS = st.sampled_from([*PLAIN, "CD1_1", "CD2_2", "PC1_2", "A_ORDER", "A_9_9", "PV2_1", "EQUINOX"])
VALUES = st.one_of(st.floats(), st.integers(), st.text(max_size=30), st.none(), st.booleans())


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_whatever_the_header_says(changes, width, height):
    found = position_of_header(PLAIN | changes, width, height)
    assert found is None or (0 <= found[0] < 360 and -90 <= found[1] <= 90)
