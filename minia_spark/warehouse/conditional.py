"""Creating an object only where there is none, on object stores: the step that decides who wins.

pyarrow, which does the rest, has no such put; obstore has (``If-None-Match: *``). It is the extra
``objectstore``.
"""

from __future__ import annotations

import time
import uuid
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from minia_spark.base.errors import SettingsError

__all__ = ["ConditionalStore", "store_options"]

_TRIES = 5
_WAIT_SECONDS = 0.2


def store_options(location: str) -> tuple[str, dict[str, Any]]:
    """Return what obstore opens a bucket by: its URL, and options.

    Parameters
    ----------
    location : str
        URI of a warehouse as pyarrow understands it: ``s3://key:secret@bucket/path`` with
        ``endpoint_override``, ``scheme`` and ``region`` in the query, of which each may be absent.
    """
    parts = urlsplit(location)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    bucket = parts.netloc.rpartition("@")[2]
    options: dict[str, Any] = {}
    if parts.username and parts.password:
        options["access_key_id"] = unquote(parts.username)
        options["secret_access_key"] = unquote(parts.password)
    if "region" in query:
        options["region"] = query["region"]
    plain = query.get("scheme") == "http"
    if "endpoint_override" in query:
        place = query["endpoint_override"]
        given = place.startswith(("http://", "https://"))
        options["endpoint"] = place if given else f"{'http' if plain else 'https'}://{place}"
        plain = plain or place.startswith("http://")
    if plain:
        options["client_options"] = {"allow_http": True}
    return f"{parts.scheme}://{bucket}", options


class ConditionalStore:
    """A bucket, for creating objects; opened, and tried out, at the first of them.

    Parameters
    ----------
    location : str
        URI of a warehouse.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._store: Any = None

    def create(self, key: str, data: bytes) -> bool:
        """Put an object where there is none; return False where there is one.

        Of several that create the same object one is told True. Where an answer got lost and the
        put was repeated, what is there tells whose it is: different writers must bring different
        bytes.

        Parameters
        ----------
        key : str
            Within the bucket.
        data : bytes

        Raises
        ------
        SettingsError
            The extra is not installed, or the store does not heed conditions.
        OSError
            The store does not answer, or refuses.
        """
        if self._store is None:
            self._store = self._tried(key)
        return self._created(self._store, key, data)

    def _created(self, store: Any, key: str, data: bytes) -> bool:
        import obstore  # noqa: PLC0415
        from obstore.exceptions import AlreadyExistsError, BaseError  # noqa: PLC0415

        for number in range(_TRIES):
            try:
                obstore.put(store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                try:
                    return bytes(store.get(key).bytes()) == data
                except FileNotFoundError:  # another put was under way, or it went again
                    time.sleep(_WAIT_SECONDS * number)
            except BaseError as error:
                raise OSError(_said(error)) from error
            else:
                return True
        raise OSError(f"the store neither creates {key} nor has it")

    def _tried(self, key: str) -> Any:
        """Open the bucket and find out whether it heeds conditions: not every store does."""
        url, options = store_options(self._location)
        try:
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise SettingsError(
                f"to write to {url}, it takes pip install 'minia-spark[objectstore]': without it "
                "nothing could keep two runs from publishing over each other"
            ) from None
        try:
            store = from_url(url, **options)
            trial = f"{key}.{uuid.uuid4().hex}.tmp"
            self._created(store, trial, b"1")
            heeds = not self._created(store, trial, b"2")
            store.delete(trial)
        except BaseError as error:
            raise OSError(_said(error)) from error
        if not heeds:
            raise SettingsError(
                f"{url} overwrites an object although it is told to create one (If-None-Match), so "
                "two runs could publish over each other: use a store that heeds it, or a mounted "
                "folder"
            )
        return store


def _said(error: Exception) -> str:
    """Return the first line: what follows is for the library's developers."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
