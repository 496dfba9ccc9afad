"""What a run would need; the sums are small enough to be done by hand."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
from commands import SETTINGS, SMALL, run_minia

from minia_spark.base.errors import SettingsError
from minia_spark.engine import cost
from minia_spark.engine.cost import (
    Cost,
    Rates,
    Sizes,
    check_disk,
    check_memory,
    cost_of,
    estimate,
    local_cores,
    print_plan,
    probe,
    size,
)
from minia_spark.engine.plan import Request, make_plan
from minia_spark.engine.session import default_partitions
from minia_spark.engine.stage import Source
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.warehouse import Warehouse

MIB = 1 << 20


@pytest.fixture(autouse=True)
def known_rates(monkeypatch):
    """A machine that is measured anew would give other sums each time."""
    monkeypatch.setattr(cost, "probe", Rates)


def needs_of(location, *settings, batch=None, images=None):
    own = HOUSE.load_settings(None, [*SETTINGS, *settings])
    sources = {batch: Source(images)} if images is not None else {}
    request = Request("test", HOUSE.stages_of(["discovery"]), sources=sources, replace=True)
    plan, planner = make_plan(HOUSE, request, own, Warehouse(str(location)))
    return plan, estimate(plan, planner)


class TestEstimate:
    def test_before_any_image_was_seen(self, tmp_path, survey):
        settings = ("spark.master=local[2]", "codebook.size=100")
        _, needs = needs_of(tmp_path / "W", *settings, batch="b1", images=survey.images)
        assert (needs.images, needs.new_images) == (60, 60)
        assert (needs.features_per_image, needs.features_are_measured) == (100.0, False)
        assert (needs.cores, needs.partitions) == (2, 3)
        features = 60 * 100 * (128 + 20)
        signatures = 100 * 3 * 300 * 4 * (1 + 2)
        words = 60 * 100 * 4 + 60 * 100 * 12
        codebook = 100 * 128 * 4
        assert needs.written_bytes > features + signatures + words + codebook

    def test_with_what_was_measured(self, warehouse, survey):
        _, needs = needs_of(warehouse, batch="b2", images=survey.images)
        assert (needs.images, needs.new_images) == (120, 60)
        assert needs.features_are_measured
        assert 30 < needs.features_per_image < 36

    def test_replacing_a_batch_adds_none(self, warehouse, survey):
        _, needs = needs_of(warehouse, batch="b1", images=survey.images)
        assert (needs.images, needs.new_images) == (60, 60)
        plan, needs = needs_of(warehouse)
        assert (needs.images, needs.new_images) == (60, 0)
        assert plan.is_empty
        assert (needs.written_bytes, needs.seconds) == (0, 0.0)

    def test_on_a_cluster_only_the_cluster_knows(self, warehouse):
        _, needs = needs_of(warehouse, "spark.master=spark://host:7077")
        assert (needs.cores, needs.partitions, needs.seconds) == (None, None, None)

    def test_printed(self, warehouse, survey, capsys):
        plan, needs = needs_of(
            warehouse, "spark.master=spark://host:7077", batch="b2", images=survey.images
        )
        print_plan(plan, needs, as_json=False)
        out = capsys.readouterr().out
        assert "partitions        by the cluster's cores, on the cluster's cores" in out
        assert "images            120 (60 listed in the given folder)" in out
        assert "(measured)" in out
        print_plan(plan, needs, as_json=True)
        assert json.loads(capsys.readouterr().out)["needs"]["partitions"] is None


class TestWhatTheMachineMustHave:
    def test_the_defaults_fit(self):
        check_memory(HOUSE, HOUSE.load_settings(None, ["spark.master=local[2]"]))

    def test_a_codebook_that_does_not(self, monkeypatch):
        """2 x (150 MiB + 5 x 1,000,000 x 128 x 4) = 5,182.8 MiB."""
        given = ("codebook.size=1000000", "codebook.sample_size=1000000")
        settings = HOUSE.load_settings(None, ["spark.master=local[2]", *given])
        pages = {"SC_PAGE_SIZE": MIB, "SC_PHYS_PAGES": 5182}
        monkeypatch.setattr(os, "sysconf", pages.__getitem__)
        wanted = (
            r"2 tasks of stage codebook would need 5\.06 GiB of memory and this machine has "
            r"5\.06 GiB: a task holds the codebook several times: codebook\.size x"
        )
        with pytest.raises(SettingsError, match=wanted):
            check_memory(HOUSE, settings)
        pages["SC_PHYS_PAGES"] = 5183
        check_memory(HOUSE, settings)

    def test_pairs_that_do_not_fit_the_disk(self, monkeypatch, tmp_path):
        """1,000 x 1,000 / 2 x 8 x (1 + 1 + 1 + 37) = 152.6 MiB."""
        given = ("codebook.size=1000", "mining.seeds=1", "mining.decoys=37")
        settings = HOUSE.load_settings(None, given)
        free = {"bytes": 160_000_000 - 1}
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free["bytes"])
        )
        where = tmp_path / "not" / "yet"
        wanted = r"stage pairs would write 153 MiB .* has 153 MiB left: it writes pairs of words x"
        with pytest.raises(SettingsError, match=wanted):
            check_disk(HOUSE, settings, where)
        check_disk(HOUSE, settings, None)
        free["bytes"] += 1
        check_disk(HOUSE, settings, where)

    def test_a_cluster_is_not_judged(self):
        given = ["spark.master=yarn", "mining.tables=1000000"]
        check_memory(HOUSE, HOUSE.load_settings(None, given))

    @pytest.mark.parametrize(
        ("master", "cores"),
        [
            ("local", 1),
            ("local[3]", 3),
            ("local[3,2]", 3),
            ("local[3, 2]", 3),
            ("local[*]", os.cpu_count()),
            ("local[*,4]", os.cpu_count()),
            ("local-cluster[2,1,2048]", None),
            ("yarn", None),
            ("k8s://https://host:443", None),
        ],
    )
    def test_cores(self, master, cores):
        assert local_cores(master) == cores

    def test_no_core(self):
        with pytest.raises(SettingsError, match=r"spark\.master 'local\[0\]' leaves no core"):
            check_memory(HOUSE, HOUSE.load_settings(None, ["spark.master=local[0]"]))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1,000 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5 GiB"),
        (3 << 40, "3 TiB"),
    ],
)
def test_sizes(size_bytes, text):
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("rows", "cores", "chosen", "wanted"),
    [
        (0, 2, None, 1),
        (31, 2, None, 1),
        (64, 2, None, 4),  # sixteen images each
        (1000, 2, None, 8),  # four a core: each costs Java some 0.2 s
        (100_000, 2, None, 97),  # 1,024 images each
        (1000, 2, 3, 3),
    ],
)
def test_partitions(rows, cores, chosen, wanted):
    assert default_partitions(rows, cores, chosen) == wanted


def cost_at(stage, images, *settings, features=50.0, pixels=10_000.0, cores=10):
    own = HOUSE.load_settings(None, settings)
    declared = HOUSE.by_name[stage]
    (variant, *_) = HOUSE.variants(declared, own)
    return cost_of(declared, Sizes(images, pixels, features, cores, own, variant))


class TestLaws:
    def test_features_by_hand(self):
        """A thousand images of 10,000 pixels at 90 ns a pixel."""
        found = cost_at("features", 1000)
        assert found.core_seconds == pytest.approx(1000 * 10_000 * 90e-9)
        assert found.written_bytes == 1000 * 50 * (128 + 5 * 4)
        assert found.seconds(5) == pytest.approx(0.5 + found.core_seconds / 5)
        assert found.seconds(10**9) > 0.5  # no more cores than tasks

    def test_words_by_hand(self):
        """A row 0.03 ms; a descriptor 1,000 words x 128 numbers x 62 ps."""
        found = cost_at("words", 1000, "codebook.size=1000")
        words = 1000 * (0.03e-3 + 50 * 1000 * 128 * 62e-12)
        assert found.core_seconds == pytest.approx(words)

    def test_a_faster_machine(self):
        own = HOUSE.load_settings(None, ["codebook.size=1000"])
        sizes = Sizes(1000, 1e4, 50.0, 2, own, "sift")
        fast = replace(sizes, rates=Rates(product=31e-12, pixel=45e-9))
        stage = HOUSE.by_name["features"]
        ratio = cost_of(stage, sizes).core_seconds / cost_of(stage, fast).core_seconds
        assert ratio == pytest.approx(2)

    def test_work_grows_with_images_and_memory_does_not(self):
        for stage in ("ingest", "features", "words", "structures"):
            one, ten = cost_at(stage, 10**7), cost_at(stage, 10**8)
            assert ten.core_seconds == pytest.approx(10 * one.core_seconds), stage
            assert ten.task_bytes == one.task_bytes, stage
        one, ten = cost_at("mine", 10**7), cost_at("mine", 10**8)
        assert ten.driver_seconds == one.driver_seconds
        assert ten.written_bytes == one.written_bytes

    @pytest.mark.parametrize(
        ("setting", "stage"),
        [
            ("codebook.size=2000", "words"),
            ("mining.tables=4000", "mine"),
            ("mining.decoys=20", "mine"),
            ("mining.seeds=9", "mine"),
        ],
    )
    def test_settings_that_cost(self, setting, stage):
        given = "codebook.size=1000"
        more = cost_at(stage, 10**6, given, setting).core_seconds
        assert more > cost_at(stage, 10**6, given).core_seconds

    def test_nothing_is_free(self):
        assert Cost().seconds(4) > 0


def test_the_probe_measures_this_machine():
    """Between a supercomputer's core and one of thirty years ago."""
    found = probe(0.01)
    assert 1e-13 < found.product < 1e-8
    assert 1e-10 < found.pixel < 1e-4


def test_printed_for_any_size(warehouse):
    given = ("plan", "--warehouse", warehouse, "--for-images", "1000000", "--cores", "8", *SMALL)
    out = run_minia(*given).expect(0).out
    assert out.startswith("1,000,000 images at once, on 8 cores like those of this machine\n")
    names = [line.split()[0] for line in out.splitlines()[3:]]
    # images come in one way: by 'ingest', not by 'import' too
    usual = [name for name in HOUSE.stages_of(("discovery",)) if name != "import"]
    assert names == [*usual, "all"]
    told = json.loads(run_minia(*given, "--json").expect(0).out)
    assert (told["images"], told["cores"]) == (1_000_000, 8)
    # images and features as they are in the warehouse: 128 x 128 pixels
    work = told["stages"][1]["core_seconds"]
    assert work == pytest.approx(1_000_000 * 128 * 128 * 90e-9)
    own = json.loads(run_minia(*given, "--json", "--pixels", "100").expect(0).out)
    assert own["stages"][1]["core_seconds"] < work


def test_refused(tmp_path):
    location = ("plan", "--warehouse", tmp_path / "W")
    unknown = run_minia(*location, "--for-images", "10", "--set", "spark.master=yarn").expect(2)
    assert "give --cores: how many yarn has is not known here" in unknown.err
    alone = run_minia(*location, "--cores", "4").expect(2)
    assert "belong to --for-images" in alone.err
