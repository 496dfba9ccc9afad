"""The laws of scale, by hand."""

from __future__ import annotations

import json

import pytest
from commands import SMALL, run_minia

from minia_spark.engine.scale import costs
from minia_spark.rooms import HOUSE


def costs_of(images, *settings, features=50.0, pixels=10_000.0, cores=10):
    own = HOUSE.load_settings(None, settings)
    found = costs(images, features=features, pixels=pixels, settings=own, cores=cores)
    return {cost.stage: cost for cost in found}


def test_features_by_hand():
    """A thousand images of 10,000 pixels: 1 ms each, and 90 ns a pixel."""
    found = costs_of(1000)["features"]
    assert found.core_seconds == pytest.approx(1000 * (1e-3 + 10_000 * 90e-9))
    assert found.written_bytes == 1000 * 50 * (128 + 5 * 4)
    assert found.seconds(5) == pytest.approx(found.driver_seconds + found.core_seconds / 5)
    assert found.seconds(10**9) > found.driver_seconds  # no more cores than tasks


def test_words_and_vocabulary_by_hand():
    """A row 0.03 ms, a distance 8 ns; all of it ten times in the vocabulary, and once before."""
    found = costs_of(1000, "codebook.sample_size=1000", "codebook.refine_iterations=10")
    words = 1000 * (0.03e-3 + 50 * 1000 * 8e-9)
    assert found["words"].core_seconds == pytest.approx(words)
    sample = 1000 * 1000 * 60e-9 * 12
    assert found["vocabulary"].core_seconds == pytest.approx(11 * words + sample)


def test_work_grows_with_images_and_memory_does_not():
    one, ten = costs_of(10**7), costs_of(10**8)
    for stage in ("ingest", "features", "words", "sketch", "structures"):
        assert ten[stage].core_seconds == pytest.approx(10 * one[stage].core_seconds), stage
        assert ten[stage].task_bytes == one[stage].task_bytes, stage
    assert ten["mine"].driver_seconds == one["mine"].driver_seconds
    assert ten["sketch"].written_bytes == one["sketch"].written_bytes


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("codebook.size=2000", "words"),
        ("mining.tables=4000", "sketch"),
        ("mining.decoys=20", "mine"),
        ("mining.seeds=9", "sketch"),
    ],
)
def test_settings_that_cost(setting, stage):
    assert costs_of(10**6, setting)[stage].core_seconds > costs_of(10**6)[stage].core_seconds


def test_printed(warehouse):
    given = ("plan", "--warehouse", warehouse, "--for-images", "1000000", "--cores", "8", *SMALL)
    out = run_minia(*given).expect(0).out
    assert out.startswith("1,000,000 images at once, on 8 cores\n")
    assert [line.split()[0] for line in out.splitlines()[3:]] == [
        *("ingest", "features", "vocabulary", "words", "sketch", "mine", "structures", "report"),
        "all",
    ]
    told = json.loads(run_minia(*given, "--json").expect(0).out)
    assert (told["images"], told["cores"], len(told["stages"])) == (1_000_000, 8, 8)
    # images and features as they are in the warehouse: 128 x 128 pixels
    work = told["stages"][1]["core_seconds"]
    assert work == pytest.approx(1_000_000 * (1e-3 + 128 * 128 * 90e-9))
    own = json.loads(run_minia(*given, "--json", "--pixels", "100").expect(0).out)
    assert own["stages"][1]["core_seconds"] < work


def test_refused(tmp_path):
    location = ("plan", "--warehouse", tmp_path / "W")
    unknown = run_minia(*location, "--for-images", "10", "--set", "spark.master=yarn").expect(2)
    assert "give --cores: how many yarn has is not known here" in unknown.err
    alone = run_minia(*location, "--cores", "4").expect(2)
    assert "belong to --for-images" in alone.err
