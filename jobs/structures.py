"""spark-submit jobs/structures.py: the same arguments as 'minia structures'."""

import sys

from minia_spark.cli import main

sys.exit(main(["structures", *sys.argv[1:]]))
