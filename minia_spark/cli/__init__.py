"""The command ``minia``."""

from minia_spark.cli.main import main

__all__ = ["main"]
