"""Runs the code of a notebook, as a kernel would: in one process, from top to bottom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_notebook"]

ROOT = Path(__file__).resolve().parents[1]


def run_notebook(name: str, location: Path, folder: Path) -> str:
    """Run a notebook of ``jobs/notebooks`` on a warehouse, in a folder; return what it printed."""
    book = json.loads((ROOT / "jobs" / "notebooks" / name).read_text())
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    script = folder / "book.py"
    script.write_text("\n".join("".join(cell["source"]) for cell in cells))
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=folder,
        env=os.environ | {"MINIA_WAREHOUSE": str(location), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
