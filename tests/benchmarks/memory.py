"""Memory of the driver at 1,000 and at 10,000 images: it must not grow with them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minia_spark.sky.survey import Survey, write_survey
from tests.benchmarks.figures import Figure

_CHILD = """
import json, resource, sys, gc
from pathlib import Path
from minia_spark.rooms import HOUSE
from minia_spark.engine.session import open_session
from tests.benchmarks.figures import carry_out

images, warehouse = sys.argv[1:]
settings = HOUSE.load_settings(None, ["spark.master=local-cluster[2,1,2048]", "codebook.size=200",
    "codebook.sample_size=4000", "mining.tuple_size=5", "mining.tables=300",
    "report.structures=10", "spark.driver_memory=1g"])
session = []
def start(mllib):
    session.append(open_session(settings.spark, mllib=mllib))
    return session[0]
carry_out(warehouse, Path(images), settings, start)
jvm = session[0].sparkContext._jvm
for _ in range(3):
    jvm.java.lang.System.gc()
memory = jvm.java.lang.management.ManagementFactory.getMemoryMXBean().getHeapMemoryUsage()
print(json.dumps({"python": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "heap": memory.getUsed() / 2**20}))
"""


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures; executors are processes of their own, so that the driver is alone."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(1000 * scale), int(10_000 * scale)):
            survey = Survey(side_px=96, frequency=0.1)
            images = write_survey(Path(folder) / f"i{count}", survey, count).images
            arguments = [sys.executable, "-c", _CHILD, str(images), f"{folder}/w{count}"]
            done = subprocess.run(arguments, check=True, capture_output=True, text=True)
            found[count] = json.loads(done.stdout.strip().splitlines()[-1])
            yield Figure(f"{count:,} images: Python driver, peak", found[count]["python"], "MiB")
            yield Figure(
                f"{count:,} images: JVM heap in use at the end", found[count]["heap"], "MiB"
            )
    small, large = found.values()
    yield Figure("Python driver, large / small", large["python"] / small["python"], at_most=1.1)
    yield Figure("JVM heap, large - small", large["heap"] - small["heap"], "MiB", at_most=64)
