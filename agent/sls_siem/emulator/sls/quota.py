"""Read limits per shard: bytes and requests per second, as token buckets of one second. Off by default."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Optional

from sls_siem.emulator.sls.refusal import RefusalError


class Bucket:
    """Lets `rate` units per second pass on average; a single take may go into debt."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._level = rate
        self._filled = now

    def holds(self, units: float, now: float) -> bool:
        self._level = min(self._rate, self._level + (now - self._filled) * self._rate)
        self._filled = now
        return self._level >= units

    def take(self, units: float) -> None:
        self._level -= units


class ReadQuota:
    """The read limits of all shards.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: dict[tuple[int, str, float], Bucket] = {}

    def admit(self, shard: int, *, reads_per_s: Optional[float], bytes_per_s: Optional[float]) -> None:
        """Count one read of the shard with that base position.

        Raises:
            RefusalError: a limit is used up.
        """
        with self._lock:
            now = self._monotonic()
            if bytes_per_s is not None and not self._bucket(shard, "bytes", bytes_per_s).holds(1, now):
                raise RefusalError(
                    403, "ShardReadQuotaExceed", f"shard read quota of {bytes_per_s:.0f} bytes/s exceeded"
                )
            if reads_per_s is not None:
                reads = self._bucket(shard, "reads", reads_per_s)
                if not reads.holds(1, now):
                    raise RefusalError(403, "ReadQuotaExceed", f"read quota of {reads_per_s:g} requests/s exceeded")
                reads.take(1)

    def charge(self, shard: int, *, raw_bytes: int, bytes_per_s: Optional[float]) -> None:
        """Count what a read answered."""
        if bytes_per_s is not None:
            with self._lock:
                self._bucket(shard, "bytes", bytes_per_s).take(raw_bytes)

    def _bucket(self, shard: int, kind: str, rate: float) -> Bucket:
        key = (shard, kind, rate)
        if key not in self._buckets:
            self._buckets[key] = Bucket(rate, self._monotonic())
        return self._buckets[key]
