"""What the map's page is published as."""

from minia_spark.engine.table import Artefact

__all__ = ["EXPLORER"]

EXPLORER = Artefact("explorer", "The map's page, with its data, pictures and figures.", page=True)
