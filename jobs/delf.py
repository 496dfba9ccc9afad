"""spark-submit jobs/delf.py dataset|tfrecords: the same arguments as 'minia delf'."""

import sys

from minia_spark.cli import main

sys.exit(main(["delf", *sys.argv[1:]]))
