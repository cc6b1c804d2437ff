"""When to ask a shard again: at once while it is behind, otherwise when a full request may be expected.

The batch fills on the service, not in this process: a quiet shard is asked every `batch_age_s` (less a margin, so that a
log that arrives right after an answer still leaves in time), a shard with 10 MB/s as often as it takes to fill one
request. Sources of the figures: SLS allows 100 reads a second and shard (SLS quotas, "read and write").
"""

from __future__ import annotations

MARGIN = 0.72
SHORTEST_S = 0.02
SMOOTHING = 0.5


class Pacer:
    """The pace of one shard.

    Args:
        batch_bytes: size of one request to the SIEM.
        batch_age_s: longest time a log may wait on the service for its batch to fill.
    """

    def __init__(self, batch_bytes: int, batch_age_s: float) -> None:
        self._batch_bytes = batch_bytes
        self._longest_s = batch_age_s * MARGIN
        self._rate = 0.0
        self._asked_at: float = -1.0

    @property
    def bytes_per_s(self) -> float:
        """Smoothed rate at which the shard gave bytes."""
        return self._rate

    def answered(self, size: int, asked_at: float) -> float:
        """Note an answer and tell how long to wait before asking again.

        Args:
            size: decompressed bytes of the answer.
            asked_at: when it was asked for, in seconds of any monotonic clock.
        """
        elapsed = max(asked_at - self._asked_at, SHORTEST_S) if self._asked_at >= 0 else self._longest_s
        self._asked_at = asked_at
        self._rate += SMOOTHING * (size / max(elapsed, 1e-3) - self._rate)
        if size >= self._batch_bytes:
            return 0.0
        if self._rate <= 0:
            return self._longest_s
        return min(self._longest_s, max(SHORTEST_S, self._batch_bytes / self._rate))
