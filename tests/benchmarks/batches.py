"""Batches of 50, 200 and 600 images, one after another: each reads itself only, at its own cost."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minia_spark.engine.progress import Progress
from minia_spark.rooms import HOUSE
from minia_spark.sky.survey import Survey, write_survey
from minia_spark.warehouse.records import RunRecord
from tests.benchmarks.figures import Figure, carry_out, session, timed

GALAXIES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "images"
SIZES = {"first": 71, "b050": 50, "b200": 200, "b600": 600}
"""Images of each batch. The first one has a vocabulary to fit: it is not compared."""
SETTINGS = (
    "mining.link=single",
    "mining.tuple_size=4",
    "mining.tables=300",
    "report.structures=10",
)
PER_BATCH = tuple(name for name in HOUSE.stages_of(("discovery",)) if HOUSE.by_name[name].per_batch)


def files(folder: Path, count: int) -> list[Path]:
    """Return so many images in the order of their names: real galaxies, or a generated survey."""
    if GALAXIES.is_dir():
        found = sorted(GALAXIES.iterdir())
    else:
        found = sorted(write_survey(folder, Survey(), count).images.iterdir())
    return found[:count]


def images_read(record: RunRecord) -> dict[str | None, float]:
    """Return how many images a run opened, by batch: all stages share one pass."""
    found: dict[str | None, float] = {}
    for step in record.steps:
        if step.action == "done" and step.stage == "ingest":
            found[step.batch] = found.get(step.batch, 0) + step.counts["listed"]
    return found


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    sizes = {name: max(4, int(count * scale)) for name, count in SIZES.items()}
    spark = session()
    settings = HOUSE.load_settings(None, [*SETTINGS, f"codebook.size={max(20, int(200 * scale))}"])
    own, whole = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waiting = files(folder / "survey", sum(sizes.values()))
        for batch, count in sizes.items():
            images = folder / batch
            images.mkdir()
            for path in waiting[:count]:
                shutil.copy(path, images)
            del waiting[:count]
            seconds, record = timed(
                lambda images=images, batch=batch: carry_out(
                    folder / "W",
                    images,
                    settings,
                    lambda mllib: spark,
                    batch=batch,
                    progress=Progress(io.StringIO()),
                )
            )
            whole[batch] = seconds
            own[batch] = sum(s.seconds for s in record.steps if s.stage in PER_BATCH)
            read = images_read(record)
            yield Figure(f"{batch}: images in the batch", count)
            yield Figure(f"{batch}: images read", read.pop(batch))
            yield Figure(f"{batch}: images of other batches read", sum(read.values()), at_most=0)
            yield Figure(f"{batch}: steps of the batch", own[batch], "s")
            yield Figure(f"{batch}: steps of the whole collection", seconds - own[batch], "s")
    spark.stop()
    for few, many in (("b050", "b200"), ("b200", "b600")):
        images = sizes[many] / sizes[few]
        yield Figure(f"{many} / {few}: images", images)
        yield Figure(
            f"{many} / {few}: seconds of the batch's steps, over images",
            own[many] / own[few] / images,
            at_most=1.2,
        )
        yield Figure(f"{many} / {few}: seconds of the whole run", whole[many] / whole[few])
