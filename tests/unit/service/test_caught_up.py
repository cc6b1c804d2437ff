"""When `--until-caught-up` may say that everything has been read and saved."""

from __future__ import annotations

import threading
from typing import Union

import pytest

from sls_siem.errors import SourceError
from sls_siem.health import Health
from sls_siem.service import caught_up
from sls_siem.service.caught_up import CaughtUpWatch
from sls_siem.sls.model import Checkpoint, Shard
from tests.e2e.harness import until


class Service:
    """A logstore with its consumer group's checkpoints."""

    def __init__(self, ends: dict[int, tuple[int, int]]) -> None:
        self.ends = ends
        self.stored: dict[int, Checkpoint] = {}
        self.errors: list[BaseException] = []
        self.looks = 0

    def list_shards(self) -> tuple[Shard, ...]:
        return tuple(Shard(number, read_only=False, begin_key="", end_key="", create_time=0) for number in self.ends)

    def cursor(self, shard: int, at: Union[str, int]) -> int:
        return self.ends[shard][at == "end"]

    def checkpoints(self) -> dict[int, Checkpoint]:
        self.looks += 1
        if self.errors:
            raise self.errors.pop()
        return self.stored


class Watched:
    """A watch over a service, and what it said."""

    def __init__(self, service: Service) -> None:
        self.done = threading.Event()
        self.failures: list[BaseException] = []
        self.health = Health()
        self.watch = CaughtUpWatch(service, health=self.health, done=self.done.set, fatal=self.failures.append)
        self.watch.start()

    def end(self) -> None:
        self.watch.stop()
        self.watch._thread.join(10)

        assert not self.watch._thread.is_alive()
        assert () == self.health.stuck()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caught_up, "LOOK_S", 0.01)


def seen_again(service: Service) -> None:
    looks = service.looks
    until(lambda: service.looks >= looks + 2)


def test_it_waits_until_each_shard_is_saved_up_to_the_end_that_it_had_at_the_start() -> None:
    service = Service({0: (10, 20), 1: (5, 8)})
    watched = Watched(service)
    seen_again(service)
    service.ends = {0: (10, 900), 1: (5, 8)}  # what comes later is not waited for
    for stored in (
        {0: Checkpoint(20)},
        {0: Checkpoint(20), 1: Checkpoint(None)},
        {0: Checkpoint(19), 1: Checkpoint(8)},
    ):
        service.stored = stored
        seen_again(service)
        assert not watched.done.is_set()
    service.stored = {0: Checkpoint(20), 1: Checkpoint(9)}

    assert watched.done.wait(10)
    watched.end()
    assert [] == watched.failures


def test_a_shard_that_holds_nothing_needs_no_checkpoint() -> None:
    watched = Watched(Service({0: (10, 10)}))

    assert watched.done.wait(10)
    watched.end()


def test_a_service_that_does_not_answer_is_asked_again() -> None:
    service = Service({0: (10, 20)})
    service.errors = [SourceError("down"), SourceError("down")]
    service.stored = {0: Checkpoint(20)}
    watched = Watched(service)

    assert watched.done.wait(10)
    watched.end()
    assert 3 == service.looks
    assert [] == watched.failures


def test_a_watch_that_is_stopped_says_nothing() -> None:
    service = Service({0: (10, 20)})
    watched = Watched(service)
    seen_again(service)
    watched.end()

    assert not watched.done.is_set()
    assert [] == watched.failures


def test_a_bug_in_the_thread_ends_the_process() -> None:
    service = Service({0: (10, 20)})
    service.errors = [ZeroDivisionError("a bug")]
    watched = Watched(service)
    until(lambda: watched.failures)
    watched.end()

    assert [ZeroDivisionError] == [type(failure) for failure in watched.failures]
    assert not watched.done.is_set()
