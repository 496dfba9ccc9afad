"""File names and labels made by an enemy pass through everything: they name images, no more.

Single parts have tests of their own; here the same names go all the way, from the folder to the
tables, the exports, the terminal and the page in a real browser.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from commands import SMALL, chosen, rows_of, take_codebook
from report.site import CSP, Page
from report.test_browser import CHROMIUM, browse

from minia_spark.engine.run import PAGE
from minia_spark.images.identity import image_id_of, path_of_image_id, path_of_uri

SCRIPT = "document.title='ran'"
NAMES = (
    b"new\nline\r%d.png",
    b"quo\"te's, comma;%d.png",
    b"<script>" + SCRIPT.encode() + b"</script>%d.png",  # the slash makes a folder
    b'"><img src=x onerror="' + SCRIPT.encode() + b'">%d.png',
    b"</title></style><svg onload=" + SCRIPT.encode() + b">%d.png",
    b"up..%d..png",
    b"deep..\\..\\..\\%d.png",
    b"long" + b"x" * 240 + b"%d.png",
    b"\xff\xfenot utf-8 \xc3%d.png",
    b"-rf --help %d.png",
    b"=cmd|' -C calc'!A0%d.png",
    b"@SUM(1+1)%d.png",
    b"{a,b}[c]*?^%d.png",
    b"per%%41cent%%2e%%2e%%2f%d.png",
    b" spaces  %d ",
    b"$(touch ran)`touch ran`;touch ran|touch ran&%d.png",
    b"javascript:alert(1)%d.png",
    b"#fragment?query=%d&amp;.png",
    b"image_id=1,batch=b9/%d.png",  # as Spark names the folders of partitions
    "right\u202eto left\u2028%d.png".encode(),
    b"\x1b[2J\x1b]0;ran\x07%d.png",  # clears a terminal, and renames it
)
LABELS = (
    f"<script>{SCRIPT}</script>",
    "=1+1",
    '"quotes", commas\nand lines',
    f"<img src=x onerror={SCRIPT}>",
    "$(touch ran)",
)


class Enemy(NamedTuple):
    """What was given and where it went."""

    folder: Path
    paths: set[bytes]
    location: Path


@pytest.fixture(scope="module")
def enemy(minia, warehouse, survey, tmp_path_factory) -> Enemy:
    """The survey with other names, and a broken file of each; run as a user runs it."""
    base = tmp_path_factory.mktemp("enemy")
    folder, location = base / "images", base / "W"
    paths = set()
    for number, image in enumerate(sorted(survey.images.iterdir())):
        path = NAMES[number % len(NAMES)] % number
        target = Path(os.fsdecode(os.fsencode(folder) + b"/" + path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
        paths.add(path)
    for number, name in enumerate(NAMES):
        target = os.fsencode(folder) + b"/bad/" + name % (100 + number)
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
        Path(os.fsdecode(target)).write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (folder / "leaves.png").symlink_to("/etc/passwd")
    labels = base / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "label"])
        for number, path in enumerate(sorted(paths)):
            writer.writerow([image_id_of(path), LABELS[number % len(LABELS)]])
    take_codebook(warehouse, location)
    source = ("--images", folder, "--batch", "b1", "--labels", labels, "--warehouse", location)
    many = chosen("mining.tuple_size=2", "mining.overlap=0.9", "report.structures=20")
    minia("run", *source, *SMALL, *many, "--set", "report.images_per_structure=30").expect(0)
    return Enemy(folder, paths, location)


def test_tables_name_every_image_so_that_its_bytes_can_be_found(enemy):
    ids = [name for (name,) in rows_of(enemy.location, "images", "image_id")]
    assert {path_of_image_id(name) for name in ids} == enemy.paths
    assert len(ids) == len(enemy.paths) == 60
    for name in ids:
        assert name.isprintable()
        assert "/../" not in f"/{name}/"
    root = os.fsencode(enemy.folder) + b"/"
    for name, uri in rows_of(enemy.location, "images", "image_id", "uri"):
        assert path_of_uri(uri) == (root + path_of_image_id(name), "")
    for table in ("features", "words"):
        assert [name for (name,) in rows_of(enemy.location, table, "image_id")] == ids
    matched = {name for (name,) in rows_of(enemy.location, "structure_images", "image_id")}
    assert matched <= set(ids)
    assert len(matched) > len(NAMES)


def test_rejects_name_what_is_broken_and_no_link_leads_out(enemy):
    rejects = dict(rows_of(enemy.location, "rejects", "uri", "reason"))
    root = os.fsencode(enemy.folder) + b"/"
    found = {path_of_uri(uri)[0].removeprefix(root): reason for uri, reason in rejects.items()}
    assert found.pop(b"leaves.png") == "outside_root"
    assert set(found) == {b"bad/" + name % (100 + n) for n, name in enumerate(NAMES)}
    assert set(found.values()) == {"truncated"}


def test_labels_stay_text(enemy):
    found = rows_of(enemy.location, "images", "image_id", "label")
    wanted = {
        image_id_of(path): LABELS[n % len(LABELS)] for n, path in enumerate(sorted(enemy.paths))
    }
    # spaces around a key are no part of it in a table of labels: these names cannot be given there
    unreachable = {name: None for name in wanted if name != name.strip()}
    assert len(unreachable) == 3
    assert dict(found) == wanted | unreachable


@pytest.mark.parametrize("what", ["words", "ifs", "features", "structures"])
def test_exports(minia, enemy, tmp_path, what):
    out = tmp_path / "out"
    minia("export", what, out, "--warehouse", enemy.location, *SMALL).expect(0)
    if what in ("words", "ifs"):  # a name a line
        lines = Path(f"{out}.images").read_text(encoding="utf-8").split("\n")[:-1]
        assert {path_of_image_id(line) for line in lines} == enemy.paths
    if what == "features":
        with out.open(newline="", encoding="utf-8") as file:
            names = {row["image_name"] for row in csv.DictReader(file)}
        assert {path_of_image_id(name) for name in names} == enemy.paths
        # what a spreadsheet would compute instead of showing it
        assert not [name for name in names if name.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    "command",
    [
        *(("status",), ("status", "--json"), ("history",), ("batch", "list"), ("plan",)),
        *(("path", "images"), ("path", "structure_images")),
    ],
)
def test_what_the_terminal_gets(minia, enemy, command):
    settings = SMALL if command == ("plan",) else ()
    found = minia(*command, "--warehouse", enemy.location, *settings).expect(0)
    for line in (found.out + found.err).splitlines():
        assert line.replace("\t", " ").isprintable(), line


def pages_of(location: Path) -> list[Page]:
    """Return the report's first page and all that it leads to: files below, and the gallery."""
    waiting, pages = [location / PAGE], {}
    while waiting:
        path = waiting.pop()
        page = pages[path] = Page(path)
        for reference in page.references:
            parts = urlsplit(reference)
            assert (parts.scheme, parts.netloc) == ("", ""), reference
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), reference
            if target == location / "gallery" / "index.html":
                continue  # a program, which has tests of its own
            assert target.is_relative_to(location / "report")
            if target.suffix == ".html" and target not in pages:
                waiting.append(target)
    return list(pages.values())


def test_the_pages_show_names_and_hold_nothing_that_runs(enemy):
    pages = pages_of(enemy.location)
    for page in pages:
        assert not {"script", "iframe", "object", "embed", "form", "base", "style"} & set(page.tags)
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert page.values("meta", "content")[0] == CSP
        assert all(src.endswith((".jpg", ".png", ".svg")) for src in page.values("img", "src"))
    shown_as = [page.values("svg", "aria-label") + page.values("img", "alt") for page in pages]
    text = " ".join([*(page.text for page in pages), *(one for own in shown_as for one in own)])
    for shown in ("<script>document.title='ran'</script>", 'onerror="document', "=cmd|"):
        assert shown in text
    assert not list(Path.cwd().glob("ran*"))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_script_runs_in_a_browser(enemy, tmp_path):
    paths = [page.path for page in pages_of(enemy.location)]
    for number, path in enumerate([*paths, enemy.location / "gallery" / "index.html"]):
        shown = browse(path, tmp_path / str(number), "--dump-dom")
        title = re.search(r"<title>(.*?)</title>", shown.stdout, re.DOTALL)
        assert title
        assert title.group(1) != "ran"
        assert "CONSOLE" not in shown.stderr
    assert number >= 1


def test_a_shell_that_is_given_the_uris(enemy):
    """They hold no sign that a shell knows: a careless script, without quotes, is safe too."""
    uris = [uri for (uri,) in rows_of(enemy.location, "images", "uri")]
    told = subprocess.run(
        ["/bin/sh", "-c", "for u in " + " ".join(uris) + '; do printf "%s\\n" "$u"; done'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == uris
