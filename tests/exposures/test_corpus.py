"""Exposures as bags of cells, and what mining finds in them."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from commands import chosen, run_minia

from minia_spark.base.bags import write_bags
from minia_spark.exposures import command
from minia_spark.exposures.corpus import bags_of_cells


def test_bags_by_hand():
    stream = io.BytesIO()
    write_bags(stream, bags_of_cells([([3, 7], [2, 1]), ([], []), ([0], [5])]))
    assert stream.getvalue() == b"2 3:2 7:1\n0\n1 0:5\n"


@pytest.fixture
def planted():
    """200 exposures of 600 cells; a fourth of them has cells 10 to 15 together."""
    random = np.random.default_rng(4)
    rows = []
    for number in range(200):
        cells = set(random.choice(600, 20, replace=False).tolist())
        cells |= set(range(10, 16)) if number % 4 == 0 else set()
        told = {"batch": "n1", "exposure_id": f"e{number}", "words": sorted(cells)}
        rows.append(told | {"counts": [1] * len(cells)})
    return rows


def test_structures_of_cells(planted, warehouse, monkeypatch, tmp_path):
    """On a warehouse whose table of cells is planted."""
    monkeypatch.setattr(command, "_rows", lambda *_: pa.Table.from_pylist(planted).to_pylist())
    model, told, corpus = (tmp_path / name for name in ("m", "a.csv", "c"))
    out = ("--model", model, "--assessment", told, "--corpus", corpus, "--warehouse", warehouse)
    of_mining = ("link=consensus", "tuple_size=null", "tables=null", "decoys=20")
    settings = chosen(*(f"mining.{setting}" for setting in of_mining))
    run_minia("exposures", "mine", *out, *settings).expect(0)
    first = model.read_text().splitlines()[0].split()[1:]
    assert sorted(int(entry.split(":")[0]) for entry in first) == list(range(10, 16))
    header, best, *_ = told.read_text().splitlines()
    row = dict(zip(header.split(","), best.split(","), strict=True))
    assert float(row["q"]) <= 0.05
    assert float(row["stability"]) > 0.5
    assert len(corpus.read_text().splitlines()) == 200


def test_a_warehouse_without_exposures(warehouse, tmp_path):
    told = run_minia("exposures", "mine", "--warehouse", warehouse, "--model", tmp_path / "m")
    assert "no exposure has cells yet: 'minia exposures run'" in told.expect(3).err
