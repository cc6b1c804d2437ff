"""What a shard's worker announces to the watchdog before its first pull."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Union

from sls_siem.delivery.shard import CALL_S, DeliverySettings, ShardWorker, Shared
from sls_siem.sls.model import Checkpoint
from tests.unit.announced import Announced


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


def test_each_call_for_the_first_position_is_announced_by_itself() -> None:
    pulse = Announced()
    source = YoungShard(pulse)
    settings = DeliverySettings("c", False, 1.0, 600.0, 1 << 20, 1.0, "host")
    nothing = SimpleNamespace(release=lambda _who: None)
    shared = Shared(settings, *[nothing] * 7)
    worker = ShardWorker(3, source, shared, lambda _worker: None)

    assert 77 == worker._first_position(pulse)
    assert [(CALL_S, "reading the checkpoint"), (CALL_S, "finding the shard's begin")] == source.announced
