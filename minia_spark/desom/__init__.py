"""Deep embedded self-organising maps: an autoencoder trained together with a map."""

from minia_spark.desom.settings import DesomSettings
from minia_spark.engine.room import Room

ROOM = Room(
    name="desom",
    about="Deep embedded self-organising maps: networks, training, files.",
    settings={"desom": DesomSettings},
)

__all__ = ["ROOM"]
