"""The stage and the panel: what the page shows against the tables it is made from; no Spark."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minia_spark.engine.context import Context
from minia_spark.engine.progress import Progress
from minia_spark.engine.run import publish_page
from minia_spark.engine.stage import load
from minia_spark.engine.table import arrow_type
from minia_spark.explorer import stage as module
from minia_spark.explorer.panel import show
from minia_spark.explorer.tables import EXPLORER
from minia_spark.ingest.tables import IMAGES
from minia_spark.layout.tables import MAP, MAP_FRAMES, MAP_QUALITY
from minia_spark.rooms import HOUSE
from minia_spark.structures.tables import STRUCTURE_IMAGES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse

from .decoder import Page

STAGE = HOUSE.by_name["explorer"]


def jpeg(level):
    done, data = cv2.imencode(".jpg", np.full((20, 30, 3), level, np.uint8))
    assert done
    return data.tobytes()


class Tables:
    """A warehouse whose tables are written by hand."""

    def __init__(self, place):
        self.warehouse = Warehouse(str(place))
        self.view = Catalogue()
        self.runs = 0

    def put(self, table, batch, rows, variant=None, digest=""):
        columns = table.all_columns
        schema = pa.schema([pa.field(c.name, arrow_type(c.type), c.null) for c in columns])
        full = [{**dict.fromkeys(schema.names), **row, "variant": variant} for row in rows]
        path = f"{table.name}/run=r/batch={batch}/variant={variant}"
        folder = self.warehouse.storage.local / path
        folder.mkdir(parents=True, exist_ok=True)
        filled = [
            {name: _filled(schema.field(name), row[name]) for name in schema.names} for row in full
        ]
        pq.write_table(pa.Table.from_pylist(filled, schema), folder / "part-0.parquet")
        entry = Entry(
            table=table.name,
            batch=batch,
            stage="s",
            run="r",
            path=path,
            rows=len(rows),
            fingerprint="f",
            digest=digest or f"{table.name} {batch} {len(rows)}",
            variant=variant,
        )
        self.view = self.view.with_entries([entry])

    def run(self, *settings):
        """Run the stage, publish what it wrote, and return its context."""
        self.runs += 1
        made = Context(
            spark=None,
            stage=STAGE,
            batch=None,
            variant=None,
            all_settings=HOUSE.load_settings(None, settings),
            warehouse=self.warehouse,
            progress=Progress(io.StringIO()),
            fingerprint="f",
            run=f"r{self.runs}",
            view=self.view,
            published=self.view,
            facets=HOUSE.facets,
            panels=HOUSE.panels,
        )
        load(STAGE.run)(made)
        self.view = self.view.with_entries(made.entries)
        made.view = self.view
        return made

    def page(self, made):
        return Page(self.warehouse.storage.local / made.entries[0].path)


def _filled(field, value):
    """Columns that the page does not read have anything."""
    if value is not None or field.nullable:
        return value
    for kind, anything in (
        (pa.types.is_list, []),
        (pa.types.is_string, ""),
        (pa.types.is_binary, b""),
    ):
        if kind(field.type):
            return anything
    return 0


NIGHTS = {
    "n1": [f"a/image-{i}.png" for i in range(12)],
    "n2": [f"b/image-{i}.png" for i in range(5)],
}


def night(tables, name, *, maps=("words", "pca"), thumbnails=True):
    ids = NIGHTS[name]
    rng = np.random.default_rng(len(ids))
    labels = [["spiral", "edge", None][i % 3] for i in range(len(ids))]
    tables.put(
        IMAGES,
        name,
        [
            {"image_id": one, "batch": name, "label": label, "width": 64, "ra_deg": 10.0 + i}
            for i, (one, label) in enumerate(zip(ids, labels, strict=True))
        ],
    )
    for variant in maps:
        shown = ids if variant == "words" else ids[:-1]  # one image has no place on that map
        places = rng.normal(size=(len(shown), 2))
        tables.put(
            MAP,
            name,
            [
                {"batch": name, "image_id": one, "x": x, "y": y, "fitted": name == "n1"}
                for one, (x, y) in zip(shown, places, strict=True)
            ],
            variant,
        )
    if thumbnails:
        tables.put(
            THUMBNAILS,
            name,
            [
                {"batch": name, "image_id": one, "format": "jpeg", "data": jpeg(50 + 9 * i)}
                for i, one in enumerate(ids)
                if i != 2
            ],
        )
    return labels


def frames(tables, maps=("words", "pca"), **more):
    for variant in maps:
        frame = {
            "version": "v1",
            "method": "t-sne",
            "images": 12,
            "of_images": 12,
            "dimensions": 2,
            "low": [-5.0, -5.0],
            "high": [5.0, 5.0],
            **more,
        }
        tables.put(MAP_FRAMES, None, [frame], variant)


@pytest.fixture
def tables(tmp_path):
    made = Tables(tmp_path / "W")
    night(made, "n1")
    frames(made)
    made.put(
        STRUCTURE_IMAGES,
        None,
        [
            {"structure_id": s, "image_id": NIGHTS["n1"][i], "batch": "n1"}
            for s, i in ((0, 1), (3, 1), (0, 2))
        ],
        "sift",
    )
    quality = {"trustworthiness": 0.9512, "recall": 0.4}
    made.put(MAP_QUALITY, None, [{"batch": None, **quality}, {"batch": "n1", **quality}], "words")
    return made


def test_the_page_shows_what_the_tables_hold(tables):
    made = tables.run()
    page = tables.page(made)
    rows = page.rows()
    assert rows.keys() == {("n1", one) for one in NIGHTS["n1"]}
    for i, one in enumerate(NIGHTS["n1"]):
        row = rows["n1", one]
        assert row["label"] == ["spiral", "edge", None][i % 3]
        assert row["structure"] == {1: ["s0000", "s0003"], 2: ["s0000"]}.get(i, [])
        assert row["right ascension"] == 10 + i
        assert (row["place"] == 0xFFFFFFFF) == (i == 2)
        assert (row["pca"] is None) == (i == 11)
    places = {
        row["image_id"]: (row["x"], row["y"])
        for row in pq.read_table(
            tables.warehouse.storage.local / "map/run=r/batch=n1/variant=words"
        ).to_pylist()
    }
    for one, place in places.items():
        assert rows["n1", one]["words"] == pytest.approx(place, abs=1e-4)
    # what is the same everywhere is no field: the width, and that the map was fitted to all
    assert [f["name"] for f in page.head["fields"]] == ["label", "right ascension", "structure"]
    links = {value: link for value, _, link in page.head["fields"][2]["values"]}
    assert links["s0003"] == "../../gallery/index.html#/s/sift/s0003"
    assert [m["name"] for m in page.head["maps"]] == ["words", "pca"]
    assert page.head["maps"][0]["box"] == [-5, -5, 5, 5]
    about = "words: t-SNE fitted to 12 images, trustworthiness 0.951, recall 0.400"
    assert page.head["maps"][0]["about"] == about
    assert made.counts["images"] == 12
    assert made.counts["without_picture"] == 1
    for kind in ("words.png", "words.pdf", "pca.png", "pca.pdf"):
        assert (page.folder / f"map-{kind}").stat().st_size > 5_000


def test_a_new_night_adds_files_and_changes_none(tables, monkeypatch):
    first = tables.page(tables.run())
    night(tables, "n2")
    read = []
    thumbnails = module._thumbnails

    def noted(context, batch, image_ids=None):
        read.append((batch, image_ids is None))
        return thumbnails(context, batch, image_ids)

    monkeypatch.setattr(module, "_thumbnails", noted)
    made = tables.run()
    second = tables.page(made)
    assert ("n1", True) not in read  # the old night's are not read again, but for the figures
    assert ("n2", True) in read
    old, new = first.files(), second.files()
    # who was placed later is told from now on: that field is new, all else of the night stays
    assert {one.partition("-")[0] for one in old.keys() - new.keys()} <= {"field"}
    assert all(new[one] == data for one, data in old.items() if one in new)
    assert made.counts["files_kept"] == len(old.keys() & new.keys())
    assert second.rows()["n2", NIGHTS["n2"][0]]["placement (words)"] == "placed later"
    assert {key: row["words"] for key, row in first.rows().items()}.items() <= {
        key: row["words"] for key, row in second.rows().items()
    }.items()


def test_two_extractors_have_a_field_each(tables):
    rows = [{"structure_id": 5, "image_id": NIGHTS["n1"][0], "batch": "n1"}]
    tables.put(STRUCTURE_IMAGES, None, rows, "surf")
    page = tables.page(tables.run())
    fields = {f["name"]: f for f in page.head["fields"]}
    assert fields["structure (surf)"]["values"] == [
        ["s0005", 1, "../../gallery/index.html#/s/surf/s0005"]
    ]
    assert "structure (sift)" in fields


def test_what_everybody_must_know_is_on_the_map(tables):
    frames(
        tables,
        maps=("pca",),
        dimensions=3,
        note="random weights",
        method="pca",
        low=[-5.0] * 3,
        high=[5.0] * 3,
    )
    page = tables.page(tables.run())
    about = page.head["maps"][1]["about"]
    assert about.startswith("pca: principal components fitted to 12 images")
    assert "three dimensions" in about
    assert about.endswith("random weights")


def test_without_thumbnails_and_without_labels(tmp_path):
    made = Tables(tmp_path / "W")
    night(made, "n2", maps=("words",), thumbnails=False)
    frames(made, maps=("words",))
    page = made.page(made.run("explorer.title=<Mine>"))
    assert page.head["title"] == "<Mine>"
    assert page.head["batches"][0]["sheets"] == []
    assert (page.folder / "map-words.png").exists()
    assert "&lt;Mine&gt;" in (page.folder / "map.html").read_text()


def test_on_another_file_system_everything_is_copied_there(tables):
    here = tables.page(tables.run()).files()
    storage = tables.warehouse.storage
    local, storage.local = storage.local, None
    made = tables.run()
    storage.local = local
    assert made.counts["files_kept"] == 0
    page = tables.page(made)
    assert page.files() == here
    assert {path.name for path in page.folder.iterdir()} >= {"map.html", "map-words.png"}
    assert f'src="{page.folder.name}/map.js"' in (page.folder / "index-above.html").read_text()


def test_settings_do_what_they_say(tables):
    page = tables.page(tables.run("explorer.large_copies=false", "explorer.cell_px=32"))
    (batch,) = page.head["batches"]
    assert batch["larger"] == []
    sheet = cv2.imread(str(page.folder / "map" / batch["sheets"][0]))
    assert sheet.shape == (32, 16 * 32, 3)
    bare = tables.page(tables.run("explorer.figure_thumbnails=0"))
    grey = [
        int((np.ptp(shot.astype(int), axis=2) < 4).sum() - (shot > 240).all(axis=2).sum())
        for shot in (cv2.imread(str(one.folder / "map-words.png")) for one in (page, bare))
    ]
    assert grey[0] > grey[1] + 10_000  # the samples are grey


def test_the_report_leads_to_the_map(tables):
    made = tables.run()
    publish_page(tables.view, tables.warehouse, HOUSE.pages)
    html = str(show(made))
    addresses = re.findall(r'(?:href|src)="warehouse:/([^"]+)"', html)
    assert "explorer/index.html" in addresses
    assert f"{made.entries[0].path}/map-words.png" in addresses
    assert f"{made.entries[0].path}/map-pca.pdf" in addresses
    for address in addresses:
        assert (tables.warehouse.storage.local / address).is_file()


def test_the_newest_map_has_an_address_that_stays(tables):
    shown = tables.warehouse.storage.local / "explorer" / "index.html"
    for run in ("r1", "r2"):
        tables.run()
        publish_page(tables.view, tables.warehouse, HOUSE.pages)
        assert f'src="run={run}/map-data.js"' in shown.read_text()
    publish_page(Catalogue(), tables.warehouse, HOUSE.pages)
    assert not shown.exists()


def test_it_is_a_room_like_the_others():
    assert STAGE.line == "map"
    assert EXPLORER in HOUSE.by_name["report"].optional
    assert {facet.table.name for facet in HOUSE.facets} <= {t.name for t in STAGE.inputs}
    assert "explorer" not in HOUSE.stages_of(["discovery"])
    assert HOUSE.stages_of(["map"])[-1] == "explorer"
