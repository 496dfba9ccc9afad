"""Spark's data source ``fits``."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits

from minia_spark.exposures.spark import FitsSource


@pytest.fixture(scope="module")
def read(spark):
    spark.dataSource.register(FitsSource)
    return lambda: spark.read.format("fits")


@pytest.fixture
def night(tmp_path):
    """Two CCDs and a table in one file, one image in a packed file, and no FITS."""
    folder = tmp_path / "night 1"
    (folder / "sub").mkdir(parents=True)
    primary = fits.PrimaryHDU()
    primary.header.update(EXPTIME=30.0, FILTER="r", **{"MJD-OBS": 60_000.5})
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    ccds = [fits.ImageHDU(np.full((2, 3), k, np.int16), name=f"C{k}") for k in (1, 2)]
    fits.HDUList([primary, *ccds, table]).writeto(folder / "a.fits")
    fits.PrimaryHDU(np.arange(6, dtype=np.float32).reshape(2, 3)).writeto(folder / "sub" / "b.fit")
    plain = folder / "sub" / "b.fit"
    (folder / "sub" / "b.fit.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    (folder / "notes.txt").write_text("cloudy")
    (folder / "c.fits").write_text("no FITS")
    return folder


def test_a_row_and_a_partition_an_image(read, night):
    frame = read().load(str(night))
    assert frame.rdd.getNumPartitions() == 5  # two CCDs, a table, the packed file, what is none
    rows = {(row.exposure_id, row.hdu): row for row in frame.collect()}
    assert set(rows) == {("a.fits", 1), ("a.fits", 2), ("a.fits", 3), ("c.fits", None),
                         ("sub/b.fit.gz", 0)}  # fmt: skip
    ccd = rows["a.fits", 2]
    assert (ccd.ccd, ccd.width, ccd.height, ccd.pixels) == ("C2", 3, 2, [2.0] * 6)
    assert (ccd.exposure_seconds, ccd.filter, ccd.mjd) == (30.0, "r", 60_000.5)
    assert ccd.header["EXPTIME"] == "30.0"
    assert ccd.reason is None
    assert rows["sub/b.fit.gz", 0].pixels == [0, 1, 2, 3, 4, 5]
    assert rows["a.fits", 3].reason == "no_image_data"
    assert rows["c.fits", None].reason == "not_an_image"


def test_headers_without_pixels(read, night):
    frame = read().schema("exposure_id string, width int").load(str(night / "a.fits"))
    assert sorted(map(tuple, frame.collect()), key=repr) == [("a.fits", 3)] * 2 + [("a.fits", None)]


def test_places_as_spark_writes_them(read, night):
    for place in (f"file:{night}", f"file://{night}"):
        assert read().schema("hdu int").load(place).count() == 5
    with pytest.raises(Exception, match="reads what is mounted on every worker, which s3a://a/b"):
        read().load("s3a://a/b").count()
    with pytest.raises(Exception, match="takes one path: load the folder that holds them all"):
        read().load([str(night), str(night)]).count()


def test_a_column_of_another_type(read, night):
    with pytest.raises(Exception, match="FITS has no column hdu bigint; columns: exposure_id"):
        read().schema("hdu bigint").load(str(night)).count()


@pytest.mark.parametrize(
    ("options", "path", "match"),
    [
        ({"pixels": "no"}, "night 1", "FITS has no option pixels; there are maxPixels, maxBytes"),
        ({"maxPixels": "many"}, "night 1", "maxPixels must be a whole number above 0, got 'many'"),
        ({"maxBytes": 0}, "night 1", "maxBytes must be a whole number above 0, got '0'"),
        ({}, "nowhere", "nowhere"),
        ({}, "empty", "holds no FITS file"),
    ],
)
def test_wrong_use(read, night, tmp_path, options, path, match):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match=match):  # Spark wraps what its data sources raise
        read().options(**options).load(str(tmp_path / path)).count()
