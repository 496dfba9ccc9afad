"""Extractors, and warehouses, beside each other: who finds what, and how sure it is."""

from minia_spark.engine.room import Command, Room

ROOM = Room(
    name="compare",
    about="Extractors and warehouses beside each other.",
    commands=(
        Command(
            "compare",
            "extractors, or warehouses, beside each other: structures, coverage, agreement, time",
            "minia_spark.compare.command:compare",
            "minia_spark.compare.command:arguments",
            "A row for every extractor of the warehouse, and of others given with --with. Nothing\n"
            "is computed on Spark and nothing is changed.\n"
            "\n"
            "  words        median number of words of an image that has any\n"
            "  structures   all of them\n"
            "  significant  those with a q-value of at most mining.max_q\n"
            "  established  those that are significant and reproducible\n"
            "  stability, verified (with --json and --html)   medians of the significant ones\n"
            "  coverage     share of the images that are in an established structure\n"
            "  agreeing     established structures in which one label is more frequent than\n"
            "               chance explains (hypergeometric, p <= 0.05 after correction for the\n"
            "               number of structures and labels)\n"
            "  same label   chance that two images of an established structure have the same\n"
            "               label, 0: as two images of the collection, 1: always\n"
            "  neighbours   the same for an image and its 15 nearest by tf-idf weighted words\n"
            "  seconds      of the steps that are the extractor's own, from words to structures;\n"
            "               the pass over the pixels is shared\n"
            "\n"
            "Numbers after +- are standard errors by bootstrap over the images. Labels are those\n"
            "of the warehouse (ingest.labels). The second table says how much of what one finds\n"
            "the other finds too: the mean, over its established structures, of the largest\n"
            "Jaccard similarity of the images, among images that both have.",
            "  minia compare --warehouse W\n"
            "  minia compare --warehouse W --with OTHER --html compare.html\n"
            "  minia compare --warehouse W --json",
        ),
    ),
)

__all__ = ["ROOM"]
