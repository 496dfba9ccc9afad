"""Which class stands out among the images of a structure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["stands_out", "typical"]


def stands_out(count: int, total: int, share: float) -> bool:
    """Tell whether chance hardly makes that many of a class that has this share of all images.

    Three standard deviations more than expected, a fifth more, and a tenth of the images.

    Parameters
    ----------
    count, total : int
        Images of the class, and of all classes, that the structure has.
    share : float
        Of the class, among all images with a class.
    """
    expected = total * share
    deviation = (expected * (1 - share)) ** 0.5
    return bool(count >= 0.1 * total and count >= max(1.2 * expected, expected + 3 * deviation))


def typical(classes: Sequence[tuple[str, int, float]]) -> tuple[str, int, float] | None:
    """Return the class that is the most frequent beside its share of all images.

    Parameters
    ----------
    classes : sequence of (str, int, float)
        Of a structure: the class, its images, and its share of all images with a class, above 0.

    Returns
    -------
    (str, int, float) or None
        The first one of equal ones; None: none stands out.
    """
    total = sum(count for _, count, _ in classes)
    found = [one for one in classes if stands_out(one[1], total, one[2])]
    return max(found, key=lambda one: one[1] / one[2], default=None)
