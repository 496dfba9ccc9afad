"""Text that spreadsheets must not take for a formula."""

from __future__ import annotations

import pytest

from minia_spark.base.spreadsheet import inert, inert_path
from minia_spark.images.identity import path_of_image_id


@pytest.mark.parametrize("first", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_a_formula_is_text(first):
    assert inert(f"{first}1+1") == f"'{first}1+1"
    assert inert_path(f"{first}1.jpg").startswith("%")
    assert path_of_image_id(inert_path(f"{first}1.jpg")) == f"{first}1.jpg".encode()


@pytest.mark.parametrize("text", ["", "a=b", "1-2", "'=1", "galaxy.jpg", " =1"])
def test_other_text_stays(text):
    assert inert(text) == inert_path(text) == text
