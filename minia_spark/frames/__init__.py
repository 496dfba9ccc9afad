"""Tables as frames of pandas and Arrow, neighbours and figures of the map, without Spark."""

from minia_spark.engine.room import Room

ROOM = Room(name="frames", about="Tables as frames, and figures of the map, without Spark.")

__all__ = ["ROOM"]
