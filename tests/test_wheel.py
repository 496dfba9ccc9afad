"""What ``build.sh wheel`` makes, installed by pip away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from minia_spark import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel():
    done = subprocess.run(
        [ROOT / "build.sh", "wheel"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = (ROOT / "dist").glob("minia_spark-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with an environment that has the wheel; the packages it needs are those of here."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "-qq", "--no-deps", wheel], check=True, cwd=folder)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", ask], text=True).strip())
    # a folder named in a .pth has no .pth of its own obeyed: the editable install stays unknown
    (packages / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(folder, *arguments):
    kept = {k: v for k, v in os.environ.items() if k in ("JAVA_HOME", "HOME", "LANG")}
    return subprocess.run(
        arguments,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **kept},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_name_and_content(wheel):
    """A static program runs on any Linux of the processor, another one on what is like here."""
    tag = wheel.stem.removeprefix(f"minia_spark-{__version__}-py3-none-")
    here = re.sub("[-.]", "_", sysconfig.get_platform())
    assert tag in (here, here.replace("linux", "manylinux_2_17"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (mode,) = [i.external_attr >> 16 for i in archive.infolist() if i.filename.endswith("/smh")]
        assert mode & 0o111 == 0o111
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "minia_spark").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    for kind in ("*.yaml", "*.html", "*.css", "*.js", "*.LICENSES.txt", "*.properties"):
        data = {p.relative_to(ROOT).as_posix() for p in (ROOT / "minia_spark").rglob(kind)}
        assert data <= set(names)


def test_mines_with_the_program_inside(installed):
    """With nothing but ``minia``: no checkout, no ``smh`` on the PATH."""
    code = "from minia_spark.smh.native import find_binary; print(find_binary())"
    found = run(installed, "env/bin/python", "-c", code).stdout.strip()
    assert Path(found).is_relative_to(installed / "env"), found
    # five words that are in the same 20 of 200 documents
    lines = [f"1 {n}:1" if n % 10 else "5 0:1 1:1 2:1 3:1 4:1" for n in range(200)]
    (installed / "corpus.words").write_text("\n".join(lines) + "\n")
    mine = ("env/bin/minia", "mine", "--words", "corpus.words", "--model", "model")
    done = run(installed, *mine, "--set", "mining.engine=native")
    assert done.returncode == 0, done.stderr
    assert (installed / "model").read_text().startswith("5 ")


@pytest.mark.heavy
def test_demo(installed):
    """Three minutes; Spark's workers are started from the environment, too."""
    done = run(installed, "env/bin/minia", "demo", "--warehouse", "W")
    assert done.returncode == 0, done.stderr
    assert "smh" not in done.stderr  # no warning that the program is missing
    page = installed / "W" / "report" / "index.html"
    assert f"page: {page}" in done.stdout
    assert page.is_file()
    recalls = [float(line.split()[-1]) for line in done.stdout.splitlines() if " s00" in line]
    assert len(recalls) >= 8
    assert min(recalls) > 0.5
