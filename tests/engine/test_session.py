"""Starting Spark: what keeps it from starting is told, each by its own cause."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minia_spark.base.errors import MiniaError
from minia_spark.engine import session as module
from minia_spark.engine.session import open_session, require_connector
from minia_spark.engine.settings import SparkSettings

START = """
from minia_spark.engine.session import open_session
from minia_spark.engine.settings import SparkSettings
settings = SparkSettings(master="local[1]", driver_memory="512m")
print(open_session(settings).range(10).count())
"""


def started(*around: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start Spark in a process of its own, behind another command; skip where that is refused."""
    if subprocess.run([*around, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{around[0]} is not allowed here")
    return subprocess.run(
        [*around, sys.executable, "-c", START],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
        timeout=300,
    )


def why(monkeypatch: pytest.MonkeyPatch, error: str = "gateway exited") -> str:
    """Return what the user is told when Spark's launcher fails."""

    def fail(_: object) -> None:
        raise RuntimeError(error)

    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)  # of another test's session
    monkeypatch.setattr(module, "_start_java", fail)
    with pytest.raises(MiniaError) as told:
        open_session(SparkSettings(master="local[1]"))
    return str(told.value)


class TestWhyItDoesNotStart:
    def test_no_cause_that_we_know(self, monkeypatch):
        told = why(monkeypatch)
        assert told.startswith("Spark does not start (gateway exited); it needs Java 17 or later")

    def test_a_user_without_a_name(self, monkeypatch):
        def nobody(uid: int) -> None:
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", nobody)
        told = why(monkeypatch)
        assert f"user number {os.getuid()} has no name on this machine" in told
        assert "/etc/passwd" in told
        assert "Java 17" not in told

    def test_no_folder_for_temporary_files(self, monkeypatch):
        def none() -> str:
            raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "gettempdir", none)
            told = why(patch)
        assert "no folder for temporary files can be written" in told
        assert "set TMPDIR" in told
        assert "Java 17" not in told

    def test_a_scratch_folder_that_cannot_be_written(self, monkeypatch, tmp_path):
        closed = tmp_path / "closed"
        closed.mkdir()
        monkeypatch.setattr(os, "access", lambda path, _: Path(path) != closed)
        monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/new,{closed}/below")
        assert "Java 17" in why(monkeypatch)  # one is enough
        monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{closed}/below")
        told = why(monkeypatch)
        assert f"Spark's scratch folder {closed}/below cannot be written" in told
        assert "set SPARK_LOCAL_DIRS" in told
        assert "Java 17" not in told


def test_java_compiles_thoroughly_only_for_mllib():
    def options(master: str, *, mllib: bool) -> str:
        wanted = module._wanted(SparkSettings(), master, None, mllib=mllib)
        return wanted["spark.driver.extraJavaOptions"]

    assert "TieredStopAtLevel=1" in options("local[2]", mllib=False)
    assert "TieredStopAtLevel" not in options("local[2]", mllib=True)
    assert "TieredStopAtLevel" not in options("yarn", mllib=False)  # Java runs there already


class TestTemporaryFolder:
    def options(self, **conf: str) -> str:
        wanted = module._wanted(SparkSettings(conf=conf), "local[1]", None, mllib=False)
        return wanted["spark.driver.extraJavaOptions"]

    def test_is_ours_also_for_java(self, monkeypatch, tmp_path):
        """Java itself knows /tmp only."""
        folder = tmp_path / 'with space and "quotes"'
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(folder))
        assert f" '-Djava.io.tmpdir={folder}' " in self.options()
        own = {"spark.driver.extraJavaOptions": "-Djava.io.tmpdir=/own"}
        assert self.options(**own).endswith("-Djava.io.tmpdir=/own")  # the last one wins

    def test_is_left_alone_where_java_takes_it_anyway(self, monkeypatch):
        monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp")
        assert "java.io.tmpdir" not in self.options()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, of util-linux")
class TestOnSpark:
    def test_a_user_without_a_name(self):
        found = started("unshare", "--user", "--map-user=12345", "--map-group=12345")
        assert "user number 12345 has no name on this machine" in found.stderr
        assert "Java 17" not in found.stderr

    @pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs another place")
    def test_a_temporary_folder_that_is_read_only(self):
        read_only = 'mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp && exec "$@"'
        around = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", read_only, "sh")
        with tempfile.TemporaryDirectory(prefix="with space ", dir="/dev/shm") as scratch:
            found = started(*around, TMPDIR=scratch)
        assert found.stdout == "10\n", found.stderr


def test_which_jar_is_missing_for_an_object_store(spark):
    require_connector(spark, "file:///W")
    require_connector(spark, "hdfs://name/W")
    with pytest.raises(MiniaError, match="to s3://survey/W for want of a jar: name hadoop-aws-3"):
        require_connector(spark, "s3://survey/W")
    with pytest.raises(MiniaError, match="gcs-connector"):
        require_connector(spark, "gs://survey/W")
