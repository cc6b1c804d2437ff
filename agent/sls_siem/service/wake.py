"""Wakes a main loop, out of a thread or a signal handler."""

from __future__ import annotations

import contextlib
import os
import select
from typing import final


@final
class Wake:
    """What a main loop waits for: a pipe, since nothing that takes a lock will do where a signal handler calls.

    The lock of `threading.Event` is not reentrant: a handler that runs while the loop itself holds it, on its way into
    or out of `wait`, waits for ever. `queue.SimpleQueue` may be put into anywhere, but its `get` was seen to wait for
    ever when its time was over before it began to wait (Python 3.9).
    """

    def __init__(self) -> None:
        self._told, self._tell = os.pipe()
        for end in (self._told, self._tell):
            os.set_blocking(end, False)
        self._poll = select.poll()
        self._poll.register(self._told, select.POLLIN)

    def __del__(self) -> None:
        for end in (self._told, self._tell):
            os.close(end)

    def set(self) -> None:
        """End the wait, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full: the next wait is ended all the more
            os.write(self._tell, b"\0")

    def wait(self, seconds: float) -> bool:
        """Wait until woken, at most so long; says whether it was. All calls until now count as one."""
        if not self._poll.poll(seconds * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._told, 4096):
                pass
        return True
