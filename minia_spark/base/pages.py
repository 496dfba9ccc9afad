"""What pages of several rooms agree on."""

from __future__ import annotations

__all__ = ["WAREHOUSE"]

WAREHOUSE = "warehouse:/"
"""In an attribute of HTML that one room makes for the page of another: begins the address of a file
of the warehouse. Only the page knows where that is from its own place."""
