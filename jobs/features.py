"""spark-submit jobs/features.py: the same arguments as 'minia features'."""

import sys

from minia_spark.cli import main

sys.exit(main(["features", *sys.argv[1:]]))
