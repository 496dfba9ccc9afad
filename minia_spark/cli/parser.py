"""The parser of ``minia``: built from the rooms, and from the commands of the command line itself.

Of all commands only the names and their line of help are looked at; arguments are added, and
modules imported, for the one command that is called.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from minia_spark import __version__
from minia_spark.engine.room import Command, House
from minia_spark.engine.stage import load

__all__ = ["commands_of", "parser"]

EXIT_CODES = """\
exit codes: 0 done, or nothing to do; 2 wrong settings or usage; 3 the input cannot be used;
1 anything else. Progress goes to stderr, results to stdout."""

_HERE = "minia_spark.cli"
_START, _STATES, _FILES = "from start to end", "the warehouse", "settings, tables, files"
_OTHERS = "look, ask, train"
_NAMES, _MOST_WIDE = 16, 100
"""Columns of the list of commands: those of the names, and of everything."""

COMMANDS = (
    Command(
        "run",
        "bring everything up to date: from images to structures and the page",
        f"{_HERE}.runs:run",
        f"{_HERE}.runs:run_arguments",
        "Adds --images as batch NAME (or replaces it when its files changed), then runs every "
        "stage whose settings, code or input changed, and publishes all results at once. A second "
        "call does nothing. A run that broke off is continued. The warehouse remembers its "
        "settings: --set changes one from now on. What would throw away features or the codebook "
        "is refused without --replace.",
        "  minia run --images survey/night1 --batch night1 --warehouse W\n"
        "  minia run --images survey/night1 --batch night1 --warehouse W --set codebook.size=500\n"
        "  minia run --warehouse W --set mining.tables=2000     # other settings, same batches",
        group=_START,
    ),
    Command(
        "reprocess",
        "bring in every batch of an inbox that is new or changed; what a scheduler calls",
        f"{_HERE}.runs:reprocess",
        f"{_HERE}.runs:reprocess_arguments",
        "Every folder in the inbox is a batch of its name; so is every list of files (*.txt, "
        "*.list: one path a line, relative to the inbox). Those that no run took yet are brought "
        "in, in natural order of their names; changed ones replace their batch; those with the "
        "content of another batch are left out. Names that begin with a dot or end in .part or "
        ".tmp are still being written. A batch that cannot be used does not keep the next ones "
        "waiting: the exit code tells at the end, and the next call tries it again. What was "
        "removed ('minia batch remove', 'minia rollback') stays out until its files change.",
        "  minia reprocess --inbox survey --warehouse W\n"
        "  minia reprocess --inbox survey --warehouse W --settle 600 --empty-exit-code 99\n"
        "  minia reprocess --inbox survey --warehouse W --batches-per-run 30   # a backlog",
        group=_START,
    ),
    Command(
        "plan",
        "print what a run would do, and why; nothing is started",
        f"{_HERE}.planning:plan",
        f"{_HERE}.planning:plan_arguments",
        "Takes the arguments of 'minia run'. Refuses settings that cannot work.",
        "  minia plan --images survey/night2 --batch night2 --warehouse W\n"
        "  minia plan --warehouse W --for-images 100000000 --cores 500",
        group=_START,
    ),
    Command(
        "batch list",
        "the batches: images, rejects, when they were read and by which run",
        f"{_HERE}.state:batches",
        f"{_HERE}.state:json_arguments",
        examples="  minia batch list --warehouse W",
        group=_STATES,
    ),
    Command(
        "batch remove",
        "take a batch out of the collection",
        f"{_HERE}.runs:remove_batch",
        f"{_HERE}.runs:remove_arguments",
        "Publishes a state without the batch: structures, their images and the page are made anew "
        "from the others, none of which is read or extracted again; the codebook stays. Earlier "
        "states keep the batch until 'minia vacuum'.",
        "  minia batch remove night7 --warehouse W",
        group=_STATES,
    ),
    Command(
        "status",
        "what is in the warehouse now, and with which settings it was made",
        f"{_HERE}.state:status",
        f"{_HERE}.state:json_arguments",
        group=_STATES,
    ),
    Command(
        "history",
        "the states and the runs, newest first",
        f"{_HERE}.state:history",
        f"{_HERE}.state:json_arguments",
        group=_STATES,
    ),
    Command(
        "rollback",
        "publish an earlier state again",
        f"{_HERE}.state:rollback",
        f"{_HERE}.state:rollback_arguments",
        "The earlier state becomes a new one: history stays, and rollback can be rolled back.",
        "  minia rollback --warehouse W\n  minia rollback --warehouse W --to 3",
        group=_STATES,
    ),
    Command(
        "vacuum",
        "remove what no kept state needs",
        f"{_HERE}.state:vacuum",
        f"{_HERE}.state:vacuum_arguments",
        "Removes old states and the folders of runs that no kept state names. A state that another "
        "one followed less than seven days ago stays, for those who still read it, and so does "
        "what was made since and never published. What goes is given up first, by a state of its "
        "own.",
        "  minia vacuum --warehouse W --dry-run\n  minia vacuum --warehouse W --keep 5\n"
        "  minia vacuum --warehouse W --older-than 1 --force   # to make room",
        group=_STATES,
    ),
    Command(
        "verify",
        "compare the files of a state with what was written",
        f"{_HERE}.state:verify",
        f"{_HERE}.state:verify_arguments",
        "Compares names, sizes and rows of all files of a state with what was noted when they were "
        "written; with --full also their bytes. States and the ledger are looked at too. Exit code "
        "0: whole, 1: not.",
        "  minia verify --warehouse W\n  minia verify --full --warehouse W",
        group=_STATES,
    ),
    Command(
        "repair",
        "go on without what is damaged",
        f"{_HERE}.state:repair",
        f"{_HERE}.state:repair_arguments",
        "Publishes the newest state that can be understood without the entries whose files are "
        "damaged, which the next run makes anew; a batch whose images are damaged leaves it, to be "
        "brought in again. Damaged states and pages of the ledger are set aside in 'damaged/'.",
        "  minia repair --warehouse W --dry-run\n  minia repair --warehouse W",
        group=_STATES,
    ),
    Command(
        "tables",
        "every table: its columns, what they mean and their units",
        f"{_HERE}.state:tables",
        f"{_HERE}.state:tables_arguments",
        examples="  minia tables\n  minia tables structures",
        group=_FILES,
    ),
    Command(
        "path",
        "print the Parquet folders of a table's current state, or of an earlier one",
        f"{_HERE}.state:path",
        f"{_HERE}.state:path_arguments",
        "One folder a line; read them together. Who reads several tables asks for all of them of "
        "one state, which vacuum leaves for a week.",
        "  minia path words --warehouse W\n"
        "  minia path words --state 7 --warehouse W\n"
        "  minia path features --variant sift --batch night1 --warehouse W",
        group=_FILES,
    ),
    Command(
        "export",
        "write words, inverted file, features, structures, map, names or a catalogue as files",
        f"{_HERE}.exchange:export",
        f"{_HERE}.exchange:export_arguments",
        "words:      OUT (.words: a document a line), with OUT.images naming each line's image\n"
        "ifs:        OUT (.ifs: a word a line), with OUT.images naming each document number\n"
        "features:   OUT (CSV location_x,location_y,size[,score],image_name, and visual_word_id\n"
        "            when there are words) and OUT.descriptors (one a line); 'minia import' reads\n"
        "            them back\n"
        "structures: OUT (.model: a structure a line)\n"
        "map:        OUT (CSV with ';': Image_file_names, Image_file_paths, Image_features, X, Y,\n"
        "            and Z in three dimensions; for Tableau and the like)\n"
        "catalog:    OUT.parquet, .vot or .csv: a row an image with ra, dec, label, structures\n"
        "            and places; Parquet with a VOTable's metadata and _healpix_29, for LSDB\n"
        "names:      OUT (CSV): what people call structures",
        "  minia export words night1.words --warehouse W\n"
        "  minia export features all.csv --warehouse W --batch night1\n"
        "  minia export map map.csv --warehouse W --root survey\n"
        "  minia export catalog survey.parquet --warehouse W",
        group=_FILES,
    ),
    Command(
        "settings",
        "print every setting, commented, as YAML",
        f"{_HERE}.planning:print_settings",
        f"{_HERE}.planning:settings_arguments",
        examples="  minia settings > my.yaml\n  minia settings --warehouse W  # what it remembers",
        group=_FILES,
    ),
    Command(
        "demo",
        "make a small survey with known truth and run everything on it",
        f"{_HERE}.demo:demo",
        f"{_HERE}.demo:demo_arguments",
        "Cuts sources out of the Hubble deep field image that scikit-image carries, generates a "
        "survey with planted structures, runs every stage, and says how many planted structures "
        "were found.",
        "  minia demo --warehouse demo/warehouse",
        group=_START,
    ),
)
"""The commands that belong to no room."""


def commands_of(house: House) -> list[Command]:
    """Return all commands, group by group: one for every stage, the rooms', and our own."""
    declared = {command.name: command for command in house.commands()}
    stages = []
    for name, about in house.stage_commands.items():
        own = declared.pop(name, None)
        stages.append(
            own
            or Command(
                name,
                about,
                f"{_HERE}.runs:stage",
                f"{_HERE}.runs:stage_arguments",
                f"Runs the stage '{name}' when its settings, code or input changed, and publishes "
                "it.",
                f"  minia {name} --warehouse W",
            )
        )
    grouped: dict[str, list[Command]] = {}
    for command in COMMANDS:
        grouped.setdefault(command.group, []).append(command)
    others = [replace(command, group=_OTHERS) for command in declared.values()]
    of_line: dict[str, list[Command]] = {}
    for command in stages:
        line = house.by_name[command.name].line
        own = replace(command, group=f"stages of the line {line}")
        of_line.setdefault(line, []).append(own)
    return [
        *grouped[_START],
        *others,
        *grouped[_STATES],
        *grouped[_FILES],
        *chain.from_iterable(of_line.values()),
    ]


def parser(house: House, arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the command that these arguments call.

    Parameters
    ----------
    house : House
    arguments : sequence of str
        As :func:`minia_spark.cli.main.main` got them.
    """
    commands = commands_of(house)
    top = argparse.ArgumentParser(
        prog="minia",
        description="Find recurring visual patterns in large collections of astronomical images.",
        usage="minia [-h] [--version] COMMAND ...",
        epilog="The usual start:\n"
        "  minia run --images DIR --batch NAME --warehouse DIR\n"
        "Then open DIR/report/index.html.\n\n"
        f"{_listed(commands)}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"minia {__version__}")
    # argparse would list all commands in one
    subparsers = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="minia", help=argparse.SUPPRESS
    )
    called = [word for word in arguments if not word.startswith("-")][:2]
    first = called[:1]
    own = [c for c in commands if [c.name.partition(" ")[0]] == first or {*first} & {*c.aliases}]
    groups: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for command in own or commands:  # of a name that nobody has, all are told
        group, _, action = command.name.rpartition(" ")
        if group and group not in groups:
            groups[group] = _group(subparsers, group, commands)
        place = groups[group] if group else subparsers
        made = _parser_of(place, action if group else command.name, command)
        names = {command.name, *command.aliases}
        if called[:1] and (called[0] in names or " ".join(called) in names):
            made.set_defaults(handler=load(command.handler), house=house)
            if command.arguments:
                load(command.arguments)(made)
    return top


def _listed(commands: Sequence[Command]) -> str:
    """Return the list of commands, under the headings of their groups."""
    wide = min(_MOST_WIDE, shutil.get_terminal_size().columns) - 2
    told: dict[str, dict[str, str]] = {}
    for command in commands:
        first, _, action = command.name.partition(" ")
        about = command.about
        if action:
            about = ", ".join(_actions(first, commands)) + f": see 'minia {first} --help'"
        told.setdefault(command.group, {}).setdefault(
            " or ".join((first, *command.aliases)) if not action else first, about
        )
    lines = []
    for heading, names in told.items():
        lines += ["", f"{heading}:"]
        for name, about in names.items():
            rows = textwrap.wrap(about, max(20, wide - _NAMES - 4))
            if len(name) >= _NAMES:
                rows.insert(0, "")
            lines += [
                f"    {at:{_NAMES}}{row}".rstrip()
                for at, row in zip_longest([name], rows, fillvalue="")
            ]
    return "\n".join(lines[1:])


def _group(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    commands: Iterable[Command],
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    below = ", ".join(_actions(name, commands))
    group = subparsers.add_parser(
        name,
        help=f"{below}: see 'minia {name} --help'",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return group.add_subparsers(dest="action", required=True, metavar="ACTION")


def _actions(group: str, commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        if command.name.startswith(f"{group} "):
            yield command.name.removeprefix(f"{group} ")


def _parser_of(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command
) -> argparse.ArgumentParser:
    examples = f"examples:\n{command.examples}\n\n" if command.examples else ""
    return subparsers.add_parser(
        name,
        aliases=command.aliases,
        help=command.about,
        description=command.description or command.about[:1].upper() + command.about[1:] + ".",
        epilog=examples + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
