"""The line of exposures, from FITS files to flags and the page."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits
from commands import SETTINGS as COMMON
from commands import Result, chosen, rows_of, run_minia, table_of
from image_samples import SHARED
from notebooks import run_notebook

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.desom.files import load
from minia_spark.desom.grid import nearest_cells
from minia_spark.desom.training import encoded
from minia_spark.engine.plan import Request, make_plan
from minia_spark.engine.stage import Source
from minia_spark.exposures.cutouts import cut, draw, scaled, sources
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.stages.cells import cells
from minia_spark.exposures.stages.cutout_map import cutout_map
from minia_spark.exposures.stages.exposure_map import exposure_map
from minia_spark.exposures.stages.exposure_page import panel
from minia_spark.exposures.trained import load_trained
from minia_spark.rooms import HOUSE
from minia_spark.sky.exposures import Exposures, exposure_truth, write_exposures
from minia_spark.warehouse.warehouse import Warehouse

SKY = Exposures(seed=4, ccds=2, side_px=160, sources=60, dead=0.15)
SETTINGS = (
    *("exposures.per_ccd=12", "exposures.usual_ccds=2", "spark.partitions=2"),
    *("desom.cutouts.side=3", "desom.cutouts.steps=12", "desom.cutouts.batch=16"),
    *("desom.exposures.side=2", "desom.exposures.steps=12", "desom.exposures.batch=8"),
)
SMALL = chosen(*SETTINGS)


def write_night(folder: Path, number: int, first: int) -> Path:
    list(write_exposures(folder, SKY, number, first=first))
    return folder


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven exposures, one of them gzipped in a folder below, and what cannot be used."""
    folder = write_night(tmp_path_factory.mktemp("survey") / "n1", 11, 0)
    (folder / "below").mkdir()
    packed = folder / "e000010.fits"
    (folder / "below" / "e000010.fits.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    (folder / "broken.fits").write_text("no FITS")
    (folder / "notes.txt").write_text("cloudy")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    small = fits.ImageHDU(np.zeros((40, 200), np.int16), name="STRIP")
    fits.HDUList([fits.PrimaryHDU(), table, small]).writeto(folder / "odd.fits")
    return folder


@pytest.fixture(scope="module")
def line(opened, night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which the whole line ran once; not to be changed."""
    assert opened is not None
    location = tmp_path_factory.mktemp("line") / "W"
    told = run(location, "run", "--exposures", night, "--batch", "n1", *SMALL).expect(0)
    assert "10 exposures" not in told.out
    assert "11 exposures, 3 rejects" in told.out
    assert "table rejects names each" in told.err
    return location


@pytest.fixture
def own(line: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(line, tmp_path / "W"))


def run(location: Path, command: str, *arguments: object) -> Result:
    return run_minia("exposures", command, "--warehouse", location, *arguments)


def artefact(location: Path, name: str) -> Path:
    (entry,) = Warehouse(str(location)).catalogue().of_table(name)
    return location / entry.path


class TestCutouts:
    def test_exposures(self, line, night):
        found = table_of(line, "exposures").set_index("exposure_id")
        assert len(found) == 11
        truth = exposure_truth(SKY, 3)
        row = found.loc[truth.name]
        assert (row["ccds"], row["filter"], row["mjd"]) == (2, truth.filter, truth.mjd)
        assert row["exposure_seconds"] == truth.exposure_seconds
        for index in range(10):
            truth = exposure_truth(SKY, index)
            wanted = [f"CCD{number:02d}" for number in truth.dead]
            assert list(found.loc[truth.name]["dead_ccds"]) == wanted
        assert found.loc["below/e000010.fits.gz"]["ccds"] == 2
        assert any(len(dead) for dead in found["dead_ccds"])

    def test_rejects(self, line):
        found = rows_of(line, "rejects", "uri", "reason", "stage")
        assert [(uri.rpartition("/")[2], reason) for uri, reason, _ in found] == [
            ("broken.fits", "not_an_image"),
            ("odd.fits#hdu=1", "no_image_data"),
            ("odd.fits#hdu=2", "too_small"),
        ]
        assert {stage for _, _, stage in found} == {"cutouts"}

    def test_they_are_those_of_the_kernels(self, line, night):
        rows = table_of(line, "cutouts").set_index(["exposure_id", "hdu"])
        name = next(
            exposure_truth(SKY, k).name for k in range(10) if not exposure_truth(SKY, k).dead
        )
        row = rows.loc[name, 2]
        with fits.open(night / name) as hdus:
            pixels = np.ascontiguousarray(hdus[2].data, np.float32)
        found = sources(pixels)
        places = draw(found, pixels.shape, 12, 37, (1, name, 2))
        made = scaled(cut(pixels, found.x[places], found.y[places]))
        assert row["pixels"] == made.pixels.tobytes()
        np.testing.assert_array_equal(row["x"], found.x[places].astype(np.float32))
        np.testing.assert_array_equal(row["low"], made.low)
        assert (row["sources"], row["ccd"], row["dead"]) == (len(found), "CCD02", False)

    def test_partitions_change_nothing(self, line, night, published, tmp_path):
        source = Source(night, kind="exposures")
        settings = [*SETTINGS, "spark.partitions=1"]
        published(tmp_path / "W", "cutouts", "n1", *settings, source=source)
        for table in ("cutouts", "exposures", "rejects"):
            assert rows_of(tmp_path / "W", table) == rows_of(line, table)
        digests = [
            {e.digest for e in Warehouse(str(place)).catalogue().of_table("cutouts")}
            for place in (line, tmp_path / "W")
        ]
        assert digests[0] == digests[1]

    def test_nothing_that_can_be_read(self, published, tmp_path):
        (tmp_path / "n").mkdir()
        (tmp_path / "n" / "a.fits").write_text("no FITS")
        source = Source(tmp_path / "n", kind="exposures")
        with pytest.raises(InputError, match=r"no CCD of .* could be read, e.g. .*a.fits: .*FITS"):
            published(tmp_path / "W", "cutouts", "n", *SETTINGS, source=source)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
def test_real_files(published, tmp_path):
    """Cubes, tables, empty extensions, bz2, crops smaller than a cutout, unsigned integers."""
    source = Source(SHARED / "fits", kind="exposures")
    published(tmp_path / "W", "cutouts", "real", "spark.partitions=2", source=source)
    found = table_of(tmp_path / "W", "cutouts").set_index(["exposure_id", "hdu"])
    assert len(table_of(tmp_path / "W", "exposures")) == 13
    assert set(found["reason"].dropna()) == {"no_image_data", "too_small"}
    assert (found.loc["m13_5crops_mef.fits"]["x"].map(len) == 100).all()
    with fits.open(SHARED / "fits" / "sep_emmi_image.fits") as hdus:
        pixels = np.ascontiguousarray(hdus[0].data, np.float32)
    sky = sep.Background(pixels)
    direct = sep.extract(pixels - sky.back(), 1.5, err=sky.globalrms, minarea=5)
    row = found.loc["sep_emmi_image.fits", 0]
    assert row["sources"] == len(direct)
    places = set(zip(direct["x"].astype("f4"), direct["y"].astype("f4"), strict=True))
    assert set(zip(row["x"], row["y"], strict=True)) <= places


class TestMaps:
    def test_cells_are_those_of_the_network(self, line):
        desom = load(artefact(line, "cutout_map"))
        cutouts = table_of(line, "cutouts").query("reason.isnull()")
        found = table_of(line, "cells").set_index("exposure_id")
        assert len(found) == 11
        for name, those in cutouts.sort_values("hdu").groupby("exposure_id"):
            row = found.loc[name]
            flat = np.frombuffer(b"".join(those["pixels"]), np.uint8)
            codes = encoded(desom, flat.reshape(-1, 32, 32, 1))
            cells, apart = nearest_cells(codes, desom.prototypes.numpy())
            np.testing.assert_array_equal(row["cutout_cells"], cells)
            assert dict(zip(row["words"], row["counts"], strict=True)) == {
                cell: list(cells).count(cell) for cell in cells
            }
            vector = histo_vector(cells, those["sources"].sum(), side=3, full=24)
            np.testing.assert_array_equal(row["histo_vector"], vector)
            if len(cells):
                assert row["quantisation_error"] == pytest.approx(apart.mean())
            assert list(row["ccd_cutouts"]) == [len(x) for x in those["x"]]

    def test_exposures_much_smaller_than_usual_are_told_of(self, line, context, monkeypatch):
        for usual, wanted in ((2, 0), (36, 1)):
            made = context(line, "cells", "n1", *SETTINGS, f"exposures.usual_ccds={usual}")
            told: list[str] = []
            monkeypatch.setattr(made.progress, "warn", told.append)
            cells(made)
            assert len(told) == wanted
        assert "set exposures.usual_ccds to how many CCDs most exposures have" in told[0]

    def test_places_are_those_of_the_network(self, line):
        trained = load_trained(artefact(line, "exposure_map"))
        desom = load(artefact(line, "exposure_map"))
        cells = table_of(line, "cells").set_index("exposure_id")
        found = table_of(line, "places").set_index(["exposure_id", "ccd"])
        assert len(found) == 3 * 11  # an exposure and its two CCDs
        for name, row in cells.iterrows():
            whole = found.loc[(name, None)] if (name, None) in found.index else None
            assert whole is not None
            if len(row["cutout_cells"]):
                cell, distance = trained.place(
                    row["histo_vector"][None], lambda _, inputs: encoded(desom, inputs)
                )
                assert (whole["cell"], whole["x"], whole["y"]) == (cell[0], *divmod(cell[0], 2))
                assert whole["distance"] == pytest.approx(distance[0])
            for ccd, number in zip(row["ccds"], row["ccd_cutouts"], strict=True):
                assert np.isnan(found.loc[(name, ccd)]["cell"]) == (number == 0)

    def test_drift(self, line):
        found = table_of(line, "exposure_drift").set_index("map")
        assert set(found.index) == {"cutouts", "exposures"}
        assert (found["expected_from"] == 1).all()  # of eleven exposures one is held out
        assert (found["error"] > 0).all()

    def test_training_is_told(self, line):
        (steps,) = rows_of(line, "cutout_training", "step")
        assert steps == (12,)
        assert (artefact(line, "cutout_map") / "prototypes.png").is_file()

    def test_a_second_run_does_nothing(self, line, night):
        told = run(line, "run", "--exposures", night, "--batch", "n1", *SMALL).expect(0)
        assert told.out.startswith("nothing to do")
        assert "page: " in told.out

    def test_training_again_gives_the_same_maps(self, line, context):
        for name, train in (("cutout_map", cutout_map), ("exposure_map", exposure_map)):
            made = context(line, name, None, *SETTINGS)
            train(made)
            again = next(entry for entry in made.entries if entry.table == name)
            assert again.digest == load_trained(artefact(line, name)).digest

    def test_weights_that_were_published(self, line, context):
        place = artefact(line, "cutout_map")
        of_training = ("desom.cutouts.steps=12", "desom.cutouts.batch=16")
        settings = [setting for setting in SETTINGS if setting not in of_training]
        made = context(line, "cutout_map", None, *settings, f"desom.cutouts.weights={place}")
        cutout_map(made)
        again = {e.table: e for e in made.entries}
        assert again["cutout_map"].digest == load_trained(place).digest
        assert again["cutout_training"].rows == 0

    def test_weights_of_another_map(self, line, context):
        place = artefact(line, "exposure_map")
        settings = ("desom.cutouts.side=3", f"desom.cutouts.weights={place}")
        with pytest.raises(InputError, match=r"desom.cutouts.weights: .* these settings ask for"):
            cutout_map(context(line, "cutout_map", None, *settings))

    def test_weights_that_are_not_there(self, line):
        settings = HOUSE.load_settings(None, [*SETTINGS[:3], "desom.cutouts.weights=/nowhere"])
        request = Request("test", ("cutout_map",), replace=True)
        with pytest.raises(SettingsError, match=r"desom.cutouts.weights: /nowhere cannot be read"):
            make_plan(HOUSE, request, settings, Warehouse(str(line)))

    def test_settings_without_effect(self):
        with pytest.raises(SettingsError, match="steps would have no effect: weights are loaded"):
            HOUSE.load_settings(None, ["desom.cutouts.weights=x", "desom.cutouts.steps=5"])


@pytest.mark.parametrize("command", ["train", "report", "flags"])
def test_without_a_warehouse_the_way_to_one_is_told(minia, tmp_path, command):
    told = minia("exposures", command, "--warehouse", tmp_path / "W").expect(3).err
    assert "'minia exposures run --exposures DIR --batch NAME --warehouse DIR' makes one" in told


class TestUse:
    def test_without_labels_only_the_dead_are_flagged(self, line):
        found = table_of(line, "flags")
        assert set(found["quality"].dropna()) == {"dead"}
        assert len(found) == 33
        told = run(line, "flags", "--bad-exit-code", 9, "--good", "dead").expect(0)
        assert "of 11 exposures have no quality, and count as neither good nor bad" in told.err

    def test_label_next_night_train(self, own, tmp_path):
        """Labels by exposures; a night is placed on the frozen maps; new maps have no labels."""
        labels = tmp_path / "labels.csv"
        with labels.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("exposure_id", "quality"))
            rows.writerows((exposure_truth(SKY, k).name, "good" if k < 8 else "bad focus")
                           for k in range(10))  # fmt: skip
            rows.writerow(("elsewhere.fits", "good"))
        told = run(own, "label", labels).expect(0)
        assert "1 labelled exposures are not on the map, e.g. elsewhere.fits" in told.err
        write_night(tmp_path / "inbox" / "n2", 2, 11)
        (tmp_path / "inbox" / "n2-truth.csv").unlink()
        before = artefact(own, "cutout_map"), artefact(own, "exposure_map")
        inbox = ("--inbox", tmp_path / "inbox", "--lines", "exposures", "--warehouse", own)
        told = run_minia("reprocess", *inbox).expect(0)
        assert "n2: done: 2 exposures, 0 rejects" in told.out
        assert run_minia("reprocess", *inbox, "--empty-exit-code", 9).expect(9)
        assert (artefact(own, "cutout_map"), artefact(own, "exposure_map")) == before
        assert "training" not in told.err
        found = table_of(own, "flags", batch="n2")
        whole = found[found["ccd"].isna()]
        assert len(whole) == 2
        assert set(whole["quality"]) <= {"good", "bad focus", "dead"}
        assert whole["confidence"].between(0, 1).all()
        page = (artefact(own, "exposure_page") / "index.html").read_text()
        assert "13</dd>" in page
        assert "bad focus" in page or "good" in page

        out = tmp_path / "flags.csv", tmp_path / "flags.txt"
        written = ("--batch", "n2", "--csv", out[0], "--keywords", out[1])
        told = run(own, "flags", *written, "--good", "nothing", "--sure", 0, "--bad-exit-code", 9)
        told.expect(9)
        assert "no exposure is 'nothing' (--good); they are " in told.err
        out[0].unlink()
        run(own, "flags", "--csv", own / "flags.csv").expect(2)
        run(own, "flags", *written).expect(0)
        assert len(list(csv.DictReader(io.StringIO(out[0].read_text())))) == len(found) == 6
        assert out[1].read_text().count("# ") == 6
        run(own, "flags", "--batch", "n2", "--bad-exit-code", 9, "--sure", 1, "--good", "dead")
        told = run(own, "flags", "--batch", "n3").expect(3)
        assert "there is no batch 'n3'; batches: n1, n2" in told.err

        told = run(own, "train").expect(0)
        assert "the labels are of cells of another map" in told.err
        assert artefact(own, "cutout_map") != before[0]
        assert set(table_of(own, "flags")["quality"].dropna()) <= {"dead"}
        assert run(own, "train").expect(0).out.startswith("nothing to do")

    def test_a_label_of_no_cell(self, own, tmp_path):
        (tmp_path / "labels.csv").write_text("cell,quality\n4,good\n")
        told = run(own, "label", tmp_path / "labels.csv").expect(3)
        assert "there is no cell 4: the map has 4" in told.err

    def test_the_panel_on_the_page_of_the_images(self, line, context):
        shown = panel(context(line, "report"))
        assert "11 exposures on their map" in shown
        assert shown.count("<rect") == 4

    def test_the_notebook_runs(self, line, tmp_path):
        told = run_notebook("exposures.ipynb", line, tmp_path)
        assert told.startswith("11 exposures with")
        for name in ("cutouts.png", "histo-vector.png"):
            assert (tmp_path / name).stat().st_size > 0

    def test_the_page_has_ccds_to_zoom_into(self, line):
        folder = artefact(line, "exposure_page")
        assert 'data-width="324" data-height="160"' in (folder / "e00001.html").read_text()
        assert (folder / "t00001-1-0-0.jpg").is_file()
        assert (folder / "cells.csv").read_text().startswith("order,cell,exposures,quality\n1,")

    def test_wrong_use(self, line, tmp_path):
        told = run(line, "run", "--batch", "n2").expect(2)
        assert "--exposures DIR and --batch NAME belong together" in told.err
        told = run(line, "run", "--exposures", tmp_path / "none", "--batch", "n2").expect(3)
        assert "is neither a folder nor a file" in told.err
        (tmp_path / "empty").mkdir()
        told = run(line, "run", "--exposures", tmp_path / "empty", "--batch", "n2").expect(3)
        assert "holds no exposure: FITS files whose names end in .fits, .fit, .fts" in told.err


def test_images_and_exposures_side_by_side(line, survey):
    """A run of images leaves the batch of exposures alone."""
    stages = HOUSE.stages_of(("discovery", "exposures"))
    request = Request("test", stages, sources={"b1": Source(survey.images)})
    settings = HOUSE.load_settings(None, SETTINGS)
    plan, _ = make_plan(HOUSE, request, settings, Warehouse(str(line)))
    made = {(step.stage.name, step.batch): step.action for step in plan.steps}
    assert ("features", "b1") in made
    assert ("features", "n1") not in made
    assert ("cells", "b1") not in made
    assert made["cells", "n1"] == "skip"


@pytest.mark.parametrize(("removed", "gone", "stays"), [
    ("b1", "structures", "exposure_page"),
    ("n1", "exposure_page", "structures"),
])  # fmt: skip
def test_the_last_batch_of_its_kind_goes(own, warehouse, removed, gone, stays):
    """What is made from all batches goes with it; maps and codebook stay, as they are frozen."""
    house, images = Warehouse(str(own)), Warehouse(str(warehouse)).catalogue()
    state = house.catalogue()
    house.commit(state, images.run, (*state.entries, *images.entries), "both", uses=images.uses)
    stages = tuple(stage.name for stage in HOUSE.stages)
    settings = HOUSE.load_settings(None, [*COMMON, *SETTINGS])
    plan, _ = make_plan(HOUSE, Request("test", stages, removed=removed), settings, house)
    tables = {entry.table for entry in plan.start.entries}
    assert gone not in tables
    assert {stays, "codebooks", "cutout_map", "exposure_map"} <= tables
    assert {step.stage.name for step in plan.steps} >= {stays}
