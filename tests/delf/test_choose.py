"""Which galaxies are drawn and which are left out, and why."""

from __future__ import annotations

import random

import pytest

from minia_spark.delf.choose import Candidate, choose
from minia_spark.delf.galaxy_zoo import CLASSES


def galaxy(number, label=0, **more):
    values = {"second": -1, "shares": [1.0] + [0.0] * 8, "reason": None, "detail": None}
    values |= {"different": False, "assets": [str(number)], "shared": []}
    return Candidate(**{"objid": f"58{number}", "first": label, **values, **more})


def run(*candidates, files=None, size=100, seed=0):
    files = files or {f"{name}.jpg" for one in candidates for name in one.assets}
    return choose(candidates, files, class_size=size, seed=seed)


def names(choice, label=0):
    return [one.name for one in choice.drawn[label]]


def test_all_of_a_small_class_by_number():
    choice = run(*[galaxy(i) for i in (10, 9, 100)], galaxy(5, label=8))
    assert names(choice) == ["9", "10", "100"]
    assert names(choice, 8) == ["5"]
    assert choice.left_out == []
    assert choice.found == {0: 3, 8: 1}


def test_the_draw_is_of_the_seed_and_of_no_order():
    all_of_them = [galaxy(i) for i in range(200)]
    once = run(*all_of_them, size=20)
    random.Random(1).shuffle(all_of_them)
    assert names(run(*all_of_them, size=20)) == names(once)
    assert len(names(once)) == 20
    assert names(run(*all_of_them, size=20, seed=1)) != names(once)
    assert set(names(once)) < set(names(run(*all_of_them, size=21)))  # one more, the others stay


@pytest.mark.parametrize(
    ("one", "reason", "detail"),
    [
        (galaxy(1, -1, reason="bad_votes", detail="x is 'y'."), "bad_votes", "x is 'y'."),
        (galaxy(1, different=True), "duplicate", "different votes"),
        (galaxy(1, -1, different=True), "duplicate", "different votes"),
        (galaxy(1, assets=[]), "no_mapping", "no row with this object id"),
        (galaxy(1, assets=["../1"]), "bad_name", "path separator"),
        (galaxy(1, assets=["2"]), "no_image", "There is no 2.jpg"),
        (galaxy(1, shared=["1"]), "shared_image", "several objects"),
    ],
)
def test_who_is_left_out(one, reason, detail):
    choice = run(one, galaxy(7), files={"1.jpg", "7.jpg"})
    assert names(choice) == ["7"]
    (left,) = choice.left_out
    assert (left.reason, left.objid) == (reason, "581")
    assert left.class_name == (CLASSES[0] if one.first == 0 else "")
    assert detail in left.detail


def test_of_several_images_the_first_that_is_there():
    choice = run(galaxy(1, assets=["30", "4", "200"]), files={"200.jpg", "30.JPG"})
    assert [(one.name, one.file) for one in choice.drawn[0]] == [("30", "30.JPG")]
    assert choice.several == 1


def test_galaxies_of_two_classes_are_counted():
    choice = run(galaxy(1, second=3), galaxy(2, second=3), galaxy(3), galaxy(4, 3))
    assert choice.ties == {(0, 3): 2}
    assert names(choice) == ["1", "2", "3"]
    assert names(choice, 3) == ["4"]
