"""From cells to histo-vectors, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.exposures.histogram import histo_vector, normalised


def test_counts_are_transposed_and_scaled():
    # cells (row 0, column 1) twice and (row 2, column 0) once on a map of 3 x 3
    found = histo_vector(np.array([1, 1, 6]), 30, side=3, full=3)
    # flattened by columns: (0,0) (1,0) (2,0) | (0,1) (1,1) (2,1) | ...; 30 / 3 = 10 for a cutout
    np.testing.assert_array_equal(found, [0, 0, 10, 20, 0, 0, 0, 0, 0])


def test_counts_are_rounded():
    # 5 sources for 3 cutouts of 3: 5 / 3 = 1.67 -> 2, and twice that 3.33 -> 3
    np.testing.assert_array_equal(
        histo_vector(np.array([0, 3, 3]), 5, side=2, full=3), [2, 0, 0, 3]
    )


def test_of_forty_ccds_sources_count_nine_tenths():
    """3 cutouts are usual; with 4, W = 40 counts as 36: 12 for a cutout."""
    np.testing.assert_array_equal(
        histo_vector(np.array([0, 0, 1, 3]), 40, side=2, full=3), [24, 0, 12, 12]
    )


def test_an_exposure_without_cutouts():
    assert not histo_vector(np.array([], int), 0, side=25).any()


@pytest.mark.parametrize(
    ("cells", "sources", "match"),
    [
        ([4], 1, "cells of a map of 2 x 2 are 0 to 3"),
        ([-1], 1, "cells of a map of 2 x 2 are 0 to 3"),
        ([0], -1, "0 sources or more, not -1"),
    ],
)
def test_what_cannot_be(cells, sources, match):
    with pytest.raises(ValueError, match=match):
        histo_vector(np.array(cells), sources, side=2)


def test_normalising_by_hand():
    """Twenty values: mean 6, sd of 1 x 100 and 19 x about 1."""
    vector = np.array([100.0] + [0.0, 2.0] * 9 + [2.0])
    mean, spread = vector.mean(), vector.std()  # 6, 21.6
    clipped = np.array([mean + 3 * spread] + [0.0] * 19)  # 0 and 2 are below 6 - 2.2
    wanted = (clipped - clipped.mean()) / clipped.std()
    np.testing.assert_allclose(normalised(vector[None]), wanted[None])
    assert normalised(vector[None]).mean() == pytest.approx(0)
    assert normalised(vector[None]).std() == pytest.approx(1)


def test_a_flat_vector_gives_zeros_beside_another():
    found = normalised(np.array([[3.0, 3.0], [0.0, 1.0]]))
    np.testing.assert_allclose(found, [[0, 0], [-1, 1]])
