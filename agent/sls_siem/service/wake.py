"""Wakes a main loop, out of a thread or a signal handler."""

from __future__ import annotations

import contextlib
import queue
from typing import final


@final
class Wake:
    """What a main loop waits for.

    `threading.Event` will not do where a signal handler calls: its lock is not reentrant, and a handler that runs while
    the loop itself holds it, on its way into or out of `wait`, waits for ever. The `put` of a `queue.SimpleQueue` may
    be called from anywhere (Python's documentation of queue, "SimpleQueue objects").
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the wait, or the next one."""
        self._calls.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until woken, at most so long; says whether it was. All calls until now count as one."""
        woken = False
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=seconds)
            woken = True
            while True:
                self._calls.get_nowait()
        return woken
