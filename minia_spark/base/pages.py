"""What pages of several rooms agree on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from jinja2.bccache import Bucket

__all__ = ["WAREHOUSE", "templates_of"]

WAREHOUSE = "warehouse:/"
"""In an attribute of HTML that one room makes for the page of another: begins the address of a file
of the warehouse. Only the page knows where that is from its own place."""


def templates_of(
    *packages: str, finalize: Callable[[Any], Any] | None = None
) -> jinja2.Environment:
    """Return the templates of packages, the first one's before those of the others.

    What is put into HTML is escaped, and a name that nobody gave is an error. `finalize` is applied
    to everything that a template shows, before it is escaped.
    """
    import jinja2  # noqa: PLC0415 - who only needs the constant does without

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=jinja2.select_autoescape(("html", "css")),
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_compiled(packages, finalize),
    )


@functools.cache
def _compiled(
    packages: tuple[str, ...], finalize: Callable[[Any], Any] | None
) -> jinja2.BytecodeCache:
    """Return what this process has compiled: it takes as long as all the rest of a page."""
    import jinja2  # noqa: PLC0415

    class InMemory(jinja2.BytecodeCache):
        def __init__(self) -> None:
            self._code: dict[str, bytes] = {}

        def load_bytecode(self, bucket: Bucket) -> None:
            if bucket.key in self._code:
                bucket.bytecode_from_string(self._code[bucket.key])

        def dump_bytecode(self, bucket: Bucket) -> None:
            self._code[bucket.key] = bucket.bytecode_to_string()

    return InMemory()
