"""How long to pause before an address of the SIEM is tried again; values only, nobody sleeps here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sls_siem.retry import Backoff


@dataclass(frozen=True)
class Pauses:
    """A row of growing pauses.

    Args:
        backoff: their lengths.
        jitter: draw each pause evenly from 0 up to its length, so that many lanes do not return at the same instant.
    """

    backoff: Backoff
    jitter: bool = True

    def pause_s(self, failures: int, random: Callable[[], float]) -> float:
        """Tell the pause after so many failures in a row (1 or more); `random` gives numbers from 0 up to 1."""
        longest = self.backoff.longest(failures - 1)
        return longest * random() if self.jitter else longest


RETRY = Pauses(Backoff(0.5, 30.0))
"""For what passes by itself: an outage, a busy receiver."""

HOLD = Pauses(Backoff(1.0, 30.0), jitter=False)
"""For what somebody must repair: a refused token, a wrong index. Short at first, so that a rotation costs little."""
