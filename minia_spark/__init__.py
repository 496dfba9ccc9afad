"""Finds recurring visual patterns in large collections of astronomical images, without labels.

The three rings, from the inside: *kernels* (arrays in, arrays out), *stages* (``stage.py`` in
every folder: Spark glue) and *entries* (``cli.py`` and ``jobs/``). Imports point inward only.
"""

__version__ = "0.1.0"
