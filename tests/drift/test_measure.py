"""What is measured of a batch, by hand, against slow twins, and by drawing batches."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from minia_spark.drift.measure import (
    Drift,
    WordSums,
    beyond,
    divergence,
    expected_divergence,
    measure,
    unseen_error,
)

LIMITS = {
    "max_error_ratio": 1.25,
    "max_divergence": 0.03,
    "max_dead_share": 0.05,
    "max_overfull_share": 0.05,
}


def sums(images: list[list[int]], errors: list[int] | None = None, size: int = 0) -> WordSums:
    """Add up images that are given as counts of every word, with an error each."""
    counts = np.array(images, dtype=np.int64).reshape(len(images), -1 if images else size)
    of_image = counts.sum(axis=1)
    error = [int(e) for e in (errors if errors is not None else [0] * len(images))]
    return WordSums(
        occurrences=counts.sum(axis=0),
        squares=(counts**2).sum(axis=0),
        images=int((of_image > 0).sum()),
        squared_features=int((of_image**2).sum()),
        error=sum(error),
        squared_error=sum(e * e for e in error),
        error_times_features=sum(e * int(n) for e, n in zip(error, of_image, strict=True)),
    )


def measured(images: list[list[int]], training: list[int], **more: object) -> Drift:
    errors = np.full(len(training), 4.0)
    return measure(
        sums(images, size=len(training), **more),  # type: ignore[arg-type]
        training=np.array(training),
        training_errors=errors,
        scale=1.0,
    )


class TestDivergence:
    def test_by_hand(self):
        """P = (1, 0), Q = (1/2, 1/2), M = (3/4, 1/4): half of log2(4/3) and of 1/2 log2(4/3)."""
        wanted = 0.5 * math.log2(4 / 3) + 0.5 * (0.5 * math.log2(2 / 3) + 0.5 * math.log2(2))
        assert divergence(np.array([7, 0]), np.array([3, 3])) == pytest.approx(wanted, rel=1e-12)

    def test_equal_shares_and_nothing_in_common(self):
        assert divergence(np.array([1, 2, 0]), np.array([10, 20, 0])) == 0
        assert divergence(np.array([5, 0]), np.array([0, 1])) == 1

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=20).filter(
            lambda pairs: all(map(sum, zip(*pairs, strict=True)))
        )
    )
    def test_against_scipy(self, pairs):
        left, right = np.array(pairs).T
        wanted = jensenshannon(left, right, base=2) ** 2
        assert divergence(left, right) == pytest.approx(wanted, abs=1e-7)
        assert divergence(left, right) == pytest.approx(divergence(right, left), abs=1e-12)


class TestExpectedDivergence:
    def test_by_hand(self):
        """One feature of each side: either both in one word's place, or apart by chance."""
        mean, deviation = expected_divergence(
            np.array([1, 1]), features=1, training_features=1, design_effect=1.0
        )
        # each word's one feature is in the batch or not: its term is 1/2 either way
        assert mean == pytest.approx(1.0)
        assert deviation == pytest.approx(0.0, abs=1e-7)

    @pytest.mark.parametrize(("features", "training"), [(1000, 4000), (300, 300_000), (9000, 600)])
    def test_against_drawing(self, features, training):
        """Divide the same features at random, again and again."""
        generator = np.random.default_rng(1)
        shares = generator.pareto(1.2, 200) + 0.1
        both = generator.multinomial(features + training, shares / shares.sum())
        drawn = [
            divergence(batch, both - batch)
            for batch in generator.multivariate_hypergeometric(both, features, size=200)
        ]
        mean, deviation = expected_divergence(
            both, features=features, training_features=training, design_effect=1.0
        )
        assert mean == pytest.approx(np.mean(drawn), rel=0.02)
        assert deviation == pytest.approx(np.std(drawn), rel=0.2)

    def test_few_and_many_groups_meet(self):
        """Where the binomial's own moments give way to the normal's there is no step."""
        found = [
            expected_divergence(
                np.array([total]), features=5000, training_features=5000, design_effect=1.0
            )
            for total in (399, 401)
        ]
        assert found[0] == pytest.approx(found[1], rel=0.02)

    def test_features_in_groups(self):
        """Every count four times as large, in groups of four: as without groups."""
        both = np.random.default_rng(2).poisson(30, 100) + 1
        alone = expected_divergence(both, features=1000, training_features=2000, design_effect=1)
        grouped = expected_divergence(
            4 * both, features=4000, training_features=8000, design_effect=4
        )
        assert grouped == pytest.approx(alone, rel=1e-9)


class TestError:
    def test_unseen_by_hand(self):
        """4 features at 9: without one their centre is 4/3 as far; 2 at 1: twice; 1: unknown."""
        found = unseen_error(np.array([4, 2, 1, 0]), np.array([9.0, 1.0, 0.0, np.nan]))
        assert found == pytest.approx((4 * 9 * 16 / 9 + 2 * 1 * 4) / 6)
        assert unseen_error(np.array([1, 1]), np.zeros(2)) is None

    def test_unseen_against_leaving_out_for_real(self):
        """In one word there is no other that may be nearer: the estimate is exact."""
        points = np.random.default_rng(3).normal(size=(12, 3))
        centre = points.mean(axis=0)
        error = ((points - centre) ** 2).sum(axis=1).mean()
        left_out = [
            ((p - np.delete(points, i, axis=0).mean(axis=0)) ** 2).sum()
            for i, p in enumerate(points)
        ]
        assert unseen_error(np.array([12]), np.array([error])) == pytest.approx(np.mean(left_out))

    def test_error_and_deviation_by_hand(self):
        """Images of 2 and 2 features with errors 8 and 16: mean 6, residuals -4 and 4."""
        found = measured([[1, 1], [2, 0]], [5, 5], errors=[8, 16])
        assert found.error == 6
        assert found.error_deviation == pytest.approx(math.sqrt((16 + 16) * 2 / 1) / 4)

    def test_deviation_against_fractions(self):
        generator = np.random.default_rng(4)
        images = generator.integers(0, 9, (30, 7)).tolist()
        errors = generator.integers(10**14, 10**15, 30).tolist()
        found = measured(images, [9] * 7, errors=errors)
        n = [sum(image) for image in images]
        mean = Fraction(sum(errors), sum(n))
        scatter = sum((e - mean * m) ** 2 for e, m in zip(errors, n, strict=True)) * 30 / 29
        assert found.error_deviation == pytest.approx(math.sqrt(scatter) / sum(n), rel=1e-12)

    def test_units(self):
        """On a grid twice as fine all squared distances are four times as large."""
        one = measure(
            sums([[1, 1], [2, 0]], errors=[8, 16]),
            training=np.array([5, 5]),
            training_errors=np.full(2, 4.0),
            scale=1.0,
        )
        fine = measure(
            sums([[1, 1], [2, 0]], errors=[32, 64]),
            training=np.array([5, 5]),
            training_errors=np.full(2, 4.0),
            scale=2.0,
        )
        assert one == fine


class TestWords:
    def test_missing_and_over_full(self):
        """60 images of 10 features: words 0 and 1 as expected, 2 has what 3 should have."""
        training = [3000, 2000, 10, 1000]
        images = [[5, 3, 2, 0]] * 59 + [[4, 4, 2, 0]]
        found = measured(images, training)
        assert found.dead_words == (3,)
        assert found.overfull_words == (2,)

    def test_few_features_say_nothing_of_rare_words(self):
        training = [3000, 3000, 3, 2]
        found = measured([[1, 1, 0, 0], [1, 2, 0, 1]], training)
        assert found.dead_words == found.overfull_words == ()

    def test_a_word_that_the_codebook_never_saw(self):
        found = measured([[2, 2, 2]] * 40 + [[3, 1, 2]], [500, 500, 0])
        assert found.overfull_words == (2,)

    def test_copies_in_one_image_count_once(self):
        """A word forty times in one image is one event; in forty images it is forty."""
        training = [4000, 40, 4000]
        alike = [[5, 0, 5], [4, 0, 6], [6, 0, 4]] * 20
        one = measured([*alike, [0, 40, 0]], training)
        many = measured([[a, 1, c - 1] for a, _, c in alike], training)
        assert one.overfull_words == ()
        assert many.overfull_words == (1,)


class TestLittle:
    def test_no_images_and_no_features(self):
        for images in ([], [[0, 0], [0, 0]]):
            found = measured(images, [3, 4])
            assert (found.images, found.features, found.words) == (0, 0, 2)
            assert found.error is found.divergence is found.expected_divergence is None
            assert found.expected_error is not None
            assert beyond(found, **LIMITS) == []

    def test_one_image_never_alarms(self):
        """However odd it is: of one image nobody knows what is chance."""
        found = measured([[0, 0, 50]], [500, 500, 0], errors=[10**6])
        assert found.error_deviation == math.inf
        assert found.divergence == 1
        assert beyond(found, **LIMITS) == []

    def test_one_word(self):
        found = measured([[3], [2]], [7])
        assert found.divergence == 0
        assert found.dead_words == found.overfull_words == ()


class TestLimits:
    def drift(self, **more: object) -> Drift:
        calm = {
            "images": 9,
            "features": 90,
            "words": 100,
            "error": 10.0,
            "error_deviation": 0.1,
            "expected_error": 10.0,
            "divergence": 0.2,
            "expected_divergence": 0.19,
            "divergence_deviation": 0.001,
            "dead_words": (),
            "overfull_words": (),
        }
        return Drift(**calm | more)  # type: ignore[arg-type]

    def test_calm(self):
        assert beyond(self.drift(), **LIMITS) == []

    @pytest.mark.parametrize(
        ("more", "clause"),
        [
            ({"error": 12.9}, "its quantisation error is 1.29 times the expected one"),
            ({"divergence": 0.224}, "its words diverge by 0.224 bits where chance makes 0.190"),
            ({"dead_words": tuple(range(6))}, "6 of 100 words are missing"),
            ({"overfull_words": tuple(range(6))}, "6 of 100 words are far more frequent than "),
        ],
    )
    def test_each_alone(self, more, clause):
        (found,) = beyond(self.drift(**more), **LIMITS)
        assert found.startswith(clause)

    @pytest.mark.parametrize(
        "more",
        [
            {"error": 12.9, "error_deviation": 0.2},  # within three deviations
            {"divergence": 0.224, "divergence_deviation": 0.002},
            {"dead_words": tuple(range(5))},  # at the limit
            {"expected_error": None, "error": 99.0},
        ],
    )
    def test_what_chance_explains(self, more):
        assert beyond(self.drift(**more), **LIMITS) == []


@pytest.fixture(scope="module")
def kind():
    """A kind of image: words of uneven frequency, which come in bursts and in company."""
    generator = np.random.default_rng(5)
    topics = generator.dirichlet(np.full(400, 0.05), size=12)

    def draw(images: int, seed: int, topics: np.ndarray = topics) -> np.ndarray:
        own = np.random.default_rng(seed)
        features = own.negative_binomial(2, 0.06, images)
        mixes = own.dirichlet(np.full(len(topics), 0.4), size=images)
        return np.array(
            [own.multinomial(n, mix @ topics) for n, mix in zip(features, mixes, strict=True)]
        )

    return draw


class TestDraws:
    """Batches of the same kind do not alarm, of another kind do."""

    @pytest.mark.parametrize("images", [50, 200, 1000])
    @pytest.mark.parametrize("training", [100, 2000])
    def test_the_same_kind(self, kind, images, training):
        known = kind(training, 999).sum(axis=0)
        for seed in range(8):
            found = measured(kind(images, seed).tolist(), known.tolist())
            assert beyond(found, **LIMITS) == [], seed
            # the expectation is not idle: without it small batches would alarm
            if images == 50:
                assert found.divergence > LIMITS["max_divergence"]

    @pytest.mark.parametrize("images", [50, 200, 1000])
    def test_another_kind(self, kind, images):
        known = kind(2000, 999).sum(axis=0)
        others = np.random.default_rng(6).dirichlet(np.full(400, 0.05), size=4)
        for seed in range(8):
            other = kind(images, seed, others)
            assert beyond(measured(other.tolist(), known.tolist()), **LIMITS), seed
