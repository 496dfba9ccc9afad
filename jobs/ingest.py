"""spark-submit jobs/ingest.py: the same arguments as 'minia ingest'."""

import sys

from minia_spark.cli import main

sys.exit(main(["ingest", *sys.argv[1:]]))
