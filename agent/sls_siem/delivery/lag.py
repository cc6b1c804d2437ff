"""How far a shard is behind: the age of its oldest log group that is not settled, and how long retention leaves it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Optional

from sls_siem.delivery.progress import Progress
from sls_siem.delivery.source import Source
from sls_siem.errors import SourceError
from sls_siem.metrics import Metrics

LOG = logging.getLogger(__name__)
YOUNG_S = 5.0
DAY_S = 86_400.0
RETENTION_LOOK_S = 3600.0
RETENTION_RETRY_S = 300.0


class Retention:
    """How long the logstore keeps logs; asked of the service now and then, for all shards of the process together.

    Args:
        clock: seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_look_at = clock()
        self._kept_s: Optional[float] = None

    def kept_s(self, source: Source) -> Optional[float]:
        """Tell it in seconds; None while the service does not say, as without the permission log:GetLogStore."""
        with self._lock:
            if self._clock() < self._next_look_at:
                return self._kept_s
            self._next_look_at = self._clock() + RETENTION_RETRY_S  # so that one shard asks
        try:
            days = source.logstore_ttl_days()
        except SourceError as exc:
            LOG.debug("the logstore's retention is not known: %s", exc)
            return self._kept_s
        with self._lock:
            self._kept_s = days * DAY_S
            self._next_look_at = self._clock() + RETENTION_LOOK_S
        return self._kept_s


class LagMeter:
    """Measures one shard's lag, asking the service only when the shard is behind.

    Args:
        shard: shard id.
        source: session of the calling thread.
        progress: where the shard stands.
        metrics: gets the gauges.
        retention: of the logstore.
    """

    def __init__(
        self, shard: int, source: Source, progress: Progress, *, metrics: Metrics, retention: Retention
    ) -> None:
        self._shard = shard
        self._source = source
        self._progress = progress
        self._gauge = metrics.shard_lag.labels(shard=str(shard))
        self._metrics = metrics
        self._retention = retention
        self.lag_s: Optional[float] = None

    def measure(self, *, caught_up: bool) -> None:
        """Find out now minus the time of receipt of the oldest group not settled; 0 at the end of the shard."""
        age_s = self._progress.unsettled_for_s()
        if caught_up and self._progress.idle():
            self.lag_s = 0.0
        elif caught_up and age_s < YOUNG_S:
            self.lag_s = age_s
        else:
            try:
                received = self._source.cursor_time(self._shard, self._progress.position)
            except SourceError as exc:
                LOG.debug("shard %d: the lag was not measured: %s", self._shard, exc)
                return
            self.lag_s = max(0.0, time.time() - received)
        self._gauge.set(self.lag_s)
        kept_s = self._retention.kept_s(self._source)
        if kept_s is not None:
            self._metrics.retention_left.labels(shard=str(self._shard)).set(kept_s - self.lag_s)
