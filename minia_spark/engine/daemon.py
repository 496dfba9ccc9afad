"""Spark's daemon of Python workers, with what most tasks import loaded before it forks them.

Every worker would else import NumPy, Arrow and OpenCV anew, which takes a second or more each. Only
in local mode, where the driver's Python is the workers'.
"""

import importlib

from pyspark.daemon import manager

_LOADED = ("numpy", "pyarrow.compute", "pyarrow.parquet", "cv2", "PIL.Image", "pyspark.worker")

if __name__ == "__main__":
    for name in (*_LOADED, "minia_spark.images.decode"):
        importlib.import_module(name)
    manager()
