"""What the gallery is published as."""

from minia_spark.engine.table import Artefact

__all__ = ["GALLERY", "NEWS"]

GALLERY = Artefact("gallery", "The page of every structure, image and word.", page=True)

NEWS = "news.json"
"""File of it: what the newest batch brought, a JSON object an extractor."""
