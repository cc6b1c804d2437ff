"""The heartbeat thread against a scripted service; real time, short intervals, conditions with deadlines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from sls_siem.errors import CredentialsRefusedError, NotFoundError, NotOwnerError, SourceError, TransientSourceError
from sls_siem.health import STALL_S, Health, Pulse
from sls_siem.membership.lease import Lease
from sls_siem.membership.member import Member
from sls_siem.metrics import Metrics


class Service:
    """Answers heartbeats with `assigned`, or with an error; remembers what it was told."""

    def __init__(self) -> None:
        self.assigned: tuple[int, ...] = ()
        self.error: SourceError | None = None
        self.beats: list[list[int]] = []
        self.at: list[float] = []

    def heartbeat(self, shards, *, timeout_s: float = 5.0) -> tuple[int, ...]:
        self.beats.append(sorted(shards))
        self.at.append(time.monotonic())
        if self.error is not None:
            raise self.error
        return self.assigned


class Host:
    def __init__(self) -> None:
        self.held: set[int] = set()
        self.handing: set[int] = set()
        self.dropped: set[int] = set()

    def working(self):
        return frozenset(self.held)

    def ending(self):
        return frozenset(self.handing | self.dropped)

    def take(self, shard: int) -> None:
        assert shard not in self.held
        self.held.add(shard)

    def hand_over(self, shard: int) -> None:
        self.handing.add(shard)

    def abandon_all(self) -> None:
        self.dropped |= self.held
        self.held.clear()


class Setting:
    def __init__(
        self,
        prepare: Callable[[Pulse], float | None] = lambda _: 4.0,
        interval_s: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service, self.host, self.health, self.metrics = Service(), Host(), Health(clock), Metrics()
        self.lease = Lease(4.0)
        self.failures: list[BaseException] = []
        self.member = Member(
            self.service,
            self.host,
            self.lease,
            interval_s=interval_s,
            group_timeout_s=4.0,
            prepare=prepare,
            health=self.health,
            metrics=self.metrics,
            fatal=self.failures.append,
        )


@pytest.fixture
def setting():
    made: list[Setting] = []

    def make(*args, **kwargs) -> Setting:
        made.append(Setting(*args, **kwargs))
        made[-1].member.start()
        return made[-1]

    yield make
    for one in made:
        one.member.stop(5)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.002)


def test_assigned_shards_are_taken_and_reported_as_held(setting) -> None:
    one = setting()
    one.service.assigned = (0, 2)
    until(lambda: [0, 2] in one.service.beats)

    assert {0, 2} == one.host.held
    assert one.lease.valid()


def test_a_shard_is_reported_until_it_has_been_handed_over_and_then_left_out_at_once(setting) -> None:
    one = setting(interval_s=30.0)
    until(lambda: bool(one.service.beats))
    one.service.assigned = (0, 1)
    one.member.look()
    until(lambda: one.host.held == {0, 1})
    one.service.assigned = (0,)
    one.member.look()
    until(lambda: one.host.handing == {1})

    assert [0, 1] == one.service.beats[-1]
    one.host.held.discard(1)
    one.host.handing.discard(1)
    one.member.look()
    until(lambda: one.service.beats[-1] == [0], seconds=2)


def test_an_eviction_drops_every_shard_and_joins_again_with_none(setting) -> None:
    one = setting()
    one.service.assigned = (0,)
    until(lambda: one.host.held == {0})
    one.service.error = NotOwnerError("no such consumer", code="NotExistConsumerWithBody")
    until(lambda: one.host.dropped == {0})

    assert not one.lease.valid()
    one.host.dropped.clear()
    one.service.error = None
    until(lambda: one.host.held == {0})


def test_a_dropped_shard_is_not_taken_again_before_its_threads_have_ended(setting) -> None:
    one = setting()
    one.service.assigned = (0,)
    until(lambda: one.host.held == {0})
    one.service.error = NotOwnerError("no such consumer")
    until(lambda: one.host.dropped == {0})
    one.service.error = None
    beats = len(one.service.beats)
    until(lambda: len(one.service.beats) > beats + 3)

    assert set() == one.host.held


def test_a_lease_that_ran_out_drops_every_shard_even_when_the_service_answers_again(setting) -> None:
    now = [0.0]
    one = Setting()
    one.lease._clock = lambda: now[0]
    one.member._calls = one.service
    real = one.lease.answered
    one.lease.answered = lambda _sent_at: real(now[0])  # type: ignore[method-assign]
    one.service.assigned = (0,)
    one.member.start()
    until(lambda: one.host.held == {0})
    one.service.error = TransientSourceError("busy")
    now[0] += 3.3

    assert not one.lease.valid()
    assert not one.lease.lapsed()
    assert {0} == one.host.held
    now[0] += 1
    until(lambda: one.host.dropped == {0})
    one.member.stop(5)


@pytest.mark.parametrize(
    "error",
    [
        TransientSourceError("busy", status=500),
        CredentialsRefusedError("the key is wrong", status=401),
        NotFoundError("no such group", code="ConsumerGroupNotExist"),
    ],
)
def test_no_error_of_the_service_ends_the_thread_and_status_says_why_it_holds(setting, error) -> None:
    one = setting()
    until(lambda: bool(one.service.beats))
    one.service.error = error
    beats = len(one.service.beats)
    until(lambda: len(one.service.beats) >= beats + 3)

    assert str(error) in one.health.holds()["consumer group"]
    one.service.error = None
    until(lambda: not one.health.holds())
    assert [] == one.failures


def test_errors_do_not_make_heartbeats_hotter_than_half_the_interval_on_average(setting) -> None:
    one = setting(interval_s=0.2)
    one.service.error = TransientSourceError("busy")
    until(lambda: len(one.service.beats) >= 12)

    assert (one.service.at[-1] - one.service.at[2]) / (len(one.service.at) - 3) > 0.03


def test_heartbeats_come_often_enough_for_a_group_with_a_shorter_timeout(setting, caplog) -> None:
    one = setting(lambda _: 1.5, interval_s=30.0)
    one.service.assigned = (0,)
    until(lambda: len(one.service.beats) >= 4, 10.0)

    assert set() == one.host.dropped
    assert "its timeout is 1.5 s, so a heartbeat is sent every 0.6 s instead of 30" in caplog.text


def test_a_group_that_cannot_be_made_yet_is_tried_again(setting) -> None:
    calls = []

    def prepare(_pulse):
        calls.append(1)
        if len(calls) < 3:
            raise TransientSourceError("not yet")
        return 7.0

    one = setting(prepare)
    until(lambda: bool(one.service.beats))

    assert 3 == len(calls)


def test_a_long_wait_that_was_announced_for_the_preparation_excuses_nothing_after_it() -> None:
    now, hangs, over = [0.0], threading.Event(), threading.Event()

    def prepare(pulse: Pulse) -> float:
        pulse.waiting(3600, "preparing")
        return 4.0

    def hang() -> frozenset[int]:
        hangs.set()
        over.wait(20)
        return frozenset()

    setting = Setting(prepare, clock=lambda: now[0])
    setting.host.working = hang
    setting.member.start()
    assert hangs.wait(10)
    now[0] = STALL_S + 1
    stuck = setting.health.stuck()
    over.set()
    setting.member.stop(5)

    assert 1 == len(stuck)


def test_the_last_heartbeat_says_that_nothing_is_held() -> None:
    one = Setting(interval_s=30)
    one.service.assigned = (4,)
    one.member.start()
    until(lambda: one.host.held == {4})
    one.member.leave()
    one.host.held.clear()
    one.member.stop(5)

    assert [] == one.service.beats[-1]
    assert set() == one.host.held


def test_a_bug_in_the_thread_is_told_and_not_swallowed() -> None:
    one = Setting()
    one.service.heartbeat = None  # type: ignore[assignment]
    one.member.start()
    until(lambda: bool(one.failures))

    assert isinstance(one.failures[0], TypeError)


def test_the_lease_runs_from_when_the_heartbeat_was_sent() -> None:
    now = [50.0]
    lease = Lease(10.0, lambda: now[0])

    assert not lease.valid()
    lease.answered(sent_at=45.0)
    assert lease.valid()
    now[0] = 53.0
    assert not lease.valid()
    assert not lease.lapsed()
    now[0] = 55.0
    assert lease.lapsed()


def test_threads_are_named_for_whoever_reads_a_stack(setting) -> None:
    setting()

    assert "heartbeat" in {thread.name for thread in threading.enumerate()}
