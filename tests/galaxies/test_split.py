"""The split by hash, and the shuffle of the study."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.galaxies.split import TEST, place_of, shuffled, split_of


def test_the_share_is_kept_and_the_seed_counts():
    names = [f"{i}.jpg" for i in range(4000)]
    first = [split_of(name, 31, 0.25) == TEST for name in names]
    assert abs(sum(first) - 1000) < 120  # four standard deviations
    assert first != [split_of(name, 32, 0.25) == TEST for name in names]


@settings(max_examples=20)
@given(st.lists(st.text(), unique=True, max_size=20), st.integers(0, 2**31))
def test_an_image_stays_on_its_side(names, seed):
    """Whatever is beside it, and a larger test set holds the smaller."""
    for name in names:
        assert 0 <= place_of(name, seed) < 1
        if split_of(name, seed, 0.2) == TEST:
            assert split_of(name, seed, 0.5) == TEST


@given(st.lists(st.text(), unique=True, max_size=20), st.randoms())
def test_a_shuffle_does_not_depend_on_the_order_of_rows(names, random):
    other = list(names)
    random.shuffle(other)
    assert [names[i] for i in shuffled(names, 31)] == [other[i] for i in shuffled(other, 31)]
