"""Run benchmarks by name; without names, all of them."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys

NAMES = (
    "extraction",
    "vocabulary",
    "words",
    "memory",
    "mining",
    "growth",
    "history",
    "significance",
    "background",
    "batches",
    "many",
    "delf",
    "neighbours",
    "layout",
    "embedding",
    "explorer",
    "gallery",
    "lab",
    "exposures",
)


def main() -> int:
    """Run the chosen benchmarks, print their tables, and fail when a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the full size of the data (default 1)"
    )
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    missed = 0
    for name in options.names or NAMES:
        module = importlib.import_module(f"tests.benchmarks.{name}")
        print(f"\n{name}: {module.__doc__.strip().splitlines()[0]}")
        for figure in module.run(options.scale):
            print(f"  {figure}")
            missed += figure.missed
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
