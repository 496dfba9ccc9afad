"""What the page is published as."""

from minia_spark.engine.table import Artefact

__all__ = ["SITE"]

SITE = Artefact("report", "The page: HTML, pictures and CSV files.", page=True)
