"""Which way imports may point, from the list of rooms; no name of a room stands here."""

from __future__ import annotations

from functools import cache

import grimp

from minia_spark.rooms import HOUSE

BELOW = ("base", "images", "smh", "warehouse", "engine")
"""From the ground up; images and smh do not know each other."""
ABOVE = ("rooms", "cli")
FREE = {"sky"}
"""Made-up skies: used by the demo and by tests, using nothing."""


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("minia_spark", exclude_type_checking_imports=True)


def floor(module: str) -> int | None:
    """Return the layer of a module; None: it belongs to none (the package itself, skies)."""
    part = [*module.split("."), ""][1]
    rooms = {room.name for room in HOUSE.rooms}
    if part in BELOW:
        return BELOW.index(part)
    if part in rooms:
        return len(BELOW)
    return len(BELOW) + 1 + ABOVE.index(part) if part in ABOVE else None


def upward_imports() -> list[str]:
    """Return the imports that point to a higher layer."""
    found = []
    for importer in sorted(graph().modules):
        for imported in sorted(graph().find_modules_directly_imported_by(importer)):
            ours, theirs = floor(importer), floor(imported)
            if ours is not None and theirs is not None and theirs > ours:
                found.append(f"{importer} -> {imported}")
    return found


def circles() -> list[list[str]]:
    """Return circles of modules (a package's face, which only joins its modules, is none)."""
    edges = {
        module: sorted(graph().find_modules_directly_imported_by(module))
        for module in graph().modules
    }
    done: set[str] = set()
    found: list[list[str]] = []

    def walk(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
            return
        if module in done:
            return
        for below in edges[module]:
            walk(below, [*way, module])
        done.add(module)

    for module in sorted(edges):
        walk(module, [])
    return found


def packages() -> set[str]:
    """Return the names below minia_spark that are in no layer and should be."""
    parts = {module.split(".")[1] for module in graph().modules if "." in module}
    return {p for p in parts if floor(f"minia_spark.{p}") is None} - FREE
