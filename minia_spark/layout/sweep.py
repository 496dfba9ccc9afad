"""Maps with several perplexities and seeds beside each other, and which to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minia_spark.layout import quality, tsne
from minia_spark.layout.quality import Measured
from minia_spark.neighbours.nearest import Lists, nearest, prepared

__all__ = ["Trial", "recommended", "sweep"]


@dataclass(frozen=True)
class Trial:
    """A map, and how good it is.

    Attributes
    ----------
    perplexity : float
    seed : int
    kl_divergence : float
    trustworthiness : Measured
    recall : Measured
    agreement : Measured
        NaN without labels.
    """

    perplexity: float
    seed: int
    kl_divergence: float
    trustworthiness: Measured
    recall: Measured
    agreement: Measured

    @property
    def score(self) -> float:
        """What trials are compared by: the mean of trustworthiness and recall."""
        return (self.trustworthiness.value + self.recall.value) / 2


def sweep(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    perplexities: Sequence[float],
    seeds: Sequence[int],
    *,
    compared: int = 15,
    distance: str = "euclidean",
    fit: Callable[..., tsne.Fit] = tsne.fit,
) -> Iterator[Trial]:
    """Fit a map for every perplexity and seed, and measure it.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Embeddings of at least :data:`~minia_spark.layout.tsne.FEWEST` images.
    labels : int64 array, shape (n,)
        -1: none.
    perplexities : sequence of float
        Those that so many images do not allow are left out.
    seeds : sequence of int
    compared : int
        Nearest images that the quality is measured by.
    distance : str
    fit : callable
        :func:`minia_spark.layout.tsne.fit` with the other parameters.
    """
    ready = prepared(vectors, distance)
    images = len(ready)
    allowed = [p for p in perplexities if p <= tsne.fitting_perplexity(p, images)]
    here = np.arange(images)
    longest = min(images - 1, math.ceil(3 * max(allowed, default=1)))
    known = nearest(ready, [(here, ready)], longest, own=here, distance=distance)
    for perplexity in allowed:
        count = min(longest, math.ceil(3 * perplexity))
        lists = Lists(
            np.ascontiguousarray(known.positions[:, :count]),
            np.ascontiguousarray(known.distances[:, :count]),
        )
        for seed in seeds:
            made = fit(
                vectors, perplexity=perplexity, seed=seed, distance=distance, neighbours=lists
            )
            judged = quality.judge(ready, made.places, labels, here, neighbours=compared)
            rng = np.random.default_rng(1)
            yield Trial(
                perplexity,
                seed,
                made.kl_divergence if made.kl_divergence is not None else math.nan,
                quality.mean(judged.trust, rng),
                quality.mean(judged.recall, rng),
                quality.agreement(judged.same_on_map, labels, rng),
            )


def recommended(trials: Sequence[Trial], usual: float) -> tuple[Trial, str]:
    """Return the trial to take, and why.

    The perplexity with the best mean of trustworthiness and recall over the seeds; but the usual
    one where it is no worse than that by more than the seeds differ. Of its seeds the best one.

    Parameters
    ----------
    trials : sequence of Trial
        At least one.
    usual : float
        The perplexity that is set.
    """
    scores: dict[float, list[float]] = {}
    for trial in trials:
        scores.setdefault(trial.perplexity, []).append(trial.score)
    means = {perplexity: float(np.mean(found)) for perplexity, found in scores.items()}
    best = max(means, key=lambda perplexity: means[perplexity])
    spread = max(float(np.ptp(found)) for found in scores.values())
    chosen, why = best, "the best mean of trustworthiness and recall over the seeds"
    if usual in means and means[best] - means[usual] <= spread:
        chosen = usual
        if best != usual:
            why = f"no worse than {best:g} by more than the seeds differ ({spread:.4f})"
    own = [trial for trial in trials if trial.perplexity == chosen]
    return max(own, key=lambda trial: trial.score), why
