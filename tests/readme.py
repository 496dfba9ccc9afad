"""The README's tables that follow from the rooms; ``python -m tests.readme`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from minia_spark.cli.parser import commands_of
from minia_spark.rooms import HOUSE

README = Path(__file__).resolve().parents[1] / "README.md"


def commands() -> str:
    lines = ["| command | what it does |", "| --- | --- |"]
    for command in commands_of(HOUSE):
        lines.append(f"| `minia {command.name}` | {command.about} |")
    return "\n".join(lines)


def tables() -> str:
    lines = ["| table | a row is | columns |", "| --- | --- | --- |"]
    for table in HOUSE.tables():
        columns = ", ".join(column.name for column in table.all_columns)
        lines.append(f"| `{table.name}` | {table.row} | {columns} |")
    return "\n".join(lines)


def sections() -> str:
    lines = ["| section | what it sets |", "| --- | --- |"]
    defaults = HOUSE.load_settings()
    names = [*HOUSE.sections, "run", "log", "spark"]
    for name in names:
        about = (type(getattr(defaults, name)).__doc__ or "").strip().splitlines()[0]
        lines.append(f"| `{name}` | {about} |")
    return "\n".join(lines)


def rooms() -> str:
    lines = ["| room | what it is for |", "| --- | --- |"]
    lines += [f"| `{room.name}/` | {room.about} |" for room in HOUSE.rooms]
    return "\n".join(lines)


def written(text: str) -> str:
    """Return a text with every part between its two marks made anew."""
    for name, make in (
        ("commands", commands),
        ("tables", tables),
        ("sections", sections),
        ("rooms", rooms),
    ):
        begin, end = f"<!-- {name}: python -m tests.readme -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        made = f"{begin}\n{make()}\n{end}"
        text, count = pattern.subn(lambda _, made=made: made, text)
        if count != 1:
            raise ValueError(f"the README has {count} places for {name}")
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
