"""The addresses of the SIEM, which of them may be tried now, and one log line for each change of their health.

Shared by all lanes. It knows no protocol: a lane tells it how an exchange ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from sls_siem.siem.output import EndpointState
from sls_siem.siem.pauses import RETRY, Pauses

LOG = logging.getLogger(__name__)
ERROR_TEXT = 300


@dataclass(frozen=True)
class Failure:
    """How an exchange failed.

    Args:
        reason: short fixed word, as in `sls_siem_retries_total{reason}`.
        message: what failed and what to do; no secret in it.
        pauses: how to space the attempts that follow.
        retry_after_s: what the peer asked for; None when it asked for nothing.
    """

    reason: str
    message: str
    pauses: Pauses = RETRY
    retry_after_s: Optional[float] = None


@dataclass(frozen=True)
class Choice:
    """What a lane may do now.

    Args:
        index: number of the address to try, counted from 0.
        wait_s: seconds until it may be tried; 0 means now.
        returning: it failed before and its pause is over.
        why: its last error.
    """

    index: int
    wait_s: float
    returning: bool
    why: str


class _Address:
    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.generation = 0
        self.reason = ""
        self.error = ""
        self.free_at = 0.0
        self.down_since = 0.0


class Rotation:
    """Health of every configured address; thread-safe.

    Args:
        urls: as configured, without user information, at least one.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1, for the jitter.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._addresses = [_Address(url) for url in urls]
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._addresses)

    def url(self, index: int) -> str:
        """The address's URL."""
        return self._addresses[index].url

    def choose(self, first: int) -> Choice:
        """Pick the address to try: the first, counted round from `first`, that is up or whose pause is over.

        Without any, the one whose pause ends first.
        """
        preferred = self._addresses[first]
        if not preferred.failures and not preferred.free_at:  # the usual case, without the lock
            return Choice(first, 0.0, returning=False, why="")
        with self._lock:
            now = self._clock()
            order = [(first + step) % len(self._addresses) for step in range(len(self._addresses))]
            index = min(order, key=lambda each: max(0.0, self._addresses[each].free_at - now))
            address = self._addresses[index]
            wait_s = max(0.0, address.free_at - now)
            return Choice(index, wait_s, returning=address.failures > 0, why=address.error)

    def claim(self, index: int, seconds: float) -> bool:
        """Reserve an address that returns for one lane's look at it; False when another lane has it already."""
        with self._lock:
            address = self._addresses[index]
            now = self._clock()
            if address.free_at > now:
                return False
            address.free_at = now + seconds
            return True

    def generation(self, index: int) -> int:
        """Number that `failed` wants back, to be asked for before an exchange."""
        return self._addresses[index].generation

    def failed(self, index: int, generation: int, failure: Failure) -> None:
        """Take the address out until its pause is over.

        Args:
            index: of the address.
            generation: as it was when the exchange began: of exchanges that fail together only one counts.
            failure: what happened.
        """
        with self._lock:
            address = self._addresses[index]
            now = self._clock()
            counts = generation == address.generation
            if counts:
                address.generation += 1
                address.failures += 1
                address.free_at = now + failure.pauses.pause_s(address.failures, self._random)
            if failure.retry_after_s is not None:
                address.free_at = max(address.free_at, now + failure.retry_after_s)
            if not counts:
                return
            news = failure.reason != address.reason
            if not address.reason:
                address.down_since = now
            address.reason = failure.reason
            address.error = failure.message[:ERROR_TEXT]
            url, error = address.url, address.error
        if news:
            LOG.warning("%s: %s", url, error)

    def worked(self, index: int) -> None:
        """The address took what was sent to it."""
        address = self._addresses[index]
        if not address.failures and not address.reason:  # the usual case, without the lock
            return
        with self._lock:
            was_down = bool(address.reason)
            down_s = self._clock() - address.down_since
            address.failures = 0
            address.reason = address.error = ""
            address.free_at = 0.0
        if was_down:
            LOG.info("%s: works again after %.0f s", address.url, down_s)

    def states(self) -> tuple[EndpointState, ...]:
        """Tell the health of every address; one that was never tried counts as up."""
        with self._lock:
            return tuple(EndpointState(each.url, not each.reason, each.error) for each in self._addresses)
