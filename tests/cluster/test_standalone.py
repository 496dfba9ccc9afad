"""The test cluster itself: workers as on real nodes, files that spark-submit sends, a clean end."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from pathlib import Path

import pytest

import minia_spark

from .standalone import StandaloneCluster

PROBE = Path(__file__).with_name("probe.py")
WAIT_FOR_ALL = ["--conf", "spark.scheduler.minRegisteredResourcesRatio=1.0"]


@pytest.fixture(scope="module")
def package_zip(tmp_path_factory):
    """The package as build.sh packs it, but in a second and without the network."""
    folder = Path(minia_spark.__file__).parent
    target = tmp_path_factory.mktemp("zip") / "minia_spark.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, Path("minia_spark") / file.relative_to(folder))
    return target


@pytest.fixture
def smh(tmp_path):
    """A stand-in program: what is tested is that executors get it, and may run it."""
    program = tmp_path / "smh"
    program.write_text("#!/bin/sh\nexit 0\n")
    return program


def test_executors_find_what_spark_submit_sends(cluster, package_zip, smh, tmp_path):
    facts_file = tmp_path / "facts.json"
    files = ["--py-files", str(package_zip), "--files", str(smh), *WAIT_FOR_ALL]
    done = cluster.submit(
        *files, str(PROBE), str(facts_file), folder=tmp_path, PYSPARK_PYTHON=sys.executable
    )
    assert done.returncode == 0, done.stderr[-4000:]
    facts = json.loads(facts_file.read_text())
    assert len(facts) == 4
    # each worker has work folders of its own, and both took part
    assert {Path(fact["folder"]).parents[2] for fact in facts} == {
        w.folder for w in cluster.workers
    }
    for fact in facts:
        assert fact["minia_spark"].startswith(f"{fact['folder']}/minia_spark.zip/")
        assert Path(fact["smh"]).parent == Path(fact["folder"])
        assert fact["smh_exit"] == 0
        assert fact["home"] == "/nonexistent"


@pytest.mark.heavy
def test_nothing_outlives_the_cluster(tmp_path):
    with StandaloneCluster(tmp_path / "cluster", workers=1) as cluster:
        pids = cluster.processes()
        assert len(pids) == 2
        assert sum("deploy.worker.Worker" in command for command in pids.values()) == 1
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.heavy
def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing(tmp_path):
    cluster = StandaloneCluster(tmp_path / "cluster", workers=1, memory="nonsense")
    with pytest.raises(RuntimeError, match="worker0 did not start"), cluster:
        pass
    assert cluster.processes() == {}
