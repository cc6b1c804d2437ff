"""The last save of a shard: tried until the drain runs out, in peace."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest

from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.keeper import CheckpointKeeper
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.stop import Stop
from sls_siem.errors import TransientSourceError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.sls.model import Checkpoint


class Refusing:
    """A service that refuses every save, until it is told to take them."""

    def __init__(self) -> None:
        self.tries = 0
        self.taken_from: float = float("inf")

    def checkpoint(self, _shard: int) -> Checkpoint:
        return Checkpoint(5, "me")

    def save_checkpoint(self, _shard: int, _position: int, *, force: bool = False) -> None:
        self.tries += 1
        if self.tries < self.taken_from:
            raise TransientSourceError("busy")


def keeper(calls: Refusing, stop: Stop, *, lease: bool = True) -> CheckpointKeeper:
    saver = CheckpointSaver(calls, 3, consumer="me", every_s=1.0, clock=time.monotonic)
    saver.load()
    health = Health()
    return CheckpointKeeper(
        3,
        saver,
        Progress(10, give_back=lambda _: None, clock=time.monotonic),
        lease=SimpleNamespace(valid=lambda: lease),
        stop=stop,
        pulse=health.pulse("reader"),
        health=health,
        metrics=Metrics(),
    )


def test_a_last_save_that_fails_is_tried_with_growing_pauses_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    calls, stop = Refusing(), Stop()
    one = keeper(calls, stop)
    caplog.set_level(logging.WARNING)
    stop.drain(0.5)
    one.save_last_word()

    assert stop.over
    assert 3 <= calls.tries < 30
    assert 1 == len(caplog.records)


def test_the_last_save_ends_with_its_success() -> None:
    calls, stop = Refusing(), Stop()
    calls.taken_from = 3
    one = keeper(calls, stop)
    stop.drain(30)
    one.save_last_word()

    assert 3 == calls.tries
    assert not stop.over


def test_without_a_lease_the_last_save_is_waited_for_without_haste() -> None:
    calls, stop = Refusing(), Stop()
    one = keeper(calls, stop, lease=False)
    stop.drain(0.3)
    busy = time.thread_time()
    one.save_last_word()

    assert 0 == calls.tries
    assert time.thread_time() - busy < 0.1


def test_after_a_save_that_is_not_ours_the_next_look_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sls_siem.delivery.keeper.time", SimpleNamespace(monotonic=lambda: now[0]))
    stored, asked = [5], []
    calls = SimpleNamespace(checkpoint=lambda _shard: asked.append(now[0]) or Checkpoint(stored[0], "me"))
    one = keeper(calls, Stop())
    asked.clear()
    stored[0] = 7
    for _ in range(25):
        now[0] += 1.0
        one.compare_if_due()

    assert [120.0, 122.0, 124.0] == asked
