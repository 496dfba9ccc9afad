"""Moments of a run at which its process can be made to die; used inside the process that dies.

Nothing in the product knows of this: functions of the pipeline are replaced from outside, and what
ends the process is a real SIGKILL, after which no ``finally`` runs and nothing is flushed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minia_spark.engine import run as pipeline
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import PixelPass
from minia_spark.engine.stage import load
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["ENDS", "OVER_PIXELS", "WITHIN_A_STEP", "Point", "arm"]


@dataclass(frozen=True)
class Point:
    """Where to die.

    Attributes
    ----------
    when : str
        One of `WITHIN_A_STEP`, or of the points in `ENDS`.
    stage : str
    batch : str or None
    """

    when: str
    stage: str = ""
    batch: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.when, self.stage, self.batch)))


WITHIN_A_STEP = (
    "before",
    "amid",  # its first table is written
    "worked",  # all are, but the ledger does not say so
    "noting",  # what the ledger will say is written, but not under its name
    "noted",  # from here on the next run takes the step over
)

OVER_PIXELS = ("before the pass", "pass made", "pass removed")

ENDS = (
    Point("before the commit"),
    Point("within the commit"),  # the new state is written, but not under its name
    Point("after the commit"),  # readers see it; the ledger says that the run still runs
    Point("before the page"),
    Point("within the page"),
    Point("after the page"),
)


def arm(point: Point) -> None:
    """Make this process die when a run comes to a point."""
    ends: dict[str, Callable[[], None]] = {
        "before the commit": lambda: _replace(Warehouse, "commit", _die),
        "within the commit": lambda: _tear("catalogue/"),
        "after the commit": lambda: _replace(Warehouse, "commit", _and_die(Warehouse.commit)),
        "before the page": lambda: _replace(pipeline, "publish_page", _die),
        "within the page": lambda: _tear("report/"),
        "after the page": lambda: _replace(
            pipeline, "publish_page", _and_die(pipeline.publish_page)
        ),
    }
    if point.when in ends:
        ends[point.when]()
    elif point.when in OVER_PIXELS:
        _arm_pass(point)
    elif point.when in ("noting", "noted"):
        _arm_note(point)
    else:
        _arm_work(point)


def _arm_work(point: Point) -> None:
    do = pipeline._Execution._do

    def dying(execution: Any, step: Any, following: Any) -> Any:
        if step.action == "run" and (step.stage.name, step.batch) == (point.stage, point.batch):
            if point.when == "before":
                _die()
            elif point.when == "amid":
                _replace(Context, "_note", _and_die(Context._note))
            else:
                _replace(pipeline, "load", lambda place: _and_die(load(place)))
        return do(execution, step, following)

    _replace(pipeline._Execution, "_do", dying)


def _arm_pass(point: Point) -> None:
    """Die before the pass over the pixels, when it is made, or when its scratch folder goes."""
    if point.when == "pass removed":
        _replace(PixelPass, "remove", _and_die(PixelPass.remove))
    else:
        made = PixelPass.run

        def dying(own: PixelPass, context: Any) -> None:
            if context.batch == point.batch and point.when == "before the pass":
                _die()
            made(own, context)
            if context.batch == point.batch:
                _die()

        _replace(PixelPass, "run", dying)


def _arm_note(point: Point) -> None:
    note = pipeline._Execution._note

    def dying(execution: Any, step: Any) -> None:
        meant = (step.action, step.stage, step.batch) == ("done", point.stage, point.batch)
        if meant and point.when == "noting":
            _tear("runs/")
        note(execution, step)
        if meant:
            _die()

    _replace(pipeline._Execution, "_note", dying)


def _tear(folder: str) -> None:
    """Die when the next small file of a folder has its bytes, but not yet its name."""
    write = Storage._write_temporary

    def dying(storage: Storage, path: str, data: bytes) -> Path:
        written = write(storage, path, data)
        if path.startswith(folder):
            _die()
        return written

    _replace(Storage, "_write_temporary", dying)


def _and_die(work: Callable[..., Any]) -> Callable[..., Any]:
    def dying(*given: Any, **named: Any) -> None:
        work(*given, **named)
        _die()

    return dying


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _replace(owner: Any, name: str, value: Callable[..., Any]) -> None:
    setattr(owner, name, value)
