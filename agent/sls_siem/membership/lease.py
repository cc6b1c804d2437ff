"""The lease: until when this process may believe that its shards are its own.

It runs from the moment the last answered heartbeat was sent, on a clock that goes on while the machine sleeps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Optional

SENDING_SHARE = 0.8


def boottime() -> float:
    """Seconds since boot, time in suspend included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """How long sends and saves are allowed.

    Args:
        timeout_s: the consumer group's timeout.
        clock: `boottime`, or a test's.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = boottime) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._sent_at: Optional[float] = None
        self._lock = threading.Lock()

    def set_timeout(self, timeout_s: float) -> None:
        """The group turned out to have another timeout than configured."""
        with self._lock:
            self._timeout_s = timeout_s

    def answered(self, sent_at: float) -> None:
        """A heartbeat that was sent at `sent_at` was answered."""
        with self._lock:
            self._sent_at = sent_at

    def drop(self) -> None:
        """The service said that the consumer is not a member (any more)."""
        with self._lock:
            self._sent_at = None

    @property
    def age_s(self) -> Optional[float]:
        """Seconds since the last answered heartbeat was sent; None without one."""
        with self._lock:
            return None if self._sent_at is None else self._clock() - self._sent_at

    def valid(self) -> bool:
        """A send or a save may start now."""
        age = self.age_s
        return age is not None and age < self._timeout_s * SENDING_SHARE

    def lapsed(self) -> bool:
        """The service may have given the shards to somebody else."""
        age = self.age_s
        return age is None or age >= self._timeout_s
