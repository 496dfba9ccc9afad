"""spark-submit jobs/lab.py report|reduce|cluster|compare|...: the same arguments as 'minia lab'."""

import sys

from minia_spark.cli import main

sys.exit(main(["lab", *sys.argv[1:]]))
