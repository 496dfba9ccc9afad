"""Labels of cells: spread to others, read from files, written to files."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from astropy.io import fits

from minia_spark.base.errors import InputError
from minia_spark.exposures.flag_files import as_csv, as_keywords
from minia_spark.exposures.label_file import read_labels
from minia_spark.exposures.labels import majority, outvoted, spread, sure, worth_labelling
from minia_spark.exposures.stages.training import check_enough


def walked(prototypes, labels):
    """A slow twin: probabilities are passed along the links until they no longer change."""
    cells = len(prototypes)
    squared = np.array([[((a - b) ** 2).sum() for b in prototypes] for a in prototypes])
    links = np.zeros((cells, cells))
    order = [[b for b in np.argsort(row, kind="stable") if b != a][:4]
             for a, row in enumerate(squared)]  # fmt: skip
    scale = [np.sqrt(squared[a, order[a][-1]]) for a in range(cells)]
    for a in range(cells):
        for b in order[a]:
            links[a, b] = links[b, a] = np.exp(-squared[a, b] / (scale[a] * scale[b]))
    for a in set(range(cells)) - set(labels):
        b = min(labels, key=lambda one: squared[a, one])
        one_way = 1e-6 + (links[a, b] if b in order[a] else 0)
        links[a, b] = links[b, a] = max(links[b, a], one_way)
    names = sorted(set(labels.values()))
    share = np.array([[labels.get(cell) == name for name in names] for cell in range(cells)], float)
    for _ in range(20_000):
        following = links @ share / links.sum(axis=1, keepdims=True)
        for cell, label in labels.items():
            following[cell] = [label == name for name in names]
        share = following
    return [names[place] for place in share.argmax(axis=1)], share.max(axis=1)


class TestSpread:
    def test_by_hand(self):
        """Three cells at 0, 1 and 2 of a line, all linked; the first is good, the last blurred."""
        found, confidence = spread(np.array([[0.0], [1.0], [2.0]]), {0: "good", 2: "blurred"})
        assert found == ["good", "good", "blurred"]  # equally near: that of the lower cell
        np.testing.assert_allclose(confidence, [1, 1 / 2, 1], atol=1e-5)

    def test_labels_follow_where_cells_lie_close(self):
        """Two chains; the end of the first is nearer to the label of the other."""
        chains = [[x, 0.0] for x in range(9)] + [[8.0 + x, 4.5] for x in range(9)]
        found, _ = spread(np.array(chains), {0: "a", 12: "b"})
        assert found == ["a"] * 9 + ["b"] * 9

    def test_a_cell_with_the_prototype_of_a_labelled_one(self):
        line = np.array([0.0, 0.0, 100.0, 101.0, 102.0, 103.0, 104.0])[:, None]
        found, confidence = spread(line, {1: "a", 2: "b"})
        assert found[0] == "a"
        assert confidence[0] > 0.99

    def test_cells_far_from_every_label_get_the_nearest(self):
        apart = [[x, 0.0] for x in range(6)] + [[1e6 + x, 0.0] for x in range(6)]
        found, confidence = spread(np.array(apart), {0: "a", 5: "b"})
        assert found[6:] == ["b"] * 6
        np.testing.assert_allclose(confidence[6:], 1)

    def test_against_a_slow_twin(self):
        random = np.random.default_rng(3)
        prototypes = random.normal(size=(40, 3))
        known = {int(cell): str(random.choice(["a", "b", "c"])) for cell in range(0, 40, 4)}
        found, confidence = spread(prototypes, known)
        wanted = walked(prototypes, known)
        assert found == wanted[0]
        np.testing.assert_allclose(confidence, wanted[1], atol=1e-4)

    def test_one_label_is_everybodys(self):
        found, confidence = spread(np.arange(8.0).reshape(4, 2), {2: "good"})
        assert found == ["good"] * 4
        assert (confidence == 1).all()

    def test_what_is_far_away_is_less_sure(self):
        found = sure(np.array([1.0, 0.8, 1.0]), np.array([1.0, 4.0, 0.0]), 2.0)
        np.testing.assert_allclose(found, [1, 0.4, 1])
        np.testing.assert_allclose(sure(np.ones(2), np.array([0.0, 1.0]), 0.0), [1, 0])


class TestWorthLabelling:
    def test_by_hand(self):
        """Cells 0, 1, 2 close together, 5 far away with one exposure: the middle, then that."""
        line = np.array([[0.0], [1.0], [2.0], [50.0], [50.0], [9.0]])
        assert worth_labelling(line, {0: 4, 1: 4, 2: 4, 5: 1}) == [1, 5, 0, 2]

    def test_no_more_than_is_told(self):
        many = np.arange(150.0)[:, None]
        found = worth_labelling(many, dict.fromkeys(range(150), 2))
        assert len(set(found)) == 100
        assert worth_labelling(many, {}) == []


def test_majority_by_hand():
    members = [(1, "b"), (1, "a"), (1, "b"), (2, "b"), (2, "a")]
    assert majority(members) == {1: "b", 2: "a"}


def test_labels_that_do_not_hold_are_named():
    """Of equal ones the first by name wins: "bad focus" before "good", which has no cell then."""
    told = {"a": ([3], "good"), "b": ([3], "bad focus"), "c": ([4], "trails")}
    chosen = majority((cell, label) for cells, label in told.values() for cell in cells)
    assert chosen == {3: "bad focus", 4: "trails"}
    found = outvoted(told, chosen)
    assert found is not None
    assert "e.g. a (good; its cell 3: bad focus); no cell is left for 'good'" in found
    assert outvoted({"c": ([4], "trails")}, chosen) is None


@pytest.mark.parametrize(("inputs", "refused"), [(399, True), (400, False)])
def test_a_map_has_no_more_cells_than_inputs(inputs, refused):
    """And the message names a setting that fits: 19 x 19 = 361."""
    if not refused:
        check_enough("exposures", 20, inputs)
        return
    with pytest.raises(InputError, match=r"there are 399: .* --set desom\.exposures\.side=19$"):
        check_enough("exposures", 20, inputs)


class TestFile:
    def write(self, tmp_path, text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    def test_cells(self, tmp_path):
        text = "\ufeffcell, exposures ,quality\n0,7,good\n12,1,bad focus\n3,2,\n0,7,good\n"
        assert read_labels(self.write(tmp_path, text)).cells == {0: "good", 12: "bad focus"}

    def test_exposures(self, tmp_path):
        found = read_labels(self.write(tmp_path, "quality,exposure_id\ngood,n1/a.fits\n"))
        assert (found.cells, found.exposures) == ({}, {"n1/a.fits": "good"})

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "must have the columns .* it has none"),
            ("cell,label\n1,good\n", "must have the columns .* it has cell, label"),
            ("cell,quality\n", "holds no label"),
            ("cell,exposure_id,quality\n1,a.fits,good\n", "'cell' or 'exposure_id', not both"),
            ("cell,quality\n1,good\nx,good\n", "line 3: 'x' is no cell"),
            ("cell,quality\n-1,good\n", "line 2: '-1' is no cell"),
            ("cell,quality\n1,good\n01,bad\n", "line 3: cell 1 is 'good' in an earlier line"),
            ("cell,quality\n1,dead\n", "line 2: 'dead' is no label"),
            ("cell,quality\n1,gut\xe4\n", "line 2: 'gut\xe4' is no label"),
        ],
    )
    def test_what_cannot_be_used(self, tmp_path, text, match):
        with pytest.raises(InputError, match=match):
            read_labels(self.write(tmp_path, text))

    def test_what_cannot_be_read(self, tmp_path):
        with pytest.raises(InputError, match="No such file"):
            read_labels(tmp_path / "none.csv")
        with pytest.raises(InputError, match="no text in UTF-8"):
            read_labels(self.write(tmp_path, "cell,quality\n1,g\xfct\n", "latin-1"))


ROWS = [
    {"batch": "n1", "exposure_id": "=a.fits", "hdu": None, "ccd": None, "cell": 7,
     "quality": "bad focus", "confidence": 0.87654},
    {"batch": "n1", "exposure_id": "=a.fits", "hdu": 2, "ccd": "CCD02", "cell": None,
     "quality": "dead", "confidence": 1.0},
    {"batch": "n1", "exposure_id": "b.fits", "hdu": None, "ccd": None, "cell": 3,
     "quality": None, "confidence": None},
]  # fmt: skip


def test_flags_as_csv():
    whole, dead, unknown = csv.DictReader(io.StringIO(as_csv(ROWS)))
    assert whole["exposure_id"] != "=a.fits"  # no formula
    assert (whole["ccd"], whole["quality"], whole["cell"]) == ("", "bad focus", "7")
    assert (dead["ccd"], dead["cell"]) == ("CCD02", "")
    assert (unknown["quality"], unknown["confidence"]) == ("", "")


def test_flags_as_keywords():
    lines = as_keywords(ROWS).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# =a.fits",
        "# =a.fits[2]",
        "# b.fits",
    ]
    header = fits.Header.fromstring("\n".join(lines[1:4]), sep="\n")
    assert dict(header) == {"MIQUAL": "bad focus", "MICONF": 0.8765, "MICELL": 7}
    assert lines[-1].startswith("MICELL")
    assert len(lines[-1]) == 80
    assert as_keywords([]) == ""
