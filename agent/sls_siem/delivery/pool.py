"""The shards this process works on: what the membership takes, hands over or abandons."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sls_siem.delivery.shard import ShardStatus, ShardWorker, Shared
from sls_siem.delivery.source import Source
from sls_siem.retry import Backoff

LOG = logging.getLogger(__name__)
RETAKE = Backoff(1.0, 30.0)
QUIET_S = 60.0
"""A shard that was held for so long before it was refused has no refusals behind it."""


@dataclass
class _Refused:
    """Saves of a shard that the service refused, in a row, though it had assigned the shard to us."""

    count: int
    until: float


class ShardPool:
    """Implements what the membership needs of delivery.

    Args:
        shared: what all shards share.
        open_source: makes an SLS session for one shard's reader.
        drain_s: longest time a hand-over may take.
    """

    def __init__(self, shared: Shared, *, open_source: Callable[[], Source], drain_s: float) -> None:
        self._shared = shared
        self._open_source = open_source
        self._drain_s = drain_s
        self._lock = threading.Lock()
        self._workers: dict[int, ShardWorker] = {}
        self._refused: dict[int, _Refused] = {}
        self._ending = False
        self._on_end: Callable[[], None] = lambda: None

    def on_end(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever a worker has ended."""
        self._on_end = call

    def working(self) -> frozenset[int]:
        """Shards that are worked on, those being handed over included, dropped ones not."""
        with self._lock:
            return frozenset(shard for shard, worker in self._workers.items() if not worker.dropped)

    def ending(self) -> frozenset[int]:
        """Shards that are being handed over or were dropped, until their threads have ended.

        Of those that the service says are not ours, although it assigned them, until a pause is over too: whoever
        takes such a shard sends everything behind its checkpoint again.
        """
        with self._lock:
            now = time.monotonic()
            paused = {shard for shard, refused in self._refused.items() if now < refused.until}
            return frozenset(shard for shard, worker in self._workers.items() if worker.stopping) | paused

    def take(self, shard: int) -> None:
        """Start to work on a shard; not once all are being handed over: this one would start its drain anew."""
        source = self._open_source()
        worker = ShardWorker(shard, source, self._shared, self._ended)
        with self._lock:
            taken = not self._ending
            if taken:
                self._workers[shard] = worker
                self._shared.metrics.shards_held.set(len(self._workers))
        if taken:
            worker.start()
        else:
            source.close()

    def hand_over(self, shard: int) -> None:
        """Settle and save what is in hand, then let go of the shard."""
        with self._lock:
            worker = self._workers.get(shard)
        if worker is not None and not worker.stopping:
            LOG.info("shard %d: handing over", shard)
            worker.drain(self._drain_s)

    def hand_over_all(self, seconds: float) -> None:
        """Let go of every shard within about `seconds`, and take no other."""
        with self._lock:
            self._ending = True
        for worker in self._all():
            worker.drain(seconds)

    def abandon_all(self) -> None:
        """Send and save nothing more on any shard."""
        for worker in self._all():
            worker.abandon()

    def join(self, seconds: float) -> bool:
        """Wait up to `seconds` for every worker to end; True when they have."""
        done = threading.Event()

        def look() -> bool:
            return all(worker.join(0) for worker in self._all())

        waited = 0.0
        while not look() and waited < seconds:
            done.wait(0.05)
            waited += 0.05
        return look()

    def status(self) -> list[ShardStatus]:
        """One row a shard, by number; also refreshes the gauge of unsettled bytes."""
        rows = sorted((worker.status() for worker in self._all()), key=lambda row: row.shard)
        self._shared.metrics.unsettled_bytes.set(sum(row.unsettled_bytes for row in rows))
        return rows

    def _all(self) -> list[ShardWorker]:
        with self._lock:
            return list(self._workers.values())

    def _ended(self, worker: ShardWorker) -> None:
        with self._lock:
            if self._workers.get(worker.shard) is worker:
                del self._workers[worker.shard]
            self._note_refusal(worker)
            self._shared.metrics.shards_held.set(len(self._workers))
        self._shared.metrics.forget_shard(worker.shard)
        self._on_end()

    def _note_refusal(self, worker: ShardWorker) -> None:
        before = self._refused.pop(worker.shard, None)
        if worker.refused:
            count = before.count if before is not None and worker.age_s() < QUIET_S else 0
            self._refused[worker.shard] = _Refused(count + 1, time.monotonic() + RETAKE.longest(count))
