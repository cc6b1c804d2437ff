"""The window: how many pulled bytes one process may hold that were not yet handed to the SIEM."""

from __future__ import annotations

import threading
from collections import deque


class _Waiter:
    """A thread that waits for room; its lock opens when it was served, and wakes no other thread."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.served = False
        self.opens = threading.Lock()
        self.opens.acquire()


class Window:
    """A budget of bytes shared by all shards; whoever waits longest is served first.

    Args:
        size: bytes in all (`delivery.window_bytes`).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._queue: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        with self._lock:
            return self.size - self._free

    def reserve(self, wanted: int, timeout_s: float) -> bool:
        """Take `wanted` bytes (at most the whole window) out of the budget, waiting for at most `timeout_s`."""
        waiter = _Waiter(min(wanted, self.size))
        with self._lock:
            self._queue.append(waiter)
            self._serve()
            if waiter.served:
                return True
        waiter.opens.acquire(timeout=timeout_s)
        with self._lock:
            if not waiter.served:
                self._queue.remove(waiter)
                self._serve()
            return waiter.served

    def give_back(self, amount: int) -> None:
        """Return reserved bytes."""
        if amount <= 0:
            return
        with self._lock:
            self._free = min(self.size, self._free + amount)
            self._serve()

    def exceed(self, amount: int) -> None:
        """Take bytes that are already in memory: an answer was larger than what had been reserved for it."""
        with self._lock:
            self._free -= amount

    def _serve(self) -> None:
        while self._queue and self._queue[0].wanted <= self._free:
            waiter = self._queue.popleft()
            self._free -= waiter.wanted
            waiter.served = True
            waiter.opens.release()
