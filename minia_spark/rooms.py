"""The one list of rooms: a line a room.

A room is a folder whose ``__init__.py`` declares its settings, tables, stages and commands. Parser,
help, ``conf/minia.yaml``, the README's tables, import rules and contract tests come from it.
"""

from minia_spark import (
    classify,
    clustering,
    codebook,
    compare,
    delf,
    desom,
    drift,
    embedding,
    explorer,
    exposures,
    features,
    frames,
    galaxies,
    gallery,
    geometry,
    imports,
    ingest,
    lab,
    layout,
    mining,
    neighbours,
    reduce,
    report,
    structures,
    thumbnails,
    words,
)
from minia_spark.engine.room import House

__all__ = ["HOUSE"]

HOUSE = House(
    (
        ingest.ROOM,
        features.ROOM,
        imports.ROOM,
        thumbnails.ROOM,
        codebook.ROOM,
        words.ROOM,
        drift.ROOM,
        mining.ROOM,
        structures.ROOM,
        geometry.ROOM,
        embedding.ROOM,
        neighbours.ROOM,
        layout.ROOM,
        gallery.ROOM,  # before the map's page, which leads to it
        explorer.ROOM,
        frames.ROOM,
        report.ROOM,
        compare.ROOM,
        delf.ROOM,
        galaxies.ROOM,
        reduce.ROOM,
        clustering.ROOM,
        classify.ROOM,
        lab.ROOM,
        desom.ROOM,
        exposures.ROOM,
    )
)
