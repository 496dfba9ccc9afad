"""spark-submit jobs/exposures.py run|train|label|flags|report: as 'minia exposures'."""

import sys

from minia_spark.cli import main

sys.exit(main(["exposures", *sys.argv[1:]]))
