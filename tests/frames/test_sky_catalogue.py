"""The catalogue as astronomers' tools read it."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import votable
from astropy.table import Table

import minia_spark
from minia_spark.frames.catalogue import _structures, catalogue, healpix_29, write_catalogue

sys.path.insert(0, str(Path(__file__).parent))
import warehouses


@pytest.fixture(scope="module")
def collection(warehouse):
    return minia_spark.open(warehouse)


@pytest.fixture(scope="module")
def made(collection):
    """The catalogue of the survey, with positions of all images but one."""
    table, fields = catalogue(collection)
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 60), rng.uniform(-90, 90, 60)
    places = {"ra": pa.array(ra, mask=np.arange(60) == 7), "dec": pa.array(dec)}
    for name, values in places.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table, fields


def _file(made, ending):
    out = io.BytesIO()
    note = write_catalogue(out, ending, *made)
    out.seek(0)
    return out, note


def test_cells_of_known_positions():
    """At the equator's meridian and the poles: base cells 4, 0 and 8 and their corners."""
    cells = healpix_29(np.array([0.0, 45, 45]), np.array([0.0, 89.9999999, -89.9999999]))
    assert (cells >> 58).tolist() == [4, 0, 8]
    assert (cells[1] + 1) % 4**29 == 0  # the northern tip is the last cell of the base cell
    assert cells[2] % 4**29 == 0
    with pytest.raises(ValueError, match="a position is not finite"):
        healpix_29(np.array([np.nan]), np.array([0.0]))


class TestRows:
    def test_what_the_tables_say(self, collection):
        table, fields = catalogue(collection)
        assert list(fields) == table.schema.names
        rows = collection.frame("structure_images")
        counts = rows.groupby("image_id").size()
        best = rows.sort_values(["overlap", "structure_id"], ascending=[False, True])
        best = best.drop_duplicates("image_id").set_index("image_id")
        lineage = collection.frame("lineage").set_index("structure_id")["lineage_id"]
        assert table.num_rows == 60
        for row in table.to_pylist():
            name = row["image_id"]
            assert row["structures_sift"] == counts.get(name, 0)
            if name in best.index:
                assert row["structure_sift"] == lineage[best.loc[name, "structure_id"]]
                assert row["overlap_sift"] == best.loc[name, "overlap"]
            else:
                assert row["structure_sift"] is None

    def test_structures_that_ended_are_nobodys(self):
        """Lineage 1.1 ended, so it has no number; image b has no structure, so neither."""

        class Tables:
            def arrow(self, table, **_):
                if table == "lineage":
                    return pa.table({"lineage_id": ["1.1", "1.0"], "structure_id": [None, 0]})
                return pa.table(
                    {"structure_id": [0], "batch": ["n"], "image_id": ["a"], "overlap": [0.5]}
                )

            def structure_names(self, _):
                rows = {"lineage_id": ["1.1"], "name": ["gone"], "kind": ["artefact"]}
                return pa.table(rows).to_pandas()

        found = _structures(Tables(), "sift", None, pa.array(["n/a", "n/b"]))
        rows = {name: values.to_pylist() for name, (values, _) in found.items()}
        assert rows == {
            "structures": [1, 0],
            "structure": ["1.0", None],
            "structure_name": [None, None],
            "structure_kind": [None, None],
            "overlap": [0.5, None],
        }

    def test_names_and_one_batch(self, own_warehouse, minia):
        where = ("--warehouse", own_warehouse)
        minia("structures", "name", "0", "--name", "ring", "--kind", "galaxy", *where).expect(0)
        table, _ = catalogue(minia_spark.open(own_warehouse), batch="b1")
        named = {row["structure_name_sift"] for row in table.to_pylist()}
        assert "ring" in named

    def test_places_on_maps(self, tmp_path):
        table, _ = catalogue(minia_spark.open(warehouses.write(tmp_path / "W")))
        assert table.num_rows == 4
        assert table["map_y_words"].to_pylist() == [2, 0, 0, 5]


class TestParquet:
    def test_as_hats_and_voparquet_want_it(self, made):
        file, note = _file(made, ".parquet")
        assert note == "1 images without a position were left out"
        table = pq.read_table(file)
        assert table.schema.names[0] == "_healpix_29"
        cells = table["_healpix_29"].to_numpy()
        assert (np.diff(cells) >= 0).all()
        assert (healpix_29(table["ra"].to_numpy(), table["dec"].to_numpy()) == cells).all()
        said = table.schema.metadata
        assert said[b"IVOA.VOTable-Parquet.version"] == b"1.0"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            document = votable.parse(io.BytesIO(said[b"IVOA.VOTable-Parquet.content"]))
        fields = document.get_first_table().fields
        assert [field.name for field in fields] == table.schema.names
        assert {f.name: str(f.unit) for f in fields}["ra"] == "deg"

    def test_astropy_reads_it_with_units(self, made, tmp_path):
        path = tmp_path / "c.parquet"
        path.write_bytes(_file(made, ".parquet")[0].read())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = Table.read(path, format="parquet.votable")
        assert len(table) == 59
        assert table["dec"].unit == "deg"

    def test_lsdb_finds_images_by_position(self, made):
        lsdb = pytest.importorskip("lsdb", reason="LSDB is not installed")
        frame = pq.read_table(_file(made, ".parquet")[0]).to_pandas()
        opened = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", catalog_name="m")
        assert opened.compute().index.tolist() == frame["_healpix_29"].tolist()
        here = {"ra": frame["ra"][5], "dec": frame["dec"][5]}
        found = opened.cone_search(**here, radius_arcsec=1).compute()
        assert found["image_id"].tolist() == [frame["image_id"][5]]

    def test_without_positions(self, made):
        table, fields = made
        none = pa.nulls(60, pa.float64())
        for name in ("ra", "dec"):
            table = table.set_column(table.schema.get_field_index(name), name, none)
        file, note = _file((table, fields), ".parquet")
        assert "no image has a position" in note
        table = pq.read_table(file)
        assert "_healpix_29" not in table.schema.names
        assert table.num_rows == 60


class TestOthers:
    def test_votable(self, made):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = votable.parse_single_table(_file(made, ".vot")[0]).to_table()
        assert len(table) == 60
        assert table["image_id"].tolist() == made[0]["image_id"].to_pylist()
        assert np.ma.is_masked(table["ra"][7])
        assert table["structures_sift"].tolist() == made[0]["structures_sift"].to_pylist()

    @pytest.mark.parametrize("ending", [".vot", ".csv", ".parquet"])
    def test_hostile_texts(self, made, ending):
        table, fields = made
        hostile = ["=1+1", "<FIELD>&amp;]]>", "a\x00b\x1b[31m", "\u202e, \"x\"\n'y'"] * 15
        place = table.schema.get_field_index("label")
        file, _ = _file((table.set_column(place, "label", pa.array(hostile)), fields), ending)
        if ending == ".vot":
            found = votable.parse_single_table(file).to_table()["label"].tolist()
            assert found[:3] == ["=1+1", "<FIELD>&amp;]]>", "a\ufffdb\ufffd[31m"]
        elif ending == ".csv":
            rows = list(csv.DictReader(io.TextIOWrapper(file, "utf-8", newline="")))
            assert rows[0]["label"] == "'=1+1"
            assert [row["label"] for row in rows[1:4]] == hostile[1:4]
        else:
            assert set(pq.read_table(file)["label"].to_pylist()) == set(hostile)


class TestCommand:
    @pytest.mark.parametrize("ending", ["parquet", "vot", "csv"])
    def test_it_is_written(self, minia, warehouse, tmp_path, ending):
        out = tmp_path / f"c.{ending}"
        told = minia("export", "catalog", out, "--warehouse", warehouse).expect(0)
        assert told.out == f"{out}\n"
        assert out.stat().st_size > 500

    @pytest.mark.parametrize(
        ("arguments", "code", "problem"),
        [
            (["c.fits"], 2, "ends in none of .parquet, .csv, .vot"),
            (["c.csv", "--batch", "b9"], 3, "has no batch 'b9'"),
            (["c.csv", "--variant", "sift"], 2, "no --variant"),
            ([], 2, "needs OUT"),
        ],
    )
    def test_bad_usage(self, minia, warehouse, arguments, code, problem):
        told = minia("export", "catalog", *arguments, "--warehouse", warehouse).expect(code)
        assert problem in told.err

    def test_names(self, minia, own_warehouse, tmp_path):
        where = ("--warehouse", own_warehouse)
        minia("structures", "name", "0", "--name", "=cmd|x", "--note", "a\nb", *where).expect(0)
        minia("export", "names", tmp_path / "n.csv", *where).expect(0)
        with (tmp_path / "n.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["lineage_id"], row["name"], row["note"]) == ("1.0", "'=cmd|x", "a\nb")
