"""The emulator's time: it can be moved forward, so that retention and group timeouts need no waiting."""

from __future__ import annotations

import threading
import time


class Clock:
    """Real time plus what `advance` added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_s = 0.0

    def advance(self, seconds: float) -> None:
        """Move both times forward; they never go back."""
        if seconds < 0:
            raise ValueError(f"the clock cannot go back by {seconds} s")
        with self._lock:
            self._ahead_s += seconds

    def wall(self) -> float:
        """Epoch seconds: receive times, retention, signatures."""
        return time.time() + self._ahead_s

    def monotonic(self) -> float:
        """Seconds for group timeouts and quotas; starts anywhere."""
        return time.monotonic() + self._ahead_s
