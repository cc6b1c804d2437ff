"""One deadline over many steps, so that no exchange can outlive the time its caller announced to the watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable


class DeadlineExceeded(TimeoutError):  # noqa: N818 - reads as what happened, as `socket.timeout` does
    """The time for the whole of an exchange is used up."""


class Deadline:
    """A point on the monotonic clock.

    Args:
        seconds: time from now.
        clock: seconds of a clock that never goes back.
    """

    __slots__ = ("_clock", "_end", "seconds")

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds that are left, always more than 0.

        Raises:
            DeadlineExceeded: none are left.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise DeadlineExceeded(f"not done within {self.seconds:.3g} s")
        return left

    def capped(self, seconds: float) -> Deadline:
        """Make a deadline that ends after `seconds`, but never later than this one.

        Raises:
            DeadlineExceeded: this one is over.
        """
        return Deadline(min(seconds, self.remaining()), clock=self._clock)
