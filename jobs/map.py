"""spark-submit jobs/map.py: the map of what a warehouse holds; the arguments of 'minia run'."""

import sys

from minia_spark.cli import main

sys.exit(main(["run", "--lines", "map", *sys.argv[1:]]))
