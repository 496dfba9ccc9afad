"""The page's program is what its sources give, and nothing is in it without its licence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "minia_spark" / "explorer" / "web"
NODE = shutil.which("node") and shutil.which("npm")


@pytest.mark.skipif(not NODE, reason="Node.js and npm are not installed")
def test_the_program_is_made_from_its_sources(tmp_path):
    checkout = tmp_path / "checkout"
    shutil.copytree(WEB, checkout / "minia_spark" / "explorer" / "web")
    shutil.copy(ROOT / "build.sh", checkout)
    made = tmp_path / "made"
    made.mkdir()
    done = subprocess.run(
        ["./build.sh", "web", made], cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode and re.search(r"\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT)\b", done.stderr):
        pytest.skip("the packages of the page cannot be fetched")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("map.js", "gallery.js", "map.js.LICENSES.txt"):
        assert (made / name).read_bytes() == (WEB / name).read_bytes(), "run ./build.sh web"


def test_the_lock_file_has_hashes_and_no_addresses():
    text = (WEB / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_what_is_bundled_has_its_licence():
    text = (WEB / "map.js.LICENSES.txt").read_text()
    found = dict(re.findall(r"^([\w@/-]+) [\d.]+ \(([\w-]+)\)$", text, re.MULTILINE))
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    bundled = {
        n.removeprefix("node_modules/") for n, p in packages.items() if n and not p.get("dev")
    }
    assert found.keys() <= bundled
    assert {"d3-zoom", "d3-selection"} <= found.keys()
    assert set(found.values()) <= {"ISC", "MIT", "BSD-3-Clause"}
    assert text.count("Permission to use") + text.count("Redistribution and use") >= len(found)


@pytest.mark.parametrize("name", ["map.js", "gallery.js"])
def test_the_program_is_one_plain_script(name):
    text = (WEB / name).read_text(encoding="ascii")
    assert text.startswith("var minia_map=")
    for word in (r"\bfetch\(", r"\beval\(", r"new Function", r"\bimport\(", r"Worker\("):
        assert not re.search(word, text), word


def test_no_text_is_ever_set_as_html():
    sources = [path.read_text() for path in (WEB / "src").glob("*.js")]
    assert sources
    for text in sources:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)
