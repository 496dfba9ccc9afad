"""The gallery in a real browser, from the file system and without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minia_spark.gallery.site import write

from .samples import HOSTILE, batch, gallery

sys.path.insert(0, str(Path(__file__).parents[1] / "explorer"))
from browser import Opened, chromium

IMAGES = [f"night/i{k:03d}.png" for k in range(70)]
PAGE = "gallery.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two batches; 40 structures."""
    place = tmp_path_factory.mktemp("gallery") / "g"
    batches = [batch("b1", IMAGES), batch("<b2>", HOSTILE, rejected=3)]
    write(gallery(batches, structures=40), place)
    return place


@pytest.fixture
def opened(browser, folder):
    one = Opened(browser, folder.as_uri())
    yield one
    one.close()


class TestWhatIsNew:
    def test_attention_structures_batches(self, opened):
        page = opened.open(PAGE, "#/new")
        assert page.locator("nav.site a[aria-current]").inner_text() == "What is new"
        section = page.locator("section:has(> h2:text-is('The newest batch'))")
        assert "2 things to look at in batch <b2>." in section.inner_text()
        assert "s0000 is in 1 of its images, 0.3 were expected" in section.inner_text()
        assert "1 image of it is in another batch too, byte for byte." in section.inner_text()
        blank = section.locator("p", has_text="have no features")
        assert blank.locator("a").all_inner_texts() == HOSTILE[:2]
        odd = section.locator("ul.images li")
        assert odd.count() == 2
        assert odd.nth(0).locator("p").inner_text() == "Alert: its features <i>fit</i> badly."
        assert odd.nth(1).locator("p").inner_text() == "its features <i>fit</i> badly."
        section = page.locator("section:has(> h2:text-is('Structures that are new or changed'))")
        assert "1 of 40 since state 4:" in section.inner_text()
        assert section.locator("b").all_inner_texts() == ["s0002"]
        assert "2 structures ended" in section.inner_text()
        ended = section.locator("ul:not(.tiles) li").all_inner_texts()
        assert ended == ["1.9, merged into a related one", "2.1 <i>trail</i>"]
        rows = page.locator("tbody tr").all_inner_texts()
        assert [row.split("\t") for row in rows] == [["b1", "70", "0"], ["<b2>", "4", "3"]]
        page.locator("main a", has_text="s0000").first.click()
        page.locator("h1", has_text="s0000").wait_for()

    def test_nothing_there(self, opened):
        page = opened.open(PAGE, "#/s/sift/9.9")
        assert "The structure 9.9 is not there any more" in page.locator("main").inner_text()
        page = opened.open(PAGE, "#/i/b1/zzz.png")
        assert "There is no image zzz.png in batch b1" in page.locator("main").inner_text()
        page = opened.open(PAGE, "#/%E0%A4%A/x")
        assert "There is no such page" in page.locator("main").inner_text()


class TestStructures:
    def test_sorted_filtered_more_on_demand(self, opened):
        page = opened.open(PAGE)  # the first page
        assert page.locator("nav.site a[aria-current]").inner_text() == "Gallery"
        assert (
            "Begin with the strong ones: 1 structure of 1 pattern. In all there are 40, "
            in page.locator("main").inner_text()
        )
        # one strong, one moderate, one weak, then 24 of those that are not established
        assert page.locator("li.tile").count() == 27
        headings = page.locator("main h2").all_inner_texts()
        each = ["Strong: 1 pattern", "Moderate: 1 pattern", "Weak: 1 pattern"]
        assert headings == [*each, "Not established: 35 patterns"]
        tile = page.locator("li.tile").first.inner_text()
        assert "70 of 70 are spiral: 100 %, and 50 % of all images" in tile
        told = "40 structures, of 38 patterns"
        assert told in page.locator("main").inner_text()
        page.get_by_role("button", name="More (11)").scroll_into_view_if_needed()
        page.locator("li.tile").nth(37).wait_for()
        folded = page.locator("li.tile").nth(3)
        assert (
            "and 2 more of this pattern: 2 not established. They are turned or mirrored."
            in folded.inner_text()
        )
        folded.get_by_role("button", name="and 2 more of this pattern").click()
        assert page.locator("li.tile b").all_inner_texts()[3:6] == ["s0003", "s0004", "s0005"]
        assert (
            "its words look like those of s0003, mirrored"
            in page.locator("li.tile").nth(4).inner_text()
        )
        folded.get_by_role("button", name="fold them again").click()
        assert page.locator("li.tile").count() == 38
        page.get_by_label("One tile a pattern").uncheck()
        assert page.url.endswith("#/structures/sift?fold=no")
        assert page.get_by_role("status").first.inner_text() == "40 of 40 structures"
        names = page.locator("li.tile b")
        page.get_by_label("Sort by").select_option("lift")
        assert names.nth(0).inner_text() == "s0039"
        page.get_by_label("Show", exact=True).select_option("established")
        assert names.all_inner_texts() == ["s0002", "<b>ring</b>", "s0000"]
        page.get_by_label("Filter").fill("RING")
        assert names.all_inner_texts() == ["<b>ring</b>"]
        assert "1 of 40 structures" in page.locator("main").inner_text()
        page.get_by_label("Filter").fill("")
        page.get_by_label("Show", exact=True).select_option("kind:artefact")
        assert names.all_inner_texts() == ["<b>ring</b>"]
        page.get_by_label("Show", exact=True).select_option("all")
        page.get_by_label("Images, at least").fill("70")
        assert sorted(names.all_inner_texts()) == ["<b>ring</b>", "s0000"]

    def test_a_tile_shows_close_ups(self, opened):
        page = opened.open(PAGE)
        closest = page.locator("li.tile").first.locator(".strip canvas")
        closest.nth(3).wait_for()
        assert closest.count() == 4
        # the middle; of a copy, as Chromium complains of canvases that are read twice
        drawn = """c => {
            const ink = new OffscreenCanvas(1, 1).getContext('2d');
            ink.drawImage(c, -c.width / 2, -c.height / 2);
            return ink.getImageData(0, 0, 1, 1).data[3];
        }"""
        assert closest.first.evaluate(drawn) == 255
        average = page.locator("li.tile").first.locator(".look > canvas")
        for _ in range(200):
            if average.evaluate(drawn) == 255:
                break
            page.wait_for_timeout(50)
        assert average.evaluate(drawn) == 255
        page.locator("li.tile").first.locator(".shows", has_text="galaxy").wait_for()

    def test_the_address_holds_what_is_chosen(self, opened):
        page = opened.open(PAGE, "#/structures/sift?sort=stability&show=established")
        assert page.locator("li.tile b").all_inner_texts()[-1] == "s0002"
        assert page.get_by_label("Sort by").input_value() == "stability"


class TestStructure:
    def test_slider_and_circles(self, opened):
        page = opened.open(PAGE, "#/s/sift/1.0")
        figures = page.locator("ul.images li")
        figures.nth(0).locator("svg circle").nth(2).wait_for(state="attached")
        # a close-up: turned as its features are, a quarter from x to y, around them
        shown = figures.nth(0).locator("svg g").get_attribute("transform")
        assert shown.startswith(("rotate(-90.00", "rotate(-89.99"))
        assert figures.nth(0).locator("canvas").count() == 1
        # three of the four features are of its words
        assert figures.nth(0).locator("svg circle").count() == 3
        assert "3 of 3 words, overlap 0.900\nnight/i000.png" in figures.nth(0).inner_text()
        box = page.locator("#threshold")
        box.evaluate("(b) => { b.value = 0.8; b.dispatchEvent(new Event('input')); }")
        overlaps = [0.9 - 0.8 * k / 70 for k in range(71)]
        value = float(box.input_value())
        wanted = sum(o >= value for o in overlaps)
        assert page.locator("output").inner_text().startswith(f"{wanted} of 71 images")
        assert figures.count() == wanted
        over = figures.nth(0).locator("svg.circles")
        figures.nth(0).scroll_into_view_if_needed()  # the list was made anew
        over.wait_for(state="attached")
        assert not over.is_visible()
        page.keyboard.press("c")
        over.wait_for()
        page.get_by_label("whole images, not turned").check()
        figures.nth(0).locator("img").wait_for()
        assert figures.nth(0).locator("svg circle").count() == 3
        # an image that is opened from here has its circles, and leads back
        figures.nth(0).locator("a").click()
        page.locator("h1", has_text="night/i000.png").wait_for()
        assert "Circles: features of structure s0000." in page.locator("main").inner_text()
        page.get_by_role("link", name="\u2190 s0000").click()
        page.locator("h1", has_text="s0000").wait_for()

    def test_its_images_as_a_table(self, opened):
        page = opened.open(PAGE, "#/s/sift/s0001")  # its number does as well as its lineage
        page.locator("ul.images li").first.wait_for()
        with page.expect_download() as found:
            page.get_by_role("button", name="Save as CSV").click()
        assert found.value.suggested_filename == "sift-s0001.csv"
        lines = Path(found.value.path()).read_text("utf-8").splitlines()
        assert lines[0] == "rank,image_id,batch,overlap,label,ra_deg,dec_deg"
        assert len(lines) == 1 + 70
        rank, name, batch, overlap, label, ra, dec = lines[1].split(",")
        assert (rank, name, batch, label, ra) == ("1", "night/i001.png", "b1", "spiral", "10")
        assert (float(overlap), float(dec)) == pytest.approx((0.9, -80 + 160 / 69), abs=1e-6)
        assert lines[-1].split(",")[1:3] == [HOSTILE[0], "<b2>"]
        # left of the middle and above it, in images that were turned by a quarter from x to y
        page.locator("h3", has_text="Where in the image").scroll_into_view_if_needed()
        told = "Lies between an end and a long side of the galaxies"
        page.get_by_text(told).first.wait_for()

    def test_words_charts_related(self, opened):
        page = opened.open(PAGE, "#/s/sift/1.2")
        page.locator("ul.words").scroll_into_view_if_needed()
        canvas = page.locator("ul.words canvas").nth(0)
        blank = "(c) => Object.assign(document.createElement('canvas'), {width: 48, height: 48})"
        empty = canvas.evaluate(f"{blank}.toDataURL()")
        for _ in range(100):
            page.wait_for_timeout(50)
            if canvas.evaluate("(c) => c.toDataURL()") != empty:
                break
        assert canvas.evaluate("(c) => c.toDataURL()") != empty
        assert page.locator("svg.plot rect.bar title").all_text_contents() == [
            "b1: 68 of 70 images",
            "<b2>: 1 of 4 images",
        ]
        assert page.locator("svg.plot circle.dot").count() > 60
        assert page.locator(
            "section:has(> h2:text-is('Related structures')) b"
        ).all_inner_texts() == ["s0000", "<b>ring</b>"]

    def test_keys_and_slideshow(self, opened):
        page = opened.open(PAGE, "#/s/sift/1.3")
        page.keyboard.press("ArrowLeft")
        page.locator("h1", has_text="s0002").wait_for()
        page.keyboard.press("ArrowRight")
        page.locator("h1", has_text="s0003").wait_for()
        page.keyboard.press("s")
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("1 of 68: night/i003.png").wait_for()
        page.keyboard.press("ArrowRight")
        dialog.get_by_text("2 of 68: night/i004.png").wait_for()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        dialog.get_by_text("68 of 68").wait_for()
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")

    def test_names_and_notes_do_no_harm(self, opened):
        page = opened.open(PAGE, "#/s/sift/1.1")
        assert page.locator("h1").inner_text() == "<b>ring</b>"
        assert "\\u202enote =1+1" in page.locator("main").inner_text()


class TestImage:
    def test_from_a_structure_and_on(self, opened):
        page = opened.open(PAGE, "#/s/sift/1.0")
        page.locator("ul.images li a[href]").nth(1).click()
        page.locator("h1", has_text="night/i001.png").wait_for()
        rows = page.locator("main tbody tr")
        assert rows.count() == 2  # structures 0 and 1
        assert page.locator(".picture svg circle").count() == 3
        page.get_by_role("button", name="Show features of structure").nth(1).click()
        links = page.get_by_role("link", name="Aladin Lite").get_attribute("href")
        assert links.startswith("https://aladin.cds.unistra.fr/AladinLite/?target=10.000000%20")
        page.keyboard.press("ArrowRight")
        page.locator("h1", has_text="night/i002.png").wait_for()

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_names(self, opened, name):
        page = opened.open(PAGE)
        page.evaluate(
            "(n) => (location.hash = `#/i/${['<b2>', n].map(encodeURIComponent).join('/')}`)", name
        )
        page.get_by_text("60 pixels").wait_for()
        assert page.locator("h1").inner_text() == name.replace("\u202e", "\\u202e")
        assert page.locator("main script, main img[onerror]").count() == 0

    def test_found_by_name(self, opened):
        page = opened.open(PAGE)
        page.keyboard.press("/")
        page.keyboard.type("I06")
        page.keyboard.press("Enter")
        page.locator("h1", has_text="Images").wait_for()
        assert page.locator("ul.images li").count() == 10
        page.locator("#query").fill("SPIR")
        page.keyboard.press("Enter")
        page.get_by_text("37 images whose name or class holds").wait_for()

    def test_a_structure_is_found_by_its_number_and_its_name(self, opened):
        page = opened.open(PAGE)
        for text, wanted in (("s0003", ["s0003"]), ("1.7", ["s0007"]), ("RING", ["<b>ring</b>"])):
            page.locator("#query").fill(text)
            page.keyboard.press("Enter")
            page.locator("h1", has_text="Images").wait_for()
            page.locator(f"li.tile b >> text={wanted[0]}").wait_for()
            assert page.locator("li.tile b").all_inner_texts() == wanted

    def test_found_by_position(self, opened):
        page = opened.open(PAGE)
        for text, away in (  # the image is at 30, -80 + 160 * 3 / 69 degrees
            ("30 -71.9", "1.14\u00b0"),
            ("2:00:00 -73:00:00", "2.61\u2032"),
            ("2h00m00s, -73d02m36.5s", "0.02\u2033"),
        ):
            page.locator("#query").fill(text)
            page.keyboard.press("Enter")
            figure = page.locator("ul.images li", has_text="night/i003.png").first
            figure.get_by_text(f"{away} away").wait_for()
            assert "nearest to right ascension 30\u00b0" in page.locator("main").inner_text()
            assert "night/i003.png" in page.locator("ul.images li").first.inner_text()


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A batch of which other lines know something, by two extractors."""
    place = tmp_path_factory.mktemp("known") / "gallery" / "run=1"
    place.parent.mkdir()
    one = batch("b1", IMAGES, known=True, extractors=("sift", "surf"))
    write(gallery([one], structures=3), place)
    return place


class TestWhatOtherLinesKnow:
    def test_an_image(self, browser, known):
        one = Opened(browser, known.parents[1].as_uri())
        page = one.open("gallery/run=1/gallery.html", "#/i/b1/night%2Fi000.png")
        facts = page.locator("dl.figures").inner_text()
        for text in ("cluster (kmeans)\nc0", "edge on\n<i>yes</i>", "redshift\n0.5"):
            assert text in facts
        near = page.locator("section:has(> h2:text-is('Nearest images (words)')) li")
        near.nth(2).scroll_into_view_if_needed()
        for k in (1, 2, 3):
            page.locator("figcaption", has_text=f"night/i00{k}.png").wait_for()
        assert [text.split("\n") for text in near.all_inner_texts()] == [
            ["distance 0.25", "night/i001.png spiral"],
            ["distance 0.5", "night/i002.png"],
            ["distance 0.75", "night/i003.png spiral"],
        ]
        # two pictures side by side, each with the features of its extractor
        assert page.locator(".frames .picture svg").count() == 2
        mark = page.locator("svg.marks circle")
        mark.wait_for(state="attached")
        assert (float(mark.get_attribute("cx")), float(mark.get_attribute("cy"))) == pytest.approx(
            (0.75, 0.5), abs=1e-4
        )
        link = page.get_by_role("link", name="Open the map").get_attribute("href")
        base = f"{known.parents[1].as_uri()}/explorer/index.html"
        assert link == f"{base}#map=words&image=night%2Fi000.png&batch=b1"
        near.nth(1).locator("a").click()
        page.locator("h1", has_text="night/i002.png").wait_for()
        # the last one is on no map
        page = one.open("gallery/run=1/gallery.html", "#/i/b1/night%2Fi069.png")
        page.locator("h2", has_text="On the map (words)").scroll_into_view_if_needed()
        page.get_by_text("The image is not there").wait_for()
        assert page.locator("svg.marks circle").count() == 0
        one.close()

    def test_a_structure(self, browser, known):
        one = Opened(browser, known.parents[1].as_uri())
        page = one.open("gallery/run=1/gallery.html", "#/s/surf/1.1")
        chart = page.locator("section:has(> h3:text-is('On the map (words)'))")
        chart.scroll_into_view_if_needed()
        chart.get_by_text("69 of its images, in colour").wait_for()
        assert chart.locator("circle").count() == 69
        drawn = "(c) => c.getContext('2d').getImageData(0, 0, 220, 220).data.some((v) => v > 0)"
        assert chart.locator("canvas").evaluate(drawn)
        link = chart.get_by_role("link", name="Open the map").get_attribute("href")
        words = "map=words&colour=structure+%28surf%29&only.structure+%28surf%29=s0001"
        assert link.endswith(f"/explorer/index.html#{words}")
        one.close()

    def test_extractors_side_by_side(self, browser, known):
        one = Opened(browser, known.parents[1].as_uri())
        page = one.open("gallery/run=1/gallery.html", "#/structures/sift")
        page.get_by_label("Extractor").select_option("surf")
        page.get_by_role("link", name="beside sift").click()
        page.locator("h1", has_text="surf beside sift").wait_for()
        assert page.locator(".pair").count() == 3
        assert "3 images in both, 50 % of those in either" in page.locator("main").inner_text()
        page.get_by_role("link", name="The other way round").click()
        page.locator("h1", has_text="sift beside surf").wait_for()
        page.locator(".pair a").first.click()
        section = page.locator("section:has(> h2:text-is('In the same images by surf'))")
        section.wait_for()
        assert section.locator("li.tile b").all_inner_texts() == ["<b>ring</b>", "s0000"]
        one.close()


class TestWord:
    def test_patches_and_structures(self, opened):
        page = opened.open(PAGE, "#/w/sift/2")
        page.get_by_text("48 examples").wait_for()
        assert page.locator("ul.patches canvas").count() == 1 + 48  # and their average
        assert page.locator("li.tile").count() == 40


def test_it_works_one_folder_above(browser, folder, tmp_path):
    """As it is published: ``gallery/index.html`` beside the folder of the run."""
    place = folder.parent / "index.html"
    place.write_bytes((folder / "index-above.html").read_bytes())
    one = Opened(browser, folder.parent.as_uri())
    page = one.open("index.html", "#/s/sift/1.0")
    page.locator("ul.images canvas").first.wait_for()
    one.close()
