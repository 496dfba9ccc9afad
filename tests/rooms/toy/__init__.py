"""A room as small as one can be, and the test of the design: no other file knows it.

A stage over the pixels, one per batch whose table comes in two variants, one for the collection, a
command and a panel.
"""

from typing import Literal

from pydantic import Field

from minia_spark.base.settings import StageSettings
from minia_spark.engine.room import Command, Panel, Room
from minia_spark.engine.stage import Stage, Variants
from minia_spark.engine.table import Column, Table
from minia_spark.ingest.tables import IMAGES


class ToySettings(StageSettings):
    """How the toy measures brightness."""

    methods: tuple[Literal["mean", "largest"], ...] = Field(
        ("mean", "largest"), description="What is taken of the grey levels."
    )
    factor: int = Field(1, ge=1, description="What the brightness is multiplied by.")


LEVELS = Table(
    "toy_levels",
    "an image",
    (
        Column("image_id", "string", "The image."),
        Column("mean", "double", "Mean grey level."),
        Column("largest", "double", "Largest grey level."),
    ),
)
BRIGHTNESS = Table(
    "toy_brightness",
    "an image",
    (
        Column("image_id", "string", "The image."),
        Column("brightness", "double", "How bright it is."),
    ),
    variants=True,
)
BRIGHTEST = Table(
    "toy_brightest",
    "one: the brightest image",
    (Column("image_id", "string", "The image."), Column("images", "bigint", "Of so many.")),
    variants=True,
)

PLACE = "rooms.toy.stage"

ROOM = Room(
    name="toy",
    about="How bright images are.",
    settings={"toy": ToySettings},
    outputs=(LEVELS, BRIGHTNESS, BRIGHTEST),
    stages=(
        Stage(
            name="levels",
            about="measure grey levels",
            line="discovery",
            scope="batch",
            over="pixels",
            reads=(IMAGES,),
            writes=(LEVELS,),
            kernel=f"{PLACE}:kernel",
            run=f"{PLACE}:levels",
            cost=f"{PLACE}:cost",
        ),
        Stage(
            name="brightness",
            about="say how bright every image is",
            line="discovery",
            scope="batch",
            reads=(LEVELS,),
            writes=(BRIGHTNESS,),
            uses=(ToySettings,),
            variants=Variants(ToySettings, "methods"),
            run=f"{PLACE}:brightness",
            cost=f"{PLACE}:cost",
        ),
        Stage(
            name="brightest",
            about="find the brightest image",
            line="discovery",
            scope="collection",
            reads=(BRIGHTNESS,),
            writes=(BRIGHTEST,),
            run=f"{PLACE}:brightest",
            cost=f"{PLACE}:cost",
        ),
    ),
    commands=(
        Command("toy", "print the brightest image", f"{PLACE}:command", f"{PLACE}:arguments"),
    ),
    panel=Panel("Brightest images", (BRIGHTEST,), f"{PLACE}:panel"),
)
