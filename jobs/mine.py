"""spark-submit jobs/mine.py: the same arguments as 'minia mine'."""

import sys

from minia_spark.cli import main

sys.exit(main(["mine", *sys.argv[1:]]))
