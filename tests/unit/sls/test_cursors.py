from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.sls.cursors import to_cursor, to_position


def test_a_cursor_is_the_base64_text_of_a_decimal_number():
    assert (to_cursor(1000), to_position("MTAwMA==")) == ("MTAwMA==", 1000)


@given(st.integers(0, 2**63 - 1))
def test_a_position_comes_back_from_its_cursor(position):
    assert to_position(to_cursor(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "begin", "MTAwMA", "MTAw\nMA==", "é", base64.b64encode(b"-5").decode(), base64.b64encode(b"9" * 20).decode()],
)
def test_anything_else_is_no_cursor(text):
    assert to_position(text) is None


@pytest.mark.parametrize("value", [None, 1000, ["MTAwMA=="]])
def test_a_json_value_that_is_no_text_is_no_cursor(value):
    assert to_position(value) is None
