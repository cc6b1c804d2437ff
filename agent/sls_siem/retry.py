"""When to try again: backoff with full jitter as a value, and what a peer's Retry-After asks for.

It neither sleeps nor counts; whoever waits does both, so that every wait can be announced and interrupted. Full
jitter because thousands of agents come back at the same moment after an outage: AWS Architecture Blog, "Exponential
Backoff And Jitter".
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from random import Random
from typing import Optional

LONGEST_RETRY_AFTER_S = 300.0


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow from `first_s` by `factor` to `cap_s`, each anywhere between nothing and its full length.

    Args:
        first_s: longest first pause, more than 0.
        cap_s: longest pause at all, at least `first_s`.
        factor: growth, at least 1.

    Raises:
        ValueError: an argument is out of range.
    """

    first_s: float
    cap_s: float
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s < math.inf:
            raise ValueError(f"first_s must be more than 0, not {self.first_s}")
        if not self.first_s <= self.cap_s < math.inf:
            raise ValueError(f"cap_s must be at least first_s = {self.first_s}, not {self.cap_s}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1, not {self.factor}")

    def longest(self, attempt: int) -> float:
        """Say how long the pause after failed attempt number `attempt`, counted from 0, may be at most."""
        if attempt < 0:
            raise ValueError(f"attempts are counted from 0, not {attempt}")
        try:
            return min(self.cap_s, self.first_s * self.factor**attempt)
        except OverflowError:
            return self.cap_s

    def delay(self, attempt: int, random: Random, *, retry_after_s: Optional[float] = None) -> float:
        """Draw the pause after a failed attempt, in seconds.

        Args:
            attempt: number of attempts that failed before this one, in a row.
            random: source of the jitter.
            retry_after_s: never less than this, which the peer asked for; at most `first_s` of jitter comes on top,
                so that those who were told the same do not come back together.
        """
        share = random.random()
        delay = share * self.longest(attempt)
        return delay if retry_after_s is None else max(delay, retry_after_s + share * self.first_s)


def parse_retry_after(
    value: Optional[str], *, clock: Callable[[], float] = time.time, longest_s: float = LONGEST_RETRY_AFTER_S
) -> Optional[float]:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3).

    Args:
        value: the header's value, None when there is none.
        clock: epoch seconds, for a date.
        longest_s: more than that is cut, so that a peer's mistake stops nobody for a day.

    Returns:
        Seconds from now, 0 to `longest_s`; None when there is no value that can be read.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:20]), longest_s)
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)  # the asctime form has no zone, and means GMT
        return min(max(at.timestamp() - clock(), 0.0), longest_s)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
