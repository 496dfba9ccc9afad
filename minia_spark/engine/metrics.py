"""Figures of a warehouse in Prometheus' text format, as a file that is replaced after every run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from minia_spark.base.errors import MiniaError
from minia_spark.base.files import expanded, whole_file
from minia_spark.warehouse.records import RunRecord
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["figures", "write_metrics"]

Sample = tuple[Mapping[str, str | None], float]


def write_metrics(
    path: str | None,
    warehouse: Warehouse,
    warn: Callable[[str], None],
    *,
    inbox: Mapping[str, int] | None = None,
) -> None:
    """Replace the file of figures; None: there is none. What goes wrong is only warned of."""
    if path is None:
        return
    target = expanded(path)
    try:
        with whole_file(target) as file:
            file.write(figures(warehouse, inbox=inbox).encode())
    except OSError as error:
        warn(f"log.metrics {path} cannot be written: {error.strerror or error}")
    except MiniaError as error:  # a damaged ledger, say: the run itself tells of it
        warn(f"log.metrics {path} was not written: {error}")


def figures(warehouse: Warehouse, *, inbox: Mapping[str, int] | None = None) -> str:
    """Return the figures of the current state and of the last run.

    Parameters
    ----------
    warehouse : Warehouse
    inbox : mapping or None
        How many places of the inbox got which verdict, from ``minia reprocess``.

    Returns
    -------
    str
        Prometheus' text format, version 0.0.4. Every sample has the label ``warehouse``.
    """
    state = warehouse.catalogue()
    ended = (record for record in warehouse.runs() if record.ended_at)
    last = next(ended, None)
    success = last if last is None or last.succeeded else next(filter(_succeeded, ended), None)
    text = _Text(str(warehouse.storage))
    text.add("state", "Number of the published state.", [({}, state.version)])
    rows = [({"table": table}, rows) for table, rows in state.rows().items()]
    text.add("table_rows", "Rows of a table.", rows)
    for table, what in (("images", "Images"), ("rejects", "Rejected records")):
        counts = dict.fromkeys(state.batches, 0)
        for entry in state.of_table(table):
            counts[entry.batch or ""] += entry.rows or 0
        text.add(
            f"batch_{table}", f"{what} of a batch.", [({"batch": b}, n) for b, n in counts.items()]
        )
    if last is not None:
        _add_run(text, last)
    if success is not None:
        text.add(
            "last_success_timestamp_seconds",
            "When the last run ended that succeeded.",
            [({}, _seconds(success.ended_at))],
        )
    if inbox is not None:
        text.add(
            "inbox_timestamp_seconds",
            "When the inbox was last looked through.",
            [({}, time.time())],
        )
        text.add(
            "inbox_places",
            "Places of the inbox by what became of them.",
            [({"verdict": verdict}, count) for verdict, count in inbox.items()],
        )
    return text.text()


def _add_run(text: _Text, run: RunRecord) -> None:
    ended, total = _seconds(run.ended_at), sum(step.seconds for step in run.steps)
    text.add("last_run_timestamp_seconds", "When the last run ended.", [({}, ended)])
    text.add("last_run_success", "1 when the last run succeeded, else 0.", [({}, run.succeeded)])
    text.add("last_run_seconds", "What the steps of the last run took.", [({}, total)])
    done = [
        ({"stage": step.stage, "batch": step.batch}, step)
        for step in run.steps
        if step.action == "done"
    ]
    text.add(
        "step_seconds",
        "What a step of the last run took.",
        [(labels, step.seconds) for labels, step in done],
    )
    text.add(
        "step_count",
        "What a step of the last run counted.",
        [
            (labels | {"count": name}, count)
            for labels, step in done
            for name, count in step.counts.items()
        ],
    )


class _Text:
    """Families of samples, all gauges, as they are written down."""

    def __init__(self, warehouse: str) -> None:
        self._warehouse = warehouse
        self._lines: list[str] = []

    def add(self, name: str, meaning: str, samples: Iterable[Sample]) -> None:
        """Write a family; one without samples is left out."""
        ours = {"warehouse": self._warehouse}
        lines = [
            f"minia_{name}{{{_labels(dict(labels) | ours)}}} {float(value)!r}"
            for labels, value in samples
        ]
        if lines:
            head = [f"# HELP minia_{name} {meaning}", f"# TYPE minia_{name} gauge"]
            self._lines += head + lines

    def text(self) -> str:
        """Return what was written."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str | None]) -> str:
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in labels.items() if value is not None
    )


def _escaped(value: str) -> str:
    """Return a label's value as the format wants it; other lines or bytes could break the file."""
    text = value.encode(errors="replace").decode()
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _succeeded(record: RunRecord) -> bool:
    return record.succeeded


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
