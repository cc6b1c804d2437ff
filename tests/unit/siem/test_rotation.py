from __future__ import annotations

import logging

import pytest

from sls_siem.siem.output import EndpointState
from sls_siem.siem.pauses import HOLD, RETRY
from sls_siem.siem.rotation import Attempts, Failure, Rotation
from tests.unit.siem.support import Clock

DOWN = Failure("connect", "cannot connect")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rotation(clock: Clock) -> Rotation:
    return Rotation(["http://a", "http://b", "http://c"], clock, lambda: 0.5)


@pytest.fixture
def lane(rotation: Rotation) -> Attempts:
    return rotation.attempts()


def fail(lane: Attempts, index: int, failure: Failure = DOWN) -> None:
    lane.failed(index, lane.generation(index), failure)


def test_pauses_double_up_to_the_longest() -> None:
    assert [HOLD.pause_s(n, lambda: 0.0) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [RETRY.pause_s(n, lambda: 0.5) for n in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert RETRY.pause_s(10**6, lambda: 0.999) < 30


def test_a_lane_stays_at_its_first_address_while_that_works(lane: Attempts) -> None:
    assert [lane.choose(first).index for first in (0, 1, 2)] == [0, 1, 2]


def test_a_failed_address_is_passed_over_until_its_pause_is_over(lane: Attempts, clock: Clock) -> None:
    fail(lane, 1)

    assert lane.choose(1).index == 2
    clock.now += 0.25
    assert (lane.choose(1).index, lane.choose(1).returning) == (1, True)


def test_an_address_that_works_may_still_ask_for_a_pause(rotation: Rotation, lane: Attempts, clock: Clock) -> None:
    other = rotation.attempts()
    late = lane.generation(0)
    fail(other, 0)
    other.worked(0)
    lane.failed(0, late, Failure("busy", "busy", retry_after_s=5.0))

    assert (lane.choose(0).index, other.choose(0).index) == (1, 1)
    clock.now += 5.0
    assert (other.choose(0).index, other.choose(0).returning) == (0, False)
    assert (lane.choose(0).index, lane.choose(0).returning) == (0, True)


def test_without_any_address_the_shortest_wait_is_named(lane: Attempts) -> None:
    for index, seconds in enumerate([9.0, 3.0, 6.0]):
        fail(lane, index, Failure("busy", "busy", retry_after_s=seconds))
    choice = lane.choose(0)

    assert (choice.index, choice.wait_s, choice.why) == (1, 3.0, "busy")


def test_exchanges_that_fail_together_count_once(lane: Attempts, clock: Clock) -> None:
    generation = lane.generation(0)
    for _ in range(10):
        lane.failed(0, generation, DOWN)
    clock.now += 0.25

    assert lane.choose(0).wait_s == 0


def test_one_lane_at_a_time_looks_at_an_address_that_returns(lane: Attempts, clock: Clock) -> None:
    fail(lane, 0)
    clock.now += 1

    assert [lane.claim(0, 5), lane.claim(0, 5)] == [True, False]
    clock.now += 5
    assert lane.claim(0, 5)


def test_health_is_told_with_one_line_for_each_change(
    rotation: Rotation, lane: Attempts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            fail(lane, 0)
        fail(lane, 0, Failure("token", "token refused"))
        down = rotation.states()[0]
        clock.now += 60
        lane.worked(0)
        lane.worked(0)

    assert down == EndpointState("http://a", False, "token refused")
    assert rotation.states()[0] == EndpointState("http://a", True, "")
    assert [record.getMessage() for record in caplog.records] == [
        "http://a: cannot connect",
        "http://a: token refused",
        "http://a: works again after 60 s",
    ]


def test_a_late_failure_of_an_address_that_works_again_is_not_news(rotation: Rotation, lane: Attempts) -> None:
    other = rotation.attempts()
    generation = lane.generation(0)
    fail(other, 0)
    other.worked(0)
    lane.failed(0, generation, DOWN)

    assert rotation.states()[0].up


def test_a_lane_that_is_refused_while_another_gets_through_tries_ever_less_often(
    rotation: Rotation, lane: Attempts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    busy = rotation.attempts()
    busy.worked(0)
    tries = 0
    with caplog.at_level(logging.INFO):
        for _ in range(6000):
            clock.now += 0.1
            busy.worked(0)
            if lane.choose(0).index == 0 and not lane.choose(0).wait_s:
                tries += 1
                fail(lane, 0)

    assert 40 <= tries <= 50  # 600 s, with pauses of 15 s in the end
    assert [record.getMessage() for record in caplog.records] == ["http://a: cannot connect"]


def test_that_an_address_works_for_others_is_told_once_no_lane_fails_there_any_more(
    rotation: Rotation, lane: Attempts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    busy = rotation.attempts()
    busy.worked(0)
    with caplog.at_level(logging.INFO):
        fail(lane, 0)
        down = rotation.states()[0]
        busy.worked(0)
        works = rotation.states()[0]
        clock.now += 31
        busy.worked(0)

    assert (down.up, works.up, works.last_error) == (False, True, "cannot connect")
    assert [record.getMessage() for record in caplog.records] == [
        "http://a: cannot connect",
        "http://a: works again after 31 s",
    ]
    assert rotation.states()[0].last_error == ""


def test_lanes_that_fail_together_return_together(clock: Clock) -> None:
    numbers = iter(n / 10 for n in range(1, 10))
    shared = Rotation(["http://a"], clock, lambda: next(numbers))
    lanes = [shared.attempts() for _ in range(3)]
    waits = []
    for _ in range(4):
        began = [(each, each.generation(0)) for each in lanes]
        for each, generation in began:
            each.failed(0, generation, DOWN)
        waits.append([each.choose(0).wait_s for each in lanes])
        clock.now += waits[-1][0]

    assert [len(set(of_all)) for of_all in waits] == [1, 1, 1, 1]
    assert [of_all[0] for of_all in waits] == pytest.approx([0.05, 0.2, 0.6, 1.6])


def test_a_lane_in_its_own_pause_tries_once_when_the_address_recovers(
    rotation: Rotation, lane: Attempts, clock: Clock
) -> None:
    others = [rotation.attempts(), rotation.attempts()]
    for _ in range(6):
        fail(lane, 0)
        others[0].worked(0)
    for each in others:
        fail(each, 0)
    paused = lane.choose(0)
    others[1].worked(0)
    recovered = lane.choose(0)
    fail(lane, 0)
    others[1].worked(0)

    assert paused.index == 1
    assert (recovered.index, recovered.wait_s) == (0, 0.0)
    assert lane.choose(0).index == 1


def test_a_look_at_an_address_that_works_for_others_is_not_kept_from_them(rotation: Rotation, lane: Attempts) -> None:
    fail(lane, 0)
    other = rotation.attempts()
    other.worked(0)

    assert lane.claim(0, 5)
    assert other.choose(0).index == 0


def test_what_a_lane_met_with_long_ago_does_not_lengthen_its_pauses(
    rotation: Rotation, lane: Attempts, clock: Clock
) -> None:
    for _ in range(8):
        fail(lane, 0)
    rotation.attempts().worked(0)
    clock.now += 3600
    fail(lane, 0)
    clock.now += 0.25

    assert lane.choose(0).index == 0


def test_a_lane_in_its_own_pause_looks_every_few_seconds_whether_the_address_has_recovered(clock: Clock) -> None:
    shared = Rotation(["http://a"], clock, lambda: 0.5)
    lane, other = shared.attempts(), shared.attempts()
    for _ in range(8):
        other.worked(0)
        fail(lane, 0)

    assert lane.choose(0).wait_s == 5.0
    fail(other, 0)
    other.worked(0)
    assert lane.choose(0).wait_s == 0.0
