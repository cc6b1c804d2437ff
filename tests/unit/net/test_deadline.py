from __future__ import annotations

import pytest

from sls_siem.net.deadline import Deadline, DeadlineExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_remains_shrinks_with_the_clock():
    clock = Clock()
    deadline = Deadline(5, clock=clock)
    clock.now += 2

    assert deadline.remaining() == 3


def test_nothing_remains_at_the_very_end():
    clock = Clock()
    deadline = Deadline(5, clock=clock)
    clock.now += 5

    with pytest.raises(DeadlineExceeded, match="not done within 5 s"):
        deadline.remaining()


def test_is_a_timeout_for_those_who_know_only_the_standard_library():
    assert issubclass(DeadlineExceeded, TimeoutError)


@pytest.mark.parametrize(("seconds", "expected"), [(2, 2), (9, 4)])
def test_a_capped_deadline_never_outlives_the_one_it_came_from(seconds, expected):
    clock = Clock()
    deadline = Deadline(5, clock=clock)
    clock.now += 1

    assert deadline.capped(seconds).remaining() == expected
