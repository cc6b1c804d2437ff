"""When an emulator's process ends: told by a signal, or left alone by whoever started it."""

from __future__ import annotations

import os
import selectors
import signal
from typing import final

_STDIN = 0


@final
class Ending:
    """SIGTERM and SIGINT are heeded from here on.

    A handler only writes to a pipe: whatever takes a lock could find it taken by the code that it interrupts.
    """

    def __init__(self) -> None:
        self._told, tell = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: os.write(tell, b"x"))

    def wait(self, *, with_stdin: bool = True) -> None:
        """Wait for one of the signals or, when wanted, for the end of standard input.

        So an emulator never outlives a test that was killed.
        """
        with selectors.PollSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            if with_stdin:
                selector.register(_STDIN, selectors.EVENT_READ)
            while True:
                for ready, _ in selector.select():
                    # Not through sys.stdin, which reads ahead.
                    if ready.fd == self._told or not os.read(_STDIN, 4096):
                        return
