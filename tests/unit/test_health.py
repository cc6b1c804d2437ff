from __future__ import annotations

import pytest

from sls_siem.health import ERROR_TEXT, NEWEST_ERRORS, SLACK_S, STALL_S, Health


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thread_that_does_not_move_is_stuck_and_named() -> None:
    clock = Clock()
    health = Health(clock)
    pulse = health.pulse("reader")
    clock.now = STALL_S
    assert () == health.stuck()
    clock.now += 1

    assert ("reader (busy)",) == health.stuck()
    pulse.moved()
    assert () == health.stuck()


def test_an_announced_wait_may_last_as_long_as_announced_and_not_longer() -> None:
    clock = Clock()
    health = Health(clock)
    pulse = health.pulse("sender")
    pulse.waiting(300, "waiting for the SIEM")
    clock.now = 300 + SLACK_S
    assert () == health.stuck()
    clock.now += 1

    assert ("sender (waiting for the SIEM)",) == health.stuck()


def test_a_thread_that_ended_is_not_stuck() -> None:
    clock = Clock()
    health = Health(clock)
    pulse = health.pulse("reader")
    health.ended(pulse)
    clock.now = 1e6

    assert () == health.stuck()


def test_a_successor_of_the_same_name_is_not_forgotten_when_the_first_one_ends() -> None:
    clock = Clock()
    health = Health(clock)
    first = health.pulse("reader")
    health.pulse("reader")
    health.ended(first)
    clock.now = 1e6

    assert 1 == len(health.stuck())


def test_errors_are_bounded_and_the_first_is_kept() -> None:
    health = Health()
    for number in range(50):
        health.error(f"error {number} " + "x" * 1000)

    errors = health.errors()
    assert 1 + NEWEST_ERRORS == len(errors)
    assert errors[0].startswith("error 0 ")
    assert errors[-1].startswith("error 49 ")
    assert all(len(error) <= ERROR_TEXT for error in errors)


def test_the_time_of_the_newest_error_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health()
    before = health.last_error_at
    monkeypatch.setattr("time.time", lambda: 1000.0)
    health.error("first")
    monkeypatch.setattr("time.time", lambda: 2000.0)
    health.error("first")

    assert (None, 2000.0) == (before, health.last_error_at)


def test_the_same_error_again_does_not_push_the_others_out() -> None:
    health = Health()
    health.error("first")
    health.error("second")
    for _ in range(100):
        health.error("third")

    assert ["first", "second", "third"] == health.errors()


def test_a_hold_ends_with_its_release() -> None:
    health = Health()
    health.hold("shard 3", "the SIEM is down")
    health.hold("shard 4", "the SIEM is down")
    health.release("shard 3")

    assert {"shard 4": "the SIEM is down"} == health.holds()
