"""What a shard's worker announces to the watchdog before its first pull."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Union

import pytest

from sls_siem.delivery import shard
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.shard import CALL_S, DeliverySettings, ShardWorker, Shared
from sls_siem.delivery.turns import Turns
from sls_siem.errors import NotOwnerError
from sls_siem.sls.model import Checkpoint
from tests.unit.announced import Announced


class Beating(Announced):
    """Counts its beats, and tells after the second one."""

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0
        self.beaten = threading.Event()

    def moved(self) -> None:
        super().moved()
        self.beats += 1
        if self.beats == 2:
            self.beaten.set()


class YoungShard:
    """A shard without a checkpoint."""

    def __init__(self, pulse: Announced) -> None:
        self._pulse = pulse
        self.announced: list[tuple[float, str]] = []

    def checkpoint(self, _shard: int) -> Checkpoint:
        self.announced.append(self._pulse.waits[-1])
        return Checkpoint(None)

    def cursor(self, _shard: int, at: Union[str, int]) -> int:
        assert at == "begin"
        self.announced.append(self._pulse.waits[-1])
        return 77


def shared_with(health: object) -> Shared:
    settings = DeliverySettings("c", False, 1.0, 600.0, 1 << 20, 1.0, "host")
    return Shared(settings, None, None, Turns(), None, health, *[None] * 3)


def test_each_call_for_the_first_position_is_announced_by_itself() -> None:
    pulse = Announced()
    source = YoungShard(pulse)
    worker = ShardWorker(3, source, shared_with(SimpleNamespace(release=lambda _who: None)), lambda _worker: None)

    assert 77 == worker._first_position(pulse)
    assert [(CALL_S, "reading the checkpoint"), (CALL_S, "finding the shard's begin")] == source.announced


def test_a_reader_that_waits_for_its_sender_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender may be in a long exchange of its own when the shard is dropped."""
    monkeypatch.setattr(shard, "SENDER_LOOK_S", 0.01)
    pulse = Beating()
    health = SimpleNamespace(pulse=lambda _name: pulse, ended=lambda _pulse: None, release=lambda _who: None)
    ended = threading.Event()
    source = SimpleNamespace(close=lambda: None)
    shared = shared_with(health)
    shared.turns.take(3, 1.0, 1.0)
    worker = ShardWorker(3, source, shared, lambda _worker: ended.set())

    def lost(_pulse: Announced) -> None:
        worker._progress = Progress(0, give_back=lambda _: None, clock=time.monotonic)
        raise NotOwnerError("taken")

    monkeypatch.setattr(worker, "_work", lost)
    worker.start()

    assert pulse.beaten.wait(10)
    assert not ended.is_set()
    worker._sender_ended.set()
    assert ended.wait(10)
    assert {} == shared.turns._turns
    assert worker.refused
