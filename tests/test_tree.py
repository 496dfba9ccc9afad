"""The house as it is drawn: where things lie, and what may be imported where.

Import rules between the project's own modules are import-linter's contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minia_spark"
ROOMS = sorted(p.parent for p in PACKAGE.glob("*/__init__.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))

# These start in seconds, or fill a worker's memory: only in functions, where a worker runs them.
LATE = {"tensorflow", "keras", "torch"}


def name(path):
    return path.relative_to(ROOT).as_posix()


def tracked():
    """Return the files in git, or skip: without git, or unpacked from an archive, no list is."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.split("\0") if line and (ROOT / line).is_file()]


def runs_late(node):
    """Tell whether what stands inside does not run when the module is imported."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imports(tree, *, anywhere):
    """Return the top-level names that a module imports: when it is imported itself, or anywhere."""
    found = set()
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif not anywhere and runs_late(node):
            continue
        pending.extend(ast.iter_child_nodes(node))
    return found


def test_imports_are_told_apart():
    tree = ast.parse(
        "import a.b\n"
        "from . import sibling\n"
        "try:\n    from c.d import e\nexcept ImportError:\n    pass\n"
        "if TYPE_CHECKING:\n    import typed\n"
        "class C:\n    import f\n"
        "def g():\n    import late\n"
    )
    assert imports(tree, anywhere=False) == {"a", "c", "f"}
    assert imports(tree, anywhere=True) == {"a", "c", "f", "typed", "late"}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_modules_start_fast(module):
    assert not imports(ast.parse(module.read_text()), anywhere=False) & LATE


def test_the_packed_environment_has_what_modules_import():
    lock = (ROOT / "requirements.lock").read_text()
    locked = {
        canonicalize_name(line) for line in re.findall(r"^([a-z][^=\s]*)==", lock, re.MULTILINE)
    }
    distributions = packages_distributions()
    known = sys.stdlib_module_names | {"minia_spark", "__future__"}
    strangers = {}
    for module in MODULES:
        for top in imports(ast.parse(module.read_text()), anywhere=False) - known:
            if not {canonicalize_name(d) for d in distributions.get(top, ())} & locked:
                strangers.setdefault(top, []).append(name(module))
    assert not strangers, "neither in requirements.lock nor imported in a function"


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_every_room_has_tests(room):
    assert list((ROOT / "tests" / room.name).glob("test_*.py"))


def test_tables_are_read_without_spark_by_one_way():
    """By :meth:`Warehouse.rows_of`, which compares the files first; runs do so when they begin."""
    opens = re.compile(r"\b(?:read_table|dataset|ParquetFile)\((?:[^()]|\([^()]*\))*\.path\b")
    found = {name(path) for path in MODULES if opens.search(path.read_text())}
    assert found <= {
        "minia_spark/engine/context.py",
        "minia_spark/explorer/stage.py",
        "minia_spark/layout/stage.py",
        "minia_spark/warehouse/warehouse.py",
    }


def test_the_top_has_nothing_more_than_is_drawn():
    drawn = {"build.sh", "jobs", "minia_spark", "native", "conf", "tests", "README.md"}
    beside = {".ci", ".gitignore", ".pre-commit-config.yaml", "pyproject.toml", "LICENSE"}
    beside |= {"requirements.lock", "requirements-dev.lock", "requirements-networks.lock"}
    beside |= {"CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "SCALE.md", "README.png"}
    beside |= {"README-background.png", "README-map.png"}
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found <= drawn | beside


def test_every_job_submits_what_the_command_line_does():
    for job in sorted((ROOT / "jobs").glob("*.py")):
        tree = ast.parse(job.read_text())
        assert imports(tree, anywhere=True) <= {"sys", "minia_spark"}, (
            f"{job.name}: no logic in jobs"
        )


def test_no_file_knows_the_machine_it_was_written_on():
    machine = re.compile(r"/root/|/home/[a-z]+/|/Users/[a-z]+/")
    for path in tracked():
        if path == Path(__file__) or path.suffix in (".png", ".jpg", ".fits", ".parquet", ".onnx"):
            continue
        found = machine.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{name(path)}: {found.group() if found else ''}"
