"""The archive of Java's classes: where there is none, a place with blanks, one that is made."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from minia_spark.engine.session import archive_options

START = """
import sys
from pathlib import Path
from minia_spark.engine.session import open_session
from minia_spark.engine.settings import SparkSettings

java = f"-Xlog:class+load:file={sys.argv[2]}"
settings = SparkSettings(master="local[1]", conf={"spark.driver.extraJavaOptions": java})
assert open_session(settings, archive=Path(sys.argv[1])).range(10).count() == 10
"""


def start(archive, loaded):
    """Start Spark with an archive; return what it prints. `loaded` will tell its classes."""
    command = [sys.executable, "-c", START, str(archive), str(loaded)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_none_is_asked_for_where_there_is_none(tmp_path):
    assert archive_options(tmp_path / "spark.jsa") == ""


def test_a_place_with_blanks_is_one_option(tmp_path):
    place = tmp_path / "a place" / "spark.jsa"
    place.parent.mkdir()
    place.touch()
    first, *_ = shlex.split(archive_options(place))
    assert first == f"-XX:SharedArchiveFile={place}"


@pytest.mark.heavy
def test_spark_starts_without_a_word_beside_an_archive_of_another_java(tmp_path):
    place = tmp_path / "spark.jsa"
    place.write_bytes(b"not of this Java" * 1000)
    assert start(place, tmp_path / "loaded") == ""
    assert "org.apache.spark.SparkContext source: file:" in (tmp_path / "loaded").read_text()


@pytest.mark.heavy
def test_spark_takes_its_classes_from_an_archive(tmp_path):
    code = "import sys, pathlib; from minia_spark.engine.archive import make_archive; "
    code += "make_archive(pathlib.Path(sys.argv[1]))"
    place = tmp_path / "a place" / "spark.jsa"
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    assert [path.name for path in place.parent.iterdir()] == ["spark.jsa"]
    assert start(place, tmp_path / "loaded") == ""
    lines = (tmp_path / "loaded").read_text().splitlines()
    spark = [line for line in lines if " org.apache.spark." in line and "$$Lambda" not in line]
    shared = [line for line in spark if "source: shared objects file" in line]
    assert len(shared) > 0.9 * len(spark) > 1000
