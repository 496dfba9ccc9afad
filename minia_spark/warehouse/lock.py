"""The warehouse's lock: one writer at a time, and a dead one keeps nobody out.

::

    lock.json            who writes now: host, process, command, token
    lock-<token>.beat    that it still lives, for those who cannot see its process
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minia_spark.base.errors import MiniaError
from minia_spark.warehouse.records import now
from minia_spark.warehouse.storage import Storage

__all__ = ["Lock"]

_LOCK = "lock.json"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_BEAT_SECONDS = 15.0
_PATIENCE_SECONDS = 6 * _BEAT_SECONDS  # without a beat: the holder is dead
_POLL_SECONDS = 1.0
_UNSEEN = "alive"


class Lock:
    """The lock of the warehouse in a storage; nothing is touched before it is taken."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @contextlib.contextmanager
    def held(self, command: str, *, say: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep other writers out; the lock of a process that is dead is taken over.

        Whether a process of this machine lives, the system tells at once. One of another machine,
        or of another container, gives a beat every few seconds: it is dead when none came for a
        minute and a half. Should it only have slept, it cannot publish over what came since
        (:meth:`minia_spark.warehouse.warehouse.Warehouse.commit`).

        Parameters
        ----------
        command : str
            For those who are kept out.
        say : callable or None
            Is told when it takes a while to see whether another machine's process lives.

        Raises
        ------
        MiniaError
            Somebody else holds it (the message names host, process and command), or the
            warehouse cannot be written.
        """
        holder = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "command": command,
            "since": now(),
            "token": secrets.token_hex(8),
        }
        data = (json.dumps(holder, indent=1) + "\n").encode()
        try:
            self._storage.make_folder("")
            while not self._storage.create(_LOCK, data):
                with self._alone_on_this_host():
                    self._remove_dead_lock(say)
        except OSError as error:
            why = error.strerror or error
            raise MiniaError(f"warehouse {self._storage} cannot be written: {why}") from None
        try:
            with self._beating(str(holder["token"])):
                yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(self._storage.read(_LOCK)).get("token") == holder["token"]:
                    self._storage.remove_file(_LOCK)

    def is_abandoned(self) -> bool:
        """Tell, without waiting, whether nobody holds it, or a process that is known to be dead."""
        holder = self._holder()
        return holder is None or (
            _is_known(holder) and holder.get("machine") == _machine() and not _lives(holder)
        )

    @contextlib.contextmanager
    def _beating(self, token: str) -> Iterator[None]:
        """Give a sign of life every few seconds, for those who cannot see this process."""
        over = threading.Event()

        def beat() -> None:
            number = 0
            while not over.wait(_BEAT_SECONDS):
                number += 1
                with contextlib.suppress(OSError):  # a full disk; there may be room next time
                    self._storage.replace(_beat_file(token), str(number).encode())

        thread = threading.Thread(target=beat, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(OSError):
                self._storage.remove_file(_beat_file(token))

    @contextlib.contextmanager
    def _alone_on_this_host(self) -> Iterator[None]:
        """Let one process at a time judge the holder: two could remove each other's new lock.

        The kernel's own lock on a file of this host goes with the process. Processes of two hosts
        that wait for the same dead one may in theory still do so; then one of them can publish.
        """
        local = self._storage.local
        name = hashlib.sha256(self._storage.location.encode()).hexdigest()[:16]
        place = local / ".takeover" if local else _own_folder() / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(place, flags, 0o666 if local else 0o600), "wb") as file:  # noqa: PTH123
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_dead_lock(self, say: Callable[[str], None] | None = None) -> None:
        holder = self._holder()
        if holder is None:
            return  # just released
        if self._is_dead(holder, say):
            if self._holder() == holder:
                self._storage.remove_file(_LOCK)
                self._storage.remove_file(_beat_file(holder["token"]))
            return
        if self._holder() != holder:
            return  # released while we looked
        what_then = (
            "wait for it, or end it: the next command then goes on"
            if _is_known(holder)
            else f"nobody knows that lock: if no command runs, remove {self._storage}/{_LOCK}"
        )
        raise MiniaError(
            f"warehouse {self._storage} is in use by process {holder.get('pid')} on host "
            f"{holder.get('host')} since {holder.get('since')} ({holder.get('command')}); "
            f"{what_then}"
        )

    def _holder(self) -> dict[str, Any] | None:
        """Return what the lock says; None: there is none; empty: it cannot be understood."""
        try:
            holder = json.loads(self._storage.read(_LOCK))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return holder if isinstance(holder, dict) else {}

    def _is_dead(self, holder: dict[str, Any], say: Callable[[str], None] | None) -> bool:
        if not _is_known(holder):
            return False  # we did not write that
        if holder.get("machine") == _machine():
            return not _lives(holder)
        if say is not None:
            say(
                f"the warehouse is in use by process {holder['pid']} on host {holder.get('host')}; "
                f"waiting up to {_PATIENCE_SECONDS:.0f} s for a sign of life"
            )
        seen = self._beat(holder["token"])
        waited_from = time.monotonic()
        while time.monotonic() - waited_from < _PATIENCE_SECONDS:
            time.sleep(_POLL_SECONDS)
            if self._holder() != holder or self._beat(holder["token"]) != seen:
                return False
        return True

    def _beat(self, token: str) -> bytes | None:
        try:
            return self._storage.read(_beat_file(token))
        except FileNotFoundError:
            return None


def _beat_file(token: str) -> str:
    return f"lock-{token}.beat"


def _is_known(holder: dict[str, Any]) -> bool:
    token = str(holder.get("token"))
    return isinstance(holder.get("pid"), int) and _TOKEN.fullmatch(token) is not None


def _own_folder() -> Path:
    """Return a folder for temporary files whose names can be guessed; nobody else may write it.

    Raises
    ------
    MiniaError
        Somebody else made it, or could write it.
    """
    folder = Path(tempfile.gettempdir()) / f"minia-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise MiniaError(f"{folder} is not ours alone: remove it, or set TMPDIR to another folder")
    return folder


def _lives(holder: dict[str, Any]) -> bool:
    """Tell whether a holder on this machine still runs; one that is hidden from us may."""
    started = _process_start(holder["pid"])
    noted = holder.get("started")
    return started is not None and (started == noted or _UNSEEN in (started, noted))


def _machine() -> str:
    """Return what processes share that can see each other: a boot of a host, and a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _process_start(pid: int) -> str | None:
    """Return something that tells a process from a later one with its number.

    Returns
    -------
    str or None
        ``alive`` where the system hides when it was started; None: it is not alive.
    """
    try:
        # fields 3 (state) and 22, counted after the name, which may hold spaces and brackets
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie only waits for its parent
    except (OSError, IndexError):  # it has ended, or is hidden: the mount option hidepid
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # another user's
        pass
    return _UNSEEN
