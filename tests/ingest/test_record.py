"""decoded_of_file and decode_known: records with pixels, one image at a time."""

from __future__ import annotations

import os
import weakref

import numpy as np
import pytest
from image_samples import LIMITS, parquet_of, picture, saved

from minia_spark.base.errors import Rejected
from minia_spark.images.decode import decode, decode_known
from minia_spark.images.identity import content_hash
from minia_spark.images.reader import ImageReader
from minia_spark.ingest import record as module
from minia_spark.ingest.record import RejectRecord, decoded_of_file, records_of_file


def found_in(folder, name: str):
    return decoded_of_file(os.fsencode(folder), name.encode(), **LIMITS)


def test_a_record_comes_with_the_pixels_it_is_of(tmp_path):
    data = saved(picture(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    ((record, decoded),) = found_in(tmp_path, "a.png")
    assert np.array_equal(decoded.pixels, picture())
    assert (record.height, record.width, record.channels) == decoded.pixels.shape
    assert record.content_hash == content_hash(data)
    assert list(records_of_file(os.fsencode(tmp_path), b"a.png", **LIMITS)) == [record]
    with ImageReader(max_bytes=LIMITS["max_bytes"]) as reader:
        again = decode_known(reader, record.uri, record.content_hash, **LIMITS)
        assert np.array_equal(again.pixels, decoded.pixels)


def test_a_file_that_is_no_image_is_a_reject(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")
    (only,) = found_in(tmp_path, "a.png")
    assert isinstance(only, RejectRecord)
    assert only.reason == "not_an_image"


def test_a_file_that_changed_since_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(picture(), "PNG"))
    ((record, _),) = found_in(tmp_path, "a.png")
    (tmp_path / "a.png").write_bytes(saved(picture(seed=1), "PNG"))
    with (
        ImageReader(max_bytes=LIMITS["max_bytes"]) as reader,
        pytest.raises(Rejected, match=r"unreadable: The file has changed since .* batch again\."),
    ):
        decode_known(reader, record.uri, record.content_hash, **LIMITS)


def test_one_image_is_in_memory_at_a_time(tmp_path, monkeypatch):
    """Whoever asks for the next has dropped the one before, and nobody else holds it."""
    images = [saved(picture(seed=seed), "PNG") for seed in range(5)]
    (tmp_path / "a.parquet").write_bytes(parquet_of(images))
    alive: list[weakref.ref] = []

    def decoding(data, **options):
        assert all(earlier() is None for earlier in alive)
        decoded = decode(data, **options)
        alive.append(weakref.ref(decoded.pixels))
        return decoded

    monkeypatch.setattr(module, "decode", decoding)
    for take in (decoded_of_file, records_of_file):
        rest = take(os.fsencode(tmp_path), b"a.parquet", **LIMITS)
        while next(rest, None) is not None:
            pass
    assert len(alive) == 10
