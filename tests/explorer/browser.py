"""A real browser for the map's page: one start for all tests of a module, nothing from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
SIZE = {"width": 1280, "height": 800}


@contextmanager
def chromium(*more: str):
    """Yield a started browser, or skip."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *more])
        yield browser
        browser.close()


@contextmanager
def served(folder: Path):
    """Yield the address at which ``python -m http.server`` shows a folder."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            port = re.search(r"port (\d+)", server.stdout.readline())[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


class Opened:
    """A page of the map, and what it asked for and complained about."""

    def __init__(self, browser, base: str, **options):
        self.base = base
        self.context = browser.new_context(viewport=options.pop("viewport", SIZE), **options)
        if base.startswith("file:"):
            self.context.set_offline(True)
        self.context.route("**/*", self._route)
        self.refused: list[str] = []
        self.complaints: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _route(self, route):
        if route.request.url.startswith((self.base, "data:", "blob:")):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    def _console(self, message):
        # browsers look for the icon of a site by themselves
        if message.type in ("error", "warning") and "favicon" not in str(message.location):
            self.complaints.append(message.text)

    def open(self, address: str = "map.html", hash_: str = ""):
        """Open a page below the base, and wait until the map is whole."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/{address}{hash_}")
        self.page.evaluate("minia_map.page.whole()")
        return self.page

    def close(self):
        """Close it; nothing was asked for elsewhere, and nothing went wrong."""
        with suppress(Exception):
            self.context.close()
        assert [url for url in self.refused if not url.endswith("/favicon.ico")] == []
        assert not self.complaints, self.complaints
