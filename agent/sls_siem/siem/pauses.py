"""How long to pause before an address of the SIEM is tried again; values only, nobody sleeps here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pauses:
    """A row of growing pauses.

    Args:
        first_s: the first pause, in seconds; each further one is twice as long.
        longest_s: no pause is longer.
        jitter: draw each pause evenly from 0 up to its length ("full jitter"), so that many lanes do not return at
            the same instant.
    """

    first_s: float
    longest_s: float
    jitter: bool

    def pause_s(self, failures: int, random: Callable[[], float]) -> float:
        """Tell the pause after so many failures in a row (1 or more); `random` gives numbers from 0 up to 1."""
        full = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return full * random() if self.jitter else full


RETRY = Pauses(0.5, 30.0, jitter=True)
"""For what passes by itself: an outage, a busy receiver."""

HOLD = Pauses(1.0, 30.0, jitter=False)
"""For what somebody must repair: a refused token, a wrong index. Short at first, so that a rotation costs little."""
