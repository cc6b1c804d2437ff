"""Which shards a pool takes."""

from __future__ import annotations

from types import SimpleNamespace

from sls_siem.delivery.pool import QUIET_S, ShardPool
from sls_siem.metrics import Metrics


class Worker:
    """Stands in for a shard's worker: notes what it is told."""

    def __init__(self, shard: int, *_others: object) -> None:
        self.shard = shard
        self.told: list[object] = []
        self.dropped = self.stopping = self.refused = False
        self.held_s = 0.0

    def age_s(self) -> float:
        return self.held_s

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


def test_a_shard_that_the_service_refuses_after_it_assigned_it_rests_longer_each_time(monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("sls_siem.delivery.pool.ShardWorker", Worker)
    monkeypatch.setattr("sls_siem.delivery.pool.time", SimpleNamespace(monotonic=lambda: now[0]))
    pool = ShardPool(SimpleNamespace(metrics=Metrics()), open_source=lambda: None, drain_s=5.0)

    def rest_s(*, refused: bool, held_s: float = 1.0) -> float:
        """Take the shard, end it, and tell how long it may not be taken again."""
        pool.take(3)
        (worker,) = pool._all()
        worker.refused, worker.held_s = refused, held_s
        pool._ended(worker)
        began = now[0]
        while 3 in pool.ending():
            now[0] += 0.5
            assert now[0] < began + 100
        return now[0] - began

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == [rest_s(refused=True) for _ in range(7)]
    assert 1.0 == rest_s(refused=True, held_s=QUIET_S)
    assert 0.0 == rest_s(refused=False)
    assert 1.0 == rest_s(refused=True)
