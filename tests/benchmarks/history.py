"""1,000 batches in a warehouse: what its states cost to publish, list, verify, repair, vacuum."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minia_spark.drift.measure import Drift
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse
from tests.benchmarks.figures import Figure
from tests.commands import run_minia

COUNT = 1000
TABLES = ("images", "rejects", "features", "thumbnails", "words", "factors", "drift")
_OVERHEAD_SECONDS = 2.0
_COUNTS = {"listed": 3, "images": 3, "rejects": 0, "features": 9}
_DRIFT = dict.fromkeys((field.name for field in fields(Drift)), 1) | {
    "batch": "b",
    "variant": "sift",
    "codebook": "c",
    "in_training": True,
    "dead_words": [1],
    "overfull_words": [2],
}


def fill(house: Warehouse, count: int) -> None:
    """Publish batches, a state each, as a night after the other."""
    settings = HOUSE.load_settings(None, ()).model_dump(mode="json")
    house.storage.make_folder("")
    rows = {"drift": [_DRIFT]}
    for table in TABLES:
        those = rows.get(table, [{"x": number} for number in range(3)])
        pq.write_table(pa.Table.from_pylist(those), house.storage.full(f"{table}.parquet"))
    base = house.catalogue()
    for number in range(count):
        batch = f"night{number:04d}"
        record = house.new_run(f"minia run --batch {batch}", "1", settings)
        steps, entries = [], []
        for table in TABLES:
            path = f"{table}/run={record.run}/batch={batch}"
            house.storage.make_folder(path)
            shutil.copyfile(
                house.storage.full(f"{table}.parquet"), house.storage.full(f"{path}/part-0.parquet")
            )
            files, rows = write_manifest(house.storage, path)
            made = Entry(
                table=table, batch=batch, stage=table, run=record.run, path=path, rows=rows,
                fingerprint=f"{number:032x}", digest=f"{number:032x}", inputs=f"{number:016x}",
                uses=f"{table}-1", files=files,
            )  # fmt: skip
            entries.append(made)
            steps.append(
                StepRecord(
                    stage=table, batch=batch, action="done", why="", entries=(made,), counts=_COUNTS
                )
            )
        base = house.commit(base, record.run, base.with_entries(entries).entries, "minia run")
        ended = {"state": "done", "catalogue": base.version, "steps": tuple(steps)}
        house.save_run(record.model_copy(update=ended))
    for table in TABLES:
        house.storage.remove_file(f"{table}.parquet")


def run(scale: float) -> Iterator[Figure]:
    """Yield processor time of everything that looks at states, pages and manifests."""
    count = max(2, int(COUNT * scale))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "W"
        house = Warehouse(str(place))
        start = time.perf_counter()
        fill(house, count)
        yield Figure(f"{count:,} batches of {len(TABLES)} tables: made, a batch",
                     (time.perf_counter() - start) / count, "s")  # fmt: skip
        size = sum(p.stat().st_size for p in (place / "catalogue").iterdir())
        yield Figure("  states", size / 2**20, "MiB")
        for title, limit, command in (
            ("minia status", _OVERHEAD_SECONDS, ("status",)),
            ("minia history", _OVERHEAD_SECONDS, ("history",)),
            ("minia verify", _OVERHEAD_SECONDS, ("verify",)),
            ("minia repair, nothing damaged", _OVERHEAD_SECONDS, ("repair",)),
            ("minia path images", _OVERHEAD_SECONDS, ("path", "images")),
            ("minia vacuum, all states of this week", None, ("vacuum",)),
            ("minia rollback", _OVERHEAD_SECONDS, ("rollback",)),
            ("minia batch remove", _OVERHEAD_SECONDS, ("batch", "remove", f"night{1:04d}")),
            ("minia verify --full", None, ("verify", "--full")),
        ):
            start = time.process_time()
            found = run_minia(*command, "--warehouse", place)
            seconds = time.process_time() - start
            assert found.code == 0, found.err
            yield Figure(f"  {title}", seconds, "s", at_most=limit if scale >= 1 else None)
        start = time.process_time()
        fresh = Warehouse(str(place))
        base = fresh.require()
        fresh.require_whole(base.entries, again=True)
        fresh.unpublished(base)
        fresh.arrivals()
        fresh.storage.make_durable([e.path for e in base.entries[: len(TABLES)]])
        fresh.commit(base, base.run, base.entries, "minia run")
        seconds = time.process_time() - start
        limit = _OVERHEAD_SECONDS if scale >= 1 else None
        yield Figure("  what a run does beside its work", seconds, "s", at_most=limit)
