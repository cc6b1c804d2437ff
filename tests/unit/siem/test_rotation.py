from __future__ import annotations

import logging

import pytest

from sls_siem.siem.output import EndpointState
from sls_siem.siem.pauses import HOLD, RETRY
from sls_siem.siem.rotation import Failure, Rotation
from tests.unit.siem.support import Clock

DOWN = Failure("connect", "cannot connect")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rotation(clock: Clock) -> Rotation:
    return Rotation(["http://a", "http://b", "http://c"], clock, lambda: 0.5)


def fail(rotation: Rotation, index: int, failure: Failure = DOWN) -> None:
    rotation.failed(index, rotation.generation(index), failure)


def test_pauses_double_up_to_the_longest() -> None:
    assert [HOLD.pause_s(n, lambda: 0.0) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [RETRY.pause_s(n, lambda: 0.5) for n in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert RETRY.pause_s(10**6, lambda: 0.999) < 30


def test_a_lane_stays_at_its_first_address_while_that_works(rotation: Rotation) -> None:
    assert [rotation.choose(first).index for first in (0, 1, 2)] == [0, 1, 2]


def test_a_failed_address_is_passed_over_until_its_pause_is_over(rotation: Rotation, clock: Clock) -> None:
    fail(rotation, 1)

    assert rotation.choose(1).index == 2
    clock.now += 0.25
    assert (rotation.choose(1).index, rotation.choose(1).returning) == (1, True)


def test_an_address_that_works_may_still_ask_for_a_pause(rotation: Rotation, clock: Clock) -> None:
    late = rotation.generation(0)
    fail(rotation, 0)
    rotation.worked(0)
    rotation.failed(0, late, Failure("busy", "busy", retry_after_s=5.0))

    assert rotation.choose(0).index == 1
    clock.now += 5.0
    assert (rotation.choose(0).index, rotation.choose(0).returning) == (0, False)


def test_without_any_address_the_shortest_wait_is_named(rotation: Rotation) -> None:
    for index, seconds in enumerate([9.0, 3.0, 6.0]):
        fail(rotation, index, Failure("busy", "busy", retry_after_s=seconds))
    choice = rotation.choose(0)

    assert (choice.index, choice.wait_s, choice.why) == (1, 3.0, "busy")


def test_exchanges_that_fail_together_count_once(rotation: Rotation, clock: Clock) -> None:
    generation = rotation.generation(0)
    for _ in range(10):
        rotation.failed(0, generation, DOWN)
    clock.now += 0.25

    assert rotation.choose(0).wait_s == 0


def test_one_lane_at_a_time_looks_at_an_address_that_returns(rotation: Rotation, clock: Clock) -> None:
    fail(rotation, 0)
    clock.now += 1

    assert [rotation.claim(0, 5), rotation.claim(0, 5)] == [True, False]
    clock.now += 5
    assert rotation.claim(0, 5)


def test_health_is_told_with_one_line_for_each_change(
    rotation: Rotation, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            fail(rotation, 0)
        fail(rotation, 0, Failure("token", "token refused"))
        down = rotation.states()[0]
        clock.now += 60
        rotation.worked(0)
        rotation.worked(0)

    assert down == EndpointState("http://a", False, "token refused")
    assert rotation.states()[0] == EndpointState("http://a", True, "")
    assert [record.getMessage() for record in caplog.records] == [
        "http://a: cannot connect",
        "http://a: token refused",
        "http://a: works again after 60 s",
    ]


def test_a_late_failure_of_an_address_that_works_again_is_not_news(rotation: Rotation) -> None:
    generation = rotation.generation(0)
    fail(rotation, 0)
    rotation.worked(0)
    rotation.failed(0, generation, DOWN)

    assert rotation.states()[0].up
