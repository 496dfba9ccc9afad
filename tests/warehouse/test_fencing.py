"""Writers that were suspended while others took over: they wake, find out, and do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.warehouse import warehouse as module
from minia_spark.warehouse.records import Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse


def entry(run: str, batch: str = "b1", table: str = "words") -> Entry:
    path = f"{table}/run={run}/batch={batch}"
    made = {"stage": table, "rows": 1, "fingerprint": f"f-{run}", "digest": f"d-{run}"}
    return Entry(table=table, batch=batch, run=run, path=path, **made)


def write(house: Warehouse, *entries: Entry) -> None:
    for one in entries:
        house.storage.replace(f"{one.path}/part-0.parquet", b"x" * 100)


def publish(house: Warehouse, *entries: Entry) -> None:
    write(house, *entries)
    base = house.catalogue()
    house.commit(base, entries[0].run, base.with_entries(entries).entries, "")


def check_whole(house: Warehouse) -> None:
    """Whatever state is kept, its folders are there."""
    for version in house.versions():
        for one in house.catalogue(version).entries:
            assert house.storage.names(one.path), (version, one.path)


@pytest.fixture(params=["local", "remote"])
def house(request, tmp_path: Path, monkeypatch) -> Warehouse:
    monkeypatch.setattr(module, "AGE_SECONDS", 0)
    house = Warehouse(str(tmp_path / "W") if request.param == "local" else "mock:///W")
    for run in ("r1", "r2", "r3"):
        publish(house, entry(run))
    return house


def test_a_run_that_wakes_after_vacuum_removed_its_folders(house):
    """It had found all files there, was suspended before its commit, and was taken for dead."""
    base = house.catalogue()
    made = entry("r4", "b4")
    write(house, made)
    entries = base.with_entries([made]).entries
    house.vacuum(1)  # of whoever took over
    assert not house.storage.exists(made.path)
    with pytest.raises(MiniaError, match="another run published state 4"):
        house.commit(base, "r4", entries, "minia run")
    check_whole(house)


def test_a_vacuum_that_wakes_after_a_rollback_before_it_decided(house, monkeypatch):
    create = house.storage.create

    def woken(path, data):
        monkeypatch.setattr(house.storage, "create", create)
        house.rollback(1)  # r1 is what vacuum is about to remove
        return create(path, data)

    monkeypatch.setattr(house.storage, "create", woken)
    with pytest.raises(MiniaError, match="another run published state 4"):
        house.vacuum(1)
    assert house.catalogue().entries == (entry("r1"),)
    check_whole(house)


def test_no_rollback_goes_where_vacuum_is_at_work(house, monkeypatch):
    """Vacuum is suspended with its finger on r1: nobody can bring r1 back any more."""
    remove = house.storage.remove_folder
    refused = []

    def woken(path):
        with pytest.raises(InputError, match=r"state 1 is not in .*; kept: 3, 4"):
            house.rollback(1)
        refused.append(path)
        remove(path)

    monkeypatch.setattr(house.storage, "remove_folder", woken)
    house.vacuum(1)
    assert refused == ["words/run=r1", "words/run=r2"]
    check_whole(house)


def test_no_run_takes_over_what_vacuum_gave_up(house):
    """Its ledger's page and its files may come back when its process wakes; nobody trusts them."""
    record = house.new_run("minia run", "1.0", {}).model_copy(update={"run": "r4"})
    made = entry(record.run, "b4")
    step = StepRecord(stage="words", batch="b4", action="done", why="", entries=(made,))
    write(house, made)
    house.save_run(record.model_copy(update={"steps": (step,)}))
    assert house.unpublished(house.catalogue())
    house.vacuum(1)
    write(house, made)  # woken, it goes on
    house.save_run(record.model_copy(update={"steps": (step,)}))
    assert house.unpublished(house.catalogue()) == {}
    assert house.catalogue().forgotten == record.run > "r3"
    base = house.catalogue()
    with pytest.raises(MiniaError, match="vacuum gave up"):
        house.commit(base, record.run, base.with_entries([made]).entries, "minia run")


def test_who_slept_while_vacuum_gave_up_its_base_is_told_so(house):
    """Its files are not damaged, and there is nothing to repair."""
    base = house.require()
    house.commit(base, "r9", [], "minia batch remove")
    house.vacuum(1, age_seconds=0)
    with pytest.raises(MiniaError, match=r"\(words\) went while it was needed: vacuum gave it up"):
        house.require_whole(base.entries, again=True)


def test_what_a_kept_state_names_is_damaged_when_it_is_missing(house):
    base = house.require()
    house.commit(base, "r9", [], "minia batch remove")
    house.vacuum(2, age_seconds=0)
    house.storage.remove_folder(base.entries[0].path)
    with pytest.raises(MiniaError, match="is damaged: missing or empty"):
        house.require_whole(base.entries, again=True)


def test_no_number_is_given_twice(house):
    """A run that slept through everything would create a number that vacuum made free."""
    base = house.catalogue(1)
    house.vacuum(1)
    assert house.versions() == [3, 4]
    assert not house.storage.create("catalogue/000000000002.json", b"{}")
    with pytest.raises(MiniaError, match="another run published state 4"):
        house.commit(base, "r2", base.entries, "")


def test_a_vacuum_that_breaks_off_is_finished_by_the_next(house, monkeypatch):
    def broken(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(house.storage, "remove_folder", broken)
        with pytest.raises(KeyboardInterrupt):
            house.vacuum(1)
    check_whole(house)
    assert house.vacuum(1)[0] == ["words/run=r1", "words/run=r2"]
    assert house.versions() == [3, 4]  # and no further state was needed for that


def test_the_page_of_a_writer_that_wakes_late(house):
    """It wakes before it writes its page: readers get that of the newest state."""
    from minia_spark.engine.run import publish_page

    def publish_with_page(run: str) -> None:
        page = entry(run).model_copy(update={"table": "report", "path": f"report/run={run}"})
        house.storage.replace(f"report/run={run}/index-above.html", run.encode())
        publish(house, page)

    publish_with_page("r4")
    slept = house.catalogue()
    publish_with_page("r5")
    publish_page(slept, house, ("report",))
    assert house.storage.read("report/index.html") == b"r5"
