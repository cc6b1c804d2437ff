"""The window: how many pulled bytes one process may hold that were not yet handed to the SIEM."""

from __future__ import annotations

import threading
from collections import deque


class Window:
    """A budget of bytes shared by all shards; whoever waits longest is served first.

    Args:
        size: bytes in all (`delivery.window_bytes`).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        with self._changed:
            return self.size - self._free

    def reserve(self, wanted: int, timeout_s: float) -> bool:
        """Take `wanted` bytes (at most the whole window) out of the budget, waiting for at most `timeout_s`."""
        wanted = min(wanted, self.size)
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                granted = self._changed.wait_for(lambda: self._queue[0] is ticket and self._free >= wanted, timeout_s)
                if granted:
                    self._free -= wanted
                return granted
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def give_back(self, amount: int) -> None:
        """Return reserved bytes."""
        if amount <= 0:
            return
        with self._changed:
            self._free = min(self.size, self._free + amount)
            self._changed.notify_all()

    def exceed(self, amount: int) -> None:
        """Take bytes that are already in memory: an answer was larger than what had been reserved for it."""
        with self._changed:
            self._free -= amount
