"""How one shard is told to end: drain until a deadline, or drop everything at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Optional

LAST_EXCHANGE_S = 60.0
"""How long after the end of its drain a shard may still be in its last exchange with the SIEM."""


class Stop:
    """The stop signal of one shard worker.

    Args:
        clock: seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._deadline: Optional[float] = None

    def drain(self, seconds: float) -> None:
        """Pull no more; send and settle what is in hand for at most `seconds`. An earlier deadline stays."""
        self._set(self._clock() + seconds)

    def now(self) -> None:
        """Send nothing more."""
        self._set(float("-inf"))

    def _set(self, deadline: float) -> None:
        with self._changed:
            if self._deadline is None or deadline < self._deadline:
                self._deadline = deadline
            self._changed.notify_all()

    @property
    def asked(self) -> bool:
        """Somebody asked for an end."""
        return self._deadline is not None

    @property
    def dropped(self) -> bool:
        """Nothing may be sent or saved, not even what was settled: the shard is, or may soon be, somebody else's.

        So it is, too, when a drain has not ended long after it should have: something hangs, such as a disk.
        """
        deadline = self._deadline
        return deadline is not None and self._clock() >= deadline + LAST_EXCHANGE_S

    @property
    def over(self) -> bool:
        """Nothing more may be sent."""
        deadline = self._deadline
        return deadline is not None and self._clock() >= deadline

    def remaining_s(self) -> float:
        """Seconds left to drain; 0 when over, infinity when nobody asked."""
        deadline = self._deadline
        return float("inf") if deadline is None else max(0.0, deadline - self._clock())

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`, less when the drain runs out; True when nothing more may be sent."""
        return self._wait(seconds, lambda: self.over)

    def wait_asked(self, seconds: float) -> bool:
        """Sleep up to `seconds`, less when somebody asks for an end; True when somebody did."""
        return self._wait(seconds, lambda: self.asked)

    def _wait(self, seconds: float, ended: Callable[[], bool]) -> bool:
        until = self._clock() + seconds
        with self._changed:
            while not ended():
                left = min(until - self._clock(), self.remaining_s())
                if left <= 0:
                    break
                self._changed.wait(left)
        return ended()
