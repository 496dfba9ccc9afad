import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from itertools import count, islice, repeat
from pathlib import Path

import pytest

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.smh.process import stream_through

CAT = shutil.which("cat")
SH = shutil.which("sh")
MIB = bytes(1 << 20)


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch):
    """Whatever a test does: every program has ended and was waited for, every thread is gone."""
    started = []
    popen = subprocess.Popen

    def recorded(*args, **options):
        process = popen(*args, **options)
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", recorded)
    before = threading.active_count()
    yield
    for process in started:
        assert process.returncode is not None, "a program was not waited for"
        with pytest.raises(ProcessLookupError, match="No such process"):
            os.kill(process.pid, 0)
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before, "a thread was left behind"


def test_bytes_pass_through():
    assert b"".join(stream_through([CAT], [b"one ", b"", b"two"])) == b"one two"
    assert list(stream_through([CAT])) == []


def test_no_pipe_fills_up():
    """64 MiB in and out and 8 MiB of messages, all at once, in bounded pieces."""
    script = "cat & head -c 8388608 /dev/zero >&2; wait"
    # a background job of sh reads /dev/null, hence the explicit input
    chunks = stream_through(
        [SH, "-c", f"exec 3<&0; {script.replace('cat', 'cat <&3')}"], repeat(MIB, 64)
    )
    sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


def test_nothing_is_started_before_the_first_value(tmp_path):
    stream = stream_through([SH, "-c", f"touch {tmp_path}/started"])
    stream.close()
    assert not (tmp_path / "started").exists()


def test_failure_tells_command_status_and_last_messages():
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i >&2; done; echo out; exit 7"
    with pytest.raises(
        MiniaError, match=r"(?s)sh -c .*failed with exit status 7\n  line 3\n.*line 12$"
    ):
        list(stream_through([SH, "-c", script]))


def test_usage_status_is_a_settings_error():
    with pytest.raises(SettingsError, match=r"failed with exit status 2\n  no such option$"):
        list(stream_through([SH, "-c", "echo no such option >&2; exit 2"]))


def test_killed_program():
    with pytest.raises(MiniaError, match="was killed by SIGKILL"):
        list(stream_through([SH, "-c", "kill -9 $$"]))


def test_killed_while_it_is_fed():
    def feed():
        yield from repeat(MIB, 1000)

    with pytest.raises(MiniaError, match="was killed by SIGTERM"):
        list(stream_through([SH, "-c", "head -c 1000 >/dev/null; kill $$"], feed()))


def test_program_that_does_not_read_its_input():
    with pytest.raises(MiniaError, match="ended before it had read its whole input"):
        list(stream_through([SH, "-c", "exit 0"], repeat(MIB, 10)))


def test_missing_program(tmp_path):
    with pytest.raises(MiniaError, match=r"cannot start .*/smh: .*No such file"):
        list(stream_through([str(tmp_path / "smh")]))


def test_file_that_is_no_program(tmp_path):
    path = tmp_path / "smh"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(MiniaError, match=r"cannot start .*/smh: .*format error"):
        list(stream_through([str(path)]))


def test_closing_early_ends_the_program():
    stream = stream_through([CAT], repeat(MIB))
    assert next(stream)
    stream.close()


def test_exception_in_the_consumer_ends_the_program():
    def consume():
        with contextlib.closing(stream_through([CAT], repeat(MIB))) as stream:
            raise LookupError(f"not in {next(stream)[:2]!r}")

    with pytest.raises(LookupError, match=r"not in b.*x00"):
        consume()


def test_exception_in_the_feed_is_raised_and_the_program_does_not_take_it_for_the_end(tmp_path):
    def feed():
        yield from repeat(b"line\n", 3)
        raise LookupError("the disk is gone")

    script = f"cat; touch {tmp_path}/complete"
    with pytest.raises(LookupError, match="the disk is gone"):
        list(stream_through([SH, "-c", script], feed()))
    assert not (tmp_path / "complete").exists()


def test_endless_program_is_ended():
    stream = stream_through([SH, "-c", "while :; do echo y; done"])
    assert len(list(islice(stream, 3))) == 3
    stream.close()


def test_feed_is_drawn_no_faster_than_the_program_reads():
    drawn = count()

    def feed():
        for _ in range(1000):
            next(drawn)
            yield MIB

    stream = stream_through([CAT], feed())
    next(stream)
    time.sleep(0.1)
    stream.close()
    assert next(drawn) < 20


def test_parent_killed(tmp_path):
    """A Python that dies by SIGKILL: the program sees its pipes close and ends."""
    code = (
        "import sys, itertools\n"
        "from minia_spark.smh.process import stream_through\n"
        "stream = stream_through([sys.argv[1], '-c', 'echo $$; exec cat'], "
        "itertools.repeat(bytes(100)))\n"
        "print(next(stream).split(b'\\n')[0].decode(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, SH], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    for _ in range(200):
        if not Path(f"/proc/{child}").exists() or _is_gone(child):
            break
        time.sleep(0.02)
    else:
        pytest.fail("the program outlived its parent")


def _is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it went between two looks
        return True


def test_progress_is_told_and_no_part_of_an_error():
    told = []
    script = "echo progress 1 20 >&2; echo no memory >&2; echo progress 2 20 >&2; exit 1"
    with pytest.raises(MiniaError, match=r"exit status 1\n  no memory$"):
        list(stream_through([SH, "-c", script], progress=lambda *step: told.append(step)))
    assert told == [(1, 20), (2, 20)]


def test_progress_that_nobody_asked_for_is_a_message():
    with pytest.raises(MiniaError, match=r"exit status 1\n  progress 1 20$"):
        list(stream_through([SH, "-c", "echo progress 1 20 >&2; exit 1"]))


def test_an_exception_of_the_progress_comes_through():
    def broken(_done, _all):
        raise LookupError("the display is gone")

    with pytest.raises(LookupError, match="the display is gone"):
        list(stream_through([SH, "-c", "echo progress 1 20 >&2; exec sleep 60"], progress=broken))
