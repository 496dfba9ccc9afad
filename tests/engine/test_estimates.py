"""What a run would need; the sums are small enough to be done by hand."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from commands import SETTINGS

from minia_spark.base.errors import SettingsError
from minia_spark.engine import estimates
from minia_spark.engine.estimates import check_disk, check_memory, estimate, print_plan
from minia_spark.engine.plan import STAGES, Request, make_plan
from minia_spark.engine.session import default_partitions
from minia_spark.rooms import HOUSE
from minia_spark.engine.stage import Source
from minia_spark.warehouse.warehouse import Warehouse

MIB = 1 << 20


def needs_of(location, *settings, batch=None, images=None):
    own = HOUSE.load_settings(None, [*SETTINGS, *settings])
    sources = {batch: Source(images)} if images is not None else {}
    request = Request("test", tuple(s.name for s in STAGES), batch, sources)
    house = Warehouse(str(location))
    plan = make_plan(request, own, house)
    return plan, estimate(plan, request, own, house)


class TestEstimate:
    def test_before_any_image_was_seen(self, tmp_path, survey):
        settings = ("spark.master=local[2]", "codebook.size=100")
        _, needs = needs_of(tmp_path / "W", *settings, batch="b1", images=survey.images)
        assert (needs.images, needs.new_images) == (60, 60)
        assert (needs.features_per_image, needs.features_are_measured) == (100.0, False)
        assert (needs.cores, needs.partitions) == (2, 3)
        assert needs.features_bytes == 60 * 100 * (128 + 20)
        assert needs.codebook_bytes == 100 * 128 * 4
        assert needs.signatures_bytes == 100 * 3 * 300 * 4 * (1 + 2)
        # an image of 16 million pixels takes most
        assert needs.task_bytes == 150 * MIB + 16_000_000 * 230

    def test_with_what_was_measured(self, warehouse, survey):
        _, needs = needs_of(warehouse, batch="b2", images=survey.images)
        assert (needs.images, needs.new_images) == (120, 60)
        assert needs.features_are_measured
        assert 30 < needs.features_per_image < 36

    def test_replacing_a_batch_adds_none(self, warehouse, survey):
        _, needs = needs_of(warehouse, batch="b1", images=survey.images)
        assert (needs.images, needs.new_images) == (60, 60)
        _, needs = needs_of(warehouse)
        assert (needs.images, needs.new_images) == (60, 0)

    def test_on_a_cluster_only_the_cluster_knows(self, warehouse):
        _, needs = needs_of(warehouse, "spark.master=spark://host:7077")
        assert (needs.cores, needs.partitions) == (None, None)

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


class TestCheckMemory:
    def test_the_defaults_fit(self):
        check_memory(HOUSE.load_settings(None, ["spark.master=local[2]"]))

    def test_a_codebook_that_does_not(self, monkeypatch):
        """2 x (150 MiB + 5 x 1,000,000 x 128 x 4) = 5,182.8 MiB."""
        given = ("codebook.size=1000000", "codebook.sample_size=1000000")
        settings = HOUSE.load_settings(None, ["spark.master=local[2]", *given])
        pages = {"SC_PAGE_SIZE": MIB, "SC_PHYS_PAGES": 5182}
        monkeypatch.setattr(os, "sysconf", pages.__getitem__)
        with pytest.raises(SettingsError, match=r"2 tasks would need 5\.061 GiB .* has 5\.061 GiB"):
            check_memory(settings)
        pages["SC_PHYS_PAGES"] = 5183
        check_memory(settings)

    def test_signatures_that_do_not_fit_the_disk(self, monkeypatch, tmp_path):
        """1,000 x 2 x 10,000 x 4 x (1 + 1) = 152.6 MiB."""
        given = ("mining.tuple_size=2", "mining.tables=10000", "mining.seeds=1")
        settings = HOUSE.load_settings(None, given)
        free = {"bytes": 160_000_000 - 1}
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free["bytes"])
        )
        where = tmp_path / "not" / "yet"
        with pytest.raises(SettingsError, match=r"need 152\.6 MiB and .* has 152\.6 MiB left"):
            check_disk(settings, where)
        check_disk(settings, None)
        free["bytes"] += 1
        check_disk(settings, where)

    def test_a_cluster_is_not_judged(self):
        check_memory(HOUSE.load_settings(None, ["spark.master=yarn", "mining.tables=1000000"]))

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
        assert estimates._local_cores(master) == cores

    def test_no_core(self):
        with pytest.raises(SettingsError, match=r"spark\.master 'local\[0\]' leaves no core"):
            check_memory(HOUSE.load_settings(None, ["spark.master=local[0]"]))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (5 << 30, "5 GiB"), (3 << 40, "3 TiB")],
)
def test_sizes(size, text):
    assert estimates._size(size) == text


@pytest.mark.parametrize(
    ("rows", "cores", "chosen", "wanted"),
    [
        (0, 2, None, 1),
        (31, 2, None, 1),
        (64, 2, None, 4),  # sixteen images each
        (1000, 2, None, 32),  # sixteen a core
        (100_000, 2, None, 97),  # 1,024 images each
        (1000, 2, 3, 3),
    ],
)
def test_partitions(rows, cores, chosen, wanted):
    assert default_partitions(rows, cores, chosen) == wanted
