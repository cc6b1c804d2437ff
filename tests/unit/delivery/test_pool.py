"""Which shards a pool takes."""

from __future__ import annotations

from types import SimpleNamespace

from sls_siem.delivery.pool import ShardPool
from sls_siem.metrics import Metrics


class Worker:
    """Stands in for a shard's worker: notes what it is told."""

    def __init__(self, shard: int, *_others: object) -> None:
        self.shard = shard
        self.told: list[object] = []
        self.dropped = self.stopping = False

    def start(self) -> None:
        self.told.append("start")

    def drain(self, seconds: float) -> None:
        self.told.append(seconds)


def test_no_shard_is_taken_once_all_are_handed_over(monkeypatch) -> None:
    """The heartbeat's answer came just before the stop, and is followed just after it."""
    monkeypatch.setattr("sls_siem.delivery.pool.ShardWorker", Worker)
    closed: list[str] = []
    source = SimpleNamespace(close=lambda: closed.append("closed"))
    pool = ShardPool(SimpleNamespace(metrics=Metrics()), open_source=lambda: source, drain_s=5.0)
    pool.take(1)
    pool.hand_over_all(2.0)
    pool.take(2)

    assert {1} == pool.working()
    assert [["start", 2.0]] == [worker.told for worker in pool._all()]
    assert ["closed"] == closed
