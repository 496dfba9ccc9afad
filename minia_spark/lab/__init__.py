"""The galaxy lab: which methods find the classes of Galaxy Zoo without having seen them."""

from minia_spark.engine.room import Command, Room

_HERE = "minia_spark.lab.command"

COMMANDS = (
    Command(
        "lab dataset",
        "draw training and test galaxies of Galaxy Zoo 2 as the study does",
        f"{_HERE}:dataset",
        f"{_HERE}:dataset_arguments",
        "Joins the catalogue (gz2_hart16.csv) with the names of the images\n"
        "(gz2_filename_mapping.csv), shuffles the galaxies that have a class, and takes the first\n"
        "N to train and the next N to test. With --images, galaxies whose image is not there are\n"
        "passed over. The class histogram is printed; written are\n"
        "  log_data_train.csv, log_data_test.csv   dr7objid,asset_id,gz2_class: one of 12 classes\n"
        "  classes.csv   image,dr7objid,gz2_class,split: whole class strings, for\n"
        "                galaxies.classes.file with galaxies.classes.split_column=split\n"
        "  missing.csv   galaxies that were passed over\n"
        "The same seed draws the same galaxies, whatever the order of rows.",
        "  minia lab dataset --catalogue gz2_hart16.csv --mapping gz2_filename_mapping.csv \\\n"
        "      --images gz2/ --out study/",
    ),
)

ROOM = Room(
    name="lab",
    about="The galaxy lab: commands and comparison.",
    commands=COMMANDS,
)

__all__ = ["COMMANDS", "ROOM"]
