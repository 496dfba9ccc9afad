"""Tables as frames of pandas and Arrow, search and figures, without Spark."""

from minia_spark.engine.room import Command, Room

COMMANDS = (
    Command(
        "search",
        "the images of a structure; the structures and the kin of any image",
        "minia_spark.frames.command:search",
        "minia_spark.frames.command:arguments",
        "--image reads an image that need not be in any batch, gives it its words under the\n"
        "codebook that is there, and tells its structures, the nearest images by tf-idf\n"
        "weighted words (1 - the cosine) and, where there are embeddings, by these.\n"
        "Nothing in the warehouse changes.",
        "  minia search --structure s0003 --threshold 0.2 --warehouse W\n"
        "  minia search --image new.fits --geometry --json --warehouse W",
    ),
)

ROOM = Room(
    name="frames",
    about="Tables as frames, search, and figures of the map, without Spark.",
    commands=COMMANDS,
)

__all__ = ["COMMANDS", "ROOM"]
