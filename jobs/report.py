"""spark-submit jobs/report.py: the same arguments as 'minia report'."""

import sys

from minia_spark.cli import main

sys.exit(main(["report", *sys.argv[1:]]))
