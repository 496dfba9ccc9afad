"""What computes for a run is killed: a Python worker, the native program.

With ``local[2]`` Spark tries nothing again. The pass over the pixels is then made once more, since
an image may kill its decoder; when that breaks off too, the run ends with a message and the next
one goes on. On a cluster Spark tries it again itself (tests/cluster/test_failures.py).
"""

from __future__ import annotations

import base64
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from commands import SMALL, chosen, rows_of

from minia_spark.features import stage as features
from minia_spark.ingest import stage as ingest
from minia_spark.mining import spark as mining
from minia_spark.smh.native import find_binary
from minia_spark.warehouse.warehouse import Warehouse

from .readers import contents, whole_state


def deadly_kernel(marker: Path):
    """Return a kernel of features that kills its process in a task, as often as it is armed."""
    real = features.kernel
    name = str(marker)

    def kernel(context: object):
        found = real(context)

        def make():
            extract = found.make()

            def dying(images: object):
                for armed in sorted(os.listdir(name)):  # noqa: PTH208 - travels to the worker
                    os.unlink(f"{name}/{armed}")  # noqa: PTH108
                    os.kill(os.getpid(), signal.SIGKILL)
                return extract(images)

            return dying

        return replace(found, make=make)

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
    # a folder each: a worker of the first run that starts late must not take what is for the next
    dead, again = tmp_path / "dead", tmp_path / "again"
    dead.mkdir()
    again.mkdir()
    first, second = deadly_kernel(dead), deadly_kernel(again)
    monkeypatch.setattr(features, "kernel", first)
    for number in range(8):  # two tasks at once, in both jobs
        (dead / str(number)).touch()
    found = minia(*command).expect(1)
    assert len(list(dead.iterdir())) < 7
    assert "Python worker exited unexpectedly (crashed)" in found.err
    assert "Readers still see the state before this run" in found.err
    assert Warehouse(str(location)).versions() == [1]
    (again / "0").touch()
    monkeypatch.setattr(features, "kernel", second)
    found = minia(*command).expect(0)
    assert "a worker died; the pass is made again" in found.err
    assert not list(again.iterdir())
    found, wanted = contents(location), contents(warehouse)
    assert found["features"] == wanted["features"]
    assert found["rejects"] == []


def deadly_reading(path: Path):
    """Return how files are read by workers that one image kills, and its guard too."""
    real, deadly = ingest._read_listed, path.read_bytes()

    def reading(batches, care, **options):
        from minia_spark.images import decode, guard

        plain, asked = decode.read_raster, guard._asked

        def dying(data, *given, **named):
            if data == deadly:
                os.kill(os.getpid(), signal.SIGSEGV)
            return plain(data, *given, **named)

        def dying_child(child, data, *given):
            if data == deadly:
                child.send_signal(signal.SIGSEGV)
            return asked(child, data, *given)

        decode.read_raster, guard._asked = dying, dying_child
        try:
            yield from real(batches, care, **options)
        finally:
            decode.read_raster, guard._asked = plain, asked

    return reading


ABORTS = (
    "P(e~L6$BL&6%<Sr1Qh@h00031004La0001a6#x|!6%;HL5)}{?1{DSzHU=mGc^CnB5fK0Y00RI300nIU0Rt)(1QiMu3QQFO6"
    "#x<d009610AUpX6%rK^EEN(J5ETX$1{^j3C;?#@0bvml000020000I0Ra*K6$BYPH2@d}b7N>_ZDADz02K%&0vHQvZDD6+E@F"
    "9fWpe-(3?%{>3TbU&XJsyMVRUFE08AVJ000&e85|ibCIB223>h^51`rt-3u$d(XJsy8d30rS6#y0z7Je3fCO9St95x0h0eKh!"
    "co7i*87vh96#x|i02Kfg5ETLdJQfTY1{o#>3;+NCCIB223>h^51`rt-3TbU&XJsyMVRUE}02UG!au#wXtN|v50UR~}C;?#@0b"
    "vml02wS51Qh@k0ss{N6%Z8y06Z2F83q|901^NI02c5877`{17VrT8C?IfQa&dKKbS-0Wa4lhSa&LDac4cyNX>V>IGBz$SE-@J"
    "_8~^|u0000F0RR9{K~ga"
)
"""A Parquet file of nine images of which one bit is another one: Arrow 26 ends the process."""


def test_an_image_that_kills_its_decoder_costs_itself(minia, survey, tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    for one in sorted(survey.images.iterdir())[:6]:
        (images / one.name).write_bytes(one.read_bytes())
    names = sorted(path.name for path in images.iterdir())
    (images / "z.parquet").write_bytes(base64.b85decode(ABORTS))
    monkeypatch.setattr(ingest, "_read_listed", deadly_reading(images / names[3]))
    command = ("ingest", "--images", images, "--batch", "b1", "--warehouse", tmp_path / "W")
    found = minia(*command, *SMALL).expect(0)
    assert "a worker died; the pass is made again" in found.err
    made = rows_of(tmp_path / "W", "images", "image_id")
    assert sorted(name for (name,) in made) == names[:3] + names[4:]
    rejects = sorted(rows_of(tmp_path / "W", "rejects", "uri", "reason", "detail"))
    (uri, reason, detail), (second, _, _) = rejects
    assert uri.endswith(names[3])
    assert reason == "decoder_failed"
    assert "crashed (SIGSEGV)" in detail
    assert second.endswith("z.parquet")  # where Arrow survives it, it has no columns of images


@pytest.mark.skipif(find_binary() is None, reason="no native/build/smh: ./build.sh native")
@pytest.mark.parametrize("step", ["find", "sketch", "mine"])
def test_the_native_program_is_killed(minia, own_warehouse, warehouse, tmp_path, monkeypatch, step):
    """Where a task does all of a trial, and where signatures are too large for one."""
    if step != "find":
        monkeypatch.setattr(mining, "SPAN_BYTES", 1)
    house = Warehouse(str(own_warehouse))
    base = house.catalogue()
    kept = [
        e for e in base.entries if e.stage not in ("tune", "factors", "pairs", "mine", "structures")
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
    for table in ("structures", "structure_images"):
        assert mine[table] == wanted[table], table
