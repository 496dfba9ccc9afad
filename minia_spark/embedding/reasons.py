"""Why an image has no embedding: the words that the ``rejects`` table is grouped by."""

from __future__ import annotations

from minia_spark.base.errors import Reasons

__all__ = ["Reason"]


class Reason(Reasons):
    """One word for each way in which an image can go without; ``meaning`` says it in a sentence."""

    NO_WORDS = "no_words", "The image has no visual words, or only words that every image has."
    EMBEDDING_NOT_FINITE = "embedding_not_finite", "The network gave numbers that are not finite."
    EMBEDDING_FAILED = "embedding_failed", "The image could not be scaled for the embedding."
