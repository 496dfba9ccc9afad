"""The native program as its users run it: every spelling, every end, no half result.

What the commands compute is tested in test_engine and in native/tests; here, what their files and
streams must survive.
"""

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import slow_twin
from cases import BINARY, batch, needs_binary, planted, same_structures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minia_spark.base.bags import Bags, invert, read_bags, write_bags
from minia_spark.base.errors import MiniaError
from minia_spark.mining.model import build_structures
from minia_spark.smh.arrays import Documents, Signatures, empty_sets
from minia_spark.smh.hashing import DEFAULT_SEED, affine, permutations
from minia_spark.smh.native import NativeEngine
from minia_spark.smh.process import stream_through
from minia_spark.smh.wire import (
    read_links,
    read_sets,
    read_signatures,
    write_documents,
    write_sets,
    write_signatures,
    write_word_links,
)

from .test_growth import cliques
from .test_native import program

pytestmark = needs_binary
TOP = 2**32 - 1
SHAPE = {"tuple_size": 2, "tables": 50}

COMMANDS = {
    "ifindex": "ifindex corpus.words {out}",
    "weights": "weights corpus.words corpus.ifs {out}",
    "discover": "discover -r 2 -l 50 corpus.ifs {out}",
    "sketch": "sketch -r 2 -l 50",
    "merge": "merge part.smhs part.smhs",
    "mine": "mine part.smhs",
    "cluster": "cluster sets.smhc",
    "grow": "grow links.smhw",
}
READERS = {"sketch": read_signatures, "merge": read_signatures, "mine": read_sets}


def entries_of(bags):
    """The bags as lists of (item, count)."""
    return [
        list(zip(bags.items[a:b].tolist(), bags.counts[a:b].tolist(), strict=True))
        for a, b in itertools.pairwise(bags.offsets)
    ]


def text_of(bags, path):
    with path.open("wb") as stream:
        write_bags(stream, bags)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with input for every command, in which some output is larger than any buffer."""
    folder = tmp_path_factory.mktemp("smh")
    documents = batch(planted(documents=4000, words=3000))
    bags = Bags(documents.offsets, documents.items, documents.frequencies)
    text_of(bags, folder / "corpus.words")
    text_of(invert(bags), folder / "corpus.ifs")
    (folder / "documents").write_bytes(write_documents(documents))
    engine = NativeEngine(BINARY)
    signatures = engine.sketch([documents], **SHAPE)
    (folder / "part.smhs").write_bytes(b"".join(write_signatures(signatures)))
    (folder / "sets.smhc").write_bytes(write_sets(engine.mine(signatures, min_set_size=1)))
    (folder / "links.smhw").write_bytes(write_word_links(cliques(3000)))
    return folder


def run(folder, line, **options):
    """Run a command line; documents on standard input, unless said otherwise."""
    with (folder / "documents").open("rb") as documents:
        return subprocess.run(
            [str(BINARY), *line.split()],
            cwd=folder,
            check=False,
            **{"stdin": documents, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )


# ---------------------------------------------------------------------------- the last write


@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_is_a_full_disk(room, name):
    with Path("/dev/full").open("wb") as full:
        done = run(room, COMMANDS[name].format(out="-"), stdout=full)
    assert done.returncode == 1
    assert b"standard output: cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("name", ["ifindex", "weights", "discover"])
def test_a_file_on_a_full_disk(room, name):
    done = run(room, COMMANDS[name].format(out="/dev/full"))
    assert done.returncode == 1
    assert b"/dev/full: cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_reads(room, name):
    """The other end of the pipe is closed before the first byte, which is there for any size."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(room, COMMANDS[name].format(out="-"), stdout=writing)
    os.close(writing)
    assert done.returncode == 1
    assert b"standard output: cannot be written: Broken pipe" in done.stderr


@pytest.mark.parametrize("name", ["ifindex", "sketch", "merge"])
def test_the_reader_leaves_midway(room, name):
    """More than a pipe holds: the writer is still busy when its reader goes."""
    with (
        (room / "documents").open("rb") as documents,
        subprocess.Popen(
            [str(BINARY), *COMMANDS[name].format(out="-").split()],
            cwd=room,
            stdin=documents,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        message = process.stderr.read()
    assert process.returncode == 1
    assert b"standard output: cannot be written: Broken pipe" in message


@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_is_closed(room, name):
    done = run(
        room,
        COMMANDS[name].format(out="-"),
        stdout=None,
        preexec_fn=lambda: os.close(1),
    )
    assert done.returncode == 1
    assert b"standard output: cannot be written: Bad file descriptor" in done.stderr


# ---------------------------------------------------------------------------- input that ends


@pytest.mark.parametrize("name", ["merge", "mine", "cluster"])
def test_every_truncated_stream_is_refused(room, name):
    """Cut anywhere but between two records: exit 1 and the byte offset; never a shorter result."""
    path = room / COMMANDS[name].split()[-1]
    data = path.read_bytes()
    random = np.random.default_rng(1)
    cuts = [0, 3, 8, len(data) - 1, *random.integers(9, len(data), 20).tolist()]
    cut_path = room / "cut"
    for cut in cuts:
        cut_path.write_bytes(data[:cut])
        try:
            list(READERS.get(name, _sets_of)([data[:cut]]))
            whole = True  # the cut happens to be between two records
        except MiniaError:
            whole = False
        done = run(room, f"{name} cut")
        assert done.returncode == (0 if whole else 1)
        if not whole:
            assert b"cut: byte " in done.stderr


def _sets_of(chunks):
    return [read_sets(chunks)]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("name", ["ifindex", "discover"])
def test_a_killed_process_leaves_no_result(room, tmp_path, name, sent):
    """Killed while it reads: nothing under the name of the output, and what was there stays."""
    out = tmp_path / "out"
    out.write_text("what was there\n")
    process = subprocess.Popen(
        [str(BINARY), name, "-", str(out)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        process.stdin.write((room / "corpus.words").read_bytes())
        process.stdin.flush()
        time.sleep(0.05)
        process.send_signal(sent)
        process.wait()
    assert process.returncode == -sent
    assert out.read_text() == "what was there\n"


CALLS = {
    "sketch": lambda engine: engine.sketch([batch(planted(documents=9))], **SHAPE),
    "mine": lambda engine: engine.mine(Signatures.empty(**SHAPE)),
    "cluster": lambda engine: engine.cluster(empty_sets()),
}


@pytest.mark.parametrize("sent", ["KILL", "TERM", "SEGV"])
@pytest.mark.parametrize("name", CALLS)
def test_the_client_reports_a_killed_process(tmp_path, name, sent):
    """What it had written is a whole, valid stream of nothing: only the signal tells."""
    magic, words = {
        "sketch": ("SMHS", (1, 0, 2, 50)),
        "mine": ("SMHC", (1,)),
        "cluster": ("SMHL", (1,)),
    }[name]
    header = tmp_path / "header"
    header.write_bytes(magic.encode() + np.array(words, "<u4").tobytes())
    binary = program(
        tmp_path / "smh", f"cat >/dev/null; cat {header}; echo dying >&2; kill -{sent} $$"
    )
    with pytest.raises(MiniaError, match=rf"smh {name} .*was killed by SIG{sent}\n  dying"):
        CALLS[name](NativeEngine(binary))
    alive = program(tmp_path / "alive", f"cat >/dev/null; cat {header}")
    assert len(CALLS[name](NativeEngine(alive))) == 0


def test_the_client_reports_a_program_that_is_gone(tmp_path):
    binary = program(tmp_path / "smh")
    engine = NativeEngine(binary)
    binary.unlink()
    with pytest.raises(MiniaError, match=r"cannot start .*smh sketch .*No such file"):
        engine.sketch([], **SHAPE)


# ---------------------------------------------------------------------------- options

SPELLINGS = [
    ("-r", "tuple_size", "2"),
    ("-l", "number_of_tuples", "60"),
    ("-t", "table_size", "1048576"),
    ("-s", "min_set_size", "2"),
    ("-x", "cluster_tuple_size", "9"),
    ("-y", "cluster_number_of_tuples", "1"),
    ("-z", "cluster_table_size", "1048576"),
    ("-o", "overlap", "0.9"),
    ("-c", "min_cluster_size", "2"),
    ("-w", "weights", "ids"),
    ("-e", "expand", None),
    (None, "seed", "7"),
]


@pytest.mark.parametrize("option", SPELLINGS, ids=[name for _, name, _ in SPELLINGS])
def test_every_spelling_of_every_option_of_discover(room, tmp_path, option):
    """-r 2, -r2, --tuple_size 2, --tuple_size=2, --tuple-size 2, before and after the files."""
    letter, name, value = option
    run(room, "weights -w ids corpus.words corpus.ifs ids")
    words = [] if value is None else [value]
    lines = []
    for long in (f"--{name}", f"--{name.replace('_', '-')}"):
        lines.append([long, *words])
        if words:
            lines.append([f"{long}={value}"])
    if letter:
        lines += [[letter, *words], [letter + "".join(words)]]
    base = "" if name in ("tuple_size", "number_of_tuples") else "-r 2 -l 50 "
    results = set()
    for number, line in enumerate(lines):
        first, last = (" ".join(line), "") if number % 2 else ("", " ".join(line))
        done = run(room, f"discover {base}{first} corpus.ifs {tmp_path / 'model'} {last}")
        assert done.returncode == 0, done.stderr
        printed = done.stderr.decode()
        if name not in ("table_size", "cluster_table_size"):  # checked, and of no effect
            assert f"{name} {value or 'yes'}" in printed
        results.add((tmp_path / "model").read_bytes())
    assert len(results) == 1
    run(room, f"discover {base}corpus.ifs {tmp_path / 'plain'}")
    changed = {(tmp_path / "plain").read_bytes()} != results
    assert changed == (name not in ("table_size", "cluster_table_size"))


def test_every_spelling_of_weights(room, tmp_path):
    for scheme in ("idf", "ids"):
        results = set()
        for option in (f"-w {scheme}", f"-w{scheme}", f"--weights {scheme}", f"--weights={scheme}"):
            done = run(room, f"weights {option} corpus.words corpus.ifs {tmp_path / scheme}")
            assert done.returncode == 0, done.stderr
            results.add((tmp_path / scheme).read_bytes())
        assert len(results) == 1
    run(room, f"weights corpus.words corpus.ifs {tmp_path / 'default'}")
    assert (tmp_path / "default").read_bytes() == (tmp_path / "idf").read_bytes()
    assert (tmp_path / "ids").read_bytes() != (tmp_path / "idf").read_bytes()


def test_ifindex_has_no_options_but_help(room):
    assert b"usage: smh ifindex" in run(room, "ifindex --help").stdout
    assert b"usage: smh ifindex" in run(room, "ifindex -h").stdout
    done = run(room, "ifindex -r 2 corpus.words x")
    assert (done.returncode, done.stderr) == (2, b"smh ifindex: there is no option -r\n")


# ---------------------------------------------------------------------------- text = twin


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 12), st.integers(1, 5), max_size=9),
            st.one_of(st.just(0.0), st.floats(1e-30, 1e30)),
        ),
        max_size=12,
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, TOP),
    st.integers(1, 3),
)
def test_discover_gives_the_structures_of_its_twin(
    tmp_path, documents, expand, weighted, seed, tuple_size
):
    """Weights and expansion through text files: the twin's bits, or the sets would differ."""
    bags = batch([(key, bag, 1.0) for key, (bag, _) in enumerate(documents)])
    text_of(invert(Bags(bags.offsets, bags.items, bags.frequencies), rows=13), tmp_path / "ifs")
    weights = [weight for _, weight in documents]
    (tmp_path / "weights").write_text("".join(f"{weight!r}\n" for weight in weights))
    line = f"discover -r {tuple_size} -l 30 -s 2 -c 2 -y 20 --seed {seed} --threads 2"
    line += " -e" * expand + f" -w {tmp_path / 'weights'}" * weighted
    done = subprocess.run(
        [str(BINARY), *line.split(), str(tmp_path / "ifs"), str(tmp_path / "model")],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    kept = [
        (key, bag, weight if weighted else 1.0)
        for key, (bag, weight) in enumerate(documents)
        if weight > 0 or not weighted
    ]
    shape = {"tuple_size": tuple_size, "tables": 30}
    sketched = slow_twin.sketch(kept, **shape, seed=seed, expand=expand, weighted=weighted)
    sets = slow_twin.mine(sketched, **shape, min_set_size=2)
    links = slow_twin.cluster(sets, tables=20, seed=seed)
    expected = slow_twin.model(sets, links, min_cluster_size=2)
    with (tmp_path / "model").open("rb") as lines:
        found = list(read_bags(lines))
    assert [entries for bags in found for entries in entries_of(bags)] == [
        entries for _, entries in expected
    ]


# ---------------------------------------------------------------------------- extremes


def test_numbers_at_their_limits_in_text(tmp_path):
    """Three items of the document 2**32 - 1, in frequencies up to 2**32 - 1: one structure."""
    (tmp_path / "ifs").write_text(f"1 {TOP}:{TOP}\n1 {TOP}:1\n0\n2 0:{TOP} {TOP}:{TOP}\n")
    (tmp_path / "documents").write_bytes(b"")
    done = run(tmp_path, "discover -r 1 -l 30 -s 2 -c 1 ifs model")
    assert done.returncode == 0, done.stderr
    # items 0 and 1 in every table; item 3 too where document 2**32 - 1 has its smaller value
    drawn = permutations(DEFAULT_SEED, tuple_size=1, tables=30)
    values = affine(np.array([0, TOP], dtype=np.uint32), drawn)
    three = int(np.sum(values[1] < values[0]))
    assert (tmp_path / "model").read_text() == f"3 0:30 1:30 3:{three}\n"
    done = run(tmp_path, "discover -e ifs model")
    assert done.returncode == 1
    assert f"item 0, document {TOP} has frequency {TOP}".encode() in done.stderr
    done = run(tmp_path, "ifindex ifs corpus")
    assert done.returncode == 1
    assert f"id {TOP} would make an inverted file of {2**32} lines".encode() in done.stderr


def ten_million(path):
    """Write one line of ten million entries, ``10000000 0:1 1:1 ...``, about 110 MB."""
    with path.open("wb") as stream:
        stream.write(b"10000000")
        for start in range(0, 10_000_000, 1_000_000):
            numbers = np.char.mod(" %d:1", np.arange(start, start + 1_000_000))
            stream.write("".join(numbers.tolist()).encode())
        stream.write(b"\n")


@pytest.mark.heavy
def test_ten_million_postings_in_a_row_of_text(tmp_path):
    """An item in ten million documents, and a document with ten million items."""
    (tmp_path / "documents").write_bytes(b"")
    ten_million(tmp_path / "row")
    done = run(tmp_path, "ifindex row turned")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "turned").stat().st_size == len("1 0:1\n") * 10_000_000
    done = run(tmp_path, "ifindex turned back")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "row").read_bytes()
    done = run(tmp_path, "discover -r 2 -l 3 -s 1 -c 1 row model")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model").read_text() == "1 0:3\n"
    with (tmp_path / "row").open("rb") as lines:
        (bag,) = read_bags(lines)
    assert bag.items.tolist() == list(range(10_000_000))


@pytest.mark.parametrize("many", [100_000, pytest.param(10_000_000, marks=pytest.mark.heavy)])
def test_many_postings_in_a_document_and_of_an_item(many):
    """Every item of the one document has its value; the one item the smallest of all keys."""
    drawn = permutations(DEFAULT_SEED, tuple_size=1, tables=1)
    engine = NativeEngine(BINARY, threads=2)
    numbers = np.arange(many, dtype=np.uint32)
    wide = Documents(
        np.array([9], np.uint32), np.array([0, many], dtype=np.int64), TOP - numbers[::-1]
    )
    found = engine.sketch([wide], tuple_size=1, tables=1)
    assert np.array_equal(found.items, wide.items)
    assert np.all(found.minima == affine(wide.keys, drawn))
    sets = engine.mine(found)
    assert (len(sets), sets.multiplicities.tolist()) == (1, [1])
    assert np.array_equal(sets.items, wide.items)
    assert len(engine.cluster(sets, tables=2)) == 0
    tall = Documents(
        numbers, np.arange(many + 1, dtype=np.int64), np.full(many, TOP, dtype=np.uint32)
    )
    found = engine.sketch([tall], tuple_size=1, tables=1)
    assert (found.items.tolist(), found.documents.tolist()) == ([TOP], [many])
    assert found.minima.tolist() == [[int(affine(numbers, drawn).min())]]


def test_little_or_nothing_through_every_command(tmp_path):
    """No document, one document, one word: a right answer everywhere."""
    (tmp_path / "documents").write_bytes(b"")
    cases = {"": "", "0\n": "", "1 5:1\n": "", "3 0:1 4:2 9:1\n": "3 0:255 4:255 9:255\n"}
    for corpus, model in cases.items():
        (tmp_path / "words").write_text(corpus)
        for line in ("ifindex words ifs", "weights -w ids words ifs w", "discover -w w ifs model"):
            done = run(tmp_path, line)
            assert done.returncode == 0, (corpus, line, done.stderr)
        assert (tmp_path / "model").read_text() == model
    for line, data in (("merge -", b"SMHS"), ("mine", b"SMHS"), ("cluster", b"SMHC")):
        header = data + np.array([1, 0, 2, 3] if data == b"SMHS" else [1], "<u4").tobytes()
        result = b"".join(stream_through([str(BINARY), *line.split()], [header]))
        assert len(result) == (len(header) if line == "merge -" else 8)
        with pytest.raises(MiniaError, match=r"byte 0: the stream ends within the stream's header"):
            list(stream_through([str(BINARY), *line.split()]))
    assert list(read_links([b"SMHL" + np.array([1], "<u4").tobytes()]).pairs) == []


def test_structures_do_not_depend_on_the_number_of_threads(room, tmp_path):
    models = []
    for threads in (1, 2, 7):
        done = run(room, f"discover -r 2 -l 50 --threads {threads} corpus.ifs {tmp_path / 'm'}")
        assert done.returncode == 0
        models.append((tmp_path / "m").read_bytes())
    assert models[0] == models[1] == models[2] != b""
    documents = batch(planted(documents=300))
    found = []
    for threads in (1, 2):
        engine = NativeEngine(BINARY, threads=threads)
        sets = engine.mine(engine.sketch([documents], **SHAPE))
        found.append(build_structures(sets, engine.cluster(sets)))
    assert same_structures(*found)
