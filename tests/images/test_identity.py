"""image_id and URI: readable where they can be, reversible always."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.images.identity import (
    content_hash,
    image_id_of,
    path_of_image_id,
    path_of_uri,
    uri_of,
)


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        ("galaxia ñ 銀河.png".encode(), "galaxia ñ 銀河.png"),
        (b"100%.png", "100%25.png"),
        (b"line\nbreak\t.png", "line%0Abreak%09.png"),
        (b"not utf-8 \xff\xfe.png", "not utf-8 %FF%FE.png"),
        ("right-to-left \u202e.png".encode(), "right-to-left %E2%80%AE.png"),
        ("no-break\u00a0space".encode(), "no-break%C2%A0space"),
        (b"<script>alert('1')</script>\"", "<script>alert('1')</script>\""),
        (b"\x00", "%00"),
        (b"", ""),
    ],
)
def test_by_hand(path, image_id):
    assert image_id_of(path) == image_id
    assert path_of_image_id(image_id) == path


@given(st.binary(max_size=300))
def test_path_comes_back_and_the_id_is_one_safe_line(path):
    image_id = image_id_of(path)
    assert path_of_image_id(image_id) == path
    assert image_id.encode("utf-8").decode("utf-8") == image_id
    assert len(image_id.splitlines()) <= 1


@given(st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_text_comes_back(path):
    assert path_of_image_id(image_id_of(path)) == path


@given(st.lists(st.binary(max_size=6), min_size=2, max_size=30, unique=True))
def test_no_two_paths_share_an_id(paths):
    assert len({image_id_of(path) for path in paths}) == len(paths)


def test_names_that_only_look_alike_stay_different():
    composed, decomposed = "é".encode(), "e\u0301".encode()
    assert image_id_of(composed) != image_id_of(decomposed)
    assert image_id_of(b"%41") != image_id_of(b"A")


@given(st.binary(max_size=200).map(lambda tail: b"/" + tail), st.sampled_from(["", "row=1"]))
def test_uri_round_trip(path, fragment):
    uri = uri_of(path, fragment)
    assert uri.isascii()
    assert uri.isprintable()
    assert path_of_uri(uri) == (path, fragment)


def test_uris_of_other_writers():
    for uri in ("file:/a%20b", "file:///a%20b", "file://localhost/a%20b", "FILE:///a%20b"):
        assert path_of_uri(uri) == (b"/a b", "")
    assert uri_of(b"/a #1?.png") == "file:///a%20%231%3F.png"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("hdfs://n/a", "only file: URIs can be opened, not 'hdfs://n/a'"),
        ("/a/b", "only file: URIs can be opened"),
        ("file://other/a", "names no other host"),
        ("file:a", "needs an absolute path"),
    ],
)
def test_wrong_uris(uri, message):
    with pytest.raises(ValueError, match=message):
        path_of_uri(uri)


def test_relative_path_has_no_uri():
    with pytest.raises(ValueError, match="a URI needs an absolute path, not b'a/b'"):
        uri_of(b"a/b")


def test_content_hash():
    assert content_hash(b"abc") == hashlib.sha256(b"abc").hexdigest()
    # FIPS 180-2, appendix B.1
    assert content_hash(b"abc").startswith("ba7816bf8f01cfea")
