"""The site in a real browser: pictures appear, and no script runs. Skipped where none is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from .site import make, matched, report, structure

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

SCRIPTS = [
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</title></style><svg onload=\"document.title='ran'\">",
]


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page without a window, network or earlier profile, and return what was printed."""
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--window-size=1200,1000",
            "--virtual-time-budget=5000",
            f"--user-data-dir={profile}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def screenshot(page: Path, tmp_path: Path, *options: str) -> np.ndarray:
    target = tmp_path / "shot.png"
    browse(page, tmp_path / "profile", f"--screenshot={target}", *options)
    return cv2.imread(str(target))[..., ::-1]


def coloured_share(shot: np.ndarray) -> float:
    """Share of pixels that have the colours of `gradient`: red or green, no blue."""
    red_or_green = shot[..., :2].max(axis=2).astype(int)
    return float((red_or_green - shot[..., 2] > 30).mean())


def test_images_appear_and_the_style_applies(tmp_path):
    cards = [structure(f"s{i}", [matched(f"{i}-{j}") for j in range(6)]) for i in range(3)]
    site = make(report(cards), tmp_path / "site")
    shot = screenshot(site.index, tmp_path)
    assert coloured_share(shot) > 0.1
    dark = screenshot(site.index, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert np.median(shot) > 240  # the paper is light or dark, as the reader's system is
    assert np.median(dark) < 40
    for path in (tmp_path / "site" / "assets").glob("*.jpg"):
        path.unlink()
    assert coloured_share(screenshot(site.index, tmp_path)) < 0.07  # the check itself can fail


def test_no_script_runs_and_nothing_is_asked_of_the_network(tmp_path):
    cards = [structure(hostile, [matched(hostile)], labels={hostile: 1}) for hostile in SCRIPTS]
    make(report(cards, advice=SCRIPTS), tmp_path / "site")
    result = browse(tmp_path / "site" / "index.html", tmp_path / "profile", "--dump-dom")
    assert "ran" not in re.search(r"<title>(.*?)</title>", result.stdout).group(1).split()
    assert "&lt;script&gt;" in result.stdout
    assert not re.search(r"<(script|svg onload|img src=\"x)", result.stdout)
    assert "CONSOLE" not in result.stderr  # no refused content: the pages keep their own policy


def test_the_policy_stops_a_script_that_slips_through(tmp_path):
    """Were escaping broken, nothing would run: the second wall holds alone."""
    site = make(report(), tmp_path / "site")
    page = site.index.read_text(encoding="utf-8")
    attack = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title='ran'\">"
    site.index.write_text(page.replace("</body>", f"{attack}</body>"), encoding="utf-8")
    dom = browse(site.index, tmp_path / "profile", "--dump-dom").stdout
    assert "<title>Visual structures</title>" in dom
    without = re.sub(r"<meta http-equiv=[^>]*>", "", site.index.read_text(encoding="utf-8"))
    site.index.write_text(without, encoding="utf-8")
    dom = browse(site.index, tmp_path / "profile", "--dump-dom").stdout
    assert "<title>ran</title>" in dom  # the attack is a real one
