"""The pass over the pixels, where no Spark is needed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minia_spark.base.errors import MiniaError
from minia_spark.engine import pixels
from minia_spark.engine.pixels import PixelPass, care_of_task, despite_deadly_images
from minia_spark.images.care import Care
from minia_spark.warehouse.storage import Storage


def test_scratch_of_other_runs_stays(tmp_path):
    storage = Storage(str(tmp_path))
    for place in ("run=1/batch=b1", "run=1/files=b1", "run=2/batch=b1"):
        storage.make_folder(f"scratch/{place}")
    context = SimpleNamespace(warehouse=SimpleNamespace(storage=storage))
    PixelPass(None, None, True, [], "scratch/run=1/batch=b1", context).remove()
    assert storage.folder_names("scratch") == ["run=2"]


class TestCare:
    LOST = MiniaError("SparkException: Python worker exited unexpectedly (crashed)")

    @pytest.fixture
    def said(self):
        return []

    def context(self, said, master):
        spark = SimpleNamespace(sparkContext=SimpleNamespace(master=master))
        return SimpleNamespace(
            spark=spark, title="ingest b1", progress=SimpleNamespace(warn=said.append)
        )

    @pytest.mark.parametrize(
        ("attempt", "is_retried", "care"),
        [(0, False, Care.ALARM), (0, True, Care.GUARD), (1, False, Care.GUARD)],
    )
    def test_what_is_tried_again_has_a_guard(self, monkeypatch, attempt, is_retried, care):
        task = SimpleNamespace(attemptNumber=lambda: attempt)
        monkeypatch.setattr(pixels, "TaskContext", SimpleNamespace(get=lambda: task))
        assert care_of_task(is_retried=is_retried) is care

    def test_a_worker_that_died_costs_a_second_try(self, said):
        tries = []

        def write(is_retried):
            tries.append(is_retried)
            if not is_retried:
                raise self.LOST

        despite_deadly_images(self.context(said, "local[2]"), write)
        assert tries == [False, True]
        assert said[0].startswith("ingest b1: a worker died; the pass is made again")

    @pytest.mark.parametrize(
        ("master", "error"),
        [
            ("local[2]", MiniaError("something else")),
            ("local-cluster[2,1,1024]", LOST),
            ("spark://host:7077", LOST),
        ],
    )
    def test_where_that_is_no_reason_or_has_been_done(self, said, master, error):
        tries = []

        def write(is_retried):
            tries.append(is_retried)
            raise error

        with pytest.raises(MiniaError, match=r"unexpectedly|something else"):
            despite_deadly_images(self.context(said, master), write)
        assert tries == [False]
        assert said == []
