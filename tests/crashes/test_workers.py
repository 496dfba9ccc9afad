"""What computes for a run is killed: a Python worker, the native program.

With ``local[2]`` Spark tries nothing again, so the run ends with a message and the next one goes
on; on a cluster the same is tried again and the run succeeds (tests/cluster/test_failures.py).
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from commands import SMALL, chosen

from minia_spark.features import stage as features
from minia_spark.smh.native import find_binary
from minia_spark.warehouse.warehouse import Warehouse

from .readers import contents, whole_state


def deadly_kernel(marker: Path):
    """Return a kernel of features that kills its process, once, in the middle of a task."""
    real = features.kernel
    name = str(marker)

    def kernel(context: object):
        found = real(context)

        def make():
            extract = found.make()

            def dying(images: object):
                if os.path.exists(name + ".armed"):  # noqa: PTH110 - travels to the worker as it is
                    os.rename(name + ".armed", name)  # noqa: PTH104
                    os.kill(os.getpid(), signal.SIGKILL)
                return extract(images)

            return dying

        return replace(found, make=make)

    Path(name + ".armed").touch()
    return kernel


def deadly_binary(folder: Path, command: str) -> Path:
    """Return a program that is ``smh``, but is killed while it first does a command."""
    program = folder / "smh"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = {command} ] && mkdir "{folder}/killed" 2>/dev/null; then\n'
        f'  "{find_binary()}" "$@" <&0 & kill -KILL $!; kill -KILL $$\n'
        "fi\n"
        f'exec "{find_binary()}" "$@"\n'
    )
    program.chmod(0o755)
    return program


def test_a_python_worker_is_killed_during_features(minia, warehouse, survey, tmp_path, monkeypatch):
    location = tmp_path / "W"
    minia(
        *("ingest", "--images", survey.images, "--batch", "b1", "--warehouse", location, *SMALL)
    ).expect(0)
    command = ("features", "--warehouse", location, *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(features, "kernel", deadly_kernel(tmp_path / "dead"))
        found = minia(*command).expect(1)
    assert (tmp_path / "dead").exists()
    assert "Python worker exited unexpectedly (crashed)" in found.err
    assert "Readers still see the state before this run" in found.err
    assert Warehouse(str(location)).versions() == [1]
    minia(*command).expect(0)
    found, wanted = contents(location), contents(warehouse)
    assert found["features"] == wanted["features"]
    assert found["rejects"] == []


@pytest.mark.skipif(find_binary() is None, reason="no native/build/smh: ./build.sh native")
@pytest.mark.parametrize("step", ["sketch", "mine"])
def test_the_native_program_is_killed(minia, own_warehouse, warehouse, tmp_path, step):
    house = Warehouse(str(own_warehouse))
    base = house.catalogue()
    kept = [
        e for e in base.entries if e.stage not in ("tune", "sketch", "pairs", "mine", "structures")
    ]
    house.commit(base, base.run, kept, "nothing mined")
    before = whole_state(own_warehouse)
    command = ("mine", "--warehouse", own_warehouse, *SMALL, "--engine", "native")
    binary = chosen(f"mining.binary={deadly_binary(tmp_path, step)}")
    found = minia(*command, *binary).expect(1)
    assert (tmp_path / "killed").is_dir()
    assert f"smh {step}" in found.err
    assert "was killed by SIGKILL" in found.err
    assert whole_state(own_warehouse) == before
    minia(*command, *binary).expect(0)
    minia("structures", "--warehouse", own_warehouse, *SMALL).expect(0)
    mine, wanted = contents(own_warehouse), contents(warehouse)
    for table in ("signatures", "structures", "structure_images"):
        assert mine[table] == wanted[table], table
