"""A wall clock that can be stepped under running agents: libfaketime, from Debian's package, in front of the C library.

Only CLOCK_REALTIME is moved, as `clock_settime` moves it: waits, leases and deadlines run on other clocks.
"""

from __future__ import annotations

from pathlib import Path

from tests.receivers.install import install


class Clock:
    """The wall clock of one schedule's agents.

    Args:
        path: file that says how far it is off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.step(0.0)

    def step(self, seconds: float) -> None:
        """Let it be so far from the truth, from now on."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_text(f"{seconds:+.1f}\n")
        fresh.replace(self._path)

    def environ(self) -> dict[str, str]:
        """What makes a new process live by it.

        Raises:
            UnavailableError: the library is not to be had.
        """
        library = next(install("faketime").root.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            # Its own correction of waits on the monotonic clock has them end at once: every wait for the interpreter's
            # lock spins.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
