"""spark-submit jobs/words.py: the same arguments as 'minia words'."""

import sys

from minia_spark.cli import main

sys.exit(main(["words", *sys.argv[1:]]))
