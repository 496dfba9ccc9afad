"""The map in a real browser, from the file system and from a local server. Skipped without one."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from urllib.parse import parse_qs

import cv2
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.path import Path as Polygon

from minia_spark.explorer import palette
from minia_spark.explorer.site import Batch, Field, at_hand, write

from .browser import Opened, chromium, served
from .samples import FIELDS, HOSTILE, batch, colour_picture, site

IDS = [f"n{1 + i % 2}/galaxy-{i:03d}.jpeg" for i in range(300)]
FIRST, SECOND = IDS[::2], IDS[1::2]
PICTURES = {name: colour_picture(255, 0, 255) for name in IDS}


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def spread(one: Batch, maps=("words", "pca")) -> Batch:
    """Put the images of a batch on a grid with jitter: no two lie upon each other."""
    for shown, step in zip(maps, (7, 11), strict=False):
        points = one.positions[shown]
        for row, name in enumerate(one.image_ids.to_pylist()):
            i = int(name[-8:-5])
            j = i * step % 300
            points[row] = (j % 20 + 0.3 * np.sin(i), j // 20 + 0.3 * np.cos(i))
    return one


@pytest.fixture(scope="module")
def batches():
    return [
        spread(
            batch(
                f"night{number}",
                ids,
                pictures=PICTURES,
                links=pa.array([f"../images/{name}" for name in ids]),
            )
        )
        for number, ids in ((1, FIRST), (2, SECOND))
    ]


@pytest.fixture(scope="module")
def table(batches):
    """What the page is made from, by image."""
    return {
        name: {
            "batch": one.name,
            "class": one.values["class"][i].as_py() or "",
            "structure": ";".join(one.values["structure"][i].as_py()),
            "brightness": one.values["brightness"][i].as_py(),
            "words": one.positions["words"][i],
            "pca": one.positions["pca"][i],
        }
        for one in batches
        for i, name in enumerate(one.image_ids.to_pylist())
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, batches):
    made = tmp_path_factory.mktemp("site") / "map"
    shown = site(batches, title="Map <of> images", home="../report/index.html")
    write(shown, made, seen_from_above=True)
    return made


@pytest.fixture(scope="module")
def from_above(folder):
    """The page as it stands in the folder above."""
    page = folder.parent / "index.html"
    page.write_bytes((folder / "index-above.html").read_bytes())
    return page


@pytest.fixture(scope="module", params=["file", pytest.param("http", marks=pytest.mark.heavy)])
def base(request, folder):
    if request.param == "file":
        yield folder.as_uri()
        return
    with served(folder) as address:
        yield address


@pytest.fixture
def opened(browser, base):
    found = Opened(browser, base)
    yield found
    found.close()


@pytest.fixture
def served_too(browser, folder):
    """The page from a server: the small twin of all tests that `opened` is for."""
    with served(folder) as address:
        found = Opened(browser, address)
        yield found
        found.close()


@pytest.fixture
def of_file(browser, folder):
    found = Opened(browser, folder.as_uri())
    yield found
    found.close()


def view(page, pane=0):
    return page.evaluate(f"minia_map.page.app.panes[{pane}].view()")


def settled(page):
    """Wait until nothing flies any more and the address is written."""
    page.evaluate(
        """async () => {
          const own = () => JSON.stringify(minia_map.page.app.panes.map((pane) => pane.view()));
          for (let last = ""; last !== own(); ) {
            last = own();
            await new Promise((resolve) => setTimeout(resolve, 120));
          }
          await new Promise((resolve) => setTimeout(resolve, 200));
        }"""
    )


def until(page, expression, arg=None):
    """Wait until something holds (the page's policy forbids what Playwright has for it)."""
    for _ in range(600):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never: {expression}")


def at(page, name, pane=0):
    return page.evaluate("([name, pane]) => minia_map.page.screen(name, pane)", [name, pane])


def pixels(page):
    return cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def has(shot, colour, tolerance=6):
    return int((np.abs(shot.astype(int) - rgb(colour)).max(axis=2) <= tolerance).sum())


def hash_of(page):
    return parse_qs(page.url.partition("#")[2])


def middle(page):
    """An image in the middle of the map, so that nothing of the page lies over it."""
    return page.evaluate(
        """async () => {
          const app = minia_map.page.app, pane = app.panes[0];
          return app.store.name(pane.pick(pane.width / 2, pane.height / 2, 1e4));
        }"""
    )


def lasso(page, corners, pane=0):
    """Draw around corners, given in pixels of the window."""
    page.locator(".pane").nth(pane).get_by_text("Lasso").click()
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    until(page, "!!document.querySelector('#chosen .rows .name')?.textContent")


def saved(page):
    with page.expect_download() as waiting:
        page.get_by_text("Save as CSV").click()
    text = waiting.value.path().read_bytes().decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_map_is_there(opened):
    page = opened.open()
    assert page.title() == "Map <of> images"
    assert page.evaluate("minia_map.page.app.panes[0].inView") == 300
    assert page.locator("#colours .values li").count() == 2
    shot = pixels(page)
    assert has(shot, "#ff00ff", 30) > 5000  # thumbnails
    for colour in palette.LIGHT[:2]:
        assert has(shot, colour) > 200  # dots and frames


def test_the_map_is_there_from_the_folder_above(browser, from_above):
    found = Opened(browser, from_above.parent.as_uri())
    page = found.open("index.html")
    assert has(pixels(page), "#ff00ff", 30) > 5000
    page.mouse.click(*at(page, middle(page)))
    picture = page.locator("#picked img")
    picture.wait_for()
    link = page.locator("#picked h2 a").get_attribute("href")
    assert link.startswith(f"{from_above.parent.as_uri()}/images/")
    found.close()


def test_zoom(opened):
    page = opened.open()
    name = middle(page)
    x, y = at(page, name)
    size = view(page)[2]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    settled(page)
    assert view(page)[2] > 1.4 * size
    assert at(page, name) == pytest.approx([x, y], abs=1)  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(x + 100, y + 40, steps=4)
    page.mouse.up()
    assert at(page, name) == pytest.approx([x + 100, y + 40], abs=1)
    page.get_by_label("Zoom in").click()
    settled(page)
    zoomed = view(page)[2]
    page.get_by_label("Zoom out").click()
    settled(page)
    assert view(page)[2] == pytest.approx(zoomed / 1.6)
    page.get_by_title("Show everything").click()
    settled(page)
    assert view(page)[2] == pytest.approx(size)
    assert page.evaluate("minia_map.page.app.panes[0].inView") == 300


def test_dots_become_pictures_when_near(of_file):
    page = of_file.open()
    drawn = "minia_map.page.app.panes[0].drawn.map((one) => one.side)"
    far = page.evaluate(drawn)
    for _ in range(5):
        page.get_by_label("Zoom in").click()
        settled(page)
    near = page.evaluate(drawn)
    inside = page.evaluate("minia_map.page.app.panes[0].inView")
    assert 0 < len(far) < 300
    assert near[0] > far[0]
    assert len(near) >= inside  # every image in view is shown as itself


def test_hover_and_click(opened, table):
    page = opened.open()
    name = middle(page)
    card = page.locator("#card")
    assert not card.is_visible()
    page.mouse.move(*at(page, name))
    card.get_by_text(name).wait_for()
    assert (table[name]["class"] or "no class") in card.inner_text()
    assert card.locator("canvas").count() == 1
    page.mouse.move(5, 400)
    card.wait_for(state="hidden")

    page.mouse.click(*at(page, name))
    picked = page.locator("#picked")
    picked.get_by_text(name).wait_for()
    facts = dict(
        zip(picked.locator("dt").all_inner_texts(), picked.locator("dd").all(), strict=True)
    )
    assert facts["batch"].inner_text() == table[name]["batch"]
    assert facts["brightness"].inner_text() == f"{table[name]['brightness']:.5g}"
    for map_name in ("words", "pca"):
        shown = [float(one) for one in facts[f"x, y ({map_name})"].inner_text().split(", ")]
        assert shown == pytest.approx(table[name][map_name].tolist(), abs=1e-3)
    link = picked.locator("h2 a").get_attribute("href")
    assert link == page.evaluate("name => new URL('../images/' + name, location).href", name)
    tags = table[name]["structure"].split(";")
    assert re.split(r"\s+", facts["structure"].inner_text().strip()) == tags if tags[0] else True
    assert (
        picked.locator("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)") == 40
    )
    settled(page)
    assert hash_of(page)["image"] == [name]
    # its nearest on the map, by the table; one of them leads on
    near = picked.locator(".near button")
    shown = [one.get_attribute("aria-label") for one in near.all()]
    ranked = sorted(
        table, key=lambda n: float(np.hypot(*(table[n]["words"] - table[name]["words"])))
    )
    assert len(set(shown) & set(ranked[1:11])) >= 9  # the last of them may be as far as the next
    near.first.click()
    picked.locator("h2").get_by_text(shown[0]).wait_for()
    page.keyboard.press("Escape")
    page.locator(".over").focus()
    page.keyboard.press("Escape")
    picked.wait_for(state="hidden")


def test_search(opened):
    page = opened.open()
    page.fill("#query", "GALAXY-01")
    hits = page.locator("#hits .hit")
    hits.first.wait_for()
    assert sorted(hits.all_inner_texts()) == sorted(name for name in IDS if "galaxy-01" in name)
    assert "10 images" in page.locator("#hits").inner_text()
    hits.filter(has_text="galaxy-013").click()
    settled(page)
    x, y = at(page, "n2/galaxy-013.jpeg")
    box = page.locator(".pane").bounding_box()
    assert x == pytest.approx(box["x"] + box["width"] / 2, abs=2)
    assert y == pytest.approx(box["y"] + box["height"] / 2, abs=2)
    assert page.locator("#picked h2").inner_text() == "n2/galaxy-013.jpeg"
    page.fill("#query", "galaxy-29")
    page.locator("#hits").get_by_text("Select", exact=True).click()
    page.locator("#chosen h2").get_by_text("10 images selected").wait_for()
    page.fill("#query", "no such image")
    page.locator("#hits").get_by_text("No image has this in its name").wait_for()
    for odd in ("(", "[a-", "\\", "*", "."):
        page.fill("#query", odd)
        wanted = "300 images" if odd == "." else "No image has this in its name"
        page.locator("#hits").get_by_text(wanted).wait_for()
    page.fill("#query", "galaxy-200")
    page.keyboard.press("Enter")
    page.locator("#picked h2").get_by_text("n1/galaxy-200.jpeg").wait_for()


def test_colours(opened, table):
    page = opened.open()
    page.select_option("#colour", "structure")
    until(page, "minia_map.page.app.field.name === 'structure'")
    until(
        page,
        """(() => {
          const shown = [...document.querySelectorAll("#colours .values li")];
          return shown.length === 3 && shown.every((li) => /^s\\d\\s+\\d/.test(li.innerText));
        })()""",
    )
    counts = {
        tag: sum(tag in row["structure"].split(";") for row in table.values())
        for tag in ("s1", "s2", "s3")
    }
    shown = page.locator("#colours .values li").all_inner_texts()
    assert {line.split()[0]: int(line.split()[1]) for line in shown} == counts
    ranked = sorted(counts, key=lambda tag: (-counts[tag], tag))

    name = middle(page)
    ink = page.evaluate(
        """async (name) => {
          const app = minia_map.page.app;
          const [i] = await app.store.search(name, true);
          return [app.ink[i], app.mask ? app.mask[i] : 1];
        }""",
        name,
    )
    tags = [tag for tag in table[name]["structure"].split(";") if tag]
    # the rarest of its values colours a point
    wanted = palette.LIGHT[max(ranked.index(tag) for tag in tags)] if tags else palette.OTHER
    red, green, blue = rgb(wanted)
    assert ink == [0xFF000000 | blue << 16 | green << 8 | red, 1]

    page.locator("#colours .values button").first.click()
    until(page, "!!minia_map.page.app.mask")
    mask = page.evaluate("Array.from(minia_map.page.app.mask)")
    assert sum(mask) == counts[ranked[0]]
    shot = pixels(page)
    assert has(shot, palette.LIGHT[0]) > 200
    settled(page)
    assert hash_of(page)["only.structure"] == [ranked[0]]
    # another colour keeps what is shown; a second choice narrows it down
    page.select_option("#colour", "batch")
    page.locator("#colours .values button").filter(has_text="night2").click()
    both = sum(
        ranked[0] in row["structure"].split(";") and row["batch"] == "night2"
        for row in table.values()
    )
    until(page, "(wanted) => minia_map.page.app.mask.reduce((a, b) => a + b) === wanted", both)
    for _ in range(2):
        page.locator(".chips button").first.click()
    until(page, "minia_map.page.app.mask === null")

    page.select_option("#colour", "brightness")
    until(page, "minia_map.page.app.field.name === 'brightness'")
    page.get_by_label("Show from").fill("0.5")
    page.get_by_label("Show from").press("Enter")
    bright = sum(row["brightness"] >= 0.5 for row in table.values())
    # values may come after the limit is there
    until(page, "(wanted) => minia_map.page.app.mask?.reduce((a, b) => a + b) === wanted", bright)


def test_lasso_and_its_file(opened, table):
    page = opened.open()
    corners = [(300, 200), (600, 260), (560, 520), (420, 400), (280, 560)]
    # the same corners on the map, by the page's own two ends and nothing else
    one, two = IDS[0], IDS[299]
    screen = np.array([at(page, one), at(page, two)])
    world = np.array([table[one]["words"], table[two]["words"]])
    scale = (world[1] - world[0]) / (screen[1] - screen[0])
    shape = (np.array(corners) - screen[0]) * scale + world[0]
    polygon = Polygon([*shape, shape[0]])
    points = np.array([table[name]["words"] for name in IDS])
    inside = {n for n, one in zip(IDS, polygon.contains_points(points), strict=True) if one}
    edge = np.concatenate([np.linspace(p, q, 500) for p, q in pairwise([*shape, shape[0]])])
    near = {
        name
        for name, point in zip(IDS, points, strict=True)
        if np.linalg.norm(edge - point, axis=1).min() < 2 * np.abs(scale).max()  # two pixels
    }
    lasso(page, corners)
    rows = saved(page)
    found = {row["image_id"] for row in rows}
    assert len(found) == len(rows) > 20
    assert found ^ inside <= near
    assert page.locator("#chosen h2").inner_text() == f"{len(rows)} images selected"
    for row in rows:
        own = table[row["image_id"]]
        for column in ("batch", "class", "structure"):
            assert row[column] == own[column]
        assert float(row["brightness"]) == pytest.approx(own["brightness"], rel=1e-6)
        for shown in ("words", "pca"):
            place = [float(row[f"x {shown}"]), float(row[f"y {shown}"])]
            assert place == pytest.approx(own[shown].tolist(), abs=3e-4)
    assert list(rows[0]) == [
        *("image_id", "class", "structure", "brightness", "batch"),
        *("x words", "y words", "x pca", "y pca"),
    ]
    # the rest stays, in grey
    mask = page.evaluate("Array.from(minia_map.page.app.mask)")
    assert sum(mask) == len(rows)
    assert page.evaluate("minia_map.page.app.panes[0].inView") == 300
    # the table sorts, and a row leads to its image
    page.locator("#chosen .head button").first.click()
    page.wait_for_selector('#chosen [aria-sort="ascending"]')
    first = page.locator("#chosen .rows .row").first
    assert first.locator(".name").inner_text() == min(found)
    first.locator("button").click()
    page.locator("#picked h2").get_by_text(min(found)).wait_for()
    page.get_by_text("Clear", exact=True).click()
    assert page.evaluate("minia_map.page.app.mask") is None


def test_from_a_server(served_too, table):
    test_the_map_is_there(served_too)
    test_lasso_and_its_file(served_too, table)


def test_two_maps_show_the_same_selection(opened, table):
    page = opened.open()
    page.click("#two")
    until(
        page, "minia_map.page.app.panes.length === 2 && minia_map.page.app.panes[1].inView === 300"
    )
    assert page.locator(".pane").nth(1).get_by_label("Map", exact=True).input_value() == "pca"
    box = page.locator(".pane").nth(1).bounding_box()
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    corners = [
        (x + 0.3 * w, y + 0.4 * h),
        (x + 0.7 * w, y + 0.4 * h),
        (x + 0.7 * w, y + 0.6 * h),
        (x + 0.3 * w, y + 0.6 * h),
    ]
    lasso(page, corners, pane=1)
    rows = saved(page)
    places = np.array([[float(row["x pca"]), float(row["y pca"])] for row in rows])
    low, high = places.min(axis=0), places.max(axis=0)
    inside = {n for n, row in table.items() if ((low <= row["pca"]) & (row["pca"] <= high)).all()}
    assert {row["image_id"] for row in rows} >= inside
    assert 10 < len(rows) < 150
    # what is pointed at on one map is marked on the other
    name = rows[0]["image_id"]
    page.mouse.move(*at(page, name, 0))
    until(page, "minia_map.page.app.hovered >= 0")
    before = pixels(page)
    place = np.array(at(page, name, 1)).astype(int)
    assert has(before[place[1] - 30 : place[1] + 30, place[0] - 30 : place[0] + 30], "#1f5fbf") > 20
    page.click("#two")
    assert page.locator(".pane").count() == 1


def test_a_link_brings_everything_back(opened, browser):
    page = opened.open()
    page.click("#two")
    until(page, "minia_map.page.app.panes.length === 2")
    page.select_option("#colour", "structure")
    page.locator("#colours .values button").nth(1).click()
    for pane in (0, 1):
        page.locator(".pane").nth(pane).get_by_label("Zoom in").click()
    settled(page)
    box = page.locator(".pane").first.bounding_box()
    corners = [
        (box["x"] + a * box["width"], box["y"] + b * box["height"])
        for a, b in ((0.1, 0.1), (0.8, 0.1), (0.5, 0.8))
    ]
    lasso(page, corners)
    name = page.locator("#chosen .rows .row .name").first.inner_text()
    page.locator("#chosen .rows .row button").first.click()
    page.locator("#picked h2").wait_for()
    settled(page)
    state = """() => {
      const app = minia_map.page.app;
      return {
        maps: app.panes.map((pane) => pane.map.name), colour: app.field.name, pin: app.pin,
        only: [...app.only].map(([key, one]) => [key, [...one]]), selected: app.selected,
      };
    }"""
    wanted, views = page.evaluate(state), [view(page, pane) for pane in (0, 1)]
    address = page.url.partition("#")[2]

    # another screen: the same parts of the maps
    other = Opened(browser, opened.base, viewport={"width": 1000, "height": 700})
    again = other.open(hash_=f"#{address}")
    assert again.evaluate(state) == wanted
    for pane in (0, 1):
        assert view(again, pane) == pytest.approx(views[pane], rel=1e-3)
    assert again.locator("#picked h2").inner_text() == name
    settled(again)
    assert parse_qs(again.url.partition("#")[2]).keys() == parse_qs(address).keys()
    other.close()


def test_a_link_of_other_times_does_no_harm(of_file):
    page = of_file.open(
        hash_="#map=gone&view=1,x,2&colour=__proto__&only.class=none&only.nothing=1&two=gone"
        "&lasso=words,1,2&image=%3Cb%3E&found=&only.brightness=a,b"
    )
    assert page.evaluate("minia_map.page.app.panes[0].inView") == 300
    assert page.evaluate("minia_map.page.app.mask") is None
    assert page.evaluate("minia_map.page.app.field.name") == "class"


def test_keyboard_and_spoken_text(of_file):
    page = of_file.open()
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.className") == "over":
            break
        page.keyboard.press("Tab")
    focused = page.locator(".over:focus")
    assert focused.get_attribute("role") == "application"
    assert "Map words of 300 images" in focused.get_attribute("aria-label")
    before = view(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    after = view(page)
    assert after[0] > before[0]
    assert after[1] > before[1]
    page.keyboard.press("+")
    settled(page)
    assert view(page)[2] > before[2]
    until(page, "document.getElementById('spoken').textContent.includes('images in view')")
    page.keyboard.press("Enter")
    page.locator("#picked h2").wait_for()
    name = page.locator("#picked h2").inner_text()
    until(page, "name => document.getElementById('spoken').textContent.startsWith(name)", name)
    page.keyboard.press("0")
    settled(page)
    assert page.evaluate("minia_map.page.app.panes[0].inView") == 300


def test_light_and_dark(browser, folder):
    for scheme, paper in (("light", "#fcfcfb"), ("dark", "#121418")):
        found = Opened(browser, folder.as_uri(), color_scheme=scheme)
        page = found.open()
        shot = pixels(page)
        assert has(shot, paper) > 300_000
        assert has(shot, (palette.DARK if scheme == "dark" else palette.LIGHT)[0]) > 100
        page.click("#theme")
        page.evaluate("minia_map.page.whole()")
        assert has(pixels(page), "#121418" if scheme == "light" else "#fcfcfb") > 300_000
        found.close()


def test_a_narrow_screen(browser, folder):
    found = Opened(
        browser,
        folder.as_uri(),
        viewport={"width": 390, "height": 844},
        has_touch=True,
        device_scale_factor=2,
    )
    page = found.open()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".pane").bounding_box()["width"] == 390
    name = middle(page)
    page.touchscreen.tap(*at(page, name))
    page.locator("#picked h2").get_by_text(name).wait_for()
    for control in page.locator(".bar button, header button, header input").all():
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    page.click("#two")
    until(page, "minia_map.page.app.panes.length === 2")
    upper, lower = (page.locator(".pane").nth(i).bounding_box() for i in (0, 1))
    assert lower["y"] >= upper["y"] + upper["height"]
    found.close()


def test_hostile_names_do_nothing(browser, tmp_path):
    n = len(HOSTILE)
    fields = [Field(name=HOSTILE[0], kind="category"), Field(name="__proto__", kind="tags")]
    own = Batch(
        name=HOSTILE[1],
        image_ids=pa.array(HOSTILE),
        positions={"words": np.stack([np.arange(n), np.arange(n) % 4], axis=1).astype(float)},
        values={
            HOSTILE[0]: pa.array(HOSTILE),
            "__proto__": pa.array([[name, "x"] for name in HOSTILE], pa.list_(pa.string())),
        },
        pictures=at_hand(dict.fromkeys(HOSTILE, colour_picture(9, 9, 9))),
    )
    write(site([own], fields=fields, maps=("words",), title=HOSTILE[0]), tmp_path / "map")
    found = Opened(browser, (tmp_path / "map").as_uri())
    page = found.open()
    for name in HOSTILE[:3]:
        page.mouse.move(*at(page, name))
        until(page, "!document.getElementById('card').hidden")
        page.mouse.click(*at(page, name))
        page.locator("#picked h2").wait_for()
    page.fill("#query", "<")
    page.locator("#hits .hit").first.wait_for()
    page.select_option("#colour", "__proto__")
    corners = [(20, 70), (935, 70), (935, 740), (20, 740)]
    lasso(page, corners)
    rows = saved(page)
    assert page.evaluate("window.ran") is None
    assert page.locator("script[src]").count() == 2
    assert len(rows) == n
    for row in rows:
        for cell in row.values():
            assert cell[:1] not in {"=", "@", "+", "\uff1d"}
    starts = {row["image_id"][:3] for row in rows}
    assert {"%3D", "%40", "%2D", "%EF"} <= starts
    labels = {row[HOSTILE[0]] for row in rows}
    assert {"'=1+2", "'@SUM(A1)", "a,b", 'quote"d', "line\nfeed"} <= labels
    settled(page)
    address = page.url.partition("#")[2]
    again = found.open(hash_=f"#{address}")  # such names come back from a link, too
    assert len(again.evaluate("minia_map.page.app.selected")) == n
    assert again.evaluate("window.ran") is None
    found.close()


def test_a_value_without_a_colour_stands_out_when_it_is_chosen(browser, tmp_path):
    n = 12 * 20
    own = Batch(
        name="b",
        image_ids=pa.array([f"image-{i:03d}" for i in range(n)]),
        positions={"words": np.random.default_rng(1).normal(size=(n, 2))},
        values={"class": pa.array([f"c{i % 12:02d}" for i in range(n)])},
    )
    write(site([own], fields=FIELDS[:1], maps=("words",)), tmp_path / "map")
    found = Opened(browser, (tmp_path / "map").as_uri())
    page = found.open()
    before = pixels(page)[:, :940]
    page.locator("#colours .values button").filter(has_text="c10").click()
    page.wait_for_timeout(100)
    after = pixels(page)[60:740, :940]
    assert has(before, palette.OTHER) > 500  # four classes have the same grey
    assert has(after, palette.OTHER) == 0
    assert has(after, "#1d2026") > 200
    page.locator("#colours .values button").filter(has_text="c00").click()  # and another one
    page.wait_for_timeout(100)
    assert has(pixels(page)[60:740, :940], palette.LIGHT[0]) > 200
    assert sum(page.evaluate("Array.from(minia_map.page.app.mask)")) == 40
    found.close()


def test_batches_share_what_is_crowded_and_names_may_repeat(browser, tmp_path):
    """Two nights at the same places: neither covers the other, and a link tells them apart."""
    ids = [f"image-{i:03d}.png" for i in range(400)]
    nights = [
        Batch(
            name=name,
            image_ids=pa.array(ids),
            positions={"words": np.random.default_rng(seed).normal(size=(400, 2)) * 0.04},
            values={},
        )
        for seed, name in enumerate(("night1", "night2"))
    ]
    wide = Batch(
        name="wide",
        image_ids=pa.array(["a", "b"]),
        positions={"words": np.array([[-1.0, -1.0], [1.0, 1.0]])},
        values={},
    )
    write(site([*nights, wide], fields=(), maps=("words",)), tmp_path / "map")
    found = Opened(browser, (tmp_path / "map").as_uri())
    page = found.open()
    shot = pixels(page)
    one, two = (has(shot[100:700, 200:800], colour) for colour in palette.LIGHT[:2])
    assert min(one, two) > 0.4 * max(one, two) > 100
    page.goto("about:blank")
    page = found.open(hash_="#image=image-007.png&batch=night2")
    facts = page.locator("#picked dd")
    facts.first.wait_for()
    assert facts.first.inner_text() == "night2"
    found.close()


def test_a_part_that_is_missing_is_named(browser, tmp_path):
    write(site([batch("b", ["a", "b"])]), tmp_path / "map")
    gone = next((tmp_path / "map" / "map").glob("at-*"))
    gone.unlink()
    found = Opened(browser, (tmp_path / "map").as_uri())
    found.page.goto(f"{found.base}/map.html")
    found.page.locator(".error").get_by_text(f"map/{gone.name} cannot be loaded").wait_for()
    found.complaints.clear()
    found.close()


def test_no_images(browser, tmp_path):
    write(site([], fields=FIELDS), tmp_path / "map")
    found = Opened(browser, (tmp_path / "map").as_uri())
    page = found.open()
    page.fill("#query", "a")
    page.locator("#hits").get_by_text("No image has this in its name").wait_for()
    found.close()
