from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.retry import Backoff, parse_retry_after


class Dice(Random):
    """Always the same number."""

    def __init__(self, share):
        self.share = share

    def random(self):
        return self.share


NOON = 1700000000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def test_pauses_double_up_to_the_cap():
    backoff = Backoff(0.5, 10)

    assert [backoff.longest(attempt) for attempt in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_growth_is_a_choice():
    assert [Backoff(1, 100, 3).longest(attempt) for attempt in range(4)] == [1, 3, 9, 27]


def test_attempts_without_end_stay_at_the_cap():
    assert Backoff(1, 30).longest(100_000) == 30


@given(st.integers(0, 5000), st.integers(0, 2**32))
def test_jitter_takes_a_pause_anywhere_from_nothing_to_its_full_length(attempt, seed):
    backoff = Backoff(0.2, 30)

    assert 0 <= backoff.delay(attempt, Random(seed)) <= backoff.longest(attempt)


def test_jitter_is_full():
    backoff = Backoff(8, 8)
    drawn = [backoff.delay(0, Random(seed)) for seed in range(200)]

    assert (min(drawn) < 1, max(drawn) > 7) == (True, True)


def test_delays_grow_up_to_the_longest():
    assert [Backoff(1, 4).delay(attempt, Dice(0.5)) for attempt in range(4)] == [0.5, 1, 2, 2]


@pytest.mark.parametrize(
    ("share", "attempt", "expected"),
    [(0.0, 0, 7.0), (0.5, 0, 7.5), (0.5, 10, 15.0)],
)
def test_never_earlier_than_the_peer_asked_and_not_all_at_once(share, attempt, expected):
    assert Backoff(1, 30).delay(attempt, Dice(share), retry_after_s=7) == expected


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((0, 1), "first_s"),
        ((-1, 1), "first_s"),
        ((float("nan"), 1), "first_s"),
        ((float("inf"), float("inf")), "first_s"),
        ((2, 1), "cap_s"),
        ((1, float("inf")), "cap_s"),
        ((1, float("nan")), "cap_s"),
        ((1, 2, 0.5), "factor"),
        ((1, 2, float("nan")), "factor"),
    ],
)
def test_refuses_arguments_that_make_no_policy(arguments, word):
    with pytest.raises(ValueError, match=word):
        Backoff(*arguments)


def test_attempts_are_counted_from_0():
    with pytest.raises(ValueError, match="from 0"):
        Backoff(1, 2).longest(-1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("99999", 300.0),
        ("9" * 5000, 300.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("Wed, 15 Nov 2023 22:13:20 GMT", 300.0),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
        ("Tue Nov 14 22:13:50 2023", 30.0),
    ],
)
def test_reads_retry_after(value, expected):
    assert parse_retry_after(value, clock=lambda: NOON) == expected
