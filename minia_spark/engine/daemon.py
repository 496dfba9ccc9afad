"""Spark's daemon of Python workers, with what most tasks import loaded before it forks them.

Every worker would else import NumPy, Arrow, OpenCV and others anew, which takes a second or more
each. Only in local mode, where the driver's Python is the workers'.
"""

import importlib

from pyspark.daemon import manager

# pandas: Spark's own worker loads it for its first batch; scipy.sparse: ours, for words and sets.
_LOADED = ("numpy", "pandas", "pyarrow.compute", "pyarrow.parquet", "scipy.sparse", "cv2")

if __name__ == "__main__":
    for name in (*_LOADED, "PIL.Image", "pyspark.worker", "minia_spark.images.decode"):
        importlib.import_module(name)
    manager()
