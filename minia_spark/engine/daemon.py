"""Spark's daemon of Python workers, with what most tasks import loaded before it forks them.

Every worker would else import NumPy, Arrow, OpenCV and others anew, which takes a second or more
each. Only in local mode, where the driver's Python is the workers'.
"""

import gc
import importlib
import sys
from pathlib import Path

# pandas: Spark's own worker loads it for its first batch; scipy.sparse: ours, for words and sets.
_LOADED = ("numpy", "pandas", "pyarrow.compute", "pyarrow.parquet", "scipy.sparse", "cv2")


def unpacked(path: list[str]) -> list[str]:
    """Return an import path without the zipped copies of packages that are in it unpacked too.

    Spark puts ``pyspark.zip`` first. Of an installed Spark that is the installed package once more,
    but not compiled, and every worker would read its table of contents, once for each package in
    it, before its first task.
    """
    folders = [Path(place) for place in path if place and not place.endswith(".zip")]
    return [
        place
        for place in path
        if not (place.endswith(".zip") and any(f in Path(place).parents for f in folders))
    ]


if __name__ == "__main__":
    sys.path[:] = unpacked(sys.path)
    sys.path_importer_cache.clear()
    for name in (*_LOADED, "PIL.Image", "pyspark.worker", "minia_spark.images.decode"):
        importlib.import_module(name)
    # A worker collects garbage after every task: it need not look through all of these each time,
    # which takes as long as a small task.
    gc.freeze()
    importlib.import_module("pyspark.daemon").manager()
