"""The addresses of the SIEM, which of them may be tried now, and one log line for each change of their health.

Their health is shared by all lanes, and so is the pause after a failure, until any lane gets through. A lane that fails
while others get through (a receiver that takes no more connections) has failed more often in a row than the address
has; it paces itself by its own failures, so each lane has its own `Attempts`. It knows no protocol: a lane tells how an
exchange ended.
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
LONGEST_LOOK_S = 5.0
"""A lane in a pause of its own notices within so long that the address has recovered."""

BESIDE = 4.0
"""An address that does not answer is left alone for so many times what the last look at it took."""

QUIET_S = 30.0
"""A lane that did not fail again for so long after its pause is not refused any more, or went elsewhere."""


@dataclass(frozen=True)
class Failure:
    """How an exchange failed.

    Args:
        reason: short fixed word, as in `sls_siem_retries_total{reason}`.
        message: what failed and what to do; no secret in it.
        pauses: how to space the attempts that follow.
        retry_after_s: the least pause, as the peer asked for it or a look without an answer makes it; None for none.
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
        wait_s: seconds until to choose again; 0 means that it may be tried now.
        returning: it failed before and its pause is over.
        why: its last error.
    """

    index: int
    wait_s: float
    returning: bool
    why: str


class _Address:
    """What all lanes know of one address.

    Attributes:
        failures: in a row, of all lanes together.
        generation: number of failures that counted.
        reason, error: of the failure that was told; empty when it works.
        free_at: end of everybody's pause.
        down_since: time of the first failure that was told.
        quiet_at: the latest of all lanes'.
        recoveries: how often it worked again after an outage.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.generation = 0
        self.reason = ""
        self.error = ""
        self.free_at = 0.0
        self.down_since = 0.0
        self.quiet_at = 0.0
        self.recoveries = 0


class _Own:
    """What one lane has met with at one address.

    Attributes:
        failures: in a row.
        error: the last one.
        free_at: end of its own pause, unless the address has recovered since.
        quiet_at: when `QUIET_S` have passed since its last pause.
        recoveries: of the address, when the lane failed last.
        works: the last exchange worked.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.error = ""
        self.free_at = 0.0
        self.quiet_at = 0.0
        self.recoveries = 0
        self.works = False

    def pause_ends(self, address: _Address) -> float:
        """Tell when the lane may try the address."""
        forgiven = self.recoveries != address.recoveries
        return address.free_at if forgiven else max(address.free_at, self.free_at)


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

    def url(self, index: int) -> str:
        """The address's URL."""
        return self._addresses[index].url

    def least_pause_s(self, index: int, spent_s: float) -> float:
        """Tell the least pause behind a look of so many seconds without an answer: a lane belongs to those that work.

        Where none does, nothing is lost by looking.
        """
        with self._lock:
            another_works = any(not each.failures for each in self._addresses if each is not self._addresses[index])
        return BESIDE * spent_s if another_works else 0.0

    def attempts(self) -> Attempts:
        """Make what one lane needs."""
        return Attempts(self._addresses, self._clock, self._random, self._lock)

    def states(self) -> tuple[EndpointState, ...]:
        """Tell the health of every address; one that was never tried counts as up."""
        with self._lock:
            return tuple(EndpointState(each.url, not each.failures, each.error) for each in self._addresses)


class Attempts:
    """One lane's attempts at the addresses; used by one thread.

    Args:
        addresses: shared.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1, for the jitter.
        lock: of the addresses.
    """

    def __init__(
        self,
        addresses: Sequence[_Address],
        clock: Callable[[], float],
        random: Callable[[], float],
        lock: threading.Lock,
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._random = random
        self._lock = lock
        self._own = [_Own() for _ in addresses]

    def url(self, index: int) -> str:
        """The address's URL."""
        return self._addresses[index].url

    def choose(self, first: int) -> Choice:
        """Pick the address to try: the first, counted round from `first`, that is up or whose pause is over.

        Without any, the one whose pause ends first.
        """
        preferred = self._addresses[first]
        if not (preferred.failures or preferred.free_at or self._own[first].failures):  # mostly so; without the lock
            return Choice(first, 0.0, returning=False, why="")
        with self._lock:
            now = self._clock()
            order = [(first + step) % len(self._addresses) for step in range(len(self._addresses))]
            waits_s = {each: max(0.0, self._own[each].pause_ends(self._addresses[each]) - now) for each in order}
            index = min(order, key=waits_s.__getitem__)
            address, own = self._addresses[index], self._own[index]
            wait_s = min(waits_s[index], max(address.free_at - now, LONGEST_LOOK_S))
            returning = address.failures > 0 or own.failures > 0
            return Choice(index, wait_s, returning, why=address.error or own.error)

    def claim(self, index: int, seconds: float) -> bool:
        """Reserve an address that returns for this lane's look at it; False when another lane has it already.

        One that works for others is not kept from them.
        """
        with self._lock:
            address = self._addresses[index]
            now = self._clock()
            if address.free_at > now:
                return False
            if address.failures:
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
            error = failure.message[:ERROR_TEXT]
            counts = generation == address.generation
            if counts:
                address.generation += 1
                address.failures += 1
                address.free_at = now + failure.pauses.pause_s(address.failures, self._random)
            if failure.retry_after_s is not None:
                address.free_at = max(address.free_at, now + failure.retry_after_s)
            self._failed_alone(index, failure, error, now)
            news = counts and failure.reason != address.reason
            if counts:
                if not address.reason:
                    address.down_since = now
                address.reason = failure.reason
                address.error = error
        if news:
            LOG.warning("%s: %s", address.url, error)

    def _failed_alone(self, index: int, failure: Failure, error: str, now: float) -> None:
        """Pause for longer than all do when this lane failed more often in a row than the address, as all see it."""
        address, own = self._addresses[index], self._own[index]
        own.failures = own.failures + 1 if now < own.quiet_at else 1
        own.error = error
        own.works = False
        own.recoveries = address.recoveries
        own.free_at = 0.0
        if own.failures > address.failures:
            own.free_at = now + failure.pauses.pause_s(own.failures, self._random)
        own.quiet_at = own.pause_ends(address) + QUIET_S
        address.quiet_at = max(address.quiet_at, own.quiet_at)

    def worked(self, index: int) -> None:
        """The address took what was sent to it.

        That it works again is news from a lane that had failed or is new there. Where it worked all the time, it is
        news when no other lane fails any more.
        """
        address, own = self._addresses[index], self._own[index]
        if not (address.failures or address.reason or own.failures):  # the usual case, without the lock
            own.works = True
            return
        with self._lock:
            now = self._clock()
            news = bool(address.reason) and (not own.works or now >= address.quiet_at)
            own.works = True
            own.failures = 0
            own.free_at = 0.0
            address.failures = 0
            address.free_at = 0.0
            if news:
                address.recoveries += 1
                address.reason = address.error = ""
        if news:
            LOG.info("%s: works again after %.0f s", address.url, now - address.down_since)
