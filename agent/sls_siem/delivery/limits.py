"""The operator's speed limit: `max_events_per_s` and `max_bytes_per_s`, for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Callable


class RateLimit:
    """Tells how long to wait before sending; a payload is paid for before it leaves, so no backlog makes a burst.

    Args:
        per_s: units a second; 0 means no limit.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def delay(self, units: int) -> float:
        """Book `units` and return the seconds to wait before they may be sent."""
        if self._per_s <= 0:
            return 0.0
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + units / self._per_s
            return self._free_at - now
