"""What the gallery is published as."""

from minia_spark.engine.table import Artefact

__all__ = ["GALLERY"]

GALLERY = Artefact("gallery", "The page of every structure, image and word.", page=True)
