"""What only the client of the binary does; results are tested in test_engine."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import BINARY, batch, merged, needs_binary, planted

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.smh import native
from minia_spark.smh.arrays import Signatures, WordLinks, empty_sets
from minia_spark.smh.native import NativeEngine, find_binary
from minia_spark.smh.process import stream_through
from minia_spark.smh.wire import write_documents, write_signatures

NO_LINKS = WordLinks(
    np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
)


def program(path, script="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_find_binary_in_this_order(tmp_path, monkeypatch):
    """Inside the package, in the checkout, on the PATH."""
    monkeypatch.setattr(native, "__file__", str(tmp_path / "src/minia_spark/smh/native.py"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_binary() is None
    on_path = program(tmp_path / "path" / "smh")
    assert find_binary() == on_path
    built = program(tmp_path / "src" / "native" / "build" / "smh")
    assert find_binary() == built
    packed = program(tmp_path / "src" / "minia_spark" / "smh" / "smh")
    assert find_binary() == packed
    packed.chmod(0o644)
    assert find_binary() == built
    assert find_binary(on_path) == on_path
    assert find_binary(str(on_path)) == on_path


def test_given_binary_must_be_a_program(tmp_path):
    with pytest.raises(SettingsError, match=r"smh is not an executable file; \./build\.sh native"):
        find_binary(tmp_path / "smh")
    with pytest.raises(SettingsError, match="is not an executable file"):
        find_binary(tmp_path)


def test_command_line(tmp_path):
    """Every option reaches the program."""
    log = tmp_path / "log"
    binary = program(tmp_path / "smh", f'echo "$@" >> {log}; cat >/dev/null; exit 1')
    engine = NativeEngine(binary, threads=2)
    signatures = Signatures.empty(tuple_size=2, tables=5)
    for call in (
        lambda: engine.sketch([], tuple_size=2, tables=5, seed=9, expand=True),
        lambda: engine.sketch([], tuple_size=2, tables=5, table_range=(1, 4)),
        lambda: engine.mine(signatures, min_set_size=4, table_range=(1, 3)),
        lambda: engine.cluster(empty_sets(), overlap=2 / 3, tables=7, seed=9),
        lambda: engine.grow(NO_LINKS, density=1 / 3, min_size=4, max_similarity=0.9),
        lambda: engine.grow(NO_LINKS, progress=lambda _done, _all: None),
    ):
        with pytest.raises(MiniaError, match=r"smh .*failed with exit status 1"):
            call()
    sketch, part, mine, cluster, grow, told = log.read_text().splitlines()
    assert sketch == "sketch --threads 2 --tuple-size 2 --tables 5 --seed 9 --expand"
    assert part == (
        "sketch --threads 2 --tuple-size 2 --tables 5 --seed 12345678 --table-begin 1 --table-end 4"
    )
    assert mine == "mine --threads 2 --min-set-size 4 --table-begin 1 --table-end 3"
    assert cluster == (
        "cluster --threads 2 --tuple-size 3 --tables 7 --overlap 0.6666666666666666 --seed 9 "
        "--table-begin 0 --table-end 7"
    )
    assert grow == (
        "grow --threads 2 --density 0.3333333333333333 --min-size 4 --max-similarity 0.9"
    )
    assert told == "grow --threads 2 --density 0.5 --min-size 3 --max-similarity 0.5 --progress"


def test_output_that_is_cut_short_is_refused(tmp_path):
    """A program that says all is well and has written half a header."""
    binary = program(tmp_path / "smh", "cat >/dev/null; printf SMHS")
    with pytest.raises(MiniaError, match="SMHS stream, byte 4: the header of 20 bytes is cut"):
        NativeEngine(binary).sketch([], tuple_size=2, tables=5)


def test_a_failure_wins_over_what_it_did_to_the_output(tmp_path):
    binary = program(tmp_path / "smh", "cat >/dev/null; printf SMHS; echo no memory >&2; exit 1")
    with pytest.raises(MiniaError, match="exit status 1\n  no memory"):
        NativeEngine(binary).sketch([], tuple_size=2, tables=5)


def test_abandoned_blocks_end_the_program(tmp_path):
    signatures = Signatures.empty(tuple_size=2, tables=5)
    header = tmp_path / "header"
    header.write_bytes(b"".join(write_signatures(signatures)))
    row = "printf '\\001\\0\\0\\0\\001\\0\\0\\0\\001\\0\\0\\0\\0\\0\\0\\0'; head -c 40 /dev/zero"
    binary = program(
        tmp_path / "smh",
        f"echo $$ > {tmp_path}/pid; cat {header}; {row}; head -c 9000000 /dev/zero; sleep 60",
    )
    blocks = NativeEngine(binary).sketch_blocks([], tuple_size=2, tables=5)
    with pytest.raises(MiniaError, match="SMHS stream, byte "):
        list(blocks)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(pid, 0)


@needs_binary
@pytest.mark.parametrize(
    "command", ["sketch --tuple-size 1 --tables 1", "merge -", "mine", "cluster", "grow"]
)
def test_binary_refuses_rubbish(command):
    with pytest.raises(MiniaError, match=r"exit status 1\n.*smh"):
        list(stream_through([str(BINARY), *command.split()], [b"rubbish"]))


@needs_binary
def test_binary_names_the_byte_offset():
    data = write_documents(batch(planted(documents=3)))
    command = [str(BINARY), "sketch", "--tuple-size", "1", "--tables", "1"]
    with pytest.raises(MiniaError, match=r"byte \d+"):
        list(stream_through(command, [data[:-1]]))


@needs_binary
def test_binary_fails_on_a_full_disk():
    """Exit 0 with half the output would be the worst of all."""
    data = write_documents(batch(planted(documents=30)))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(BINARY), "sketch", "--tuple-size", "2", "--tables", "50"],
            input=data,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr


@needs_binary
def test_binary_is_killed_midway(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda *args, **options: started.append(popen(*args, **options)) or started[-1],
    )

    def feed():
        for _ in range(100):
            yield batch(planted(documents=500))
        os.kill(started[0].pid, signal.SIGKILL)
        while True:
            yield batch(planted(documents=500))

    blocks = NativeEngine(BINARY).sketch_blocks(feed(), tuple_size=2, tables=50)
    with pytest.raises(MiniaError, match=r"sketch .*was killed by SIGKILL"):
        list(blocks)


@needs_binary
def test_signatures_of_the_binary_pass_through_its_other_commands():
    """Item ids at the limit, read back by the binary that wrote them."""
    top = 2**32 - 1
    documents = batch([(top, {top: 1, top - 1: 1, 0: 1}, 1.0), (0, {top: 1}, 1.0)])
    engine = NativeEngine(BINARY)
    signatures = engine.sketch([documents], tuple_size=1, tables=64)
    sets = engine.mine(merged(engine, [signatures, signatures]))
    assert signatures.items.tolist() == [0, top - 1, top]
    assert np.array_equal(sets.items, signatures.items)
