"""spark-submit jobs/stage.py NAME: the same arguments as 'minia NAME', for any single stage."""

import sys

from minia_spark.cli import main

sys.exit(main(sys.argv[1:]))
