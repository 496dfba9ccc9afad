"""Rows of the two files by hand; pieces of any size against the whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.features.extractor import Features
from minia_spark.imports.reasons import Reason
from minia_spark.imports.rows import (
    Bad,
    Form,
    Place,
    dimension_of,
    form_of,
    is_whole,
    join,
    parse,
    vectors_of,
)

NOT_FINITE = "a number that is not finite in column "
PLAIN = Form(("location_x", "location_y", "size", "image_name"), 2, "sift", is_whole=True)
FLOATS = Form(("location_x", "location_y", "size", "image_name"), 2, "imported")
SCORED = Form(("image_name", "score", "size", "location_y", "location_x"), 2, "imported")


def images(form: Form, table: str, matrix: str, *, limit: int = 100, each: int = 100):
    """Parse in pieces of so many rows, join as a task would, and return {image_id: Features}."""
    lines, numbers = table.encode().split(b"\n")[:-1], matrix.encode().split(b"\n")[:-1]
    parts, bad = [], []
    for first in range(0, len(lines), each):
        some = slice(first, first + each)
        own = b"".join(line + b"\n" for line in lines[some])
        theirs = b"".join(line + b"\n" for line in numbers[some])
        good, refused = parse(form, first, own, theirs)
        parts, bad = parts + good, bad + refused
    parts.sort(key=lambda part: (part.image_id, part.start))
    return dict(join(parts, limit)), bad


class TestForm:
    def test_columns_in_any_order_with_a_mark_at_the_start(self):
        form = form_of("\ufeffimage_name,size,score,location_y,location_x\r\n")
        assert form.columns == ("image_name", "size", "score", "location_y", "location_x")
        assert form.is_scored
        assert form_of("location_x,location_y,size,image_name,visual_word_id,id").unused == ["id"]

    @pytest.mark.parametrize(
        ("header", "wanted"),
        [
            ("location_x,size,image_name", "location_y is missing from 'location_x', 'size'"),
            ("1,2,3,a.png", "location_x, location_y, size, image_name are missing from '1', '2'"),
            ("", "are missing from ''$"),
            ("location_x,location_y,size,size,image_name", "names size twice"),
            ('location_x,"location_y,size,image_name', "unexpected end of data"),
            ("<script>,\x1b[2J", r"are missing from '<script>', '\\x1b\[2J'$"),
        ],
    )
    def test_wrong_headers(self, header, wanted):
        with pytest.raises(ValueError, match=wanted):
            form_of(header)


class TestVectors:
    def test_what_savetxt_writes_comes_back(self):
        values = np.array([[0.1, 1e-30, -3.4e38], [7, 255, 1 / 3]], dtype=np.float32)
        for layout in ("%.9g", "%.18e"):
            text = io.BytesIO()
            np.savetxt(text, values, fmt=layout)
            found, problems = vectors_of(text.getvalue().split(b"\n")[:-1], 3)
            assert problems == {}
            assert np.array_equal(found.astype(np.float32), values)

    def test_lines_that_are_none(self):
        lines = [b"1 2", b"1", b"", b"1 x", b"1 2 3", b"1_0 2", b"# 2", b" 3\t4 \r", b"0x1 2"]
        found, problems = vectors_of(lines, 2)
        assert found.tolist() == [[1, 2], *([[0, 0]] * 6), [3, 4], [0, 0]]
        assert {row: reason for row, (reason, _) in problems.items()} == {
            **dict.fromkeys((1, 2, 4), "other_dimension"),
            **dict.fromkeys((3, 5, 6, 8), "malformed_row"),
        }
        assert problems[4][1] == "3 numbers, not 2"
        assert problems[3][1] == "no numbers: '1 x'"

    def test_lines_with_as_many_numbers_in_all_are_not_shifted(self):
        _, problems = vectors_of([b"1 2 3", b"4", b"5 6"], 2)
        assert sorted(problems) == [0, 1]

    def test_dimension(self):
        assert dimension_of([b"", b"a b", b"1 2 3", b"1"]) == 3
        assert dimension_of([b"x,y", b""]) == 0
        assert dimension_of([]) == 0

    def test_whole(self):
        values = np.array([0, 255, 256, -1, 0.5, np.nan, np.inf, -0.0])
        assert is_whole(values).tolist() == [True, True] + [False] * 5 + [True]


class TestParse:
    def test_by_hand(self):
        found, bad = images(PLAIN, "1,2,3,a.png\n4,5,6,a.png\n7,8,9,b.png\n", "1 2\n3 4\n5 255\n")
        assert bad == []
        assert list(found) == ["a.png", "b.png"]
        a = found["a.png"]
        assert (a.x.tolist(), a.y.tolist(), a.size.tolist()) == ([1, 4], [2, 5], [3, 6])
        assert a.descriptors.dtype == np.uint8
        assert a.descriptors.tolist() == [[1, 2], [3, 4]]
        assert (a.angle.tolist(), a.response.tolist(), a.found) == ([-1, -1], [0, 0], 2)

    def test_scores_and_floats(self):
        found, bad = images(SCORED, "a,9.5,3,2,1\n", "0.5 -1\n")
        assert bad == []
        a = found["a"]
        assert (a.x[0], a.y[0], a.size[0], a.response[0]) == (1, 2, 3, 9.5)
        assert (a.descriptors.dtype, a.descriptors.tolist()) == (np.float32, [[0.5, -1]])

    @pytest.mark.parametrize(
        ("row", "numbers", "reason", "found"),
        [
            ("1,2,3", "1 2", "malformed_row", "3 fields, not 4"),
            ("1,2,3,a,5", "1 2", "malformed_row", "5 fields, not 4"),
            ("", "1 2", "malformed_row", "1 fields, not 4"),
            ("x,2,3,a", "1 2", "malformed_row", "no number in column location_x: 'x'"),
            ("1_0,2,3,a", "1 2", "malformed_row", "no number in column location_x: '1_0'"),
            ("1,,3,a", "1 2", "malformed_row", "no number in column location_y: ''"),
            ("1,2,-3,a", "1 2", "malformed_row", "a negative size, -3"),
            ('1,2,3,"a', "1 2", "malformed_row", "a quote out of place: unexpected"),
            (
                "nan,2,3,a",
                "1 2",
                "number_not_finite",
                NOT_FINITE + "location_x: nan",
            ),
            (
                "1,2,inf,a",
                "1 2",
                "number_not_finite",
                NOT_FINITE + "size: inf",
            ),
            (
                "1,1e39,3,a",
                "1 2",
                "number_not_finite",
                NOT_FINITE + "location_y: 1e39",
            ),
            ("1,2,3,", "1 2", "bad_name", "no name of an image"),
            ("1,2,3," + "n" * 4097, "1 2", "bad_name", "a name of 4,097 bytes, more than 4,096"),
            ("1,2,3,a", "1", "other_dimension", "1 numbers, not 2"),
            ("1,2,3,a", "", "other_dimension", "0 numbers, not 2"),
            ("1,2,3,a", "1 b", "malformed_row", "no numbers: '1 b'"),
            ("1,2,3,a", "1 nan", "number_not_finite", "a number that is not finite in 32 bits"),
            ("1,2,3,a", "1 1e39", "number_not_finite", "a number that is not finite in 32 bits"),
            (
                "1,2,3,a",
                "1 0.5",
                "not_whole",
                "descriptors of sift are whole numbers f",
            ),
            (
                "1,2,3,a",
                "1 256",
                "not_whole",
                "descriptors of sift are whole numbers f",
            ),
        ],
    )
    def test_what_cannot_be_used_beside_what_can(self, row, numbers, reason, found):
        table, matrix = f"1,1,1,a\n{row}\n2,2,2,a\n", f"1 1\n{numbers}\n2 2\n"
        good, (bad,) = images(PLAIN, table, matrix)
        assert good["a"].x.tolist() == [1, 2]  # the bad row does not part them
        in_matrix = numbers != "1 2"
        assert bad[:3] == (1, in_matrix, reason)
        assert bad.found.startswith(found)

    def test_nothing_can_be_used(self):
        assert parse(PLAIN, 5, b"x\n", b"1 2\n") == (
            [],
            [Bad(5, False, Reason.MALFORMED_ROW, "1 fields, not 4")],
        )

    def test_hostile_names_stay_names(self):
        names = {
            "../../etc/passwd": "../../etc/passwd",
            "<script>alert(1)</script>": "<script>alert(1)</script>",
            '"quo""te, comma"': 'quo"te, comma',
            "%3D1+1.png": "=1+1.png",  # as the export writes it
            "a%0Ab.png": "a%0Ab.png",
            "a\x1b[2J.png": "a%1B[2J.png",
            "100%.png": "100%25.png",
            "\u202egnp.png": "%E2%80%AEgnp.png",
            "ü.png": "ü.png",
            "nul%00.png": "nul%00.png",
        }
        rows = "".join(f"1,2,3,{name}\n" for name in names)
        found, bad = images(PLAIN, rows, "1 2\n" * len(names))
        assert (set(found), bad) == (set(names.values()), [])
        parts, _ = parse(PLAIN, 0, b"1,2,3,\xff.png\r\n", b"1 2\r\n")
        assert parts[0].image_id == "%FF.png"


class TestJoin:
    @given(
        names=st.lists(st.sampled_from("aabc"), min_size=1, max_size=12),
        each=st.integers(1, 13),
        limit=st.integers(1, 4),
    )
    def test_pieces_of_any_size_give_the_same(self, names, each, limit):
        """The slow twin: the first block of every name, row by row."""
        table = "".join(f"{i},0,0,{name}\n" for i, name in enumerate(names))
        matrix = "".join(f"{i} {i / 2 if i % 3 == 0 else 1}\n" for i in range(len(names)))
        found, bad = images(FLOATS, table, matrix, limit=limit, each=each)
        wanted: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            if name not in wanted or wanted[name][-1] == i - 1:
                wanted.setdefault(name, []).append(i)
        assert bad == []
        assert {name: f.x.tolist() for name, f in found.items()} == {
            name: rows[:limit] for name, rows in wanted.items()
        }
        for name, features in found.items():
            assert features.found == len(wanted[name])
            assert features.descriptors[:, 0].tolist() == features.x.tolist()
            assert isinstance(features, Features)
            assert len(features.response) == len(features)

    def test_rows_elsewhere_are_told_apart(self):
        place = Place()
        order = [("a", 0, 2), ("a", 2, 3), ("a", 7, 8), ("b", 3, 7), ("b", 8, 9)]
        assert [place.takes(*own) for own in order] == [True, True, False, True, False]
