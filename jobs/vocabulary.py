"""spark-submit jobs/vocabulary.py: the same arguments as 'minia vocabulary'."""

import sys

from minia_spark.cli import main

sys.exit(main(["vocabulary", *sys.argv[1:]]))
