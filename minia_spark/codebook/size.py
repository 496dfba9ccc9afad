"""How many visual words a collection needs, and what few images can give.

Tried on collections of 50 to 921 real galaxies (about 36 features an image) and 50 to 1,600 images
of the generated survey (about 30), with 20 to 5,000 words each. Structures that are significant and
reproducible:

- fewer than about 10 features a word split one detail over several words: none are left at 4;
- too few words mix unlike details: the survey's 8 patterns are told apart from 20 to 60 features a
  word at 100 to 400 images on, and the galaxies' structures are most at 20 to 70;
- with more features the best number grows more slowly than they do.
"""

from __future__ import annotations

import math

__all__ = ["LARGEST", "SMALLEST", "choose_size", "expectation"]

SMALLEST, LARGEST = 50, 2000
"""Words that are chosen at least and at most; minIA takes 1,000 to 2,000 for tens of thousands of
images."""

_FEATURES_A_WORD = 16
_WORDS_A_ROOT = 5.43  # 1,000 words for the 34,024 features of 921 galaxies
_FEW_IMAGES, _SOME_IMAGES = 100, 400


def choose_size(images: int, features: int) -> tuple[int, str]:
    """Return the number of visual words for a collection, and why.

    Parameters
    ----------
    images : int
        With any feature; they appear in the reason only.
    features : int
        Of all images.

    Returns
    -------
    size : int
        At least 16 features a word, and 5.43 times the root of their number at most, to two
        digits, within 50 to 2,000; more features never give fewer words.
    reason : str
        A sentence.
    """
    wanted = min(features / _FEATURES_A_WORD, _WORDS_A_ROOT * math.sqrt(features))
    size = min(max(_two_digits(wanted), SMALLEST), LARGEST)
    each = features / size
    return size, (
        f"{size:,} words for {features:,} features of {images:,} images: "
        f"{each:,.{0 if each >= 10 else 1}f} features a word."
    )


def _two_digits(number: float) -> int:
    """Return a number rounded down to two significant digits."""
    if number < 1:
        return 0
    step: int = 10 ** max(0, int(math.log10(number)) - 1)
    return int(number // step) * step


def expectation(images: int, features: int, size: int) -> str | None:
    """Return what keeps a collection from giving structures, and a number to try; None: nothing.

    Parameters
    ----------
    images : int
        With any feature.
    features : int
        Of all images.
    size : int
        Visual words, K.
    """
    found = []
    better = choose_size(images, features)[0]
    each = features / size
    if not better / 4 <= size <= better * 2.5:
        what = (
            "few: one detail is split over several words"
            if size > better
            else ("many: one word mixes unlike details")
        )
        found.append(f"{each:,.1f} features a word are {what}; try codebook.size={better}")
    if images < _FEW_IMAGES:
        found.append(
            f"{images:,} images are too few to tell structure from chance, even for a pattern in "
            f"every tenth of them; give several hundred ({_SOME_IMAGES} galaxies gave the first "
            "structures, 200 none)"
        )
    elif images < _SOME_IMAGES:
        found.append(
            f"{images:,} images show a pattern only when about every tenth image holds it; 200 "
            f"galaxies gave no structure at any number of words, {_SOME_IMAGES} the first ones"
        )
    return "; ".join(found) or None
