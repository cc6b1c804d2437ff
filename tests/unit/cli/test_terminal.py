"""Text for a terminal: harmless, within its width, with bars that the output can write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.cli.terminal import BARS, PLAIN_BARS, bars_for, clip, paint, printable, sparkline, width


@given(st.text())
def test_whatever_a_terminal_might_act_upon_is_replaced(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert [char for char in text if char.isprintable()] == [
        char for char, was in zip(shown, text) if was.isprintable()
    ]


@given(st.text().map(printable), st.integers(0, 30))
def test_a_clipped_text_takes_no_more_than_its_columns(text: str, columns: int) -> None:
    shown = clip(text, columns)

    assert width(shown) <= columns
    assert shown in (text, "") or shown.endswith("…")


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert [2, 1, 1] == [width("日"), width("a"), width("e\u0301")]
    assert "日…" == clip("日志日志", 4)


@pytest.mark.parametrize(
    ("values", "most", "drawn"),
    [
        ([], 0, ""),
        ([0, 0], 0, "▁▁"),
        ([0, 0.001, 50, 100], 100, "▁▂▅█"),
        ([200, float("nan"), float("inf"), -1], 100, "█▁▁▁"),
    ],
)
def test_a_line_of_bars(values, most, drawn) -> None:
    assert drawn == sparkline(values, most)


@pytest.mark.parametrize(
    ("encoding", "bars"), [("utf-8", BARS), ("ascii", PLAIN_BARS), (None, PLAIN_BARS), ("nonsense", PLAIN_BARS)]
)
def test_bars_are_what_the_output_can_write(encoding, bars) -> None:
    assert bars == bars_for(encoding)


def test_nothing_is_coloured_where_that_is_not_wanted() -> None:
    assert ["x", "x", "\x1b[31mx\x1b[0m"] == [
        paint("x", "red", coloured=False),
        paint("x", "", coloured=True),
        paint("x", "red", coloured=True),
    ]
