"""Images that are unlike anything: planted ones come first, ordinary nights raise no alert."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import scipy.sparse as sp

from minia_spark.codebook.kmeans import NearestCentre
from minia_spark.embedding.tfidf import idf, weighted
from minia_spark.features.extractors import create
from minia_spark.features.settings import FeaturesSettings
from minia_spark.sky.survey import Survey, generate
from minia_spark.structures.novelty import Described, novelty
from minia_spark.words.bag import bag_words


def _topics(rng, images, words=300, topics=6):
    """Images that are mixtures of topics, in whole numbers of features."""
    kinds = np.random.default_rng(1).dirichlet(np.full(words, 0.05), topics)
    features = rng.integers(20, 120, images)
    counts = np.stack(
        [rng.multinomial(n, rng.dirichlet(np.full(topics, 0.4)) @ kinds) for n in features]
    )
    errors = rng.gamma(30, 10, images) * (1 + 5 / features)
    covered = counts[:, : words // 2].sum(axis=1) / features
    return counts, features, errors, covered


def _described(counts, features, errors, covered, weights):
    bags = sp.csr_array(counts)
    vectors = weighted(bags.indices, bags.data, bags.indptr.astype(np.int64), weights)
    return Described(vectors, features, errors, covered)


class TestAlerts:
    def test_ordinary_nights_keep_to_the_stated_rate(self):
        """Of 60 nights of 100 images one alert each has at most 5 %, so 3 nights on average."""
        rng = np.random.default_rng(7)
        known = _topics(rng, 500)
        weights = idf((known[0] > 0).sum(axis=0), 500)
        base = _described(*known, weights)
        alarmed = 0
        for _ in range(60):
            found = novelty(_described(*_topics(rng, 100), weights), base)
            alarmed += found.alerts(0.05).any()
        assert alarmed <= 7  # more than that has a probability of 0.01 at the stated rate

    def test_an_odd_image_is_first_and_raises_one(self):
        rng = np.random.default_rng(8)
        known = _topics(rng, 600)
        weights = idf((known[0] > 0).sum(axis=0), 600)
        counts, features, errors, covered = _topics(rng, 50)
        counts[17] = rng.permutation(counts[17])
        errors[17] *= 3
        covered[17] = 0
        found = novelty(
            _described(counts, features, errors, covered, weights), _described(*known, weights)
        )
        assert found.order[0] == 17
        assert np.flatnonzero(found.alerts(0.05)).tolist() == [17]

    def test_known_images_are_not_their_own_neighbours(self):
        rng = np.random.default_rng(9)
        known = _topics(rng, 200)
        weights = idf((known[0] > 0).sum(axis=0), 200)
        base = _described(*known, weights)
        found = novelty(base, base, np.arange(200))
        assert (found.nearest != np.arange(200)).all()
        assert not found.alerts(0.01).any()
        # uniform: the known ones are what chance gives
        assert np.mean(found.p <= 0.1) == pytest.approx(0.1, abs=0.02)

    def test_images_without_features_come_last(self):
        rng = np.random.default_rng(10)
        known = _topics(rng, 100)
        weights = idf((known[0] > 0).sum(axis=0), 100)
        counts, features, errors, covered = _topics(rng, 3)
        counts[1], features[1], errors[1], covered[1] = 0, 0, np.nan, np.nan
        found = novelty(
            _described(counts, features, errors, covered, weights), _described(*known, weights)
        )
        assert found.order[-1] == 1
        assert not found.alerts(1e9)[1]
        assert found.alerts(1e9)[[0, 2]].all()

    def test_too_few_known(self):
        rng = np.random.default_rng(11)
        few = _described(*_topics(rng, 9), np.ones(300))
        with pytest.raises(ValueError, match="9 known images with features are too few"):
            novelty(few, few)


def _odd_images(rng, side):
    """What no galaxy looks like: a chessboard, bricks, a text, rings of bright dots."""
    y, x = np.mgrid[:side, :side]
    board = 200.0 * ((x // 9 + y // 9) % 2)
    bricks = np.where((y % 12 < 2) | ((x + 10 * (y // 12 % 2)) % 20 < 2), 40.0, 200.0)
    text = np.zeros((side, side))
    for row in range(15, side, 18):
        cv2.putText(text, "EXPOSURE 0042", (2, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 230.0, 1)
    rings = 120 + 120 * np.sin(np.hypot(x - side / 3, y - side / 2) / 1.5)
    for pixels in (board, bricks, text, rings):
        noisy = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
        yield np.repeat(noisy[..., None], 3, axis=2)


def test_planted_anomalies_of_a_generated_night():
    """Four images that are no sky, among 204: the first 2 % of the list are the first four."""
    rng = np.random.default_rng(3)
    what = Survey(side_px=128, frequency=0.2)
    sky = [image for _, image, _ in generate(what, range(500))]
    extractor = create(FeaturesSettings(), "sift")
    odd = list(_odd_images(rng, 128))
    features = [extractor.extract(image) for image in [*sky, *odd]]
    counts = np.array([len(one) for one in features])
    stacked = np.concatenate([one.descriptors for one in features[:300]])
    centres = stacked[np.sort(rng.choice(len(stacked), 400, replace=False))].astype(np.int32)
    kernel = NearestCentre(centres)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    words, squared = kernel.find(np.concatenate([one.descriptors for one in features]))
    sizes = np.ones(len(words), np.float32)
    bags = bag_words(words, sizes, offsets)
    errors = np.array(
        [squared[a:b].mean() if b > a else np.nan for a, b in itertools.pairwise(offsets)]
    )
    known = bags.offsets[300]
    weights = idf(np.bincount(bags.words[:known], minlength=400), 300)
    vectors = weighted(bags.words, bags.counts, bags.offsets, weights)
    covered = np.where(counts > 0, 0.0, np.nan)  # there are no structures: it says nothing

    def part(rows):
        return Described(vectors[rows], counts[rows], errors[rows], covered[rows])

    found = novelty(part(np.arange(300, 504)), part(np.arange(300)))
    assert set(found.order[:4].tolist()) == {200, 201, 202, 203}
    assert found.alerts(0.05)[200:].sum() >= 3  # one has eleven features, which say little
    assert found.alerts(0.05)[:200].sum() <= 1
