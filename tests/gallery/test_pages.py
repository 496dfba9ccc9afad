"""The pages of a warehouse together: one start, one head, and nobody shut out."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from explorer.browser import Opened, chromium
from explorer.samples import batch as map_batch
from explorer.samples import picture
from explorer.samples import site as map_of
from markupsafe import Markup
from report.site import make, matched, report, structure

from minia_spark.explorer.site import write as write_map
from minia_spark.gallery.site import write
from minia_spark.report.data import Arrival

from .samples import batch, gallery

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""To be looked at; not in git."""
IMAGES = [f"night/i{k:03d}.png" for k in range(12)]
PAGES = {
    "overview": ("report/index.html", ""),
    "structures": ("gallery/index.html", ""),
    "new": ("gallery/index.html", "#/new"),
    "structure": ("gallery/index.html", "#/s/sift/1.0"),
    "beside": ("gallery/index.html", "#/beside/sift/surf"),
    "image": ("gallery/index.html", "#/i/b1/night%2Fi001.png"),
    "word": ("gallery/index.html", "#/w/sift/1"),
    "found": ("gallery/index.html", "#/find/10%20-60"),
    "map": ("explorer/index.html", "#image=night%2Fi001.png&batch=b1"),
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """The pages as a run publishes them: index.html above the folder of the run."""
    root = tmp_path_factory.mktemp("warehouse")
    folders = {name: root / name / "run=1" for name in ("report", "gallery", "explorer")}
    own = batch("b1", IMAGES, known=True, extractors=("sift", "surf"), rejected=2)
    write(gallery([own], structures=3), folders["gallery"])
    pictures = {name: picture(40 * (k % 5)) for k, name in enumerate(IMAGES)}
    on_map = map_of(
        [map_batch("b1", IMAGES, pictures=pictures)],
        home="../../report/index.html",
        gallery="../../gallery/index.html",
    )
    write_map(on_map, folders["explorer"], seen_from_above=True)
    cards = [
        structure(
            "s0000", [matched(IMAGES[1])], labels={"spiral": 4}, established=True, lineage="1.0"
        )
    ]
    told = report(
        cards,
        events={"born": 2, "gone": 1, "same": 5},
        older_state=3,
        pages=[("Gallery", "gallery/index.html"), ("Map", "explorer/index.html")],
        newest=Arrival(batch="<b1>", images=12, rejected=2),
        attention=[Markup('See <a href="warehouse:/gallery/index.html#/new">the odd ones</a>')],
    )
    make(told, folders["report"], seen_from_above=True)
    for name, folder in folders.items():
        (root / name / "index.html").write_bytes((folder / "index-above.html").read_bytes())
    return root


def shown(opened, name):
    """Open a page, and wait until what it loads is there."""
    address, place = PAGES[name]
    page = opened.page
    page.goto("about:blank")
    page.goto(f"{opened.base}/{address}{place}")
    if "report" not in address:
        page.evaluate("minia_map.page.whole()")
    return page


def test_from_the_overview_to_every_page_and_back(browser, warehouse):
    opened = Opened(browser, warehouse.as_uri())
    page = shown(opened, "overview")
    head = page.get_by_role("navigation", name="Pages")
    assert head.locator("a").all_inner_texts() == ["Overview", "Gallery", "Map"]
    assert head.locator("a[aria-current=page]").inner_text() == "Overview"
    glance = page.locator("#glance").inner_text()
    assert "Batch <b1>: 12 images, 2 files rejected" in glance
    assert "Since state 3: 2 new, 1 ended; see what is new" in glance
    page.get_by_role("link", name="the odd ones").click()
    page.locator("h1", has_text="What is new").wait_for()
    head.get_by_text("Map").click()
    page.locator("h1", has_text="A map").wait_for()
    assert head.locator("a").all_inner_texts() == ["Overview", "Gallery", "Map"]
    head.get_by_text("Gallery").click()
    page.locator("h1", has_text="Structures").wait_for()
    head.get_by_text("Overview").click()
    page.locator("h2", has_text="At a glance").wait_for()
    page.locator(".card h3 a").first.click()
    page.locator("h1", has_text="s0000").wait_for()
    page.go_back()
    page.locator(".strip a").first.click()
    page.locator("h1", has_text="night/i001.png").wait_for()
    # an image of the map leads to its page in the gallery, and from there back to it
    page = shown(opened, "map")
    page.get_by_role("link", name="Its page").click()
    page.locator("h1", has_text="night/i001.png").wait_for()
    page.locator("svg.marks circle").wait_for(state="attached")
    page.get_by_role("link", name="Open the map").click()
    page.locator("#picked h2", has_text="night/i001.png").wait_for()
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(browser, warehouse, scheme):
    """Names of controls, contrast, headings, landmarks, the keyboard: the rules of axe-core."""
    pytest.importorskip("axe_playwright_python", reason="the extra 'dev' is not all installed")
    axe = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
    opened = Opened(browser, warehouse.as_uri(), color_scheme=scheme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    # colours are those of the style, which all pages of a kind have
    for name in PAGES if scheme == "light" else ("overview", "structure", "image", "map"):
        page = shown(opened, name)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, { preload: false, resultTypes: ['violations'] })")
        told = [(v["id"], v["help"], v["nodes"][0]["html"]) for v in found["violations"]]
        assert told == [], name
        page.screenshot(path=SHOTS / f"{name}-1280-{scheme}.png")
    opened.close()


def test_on_a_narrow_screen(browser, warehouse):
    opened = Opened(browser, warehouse.as_uri(), viewport={"width": 390, "height": 800})
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        page = shown(opened, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.screenshot(path=SHOTS / f"{name}-390-light.png")
    opened.close()
