"""How far a shard is behind: the age of its oldest log group that is not settled."""

from __future__ import annotations

import logging
import time
from typing import Optional

from sls_siem.delivery.progress import Progress
from sls_siem.delivery.source import Source
from sls_siem.errors import SourceError
from sls_siem.metrics import Metrics

LOG = logging.getLogger(__name__)
YOUNG_S = 5.0


class LagMeter:
    """Measures one shard's lag, asking the service only when the shard is behind.

    Args:
        shard: shard id.
        source: session of the calling thread.
        progress: where the shard stands.
        metrics: gets the gauge.
    """

    def __init__(self, shard: int, source: Source, progress: Progress, metrics: Metrics) -> None:
        self._shard = shard
        self._source = source
        self._progress = progress
        self._gauge = metrics.shard_lag.labels(shard=str(shard))
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
