"""Structures are judged and ordered by what is known of them."""

import numpy as np
import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.mining.assess import evaluate
from minia_spark.mining.chance import fit_chance
from minia_spark.mining.model import Structures


def structures(*word_lists):
    offsets = np.cumsum([0, *map(len, word_lists)])
    items = np.array([word for words in word_lists for word in words], dtype=np.uint32)
    return Structures(
        offsets, items, np.ones_like(items), np.arange(len(word_lists), 0, -1, dtype=np.int64)
    )


def even_chance():
    """100 words, each in 100 of 1,000 images of 10 words."""
    return fit_chance(
        np.arange(100, dtype=np.uint32), np.full(100, 100), np.array([10]), np.array([1000])
    )


def test_significant_and_reproducible_structures_come_first():
    found = structures([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12])
    support = np.array([28, 500, 600, 700])
    again = structures([7, 8, 9], [10, 11, 12])
    result = evaluate(
        found,
        support,
        even_chance(),
        decoy_scores=[np.full(2, 3.0) for _ in range(20)],
        others=[again, structures([10, 11, 12])],
    )
    assert result.structures.items[::3].tolist() == [10, 7, 4, 1]
    assert result.structures.sets.tolist() == [1, 2, 3, 4]
    assert result.support.tolist() == [700, 600, 500, 28]
    assert result.stability.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert result.significant.tolist() == [True, True, True, False]
    assert result.reproducible.tolist() == [True, True, False, False]
    assert result.lift == pytest.approx(result.support / result.expected_support)
    assert len(result) == 4


def test_the_most_surprising_come_first_not_the_most_frequent():
    """Seen 300, 200, 200 and 200 times; 290, 2, 2 and 50 times would be chance."""
    result = evaluate(
        structures([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]),
        np.array([300, 200, 200, 200]),
        even_chance(),
        decoy_scores=[],
        others=[],
        beyond=np.array([290.0, 2.0, 2.0, 50.0]),
    )
    assert result.structures.items[::3].tolist() == [4, 7, 10, 1]
    assert result.surprise[0] == result.surprise[1] == pytest.approx(315.555, abs=0.01)
    assert 0 < result.surprise[3] < 1  # once in 3 times


def test_without_decoys_and_seeds_nothing_is_claimed():
    result = evaluate(
        structures([1, 2, 3]), np.array([900]), even_chance(), decoy_scores=[], others=[]
    )
    assert np.isnan(result.q).all()
    assert np.isnan(result.stability).all()
    assert not result.significant.any()
    assert not result.reproducible.any()


@pytest.mark.parametrize("name", ["max_q", "min_stability"])
def test_limits_out_of_range(name):
    with pytest.raises(SettingsError, match=rf"{name} must be within 0\.\.1, got 1.5"):
        evaluate(
            structures([1, 2, 3]),
            np.array([1]),
            even_chance(),
            decoy_scores=[],
            others=[],
            **{name: 1.5},
        )
