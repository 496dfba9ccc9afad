"""spark-submit jobs/run.py: the same arguments as 'minia run'."""

import sys

from minia_spark.cli import main

sys.exit(main(["run", *sys.argv[1:]]))
