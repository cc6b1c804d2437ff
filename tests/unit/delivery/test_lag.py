"""Lag, and how long retention leaves the oldest log group that is not settled."""

from __future__ import annotations

import time

from sls_siem.delivery.lag import DAY_S, LagMeter, Retention
from sls_siem.errors import PermissionRefusedError
from sls_siem.metrics import Metrics


class Source:
    """An SLS session that tells retention and times of receipt."""

    def __init__(self, days: int | Exception, received: float = 0.0) -> None:
        self.days = days
        self.received = received
        self.asked = 0

    def logstore_ttl_days(self) -> int:
        self.asked += 1
        if isinstance(self.days, Exception):
            raise self.days
        return self.days

    def cursor_time(self, shard: int, position: int) -> float:
        return self.received


class Progress:
    position = 7

    def __init__(self, *, idle: bool = False) -> None:
        self._idle = idle

    def idle(self) -> bool:
        return self._idle

    def unsettled_for_s(self) -> float:
        return 100.0


def left(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("sls_siem_retention_left_seconds", {"shard": "3"})


def test_what_retention_leaves_is_its_length_less_the_lag() -> None:
    metrics, source = Metrics(), Source(2, received=time.time() - 3600)
    LagMeter(3, source, Progress(), metrics=metrics, retention=Retention()).measure(caught_up=False)

    assert abs(2 * DAY_S - 3600 - left(metrics)) < 5


def test_at_the_end_of_the_shard_all_of_it_is_left() -> None:
    metrics = Metrics()
    LagMeter(3, Source(1), Progress(idle=True), metrics=metrics, retention=Retention()).measure(caught_up=True)

    assert DAY_S == left(metrics)


def test_without_the_permission_nothing_is_claimed_and_the_service_is_asked_again_later() -> None:
    clock = [0.0]
    metrics, source = Metrics(), Source(PermissionRefusedError("denied"))
    retention = Retention(lambda: clock[0])
    meter = LagMeter(3, source, Progress(idle=True), metrics=metrics, retention=retention)
    for clock[0] in (0.0, 10.0, 299.0):
        meter.measure(caught_up=True)

    assert (1, None) == (source.asked, left(metrics))
    clock[0], source.days = 301.0, 1
    meter.measure(caught_up=True)

    assert (2, DAY_S) == (source.asked, left(metrics))


def test_all_shards_share_one_answer_for_an_hour() -> None:
    clock = [0.0]
    source, retention = Source(1), Retention(lambda: clock[0])
    for clock[0] in (0.0, 1.0, 3599.0):
        assert DAY_S == retention.kept_s(source)
    source.days = 2
    clock[0] = 3601.0

    assert (2 * DAY_S, 2) == (retention.kept_s(source), source.asked)
