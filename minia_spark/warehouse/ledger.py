"""The ledger: a page a run, what it was asked for, did, and left; and how damage is told."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from minia_spark.base.errors import InputError
from minia_spark.base.events import log_event
from minia_spark.warehouse.records import (
    FORMAT,
    OLDEST_FORMAT,
    Arrival,
    RunHead,
    RunRecord,
    clock,
    now,
)
from minia_spark.warehouse.storage import Storage

__all__ = ["DamagedError", "Ledger"]

_STAMP = "%Y%m%dT%H%M%S.%f"  # to the microsecond, of one width: names sort as the runs came
_RUN_PAGE = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6})-[0-9a-f]{6}\.json")
_RUNS = "runs"

_FIRST_BYTES = 64  # the number of the layout comes first

_Page = TypeVar("_Page", bound=RunHead)
_Written = TypeVar("_Written", bound=BaseModel)


class DamagedError(InputError):
    """A state, or a page of the ledger, cannot be understood; `what` says why in a few words."""

    what = ""


class Ledger:
    """The ledger of a warehouse; nothing is touched before a method is called.

    Parameters
    ----------
    storage : Storage
        Of the warehouse.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._told: set[str] = set()

    def new_run(
        self,
        command: str,
        version: str,
        settings: dict[str, Any],
        arrivals: Iterable[Arrival] = (),
    ) -> RunRecord:
        """Write the ledger's first line of a run and return it."""
        record = RunRecord(
            format=FORMAT,
            run=f"{self._next_stamp()}-{secrets.token_hex(3)}",
            command=command,
            state="running",
            started_at=now(),
            user=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version,
            settings=settings,
            arrivals=tuple(arrivals),
        )
        self.save_run(record)
        return record

    def _next_stamp(self) -> str:
        """Return the time, or, where the clock was set back, a moment after the newest run."""
        pages = map(_RUN_PAGE.fullmatch, reversed(self.storage.names(_RUNS)))
        newest = next((page[1] for page in pages if page), "")
        stamp = clock().strftime(_STAMP)
        if stamp > newest:
            return stamp
        following = datetime.strptime(newest, _STAMP) + timedelta(microseconds=1)
        return following.strftime(_STAMP)

    def save_run(self, record: RunRecord) -> None:
        """Write the ledger's page of a run anew."""
        data = (record.model_dump_json(indent=1) + "\n").encode()
        self.storage.replace(self.page_file(record.run), data)

    def run(self, run: str) -> RunRecord:
        """Return the ledger's page of one run.

        Raises
        ------
        InputError
            It is not there, or its file cannot be understood.
        """
        try:
            path = self.page_file(run)
            return self._understood(RunRecord, path, self.storage.read(path))
        except FileNotFoundError:
            raise InputError(f"the ledger of {self.storage} has no run {run}") from None

    def _understood(self, model: type[_Written], path: str, data: bytes) -> _Written:
        """Return what a page, or a state, says; InputError when it cannot be understood."""
        try:
            found = model.model_validate_json(data)
        except ValidationError as error:
            self._require_format(data)
            raise self._not_understood(path, error.errors()[0]["msg"]) from None
        is_ours = OLDEST_FORMAT <= vars(found)["format"] <= FORMAT
        if not is_ours or b'"format"' not in data[:_FIRST_BYTES]:
            self._require_format(data)
        return found

    def run_names(self) -> list[str]:
        """Return the names of the runs that have a page in the ledger, newest first."""
        names = reversed(self.storage.names(_RUNS))
        return [n[:-5] for n in names if n.endswith(".json") and not n.startswith(".")]

    def _pages(self, model: type[_Page]) -> Iterator[tuple[str, _Page]]:
        """Yield the ledger's pages, newest first; damaged ones are warned of and left out."""
        for run in self.run_names():
            try:
                path = self.page_file(run)
                yield run, self._understood(model, path, self.storage.read(path))
            except FileNotFoundError:
                continue  # it went while we looked
            except DamagedError as error:
                self._warn(str(error))

    def runs(self) -> Iterator[RunRecord]:
        """Yield the ledger's pages, newest first; damaged ones are warned of and left out."""
        for _, page in self._pages(RunRecord):
            yield page

    def arrivals(self) -> dict[str, Arrival]:
        """Return what runs that succeeded took as batches: of every place the latest, by place."""
        found: dict[str, Arrival] = {}
        for _, head in self._pages(RunHead):
            if head.succeeded:
                for arrival in head.arrivals:
                    found.setdefault(arrival.place, arrival)
        return found

    def page_file(self, run: str) -> str:
        """Return where the ledger's page of a run is written, relative to the warehouse."""
        return f"{_RUNS}/{run}.json"

    def _not_understood(self, path: str, why: str) -> DamagedError:
        what = f"cannot be understood: {why}"
        damaged = DamagedError(
            f"{self.storage}/{path} {what}; 'minia repair --warehouse {self.storage}' goes on "
            "without it"
        )
        damaged.what = what
        return damaged

    def _require_format(self, data: bytes) -> None:
        """Refuse what is of another layout; what nobody understands is refused elsewhere."""
        try:
            told = json.loads(data)
        except (ValueError, RecursionError):
            return
        is_state = isinstance(told, dict) and isinstance(told.get("entries"), list)
        is_page = isinstance(told, dict) and isinstance(told.get("run"), str)
        if not (is_state or is_page):
            return
        found = told.get("format", 1 if is_state else OLDEST_FORMAT)
        if not isinstance(found, int) or not OLDEST_FORMAT <= found <= FORMAT:
            raise InputError(
                f"{self.storage} was written in layout {found}, and this version of minia reads "
                f"layouts {OLDEST_FORMAT} to {FORMAT}: use the version that wrote it, or make a "
                "new warehouse"
            )

    def _warn(self, text: str) -> None:
        """Tell people, once."""
        if text not in self._told:
            self._told.add(text)
            print(f"warning: {text}", file=sys.stderr)
            log_event("warning", text, level=logging.WARNING)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
