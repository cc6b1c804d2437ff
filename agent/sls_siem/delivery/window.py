"""The window: how many pulled bytes one process may hold that were not yet handed to the SIEM."""

from __future__ import annotations

import itertools
import threading
from bisect import insort


class _Waiter:
    """A thread that waits for room; its lock opens when it was served, and wakes no other thread."""

    def __init__(self, wanted: int, number: int) -> None:
        self.wanted = wanted
        self.number = number
        self.served = False
        self.opens = threading.Lock()
        self.opens.acquire()

    def __lt__(self, other: _Waiter) -> bool:
        return self.number < other.number


class Window:
    """A budget of bytes shared by all shards; whoever waits longest is served first, with short breaks or without.

    Args:
        size: bytes in all (`delivery.window_bytes`).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._queue: list[_Waiter] = []
        self._numbers = itertools.count()
        self._kept: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        with self._lock:
            return self.size - self._free

    def reserve(self, wanted: int, timeout_s: float, *, shard: int) -> bool:
        """Take `wanted` bytes (at most the whole window) out of the budget, waiting for at most `timeout_s`.

        A shard that was not served keeps its place among those that wait for when it asks again.
        """
        with self._lock:
            number = self._kept.pop(shard, None)
            waiter = _Waiter(min(wanted, self.size), next(self._numbers) if number is None else number)
            insort(self._queue, waiter)
            self._serve()
            if waiter.served:
                return True
        waiter.opens.acquire(timeout=timeout_s)
        with self._lock:
            if not waiter.served:
                self._kept[shard] = waiter.number
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
            waiter = self._queue.pop(0)
            self._free -= waiter.wanted
            waiter.served = True
            waiter.opens.release()
