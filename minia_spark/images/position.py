"""Where on the sky a FITS image is: its middle, by the world coordinates of its header."""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import TYPE_CHECKING, Any

from minia_spark.images.fits import only_image

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["position_of_fits", "position_of_header"]

_AXES = re.compile(r"(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(?:CD|PC)[12]_[12]|PV[12]_\d{1,2}")
_DISTORTION = re.compile(r"(?:A|B)_(?:ORDER|\d_\d)")
_FRAME = ("RADESYS", "EQUINOX", "LONPOLE", "LATPOLE", "MJD-OBS")
_TEXTS = re.compile(r"CTYPE[12]|CUNIT[12]|RADESYS")
_TEXT = re.compile(r"[A-Za-z0-9 -]{0,20}")
_NEEDED = {"CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"}
_CELESTIAL = re.compile(r"(?:RA--|DEC-|GLON|GLAT|ELON|ELAT)-[A-Z]{3}(?:-SIP)?")


def position_of_fits(data: bytes) -> tuple[float, float] | None:
    """Return right ascension and declination of the middle of a FITS image.

    Parameters
    ----------
    data : bytes
        An uncompressed FITS file that can be read (:func:`minia_spark.images.fits.read_fits`).

    Returns
    -------
    (ra_deg, dec_deg) or None
        In degrees, ICRS; None where the header does not say, or not in a way that can be used.
    """
    if b"CTYPE1  =" not in data:
        return None
    from astropy.io import fits  # noqa: PLC0415 - a second to load, which most images do without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True) as hdus:
                image = only_image(hdus)
                height, width = image.shape[-2:]
                header = dict(image.header)
        except Exception:  # the image itself was read: a position is not worth losing it
            return None
        return position_of_header(header, width, height)


def position_of_header(
    header: Mapping[str, Any], width: int, height: int
) -> tuple[float, float] | None:
    """Return right ascension and declination of the middle of an image.

    The first two axes must be celestial. Polynomial distortions (SIP, PV) count, tables of
    distortions do not. A position in FK5 at equinox 2000 is taken as one in ICRS, from which it
    differs by less than 0.1 arcsec; others (FK4, galactic, ecliptic) are transformed.

    Parameters
    ----------
    header : mapping
        Keyword to value; only those of world coordinates are looked at, and nobody trusts them.
    width, height : int
        Of the image, in pixels.

    Returns
    -------
    (ra_deg, dec_deg) or None
        0 <= ra_deg < 360; None where there is none.
    """
    known = _world_coordinates(header)
    if not all(_CELESTIAL.fullmatch(known.get(f"CTYPE{axis}", "")) for axis in (1, 2)):
        return None
    # what is missing has defaults, with which any header would be somewhere
    scaled = known.keys() >= {"CDELT1", "CDELT2"} or any(
        name.startswith("CD") and "_" in name for name in known
    )
    if not (known.keys() >= _NEEDED and scaled):
        return None
    from astropy.io import fits  # noqa: PLC0415
    from astropy.wcs import WCS  # noqa: PLC0415 - half a second, which most images do without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            world = WCS(fits.Header(known), naxis=2)
            middle = ((width - 1) / 2, (height - 1) / 2)
            values = [float(value) for value in world.all_pix2world(*middle, 0)]
            ra, dec = _icrs(world, values[world.wcs.lng], values[world.wcs.lat])
        except Exception:  # wcslib and astropy have dozens for headers that mean nothing
            return None
    if not (math.isfinite(ra) and -90 <= dec <= 90):
        return None
    ra %= 360
    return (0.0 if ra >= 360 else ra), dec  # a tiny negative one becomes 360


def _world_coordinates(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that matter, if they are what they have to be."""
    found: dict[str, Any] = {}
    for name, value in header.items():
        if not (_AXES.fullmatch(name) or _DISTORTION.fullmatch(name) or name in _FRAME):
            continue
        if _TEXTS.fullmatch(name):
            if isinstance(value, str) and _TEXT.fullmatch(value):
                found[name] = value
        elif isinstance(value, int | float) and math.isfinite(value):
            found[name] = value
    return found


def _icrs(world: Any, longitude: float, latitude: float) -> tuple[float, float]:
    """Return a position of the header's own frame as one in ICRS, in degrees."""
    system = world.wcs.radesys.strip().upper()
    old = math.isfinite(world.wcs.equinox) and world.wcs.equinox != 2000
    if world.wcs.lngtyp == "RA" and system in ("", "ICRS", "FK5") and not old:
        return longitude, latitude
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - seconds
    from astropy.wcs.utils import wcs_to_celestial_frame  # noqa: PLC0415

    place = SkyCoord(longitude, latitude, unit="deg", frame=wcs_to_celestial_frame(world)).icrs
    return float(place.ra.deg), float(place.dec.deg)
