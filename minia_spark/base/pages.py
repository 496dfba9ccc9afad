"""What pages of several rooms agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

__all__ = ["WAREHOUSE", "templates_of"]

WAREHOUSE = "warehouse:/"
"""In an attribute of HTML that one room makes for the page of another: begins the address of a file
of the warehouse. Only the page knows where that is from its own place."""


def templates_of(*packages: str) -> jinja2.Environment:
    """Return the templates of packages, the first one's before those of the others.

    What is put into HTML is escaped, and a name that nobody gave is an error.
    """
    import jinja2  # noqa: PLC0415 - who only needs the constant does without

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
