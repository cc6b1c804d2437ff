"""What the process knows about its own well-being: threads that move, waits with a reason, the last errors.

The watchdog is fed only while every thread has moved, or is in a wait that it announced and that has not run out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Optional

STALL_S = 30.0
SLACK_S = 10.0
ERROR_TEXT = 800
"""Room for the longest words of SLS or of the SIEM, and for what to do, which stands behind them."""
NEWEST_ERRORS = 7


class Pulse:
    """Sign of life of one thread.

    Args:
        name: the thread's name.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._deadline = clock() + STALL_S
        self._why = ""

    def moved(self) -> None:
        """The thread finished a step."""
        self._why = ""
        self._deadline = self._clock() + STALL_S

    def waiting(self, seconds: float, why: str) -> None:
        """The thread starts a wait, or one exchange, that ends by itself within `seconds`."""
        self._why = why
        self._deadline = self._clock() + seconds + SLACK_S

    @property
    def why(self) -> str:
        """What the thread waits for, empty while it moves."""
        return self._why

    def stuck(self) -> bool:
        """The thread neither moved nor is in a wait that has not run out."""
        return self._clock() > self._deadline


class Health:
    """Registry of pulses, holds and errors of one process; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pulses: dict[str, Pulse] = {}
        self._holds: dict[str, str] = {}
        self._first_error: Optional[str] = None
        self._newest: deque[str] = deque(maxlen=NEWEST_ERRORS)
        self._last_error_at: Optional[float] = None

    def pulse(self, name: str) -> Pulse:
        """Register a thread that starts now."""
        pulse = Pulse(name, self._clock)
        with self._lock:
            self._pulses[name] = pulse
        return pulse

    def ended(self, pulse: Pulse) -> None:
        """The thread ended as planned."""
        with self._lock:
            if self._pulses.get(pulse.name) is pulse:
                del self._pulses[pulse.name]

    def stuck(self) -> tuple[str, ...]:
        """Names of threads that neither move nor wait within their word."""
        with self._lock:
            return tuple(f"{name} ({pulse.why or 'busy'})" for name, pulse in self._pulses.items() if pulse.stuck())

    def hold(self, who: str, why: str) -> None:
        """Note that `who` (such as `shard 3`) cannot go on, and why."""
        with self._lock:
            self._holds[who] = why[:ERROR_TEXT]

    def release(self, who: str) -> None:
        """`who` goes on."""
        if who in self._holds:  # asked after every payload
            with self._lock:
                self._holds.pop(who, None)

    def holds(self) -> dict[str, str]:
        """Everyone who cannot go on, with the reason."""
        with self._lock:
            return dict(self._holds)

    def error(self, text: str) -> None:
        """Remember an error: the first is kept for good, of the others the newest seven."""
        text = text[:ERROR_TEXT]
        with self._lock:
            self._last_error_at = time.time()
            if self._first_error is None:
                self._first_error = text
            elif not self._newest or self._newest[-1] != text:
                self._newest.append(text)

    @property
    def last_error_at(self) -> Optional[float]:
        """When the newest error came (epoch seconds)."""
        with self._lock:
            return self._last_error_at

    def errors(self) -> list[str]:
        """Return the first error and the newest ones."""
        with self._lock:
            return ([self._first_error] if self._first_error is not None else []) + list(self._newest)
