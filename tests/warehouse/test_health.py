"""Manifests, ``verify`` and ``repair``: every damage is found, and the rest goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.warehouse import manifest
from minia_spark.warehouse.health import find_damage, repair
from minia_spark.warehouse.manifest import damage, write_manifest
from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.warehouse import Warehouse


def made(house: Warehouse, table: str = "words", batch: str = "b1", **values: object) -> Entry:
    """An entry of two files of three rows, of which one is in a folder, and what is no data."""
    path = f"{table}/run=r1/batch={batch}"
    place = house.storage.local / path
    (place / "deeper").mkdir(parents=True)
    for name in ("part-0.parquet", "deeper/part-1.parquet"):
        pq.write_table(pa.table({"x": [1, 2, 3]}), place / name)
    for name in ("_SUCCESS", ".part-0.parquet.crc"):
        (place / name).write_bytes(b"")
    files, rows = write_manifest(house.storage, path)
    batch = str(values.pop("batch_of", batch))
    given = {"stage": table, "fingerprint": "f", "digest": "d", "rows": rows, "files": files}
    return Entry(table=table, batch=batch, run="r1", path=path, **(given | values))


@pytest.fixture
def house(tmp_path: Path) -> Warehouse:
    house = Warehouse(str(tmp_path / "W"))
    entries = [
        made(house),
        made(house, batch="b2"),
        made(house, "images"),
        made(house, "images", "b2"),
    ]
    house.commit(house.catalogue(), "r1", entries, "minia run")
    return house


def place_of(house: Warehouse) -> Path:
    return house.storage.local / "words/run=r1/batch=b1"


def corrupted(data: bytes) -> bytes:
    """The same number of bytes, with another value in the page of data."""
    at = data.index((2).to_bytes(8, "little"))
    return data[:at] + b"\7" + data[at + 1 :]


def flip(place: Path) -> None:
    path = place / "part-0.parquet"
    pq.write_table(pa.table({"x": [1, 2, 3]}), path, compression="none", use_dictionary=False)
    path.write_bytes(corrupted(path.read_bytes()))


QUICK = {
    "a file is gone": (
        lambda place: (place / "deeper/part-1.parquet").unlink(),
        "deeper/part-1.parquet is missing",
    ),
    "a file is shorter": (
        lambda place: os.truncate(place / "part-0.parquet", 7),
        "part-0.parquet has 7 bytes, not ",
    ),
    "a file is empty": (
        lambda place: (place / "part-0.parquet").write_bytes(b""),
        "part-0.parquet has 0 bytes, not ",
    ),
    "a file came": (
        lambda place: (place / "part-2.parquet").write_bytes(b"x"),
        "part-2.parquet was added",
    ),
    "all is gone": (
        lambda place: [p.unlink() for p in place.rglob("*") if p.is_file()],
        "missing or empty",
    ),
}


class TestManifest:
    def test_what_it_says(self, house):
        told = json.loads((place_of(house) / manifest.NAME).read_text())["files"]
        assert [file["name"] for file in told] == ["deeper/part-1.parquet", "part-0.parquet"]
        assert [file["rows"] for file in told] == [3, 3]
        assert {len(file["sha256"]) for file in told} == {64}
        assert house.require().entries[0].rows == 6

    @pytest.mark.parametrize("case", QUICK)
    def test_a_listing_tells(self, house, case):
        harm, wanted = QUICK[case]
        harm(place_of(house))
        entry = next(e for e in house.require().entries if (e.table, e.batch) == ("words", "b1"))
        assert damage(house.storage, entry).startswith(wanted)
        for look in (
            lambda: house.folders("words"),
            lambda: house.require_whole([entry]),
            lambda: house.rollback(1),
        ):
            with pytest.raises(MiniaError, match=rf"batch=b1 \(words\) is damaged: {wanted}"):
                look()
        assert house.folders("words", "b2")

    def test_many_are_counted(self, house):
        for number in range(9):
            (place_of(house) / f"more-{number}").write_bytes(b"")
        entry = house.require().of_table("words", "b1")[0]
        assert damage(house.storage, entry) == (
            "more-0 was added, more-1 was added, more-2 was added and 6 more"
        )

    def test_without_the_manifest_only_the_reason_is_missing(self, house):
        (place_of(house) / manifest.NAME).unlink()
        entry = house.require().of_table("words", "b1")[0]
        assert damage(house.storage, entry) is None
        (place_of(house) / "part-0.parquet").unlink()
        assert damage(house.storage, entry) == "not as words wrote it"

    def test_entries_of_an_older_version_have_no_digest(self, house):
        entry = house.require().of_table("words", "b1")[0].model_copy(update={"files": ""})
        (place_of(house) / "part-0.parquet").unlink()
        assert damage(house.storage, entry) is None
        (place_of(house) / "deeper/part-1.parquet").unlink()
        assert damage(house.storage, entry) == "missing or empty"

    def test_large_entries_are_not_hashed_but_read(self, house, monkeypatch):
        monkeypatch.setattr(manifest, "_HASHED_BYTES", 10)
        assert write_manifest(house.storage, "words/run=r1/batch=b1")[1] == 6
        told = json.loads((place_of(house) / manifest.NAME).read_text())["files"]
        assert {file["sha256"] for file in told} == {None}
        assert not list(find_damage(house, house.require(), full=True))
        data = bytearray((place_of(house) / "part-0.parquet").read_bytes())
        data[4:40] = bytes(36)
        (place_of(house) / "part-0.parquet").write_bytes(data)
        (found,) = find_damage(house, house.require(), full=True)
        assert "part-0.parquet cannot be read: " in str(found)

    def test_on_a_remote_store(self):
        house = Warehouse("mock:///W")
        house.storage.replace("t/run=1/x", b"123")
        files, rows = write_manifest(house.storage, "t/run=1")
        entry = Entry(
            table="t", batch=None, stage="t", run="1", path="t/run=1", rows=None, fingerprint="",
            digest="", files=files,
        )  # fmt: skip
        assert (damage(house.storage, entry), rows) == (None, 0)
        house.storage.replace("t/run=1/x", b"12")
        assert damage(house.storage, entry) == "x has 2 bytes, not 3"


class TestHeads:
    def test_say_what_states_say_besides_their_entries(self, house):
        other = {"settings": {"a": {"entries": ['\n "entries": [']}}, "uses": {}}
        house.commit(house.require(), "r2", [], "minia run", **other)
        whole, heads = list(house.states()), list(house.heads())
        for state, head in zip(whole, heads, strict=True):
            without = {"uses", "entries"}
            assert head.model_dump(exclude=without) == state.model_dump(exclude=without)

    @pytest.mark.parametrize("data", [b"", b"{", b"{}\n", b'{"format": 3', b"[]\n", b"\xff}\n"])
    def test_what_is_damaged_is_left_out(self, house, data, capsys):
        house.commit(house.require(), "r2", [], "minia run")
        house.storage.replace("catalogue/000000000001.json", data)
        assert [head.version for head in house.heads()] == [2]
        assert ("warning" in capsys.readouterr().err) == bool(data)

    def test_one_that_is_cut_off(self, house):
        path = house.storage.local / "catalogue/000000000001.json"
        os.truncate(path, path.stat().st_size - 9)
        with pytest.raises(InputError, match="cannot be understood: it is cut off"):
            house.head(1)

    def test_of_an_object_that_has_more_pieces(self, house, monkeypatch):
        monkeypatch.setattr("minia_spark.warehouse.storage._PIECE_BYTES", 7)
        assert house.head(1).run == house.require().run

    def test_one_of_another_number(self, house):
        data = house.storage.read("catalogue/000000000001.json")
        house.storage.replace("catalogue/000000000001.json", data.replace(b'n": 1', b'n": 5', 1))
        with pytest.raises(InputError, match="it says that it is state 5"):
            house.head(1)


class TestReadingWithoutSpark:
    def test_rows_of_several_entries(self, house):
        entries = house.require().of_table("words")
        assert house.rows_of(entries, ["x"]).to_pydict() == {"x": [1, 2, 3] * 4}
        assert house.rows_of(entries[:1], where=ds.field("x") > 2)["x"].to_pylist() == [3, 3]
        assert house.rows_of([]).num_rows == 0

    @pytest.mark.parametrize("case", QUICK)
    def test_what_is_not_whole_is_not_read(self, house, case):
        harm, wanted = QUICK[case]
        harm(place_of(house))
        entries = house.require().of_table("words")
        for read in (house.rows_of, lambda those: list(house.datasets(those))):
            with pytest.raises(MiniaError, match=rf"batch=b1 \(words\) is damaged: {wanted}"):
                read(entries)
        assert house.rows_of(entries[1:]).num_rows == 6

    def test_other_bytes_of_the_same_number(self, house):
        path = place_of(house) / "part-0.parquet"
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(MiniaError, match=r"\(words\) cannot be read: .*; 'minia verify --full"):
            house.rows_of(house.require().of_table("words", "b1"))


class TestVerify:
    def test_whole(self, house):
        for full in (False, True):
            assert not list(find_damage(house, house.require(), full=full))

    @pytest.mark.parametrize("case", QUICK)
    def test_quick(self, house, case):
        harm, wanted = QUICK[case]
        harm(place_of(house))
        (found,) = find_damage(house, house.require())
        assert str(found).startswith(f"words/run=r1/batch=b1 (words): {wanted}")

    def test_bytes(self, house):
        path = place_of(house) / "part-0.parquet"
        pq.write_table(pa.table({"x": [1, 2, 3]}), path, compression="none", use_dictionary=False)
        files, _ = write_manifest(house.storage, "words/run=r1/batch=b1")
        entry = house.require().of_table("words", "b1")[0].model_copy(update={"files": files})
        state = house.require().with_entries([entry])
        path.write_bytes(corrupted(path.read_bytes()))
        assert not list(find_damage(house, state))
        (found,) = find_damage(house, state, full=True)
        assert found.text == "part-0.parquet has other bytes than were written"

    def test_rows(self, house):
        state = house.require()
        entry = state.of_table("words", "b1")[0].model_copy(update={"rows": 7})
        (found,) = find_damage(house, state.with_entries([entry]))
        assert found.text == "6 rows, not 7"

    def test_a_manifest_that_is_damaged(self, house):
        for data in (b"", b"[]", b'{"files": [{}]}', b'{"files": 7}'):
            (place_of(house) / manifest.NAME).write_bytes(data)
            (found,) = find_damage(house, house.require())
            assert found.text == "_manifest.json is missing or damaged"

    def test_states_and_the_ledger(self, house):
        house.storage.replace("catalogue/000000000002.json", b"{")
        house.storage.replace("runs/x.json", b"[]")
        found = list(find_damage(house, house.newest_understood()))
        assert [d.path for d in found] == ["catalogue/000000000002.json", "runs/x.json"]
        assert found[0].text.startswith("cannot be understood: Invalid JSON")


class TestRepair:
    def test_nothing_to_do(self, house):
        assert repair(house, ["images"]) == []
        assert house.versions() == [1]

    def test_what_a_stage_made_leaves_the_state(self, house):
        (place_of(house) / "part-0.parquet").unlink()
        told = repair(house, ["images"], dry_run=True)
        assert house.versions() == [1]
        assert repair(house, ["images"]) == told
        assert told == [
            "words/run=r1/batch=b1 (words): part-0.parquet is missing; it leaves the state, and "
            "the next run makes it anew",
            "state 2 is what is whole of state 1",
        ]
        kept = [(e.table, e.batch) for e in house.require().entries]
        assert sorted(kept) == [("images", "b1"), ("images", "b2"), ("words", "b2")]
        assert repair(house, ["images"]) == []

    def test_all_that_a_step_made_leaves_the_state(self, house):
        """Else the step would seem to be done: an entry of it is there."""
        beside = made(house, "word_counts", stage="words")
        house.commit(house.require(), "r2", [*house.require().entries, beside], "")
        (place_of(house) / "part-0.parquet").unlink()
        assert len(repair(house, ["images"])) == 2
        assert house.require().made_by("words", ["b1"]) == []

    def test_a_batch_whose_images_are_damaged_leaves_it(self, house):
        (house.storage.local / "images/run=r1/batch=b2/part-0.parquet").unlink()
        told = repair(house, ["images"])
        assert "; batch b2 leaves the state: bring it in again" in told[0]
        assert house.require().batches == ["b1"]

    def test_what_people_wrote_is_taken_from_an_earlier_state(self, house):
        """No run can make it anew."""
        first = made(house, "names", "b1")
        base = house.require()
        base = house.commit(base, "r1", [*base.entries, first], "said")
        newer = made(house, "names", "later", batch_of="b1")
        house.commit(base, "r1", [e for e in base.entries if e != first] + [newer], "said")
        (house.storage.local / newer.path / "part-0.parquet").unlink()
        told = repair(house, ["images"], said=["names"])
        assert told[0].endswith(
            f"people wrote it: what they had said before, in {first.path}, takes its place"
        )
        assert house.require().of_table("names") == [first]
        (house.storage.local / first.path / "part-0.parquet").unlink()
        told = repair(house, ["images"], said=["names"])
        assert "no earlier state has it whole: it must be said again" in told[0]
        assert house.require().of_table("names") == []

    def test_damaged_records_are_set_aside(self, house):
        house.storage.replace("catalogue/000000000002.json", b"{")
        house.storage.replace("runs/x.json", b"[]")
        told = repair(house, ["images"])
        assert len(told) == 3
        assert told[-1] == "state 3 is what is whole of state 1"
        assert house.require().entries == house.catalogue(1).entries
        assert house.versions() == [1, 3]
        assert house.storage.read("damaged/catalogue/000000000002.json") == b"{"
        assert house.storage.read("damaged/runs/x.json") == b"[]"
        assert not house.storage.create("catalogue/000000000002.json", b"")  # its number is taken
        assert repair(house, ["images"]) == []

    def test_where_no_state_can_be_understood(self, house):
        house.storage.replace("catalogue/000000000001.json", b"{")
        with pytest.raises(InputError, match="cannot be understood"):
            repair(house, ["images"])


class TestPinned:
    def test_an_earlier_state(self, house):
        base = house.require()
        house.commit(base, "r2", base.of_table("images"), "")
        assert len(house.folders("words", state=house.kept_state(1))) == 2
        with pytest.raises(InputError, match=r"state 3 is not in .*; kept: 1, 2"):
            house.kept_state(3)

    def test_one_that_vacuum_gave_up(self, house):
        base = house.require()
        house.commit(base, "r2", base.of_table("images"), "")
        house.vacuum(1, age_seconds=0)
        with pytest.raises(
            InputError, match=r"state 1 is not in .*; kept: 2, 3; vacuum gave it up"
        ):
            house.kept_state(1)
