"""The folder of the page: what is in it, and what a new batch leaves alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from minia_spark.base.errors import MiniaError
from minia_spark.explorer import parts
from minia_spark.explorer import site as module
from minia_spark.explorer.sheets import decoded
from minia_spark.explorer.site import Batch, Field, Map, Site, at_hand, frozen_box, write

from .decoder import Page
from .samples import FIELDS, HOSTILE, batch, picture, site

IDS = [f"n1/image-{i:02d}.png" for i in range(40)]


def level(name: str) -> int:
    return 40 + 5 * int(name[-6:-4])


PICTURES = {name: picture(level(name)) for name in IDS}


def test_everything_comes_back(tmp_path):
    own = batch("night1", IDS)
    written = write(site([own]), tmp_path / "map")
    assert (written.images, written.kept, written.missing) == (40, 0, 40)
    rows = Page(tmp_path / "map").rows()
    assert rows.keys() == {("night1", name) for name in IDS}
    for i, name in enumerate(IDS):
        row = rows["night1", name]
        for shown in ("words", "pca"):
            box = next(m["box"] for m in Page(tmp_path / "map").head["maps"] if m["name"] == shown)
            assert row[shown] == pytest.approx(
                own.positions[shown][i], abs=(box[2] - box[0]) / 131_068 + 1e-9
            )
        assert row["class"] == own.values["class"][i].as_py()
        assert row["structure"] == own.values["structure"][i].as_py()
        assert row["brightness"] == pytest.approx(own.values["brightness"][i].as_py(), rel=1e-6)


def test_values_are_counted_and_ranked(tmp_path):
    one = [Field(name="class", kind="category"), Field(name="n", kind="number")]
    one.append(Field(name="tag", kind="tags", links={"b": "b.html"}))
    own = Batch(
        name="b",
        image_ids=pa.array(["1", "2", "3", "4"]),
        positions={"words": np.zeros((4, 2))},
        values={
            "class": pa.array(["y", "x", "x", None]),
            "n": pa.array([3.0, None, 1.0, math.nan]),
            "tag": pa.array([["a", "b"], ["b"], [], None], pa.list_(pa.string())),
        },
    )
    write(site([own], fields=one, maps=("words",)), tmp_path / "map")
    kind, number, tags = Page(tmp_path / "map").head["fields"]
    assert kind["values"] == [["x", 2, ""], ["y", 1, ""]]
    assert (number["ends"], number["known"]) == ([1.0, 3.0], 2)
    assert tags["values"] == [["b", 2, "b.html"], ["a", 1, ""]]


def test_points_do_not_depend_on_the_order_they_came_in(tmp_path):
    write(site([batch("night1", IDS, pictures=PICTURES)]), tmp_path / "one")
    write(site([batch("night1", IDS[::-1], pictures=PICTURES)]), tmp_path / "two")
    one, two = Page(tmp_path / "one"), Page(tmp_path / "two")
    assert one.files() == two.files()
    assert one.head == two.head
    assert one.order() != sorted(IDS)


def test_parts_hold_so_many_points(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "POINTS", 16)
    write(site([batch("night1", IDS, pictures=PICTURES)]), tmp_path / "map")
    page = Page(tmp_path / "map")
    assert [len(names) for names in page.head["batches"][0]["maps"]] == [3, 3]
    assert len(page.head["batches"][0]["places"]) == 3
    monkeypatch.undo()
    write(site([batch("night1", IDS, pictures=PICTURES)]), tmp_path / "whole")
    assert page.rows() == Page(tmp_path / "whole").rows()


def test_pictures_are_in_the_cells_that_points_name(tmp_path):
    some = dict(list(PICTURES.items())[:30]) | {IDS[30]: b"broken"}
    written = write(site([batch("night1", IDS, pictures=some)], cell_px=16), tmp_path / "map")
    assert written.missing == 10
    page = Page(tmp_path / "map")
    head = page.head["batches"][0]
    sheet = decoded((page.folder / "map" / head["sheets"][0]).read_bytes())
    large = page.column(head["larger"])
    for (_, name), row in page.rows().items():
        if name not in some or some[name] == b"broken":
            assert row["place"] == 0xFFFFFFFF
            continue
        top, left = 16 * (row["place"] // 16), 16 * (row["place"] % 16)
        cell = sheet[top + 4 : top + 12, left + 4 : left + 12]
        assert abs(cell.mean() - level(name)) < 3
        assert large[row["place"]] == some[name]


def test_sheets_follow_the_first_map(tmp_path):
    """Images that are near on the map are in the same sheet: neighbours on its curve."""
    ids = [f"image-{i:03d}" for i in range(600)]
    write(
        site([batch("b", ids, pictures=dict.fromkeys(ids, picture(99, 4, 4)))], large=False),
        tmp_path / "map",
        threads=2,
    )
    page = Page(tmp_path / "map")
    assert len(page.head["batches"][0]["sheets"]) == 3
    assert page.head["batches"][0]["larger"] == []
    rows = sorted(page.rows().values(), key=lambda row: row["place"])
    places = np.array([row["words"] for row in rows])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1).mean()
    shuffled = np.random.default_rng(0).permutation(places)
    assert steps < 0.3 * np.linalg.norm(np.diff(shuffled, axis=0), axis=1).mean()


def test_threads_change_no_file(tmp_path):
    ids = [f"image-{i:03d}" for i in range(900)]
    own = site([batch("b", ids, pictures={n: picture(i % 256, 4, 4) for i, n in enumerate(ids)})])
    for threads in (1, 3):
        write(own, tmp_path / str(threads), threads=threads)
    assert Page(tmp_path / "1").files() == Page(tmp_path / "3").files()


def test_a_new_batch_leaves_old_files_as_they_are(tmp_path):
    first = batch("night1", IDS, pictures=PICTURES)
    write(site([first]), tmp_path / "one")
    asked = []

    def noted(ids):
        asked.extend(ids)
        return at_hand(PICTURES)(ids)

    other = [f"n2/image-{i:02d}.png" for i in range(7)]
    second = batch("night2", other, pictures=dict.fromkeys(other, picture(77)))
    # inside the box of the first: the margin is what it is for
    second = replace(second, positions={m: 0.1 * p for m, p in second.positions.items()})
    written = write(
        site([replace(first, pictures=noted), second]), tmp_path / "two", tmp_path / "one"
    )
    assert asked == []  # thumbnails of the first are not even read
    before, after = Page(tmp_path / "one"), Page(tmp_path / "two")
    assert after.head["batches"][0] == before.head["batches"][0]
    assert [m["box"] for m in after.head["maps"]] == [m["box"] for m in before.head["maps"]]
    assert before.files().items() <= after.files().items()
    assert written.kept == len(before.files())
    assert written.new == len(after.files()) - len(before.files()) > 0
    one, two = before.rows(), after.rows()
    assert all(two[key] == one[key] for key in one)
    # and it is the page that would have been made at once, but for the box
    write(site([first, second]), tmp_path / "fresh")
    assert Page(tmp_path / "fresh").files().keys() == after.files().keys()


def test_what_changed_is_written_anew(tmp_path):
    first = batch("night1", IDS, pictures=PICTURES)
    write(site([first]), tmp_path / "one")
    other = dict(PICTURES, **{IDS[0]: picture(250)})
    changed = replace(first, pictures=at_hand(other), pictures_digest="another")
    write(site([changed]), tmp_path / "two", tmp_path / "one")
    large = Page(tmp_path / "two")
    row = large.rows()["night1", IDS[0]]
    assert large.column(large.head["batches"][0]["larger"])[row["place"]] == other[IDS[0]]
    # one label more: only that field's part is new
    labels = first.values["class"].to_pylist()
    labels[3] = "new"
    again = replace(first, values={**first.values, "class": pa.array(labels)})
    write(site([again]), tmp_path / "three", tmp_path / "one")
    one, three = Page(tmp_path / "one").files(), Page(tmp_path / "three").files()
    assert {name.split("-")[0] for name in three.keys() - one.keys()} == {"field"}
    assert len(three.keys() - one.keys()) == 1


@pytest.mark.parametrize("damage", ["nothing", "text", "format", "a file is gone", "paths"])
def test_a_page_that_cannot_be_built_upon_does_no_harm(tmp_path, damage):
    first = batch("night1", IDS, pictures=PICTURES)
    write(site([first]), tmp_path / "one")
    data = tmp_path / "one" / "map-data.js"
    text = data.read_text()
    if damage == "nothing":
        data.unlink()
    elif damage == "text":
        data.write_text(text[:100])
    elif damage == "format":
        data.write_text(text.replace('"format":1', '"format":0'))
    elif damage == "a file is gone":
        next((tmp_path / "one" / "map").glob("sheet-*")).unlink()
    else:
        name = Page(tmp_path / "one").head["batches"][0]["sheets"][0]
        data.write_text(text.replace(name, "../map-data.js"))
    write(site([first]), tmp_path / "two", tmp_path / "one")
    write(site([first]), tmp_path / "fresh")
    assert Page(tmp_path / "two").files() == Page(tmp_path / "fresh").files()


def test_a_point_beyond_the_box_widens_it_for_all(tmp_path):
    first = batch("night1", IDS)
    write(site([first]), tmp_path / "one")
    far = batch("night2", ["far"])
    far = replace(far, positions={m: np.array([[50.0, 0.0]]) for m in far.positions})
    write(site([first, far]), tmp_path / "two", tmp_path / "one")
    rows = Page(tmp_path / "two").rows()
    assert rows["night2", "far"]["words"] == pytest.approx((50, 0), abs=1e-3)
    assert rows["night1", IDS[0]]["words"] == pytest.approx(first.positions["words"][0], abs=1e-3)


def test_boxes():
    nan = np.full((2, 2), math.nan)
    assert frozen_box([np.array([[0.0, 0.0], [10.0, 4.0]])], margin=0.1) == (-1, -4, 11, 8)
    assert frozen_box([np.array([[3.0, 4.0]])]) == (-1, 0, 7, 8)  # one image
    assert frozen_box([np.zeros((5, 2))]) == (-1, -1, 1, 1)  # all at one place
    assert frozen_box([np.empty((0, 2)), nan]) == (-1, -1, 1, 1)
    before = (-2.0, -2.0, 2.0, 2.0)
    assert frozen_box([np.array([[2.0, -2.0]])], before) == before
    assert frozen_box([nan], before) == before
    assert frozen_box([np.array([[2.1, 0.0], [0.0, 0.0]])], before, margin=0)[2] == pytest.approx(
        2.1
    )


def test_hostile_names_come_back_and_name_no_file(tmp_path):
    fields = [
        Field(name="<b>class</b>", kind="category"),
        Field(name="__proto__", kind="tags"),
    ]
    n = len(HOSTILE)
    own = Batch(
        name="<i>night</i>/../..",
        image_ids=pa.array(HOSTILE),
        positions={"words": np.arange(2.0 * n).reshape(n, 2)},
        values={
            "<b>class</b>": pa.array(HOSTILE[::-1]),
            "__proto__": pa.array([[h, "x"] for h in HOSTILE], pa.list_(pa.string())),
        },
        pictures=at_hand(dict.fromkeys(HOSTILE, picture(9))),
    )
    written = write(
        site([own], fields=fields, maps=("words",), title="</title><script>1"), tmp_path / "map"
    )
    assert written.missing == 0
    page = Page(tmp_path / "map")
    rows = page.rows()
    for name, label in zip(HOSTILE, HOSTILE[::-1], strict=True):
        row = rows[own.name, name]
        assert row["<b>class</b>"] == label
        assert row["__proto__"] == [name, "x"]
    for path in (tmp_path / "map").rglob("*"):
        assert (
            path.name == "map" or module._PART.fullmatch(path.name) or path.stem.startswith("map")
        )
    html = (tmp_path / "map" / "map.html").read_text()
    assert "&lt;/title&gt;&lt;script&gt;1" in html
    assert html.count("<script") == 2


def test_the_page_allows_nothing_from_elsewhere(tmp_path):
    write(site([batch("b", IDS)], home="../report/index.html"), tmp_path / "map")
    html = (tmp_path / "map" / "map.html").read_text()
    assert "default-src 'none'; script-src 'self'; img-src 'self' data:; style-src 'self'" in html
    assert 'href="../report/index.html"' in html
    style = (tmp_path / "map" / "map.css").read_text()
    assert "{%" not in style
    assert "--paper: #fcfcfb" in style
    assert style.count("--paper: #121418") == 2  # by the system, and by the switch
    for name in ("map.js", "map.css", "map.html"):
        text = (tmp_path / "map" / name).read_text()
        assert set(re.findall(r"\w+://[\w.]+", text)) <= {"http://www.w3.org"}  # names of formats


def test_the_page_reads_the_same_from_the_folder_above(tmp_path):
    own = site([batch("b", IDS)], home="../../report/index.html")
    write(own, tmp_path / "run=7", seen_from_above=True)
    pages = [(tmp_path / "run=7" / name).read_text() for name in ("map.html", "index-above.html")]
    for attribute in ('href="{}map.css"', 'src="{}map.js"', 'src="{}map-data.js"'):
        assert attribute.format("") in pages[0]
        assert attribute.format("run=7/") in pages[1]
    assert 'href="../../report/index.html"' in pages[0]
    assert 'href="../report/index.html"' in pages[1]


def test_no_images_and_one(tmp_path):
    write(site([]), tmp_path / "none")
    assert Page(tmp_path / "none").rows() == {}
    write(site([batch("empty", [], pictures={})]), tmp_path / "empty")
    assert Page(tmp_path / "empty").rows() == {}
    write(site([batch("one", ["a"], pictures={"a": picture(5)})]), tmp_path / "one")
    assert Page(tmp_path / "one").rows()["one", "a"]["place"] == 0


def test_an_image_that_is_on_one_map_only(tmp_path):
    own = batch("b", ["a", "b"])
    own.positions["pca"][1] = math.nan
    write(site([own]), tmp_path / "map")
    rows = Page(tmp_path / "map").rows()
    assert rows["b", "b"]["pca"] is None
    assert rows["b", "b"]["words"] is not None


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "data:text/html,x", "//host/x", " x", "a\\b", "a\nb", "JAVASCRIPT:x"],
)
def test_links_lead_to_pages_only(tmp_path, link):
    own = batch("b", ["a"], links=pa.array([link]))
    with pytest.raises(ValueError, match="is no link to a page"):
        write(site([own]), tmp_path / "map")
    with pytest.raises(ValueError, match="is no link to a page"):
        write(site([], fields=[replace(FIELDS[0], links={"x": link})]), tmp_path / "map")
    assert not (tmp_path / "map").exists()


def test_good_links_are_kept(tmp_path):
    links = [
        "../report/structure-0001.html#image-3",
        "https://example.org/a?b=c",
        "file:///srv/a.fits",
    ]
    own = batch("b", ["a", "b", "c"], links=pa.array(links))
    write(site([own]), tmp_path / "map")
    rows = Page(tmp_path / "map").rows()
    assert [rows["b", name]["link"] for name in "abc"] == links


def test_what_does_not_fit_together_is_refused(tmp_path):
    own = batch("b", ["a", "b"])
    cases = [
        (site([own], maps=()), "maps must have different names"),
        (site([own], maps=("Words",)), "maps must have different names"),
        (site([own], maps=("words", "words")), "maps must have different names"),
        (site([own, own]), "two batches have the same name"),
        (site([own], fields=(*FIELDS, FIELDS[0])), "two fields have the same name"),
        (
            site([own], fields=(*FIELDS, Field(name="batch", kind="tags"))),
            "a field must not be called 'batch'",
        ),
        (
            site([own], fields=FIELDS[:2]),
            r"batch 'b' has \['brightness', 'class', 'structure'\], not",
        ),
        (site([replace(own, image_ids=pa.array(["a", "a"]))]), "batch 'b' has an image twice"),
        (
            site([replace(own, image_ids=pa.array(["a", "b", "c"]))]),
            "batch 'b' has 3 images but 'words' has 2",
        ),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            write(wrong, tmp_path / "map")
    short = replace(own, pictures=lambda ids: iter([[picture(1)]]))
    with pytest.raises(ValueError, match="2 pictures of batch 'b' were to come, not 1"):
        write(site([short]), tmp_path / "short")


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MiniaError, match="is not empty"):
        write(site([batch("b", ["a"])]), tmp_path)
    with pytest.raises(MiniaError, match="cannot be written"):
        write(site([batch("b", ["a"])]), tmp_path / "file" / "below")


def test_a_site_is_what_it_says():
    assert Site(title="t", maps=[Map(name="m")], fields=(), batches=()).cell_px == 64
