"""spark-submit jobs/reprocess.py: the same arguments as 'minia reprocess'."""

import sys

from minia_spark.cli import main

sys.exit(main(["reprocess", *sys.argv[1:]]))
