"""What the page is published as."""

from minia_spark.engine.table import Artefact

__all__ = ["SITE"]

SITE = Artefact("report", "The first page: HTML and pictures.", page=True)
