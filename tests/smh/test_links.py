"""What links join, and forests that join the same."""

import numpy as np
import pytest
import slow_twin
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.smh.arrays import Links, MalformedError
from minia_spark.smh.links import components, spanning_forest


def links(*pairs):
    return Links(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def test_components():
    """0-3-4 and 1-5; 2 alone."""
    assert components(6, links((3, 4), (0, 3), (1, 5))).tolist() == [0, 1, 2, 0, 0, 1]
    assert components(3, links()).tolist() == [0, 1, 2]
    assert components(0, links()).tolist() == []


graphs = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] != p[1]).map(sorted)
)


@given(graphs, st.randoms())
def test_components_do_not_depend_on_the_order_of_links(pairs, random):
    expected = slow_twin.components(10, pairs)
    shuffled = pairs * 2
    random.shuffle(shuffled)
    assert components(10, links(*shuffled)).tolist() == expected
    forest = spanning_forest(10, links(*shuffled))
    assert components(10, forest).tolist() == expected
    assert len(forest) == 10 - len(set(expected))
    assert set(map(tuple, forest.pairs.tolist())) <= set(map(tuple, pairs))


def test_links_to_sets_that_do_not_exist():
    with pytest.raises(MalformedError, match="a link names set 3, and there are 3 sets"):
        components(3, links((0, 3)))
    with pytest.raises(MalformedError, match="a link names set 1, and there are 0 sets"):
        spanning_forest(0, links((0, 1)))
