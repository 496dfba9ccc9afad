"""What ``build.sh package`` lays out is all that spark-submit needs.

Heavy: packing fetches packages, and every executor unpacks 600 MB. The small twin, with the
packages of .venv, is test_standalone.py.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from .standalone import private_spark_home, submit

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("probe.py")
SUBMIT = ["--properties-file", "conf/spark-defaults.conf"]
SMALL = [
    f"--conf=spark.{name}"
    for name in (
        "executor.cores=1",
        "executor.memory=1g",
        "driver.memory=1g",
        "scheduler.minRegisteredResourcesRatio=1.0",
    )
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A copy of dist/ as on another machine, with the driver's environment unpacked."""
    subprocess.run([ROOT / "build.sh", "package"], check=True, stdin=subprocess.DEVNULL)
    folder = tmp_path_factory.mktemp("elsewhere") / "dist"
    subprocess.run(["cp", "-R", ROOT / "dist", folder], check=True)
    with tarfile.open(folder / "environment.tar.gz") as archive:
        archive.extractall(folder / "environment", filter="data")
    return folder


def check(facts_file):
    facts = json.loads(facts_file.read_text())
    assert len({fact["folder"] for fact in facts}) == 2
    for fact in facts:
        # nothing comes from .venv or the system: all from the files that were sent
        for package in ("numpy", "cv2"):
            assert fact[package].startswith(f"{fact['folder']}/environment/lib/")
        assert fact["minia_spark"].startswith(f"{fact['folder']}/minia_spark-")
        assert fact["smh_exit"] == 0


def test_standalone_with_nothing_but_the_package(cluster, dist, tmp_path):
    facts = tmp_path / "facts.json"
    done = cluster.submit(*SUBMIT, *SMALL, str(PROBE), str(facts), folder=dist)
    assert done.returncode == 0, done.stderr[-4000:]
    check(facts)


def test_local_cluster_with_nothing_but_the_package(dist, tmp_path):
    facts = tmp_path / "facts.json"
    master = ["--master", "local-cluster[2,1,2048]"]
    home = str(private_spark_home(tmp_path))
    done = submit(*master, *SUBMIT, *SMALL, str(PROBE), str(facts), folder=dist, SPARK_HOME=home)
    assert done.returncode == 0, done.stderr[-4000:]
    check(facts)


def test_the_same_package_twice_has_the_same_bytes(dist):
    def digests():
        kinds = (".gz", ".zip", ".whl")
        names = [f.name for f in dist.iterdir() if f.suffix in kinds or f.name == "smh"]
        return {n: hashlib.sha256((ROOT / "dist" / n).read_bytes()).hexdigest() for n in names}

    first = digests()
    assert len(first) == 4
    (ROOT / "build" / "environment.stamp").unlink()
    subprocess.run([ROOT / "build.sh", "package"], check=True, stdin=subprocess.DEVNULL)
    assert digests() == first
