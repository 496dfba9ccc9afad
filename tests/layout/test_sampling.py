"""A sample goes by names alone."""

from __future__ import annotations

import numpy as np

from minia_spark.layout.sampling import chosen, hashes


def test_the_smallest_hashes_whatever_the_order():
    images = [f"i{k}" for k in range(100)]
    numbers = hashes(["b1"] * 100, images)
    kept = {name for name, yes in zip(images, chosen(numbers, 10), strict=True) if yes}
    assert len(kept) == 10
    backwards = chosen(hashes(["b1"] * 100, images[::-1]), 10)
    assert {name for name, yes in zip(images[::-1], backwards, strict=True) if yes} == kept


def test_a_larger_collection_keeps_what_stays_small():
    few, many = (hashes(["b"] * n, [str(k) for k in range(n)]) for n in (50, 500))
    assert not (chosen(many, 20)[:50] & ~chosen(few, 20)).any()


def test_the_batch_counts():
    assert hashes(["a", "b"], ["x", "x"])[0] != hashes(["b"], ["x"])[0]
    assert chosen(np.zeros(3, np.uint64), 5).all()
    assert not len(hashes([], []))
