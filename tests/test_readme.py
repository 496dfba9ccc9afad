"""The README says what is true: its tables, its files, its first page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from readme import README, written

from minia_spark.cli.parser import commands_of, parser
from minia_spark.rooms import HOUSE

TEXT = README.read_text(encoding="utf-8")
ROOT = README.parent


def test_its_tables_follow_from_the_rooms():
    assert written(TEXT) == TEXT, "run: .venv/bin/python -m tests.readme"


def test_the_first_page_is_short_and_has_a_picture():
    first = TEXT.partition("\n## Reference")[0]
    assert len(first.splitlines()) <= 40
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", first)
    assert (ROOT / picture).stat().st_size < 300_000


def test_every_file_it_names_is_there():
    for name in re.findall(r"`((?:conf|jobs|native|tests|minia_spark)/[\w./-]*)`", TEXT):
        assert (ROOT / name).exists(), name


def lines_of_minia() -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [
        line.split("minia ", 1)[1].split("  #")[0]
        for line in joined.splitlines()
        if re.match(r"\s*(\.venv/bin/)?minia ", line)
    ]


@pytest.mark.parametrize("line", lines_of_minia())
def test_its_commands_are_understood(line):
    arguments = shlex.split(line)
    options = parser(HOUSE, arguments).parse_args(arguments)
    assert options.handler is not None


def test_it_names_every_command():
    for command in commands_of(HOUSE):
        assert f"`minia {command.name}`" in TEXT


def test_the_change_log_has_what_is_new():
    assert "## [Unreleased]" in Path(ROOT / "CHANGELOG.md").read_text()
