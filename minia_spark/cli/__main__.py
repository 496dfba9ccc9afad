"""``python -m minia_spark.cli``."""

import sys

from minia_spark.cli.main import main

sys.exit(main())
