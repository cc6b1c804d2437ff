"""Text for a terminal: harmless, within its width, with bars that the output can write."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sls_siem.cli.terminal import BARS, PLAIN_BARS, bars_for, clip, paint, printable, sparkline, width, wrapped


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


@given(st.text(st.sampled_from("ab日 \u0301")), st.integers(10, 30), st.integers(0, 8))
@example("a" * 10 + " b", 10, 8)
def test_a_wrapped_text_is_all_there_and_within_its_columns(text: str, columns: int, indent: int) -> None:
    first, *others = wrapped(text, columns, indent=indent)

    assert text.replace(" ", "") == "".join([first, *others]).replace(" ", "")
    assert all(width(line) <= columns for line in [first, *others])
    assert all(line[:indent].isspace() or not indent for line in others)


def test_a_text_is_broken_between_words_and_a_word_only_when_it_fills_a_line() -> None:
    assert ["put the token", "    there"] == wrapped("put the token there", 16, indent=4)
    assert ["put the token", "    there"] == wrapped("put the token there", 13, indent=4)
    assert ["put", "    the-token-is", "    -long"] == wrapped("put the-token-is-long", 16, indent=4)


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
