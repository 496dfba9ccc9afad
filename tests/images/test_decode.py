"""decode: pixels of every format, and the reason of everything that is not one."""

from __future__ import annotations

import gzip
import io
import os
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from image_samples import (
    LIMITS,
    SHARED,
    broken_files,
    counts,
    fits_bytes,
    fits_header,
    good_files,
    picture,
    png_chunk,
    saved,
    tiff_with,
)
from PIL import Image

from minia_spark.base.errors import Rejected
from minia_spark.images.decode import decode
from minia_spark.images.listing import list_folder
from minia_spark.images.reasons import Reason
from minia_spark.ingest.record import ImageRecord, RejectRecord, records_of_file

# ---------------------------------------------------------------------------- pixels


def test_png_and_tiff_give_back_exactly_the_pixels_that_were_saved():
    colour = picture()
    for kind, options in [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ]:
        decoded = decode(saved(colour, kind, **options))
        np.testing.assert_array_equal(decoded.pixels, colour)
        assert (decoded.format, decoded.stretch) == (kind.lower(), None)
        assert (decoded.width, decoded.height, decoded.channels) == (32, 24, 3)
        assert decoded.pixels.flags.c_contiguous


def test_jpeg_is_close_to_what_was_saved_and_grey_stays_one_channel():
    colour = picture()
    decoded = decode(saved(colour, "JPEG", quality=95, subsampling=0))
    assert np.abs(decoded.pixels.astype(int) - colour).max() < 24
    grey = decode(saved(colour[..., 0], "JPEG"))
    assert (grey.pixels.shape, grey.channels) == ((24, 32), 1)


def test_one_bit_becomes_black_and_white():
    bits = np.array([[True, False], [False, True]])
    decoded = decode(saved(Image.fromarray(bits), "PNG"))
    assert decoded.pixels.tolist() == [[255, 0], [0, 255]]


def test_palette_becomes_rgb():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    assert decode(saved(image, "PNG")).pixels.tolist() == [[[200, 100, 50], [10, 20, 30]]]


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGBA", (200, 100, 50, 255), [200, 100, 50]),  # opaque: unchanged
        ("RGBA", (200, 100, 50, 0), [0, 0, 0]),  # hidden colour does not come back
        ("LA", (200, 255), 200),
        ("LA", (200, 0), 0),
        ("LA", (200, 51), 40),  # a fifth of 200
    ],
)
def test_transparent_pixels_lie_over_black(mode, pixel, expected):
    assert decode(saved(Image.new(mode, (1, 1), pixel), "PNG")).pixels.tolist() == [[expected]]


def test_colour_key_transparency_counts_as_transparency():
    image = Image.new("L", (2, 1))
    image.putdata([7, 9])
    assert decode(saved(image, "PNG", transparency=9)).pixels.tolist() == [[7, 0]]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (1, 2)), (6, (0, 1))])
def test_exif_orientation_is_applied(orientation, corner):
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF"):
        turned = decode(saved(pixels, kind, exif=exif)).pixels
        assert tuple(np.argwhere(turned == 255)[0]) == corner, kind


def test_damaged_exif_does_not_refuse_an_image():
    body = b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40
    jpeg = saved(picture(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    assert decode(jpeg[:2] + segment + jpeg[2:]).pixels.shape == (24, 32, 3)


# ---------------------------------------------------------------------------- deep images


def test_linear_minmax_by_hand():
    image = np.array([[0.0, 1.0], [2.0, 4.0]], dtype=np.float32)
    decoded = decode(fits_bytes(image), fits_interval="minmax", fits_stretch="linear")
    # 255 * (0, 1/4, 2/4, 1), rounded half up
    assert decoded.pixels.tolist() == [[0, 64], [128, 255]]
    assert (decoded.format, decoded.stretch) == ("fits", "minmax+linear")


def test_nan_is_black_infinities_are_ends_and_neither_sets_the_limits():
    image = np.array([[np.nan, 0.0, 10.0], [np.inf, -np.inf, 5.0]], dtype=np.float64)
    decoded = decode(fits_bytes(image), fits_interval="minmax", fits_stretch="linear")
    assert decoded.pixels.tolist() == [[0, 0, 255], [255, 0, 128]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_finite_is_refused(value):
    with pytest.raises(Rejected, match="not_finite: Every pixel is NaN or infinite"):
        decode(fits_bytes(np.full((4, 4), value, np.float32)))


def test_values_whose_span_overflows_are_refused():
    image = np.array([[-1.7e308, 1.7e308]], dtype=np.float64)
    with pytest.raises(Rejected, match=r"not_finite: Values from -1\.7e"):
        decode(fits_bytes(image), fits_interval="minmax")


def test_constant_image_is_black():
    assert not decode(fits_bytes(np.full((9, 9), 7.5, np.float32))).pixels.any()


def test_sources_on_a_constant_background_are_seen_and_the_change_is_recorded():
    image = np.full((400, 400), 100.0, np.float32)
    image[20, 20] = 500.0  # not among the pixels that zscale samples
    decoded = decode(fits_bytes(image))
    assert decoded.pixels[20, 20] == 255
    assert decoded.pixels[0, 0] == 0
    assert decoded.stretch == "minmax+asinh"


@pytest.mark.parametrize("kind", ["fits", "png", "tiff"])
def test_sixteen_bits_look_the_same_in_every_container(kind):
    deep = np.clip(counts(), 0, 65535).astype(np.uint16)
    data = fits_bytes(deep) if kind == "fits" else saved(deep, kind.upper())
    decoded = decode(data)
    assert decoded.stretch == "zscale+asinh"
    np.testing.assert_array_equal(decoded.pixels, decode(fits_bytes(deep)).pixels)


def test_float_tiff_equals_float_fits():
    deep = counts()
    np.testing.assert_array_equal(
        decode(saved(deep, "TIFF")).pixels, decode(fits_bytes(deep)).pixels
    )


def test_unsigned_32_bit_tiff_keeps_its_upper_half():
    values = np.array([[0, 2**31, 2**32 - 1]], dtype=np.uint32)
    data = saved(Image.fromarray(values.view(np.int32)), "TIFF")
    unsigned = tiff_with(data, t339=1)
    decoded = decode(unsigned, fits_interval="minmax", fits_stretch="linear")
    assert decoded.pixels.tolist() == [[0, 128, 255]]
    signed = decode(data, fits_interval="minmax", fits_stretch="linear")
    assert signed.pixels.tolist() == [[255, 0, 255]]  # 0, -2**31, -1


def test_fits_scaling_and_blank_are_applied():
    hdu = fits.PrimaryHDU(np.array([[0, 1], [2, -99]], dtype=np.int16))
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 2.0, 100.0, -99
    with_header = hdu.header.tostring().encode() + hdu.data.astype(">i2").tobytes()
    decoded = decode(with_header, fits_interval="minmax", fits_stretch="linear")
    assert decoded.pixels.tolist() == [[0, 128], [255, 0]]  # 100, 102, 104, NaN


def test_all_fits_wrappings_of_one_image_decode_alike():
    import bz2

    deep = counts()
    plain = fits_bytes(deep)
    expected = decode(plain).pixels
    wrapped = {
        "gzip": gzip.compress(plain),
        "two gzip members": gzip.compress(plain[:3000]) + gzip.compress(plain[3000:]),
        "bzip2": bz2.compress(plain),
        "extension": fits_bytes(None, deep),
        "one plane": fits_bytes(deep[None, None]),
        "unpadded end": plain[: 2880 + deep.nbytes],
        "lossless fpack": fits_bytes(
            fits.CompImageHDU(deep, compression_type="GZIP_1", quantize_level=0)
        ),
    }
    for name, data in wrapped.items():
        np.testing.assert_array_equal(decode(data).pixels, expected, err_msg=name)


def test_first_row_of_fits_is_the_first_row_of_pixels():
    image = np.zeros((3, 4), np.float32)
    image[0, 1] = 1.0  # FITS pixel (2, 1)
    decoded = decode(fits_bytes(image), fits_interval="minmax", fits_stretch="linear")
    assert np.argwhere(decoded.pixels).tolist() == [[0, 1]]


@pytest.mark.parametrize("interval", ["zscale", "minmax", "percentile99", "percentile99.5"])
@pytest.mark.parametrize("stretch", ["linear", "sqrt", "asinh", "log"])
def test_stretch_equals_astropy(interval, stretch):
    """Its interval, and the formulas of its manual for the stretch."""
    from minia_spark.images.stretch import interval_of

    deep = counts(60, 70).astype(np.float64)
    low, high = interval_of(interval).get_limits(deep)
    share = np.clip((deep - low) / (high - low), 0, 1)
    expected = {
        "linear": share,
        "sqrt": np.sqrt(share),
        "asinh": np.arcsinh(share / 0.1) / np.arcsinh(1 / 0.1),
        "log": np.log(1000 * share + 1) / np.log(1001),
    }[stretch]
    decoded = decode(fits_bytes(deep), fits_interval=interval, fits_stretch=stretch)
    assert decoded.stretch == f"{interval}+{stretch}"
    assert np.abs(decoded.pixels - 255 * np.asarray(expected)).max() <= 0.5 + 1e-9


# ---------------------------------------------------------------------------- refusals


def test_fifty_good_and_fifty_broken_files(tmp_path):
    good, broken = good_files(), broken_files()
    assert (len(good), len(broken)) == (50, 50)
    for name, content in good.items():
        (tmp_path / name).write_bytes(content)
    for name, (_, content) in broken.items():
        (tmp_path / name).write_bytes(content)

    root = os.fsencode(tmp_path)
    records = {
        entry.path.decode(): list(records_of_file(root, entry.path, **LIMITS))
        for entry in list_folder(root)
    }

    assert all(len(found) == 1 for found in records.values())
    images = {n for n, (r,) in records.items() if isinstance(r, ImageRecord)}
    reasons = {n: r.reason for n, (r,) in records.items() if isinstance(r, RejectRecord)}
    assert images == set(good)
    assert reasons == {name: reason for name, (reason, _) in broken.items()}
    assert set(Counter(reasons.values()).values()) == {5}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty_file: The file has 0 bytes"),
        (b"\xff" * 7, "not_an_image: The first bytes, ff ff ff ff ff ff ff, begin no image; JPEG"),
        (saved(picture(), "GIF"), "unsupported_format: The content is GIF; JPEG, PNG, TIFF"),
        (saved(picture(), "AVIF"), "unsupported_format: The content is AVIF"),
        (saved(Image.new("CMYK", (2, 2)), "JPEG"), "unsupported_colour: The colour model is CMYK"),
        (fits_bytes(None), "no_image_data: No two-dimensional image .* only headers"),
        (fits_bytes(np.zeros(9, np.float32)), "no_image_data: .* an array of shape .9,. in ext"),
        (fits_bytes(np.zeros((3, 4, 5))), r"no_image_data: .* an array of shape \(3, 4, 5\) in"),
        (
            fits_bytes(None, fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])),
            "no_image_data: .* only a table in extension 1",
        ),
        (fits_bytes(None, counts(), counts()), "several_images: .* for the exposure map"),
        (saved(picture(), "PNG")[:20], "truncated: The PNG ends after 20 bytes"),
        (b"\xff\xd8\xff", "truncated: The JPEG ends after 3 bytes"),
        (b"II*\0\x08\0\0\0", "truncated: The TIFF ends after 8 bytes"),
        (fits_bytes(counts())[:1000], "truncated: The FITS header is not closed in 1000 bytes"),
        (b"BZh9", "truncated: The bzip2 stream ends early"),
        (b"\x1f\x8b\x08", "truncated: The gzip stream ends early"),
    ],
)
def test_reason_and_detail(data, message):
    with pytest.raises(Rejected, match=message):
        decode(data)


def test_limits_in_messages_are_the_limits_given():
    png = saved(picture(10, 11), "PNG")
    assert decode(png, max_pixels=110).pixels.shape == (10, 11, 3)
    with pytest.raises(Rejected, match=r"asks for 11 x 10 pixels; the limit is 109 \(ingest.max_p"):
        decode(png, max_pixels=109)
    assert decode(png, max_bytes=len(png))
    with pytest.raises(Rejected, match=f"file_limit: .*the limit is {len(png) - 1} "):
        decode(png, max_bytes=len(png) - 1)


def test_gzip_that_unpacks_beyond_the_limit_stops_there():
    bomb = gzip.compress(fits_header(("BITPIX", 8), ("NAXIS", 0)) + b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(Rejected, match="file_limit: The gzip file unpacks to more than 1000000"):
        decode(bomb, max_bytes=1_000_000)


def test_many_small_gzip_members_do_not_take_forever():
    plain = fits_bytes(counts())
    small = b"".join(gzip.compress(plain[i : i + 4]) for i in range(0, len(plain), 4))
    padded = small + gzip.compress(b"") * 100_000  # 2 MB of nothing
    np.testing.assert_array_equal(decode(padded).pixels, decode(plain).pixels)


def test_giant_tiles_and_previews_of_tiff_are_refused():
    tiff = saved(picture(), "TIFF")
    with pytest.raises(Rejected, match=r"unsupported_format: The first page .* is a preview"):
        decode(saved(picture(), "TIFF", tiffinfo={254: 1}))
    # two private tags become TileWidth and TileLength
    tiled = saved(picture(), "TIFF", tiffinfo={65000: 60_000, 65001: 60_000})
    for private, tag in ((65000, 322), (65001, 323)):
        tiled = tiled.replace(struct.pack("<HHI", private, 3, 1), struct.pack("<HHI", tag, 3, 1))
        assert struct.pack("<HHI", tag, 3, 1) in tiled
    with pytest.raises(Rejected, match="pixel_limit: The header asks for 60000 x 60000"):
        decode(tiled)
    assert decode(tiff).channels == 3


def test_tiff_with_a_reduced_second_page_is_one_image():
    out = saved(
        Image.fromarray(picture()),
        "TIFF",
        save_all=True,
        append_images=[Image.fromarray(picture()[::2, ::2])],
    )
    # the second directory's tag NewSubfileType (254) says: reduced resolution
    with pytest.raises(Rejected, match="several_images: The TIFF has several full pages"):
        decode(out)
    first, second = Image.fromarray(picture()), Image.fromarray(picture()[::2, ::2])
    second.encoderinfo = {"tiffinfo": {254: 1}}
    out = saved(first, "TIFF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(out).pixels, picture())


def test_jpeg_of_thousands_of_scans_is_refused_before_decoding():
    jpeg = saved(picture(), "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    bomb = jpeg[:scan] + jpeg[scan:-2] * 200 + jpeg[-2:]
    with pytest.raises(Rejected, match="corrupt: The JPEG has more than 100 scans"):
        decode(bomb)


def test_text_chunk_that_unpacks_beyond_measure_is_refused():
    import zlib

    png = saved(picture(), "PNG")
    body = b"k\0\0" + zlib.compress(b"a" * 100_000_000, 9)
    bomb = png[:33] + png_chunk(b"zTXt", body) + png[33:]
    with pytest.raises(Rejected, match="corrupt: The PNG decoder says"):
        decode(bomb)


def test_details_are_one_printable_line_and_the_same_every_time():
    for name, (_, content) in broken_files().items():
        details = []
        for _ in range(2):
            with pytest.raises(Rejected) as caught:
                decode(content, **LIMITS)
            details.append(caught.value.detail)
        assert details[0] == details[1], name
        assert details[0].isprintable(), name
        assert "0x" not in details[0], name
        assert caught.value.reason in set(Reason), name


def test_every_reason_has_a_sentence():
    assert all(reason.meaning.endswith(".") for reason in Reason)
    assert [r for r in Reason if r != str(r)] == []


# ---------------------------------------------------------------------------- real files


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
def test_real_galaxies_decode():
    files = sorted((SHARED / "galaxies" / "images").iterdir())
    assert len(files) == 921
    for path in files[::20]:
        decoded = decode(path.read_bytes())
        assert (decoded.pixels.shape, decoded.format) == ((423, 423, 3), "jpeg")


SINGLE = {
    "HorseHead.fits": (893, 891),
    "M13_blue_0001.fits": (1040, 1392),
    "M51.fits": (512, 512),
    "c4d_171113_060340_ooi_r_ls9.N6.fits": (375, 280),
    "cosmos_147246_acs_masknoise.fits": (543, 543),
    "reprojected_sdss_g.fits.bz2": (496, 682),
    "reprojected_sdss_i.fits.bz2": (496, 682),
    "reprojected_sdss_r.fits.bz2": (496, 682),
    "sep_emmi_image.fits": (256, 256),
    "tpv.fits": (512, 512),
}
SEVERAL = [
    "AEGIS_F814w_images_01.fits",
    "decam_crops_mef.fits",
    "m13_5crops_mef.fits",
    "o4sp040b0_raw.fits",
]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
@pytest.mark.parametrize("name", [*SINGLE, *SEVERAL])
def test_real_fits(name):
    data = Path(SHARED / "fits" / name).read_bytes()
    if name in SEVERAL:
        with pytest.raises(Rejected, match="several_images"):
            decode(data)
        return
    decoded = decode(data)
    assert decoded.pixels.shape == SINGLE[name]
    assert decoded.stretch == "zscale+asinh"
    assert decoded.pixels.std() > 10  # neither black nor white


def test_a_cut_file_is_truncated_or_whole_and_never_another_image():
    for name, content in good_files().items():
        if not name.startswith(("colour", "deep0", "scaled0", "packed0")):
            continue
        whole = decode(content).pixels
        for cut in {*range(20, len(content), len(content) // 30), *range(-12, 0)}:
            try:
                pixels = decode(content[:cut]).pixels
            except Rejected as rejected:
                assert rejected.reason == "truncated", (name, cut, str(rejected))  # noqa: PT017
            else:
                np.testing.assert_array_equal(pixels, whole, err_msg=f"{name} at {cut}")


def summed(*hdus) -> bytes:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out, checksum=True)
    return out.getvalue()


class TestChecksums:
    def damaged(self, where: str) -> bytes:
        data = summed(fits.PrimaryHDU(np.arange(600, dtype=np.int16).reshape(20, 30)))
        if where == "data":
            return data[:2900] + bytes([data[2900] ^ 1]) + data[2901:]
        return data.replace(b"array data type", b"array data tyqe")

    @pytest.mark.parametrize("where", ["data", "header"])
    def test_wrong_ones(self, where):
        data = self.damaged(where)
        name = {"data": "DATASUM", "header": "CHECKSUM"}[where]
        assert decode(data).warning is None
        told = decode(data, fits_checksums="warn")
        assert told.warning.startswith(f"{name} of HDU 0 is wrong: ")
        assert (told.pixels == decode(data).pixels).all()
        with pytest.raises(Rejected, match=rf"corrupt: {name} of HDU 0 .*ingest\.fits_checksums"):
            decode(data, fits_checksums="reject")

    def test_right_ones(self):
        values = np.arange(600, dtype=np.int16).reshape(20, 30)
        for data in (
            summed(fits.PrimaryHDU(values)),
            summed(fits.PrimaryHDU(), fits.CompImageHDU(values)),
            fits_bytes(values),
        ):
            assert decode(data, fits_checksums="reject").warning is None
