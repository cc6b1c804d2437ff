"""A lane's one connection: opened at the first address that works, dropped when it breaks, its health told once.

What is written over it, and what a break means for that, is the lane's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from sls_siem.siem.dialer import Dialer
from sls_siem.siem.output import Gate, Report
from sls_siem.siem.rotation import Attempts, Failure
from sls_siem.siem.stream import Peer, Stream


@dataclass(frozen=True)
class Problem:
    """Why a connection is no good.

    Args:
        reason: as in `sls_siem_retries_total{reason}`.
        message: what happened and what to do.
    """

    reason: str
    message: str


CLOSED = Problem("connection-lost", "the receiver closed the connection")


class Link:
    """The connection of one lane.

    Args:
        attempts: this lane's, at the addresses.
        dialers: one for each address, in their order.
        gate: told about attempts, asked to wait between them.
    """

    def __init__(self, attempts: Attempts, dialers: Sequence[Dialer], gate: Gate) -> None:
        self._attempts = attempts
        self._dialers = dialers
        self._gate = gate
        self._index = 0
        self._generation = 0
        self.stream: Optional[Stream] = None

    @property
    def url(self) -> str:
        """The address in use, or used last."""
        return self._attempts.url(self._index)

    def attempt(self) -> bool:
        """Try one address, or wait until one may be tried; True when connected.

        Raises:
            Stopped: the gate said stop.
        """
        choice = self._attempts.choose(0)
        if choice.wait_s > 0:
            self._gate.wait(choice.wait_s, f"{self._attempts.url(choice.index)}: {choice.why}")
            return False
        self._index = choice.index
        self._generation = self._attempts.generation(choice.index)
        dialer = self._dialers[choice.index]
        self._gate.busy(dialer.timeout_s, f"connecting to {self.url}")
        try:
            self.stream = Stream(dialer.dial())
        except OSError as exc:
            self._failed(Problem("connect", dialer.explain(exc)))
            return False
        return True

    def look(self) -> Optional[Problem]:
        """Look for the receiver's close or a break; reads and throws away what it sends."""
        if self.stream is None:
            return None
        try:
            return None if self.stream.look() is Peer.OPEN else CLOSED
        except OSError as exc:
            return self.broken(exc)

    def broken(self, exc: OSError) -> Problem:
        """Put into words what broke the connection."""
        return Problem("connection-lost", self._dialers[self._index].explain(exc, connected=True))

    def drop(self, problem: Problem) -> None:
        """The connection is no good: end it, and pause before the address is tried again."""
        self.abort()
        self._failed(problem)

    def abort(self) -> None:
        """End the connection at once, through no fault of the address."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.abort()

    def close(self) -> None:
        """End the connection in good order."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()

    def worked(self) -> None:
        """The address proved to work."""
        self._attempts.worked(self._index)

    def _failed(self, problem: Problem) -> None:
        self._attempts.failed(self._index, self._generation, Failure(problem.reason, problem.message))
        self._gate.retried(problem.reason)


def joined(first: Report, second: Report) -> Report:
    """Put two reports into one, the first one first."""
    return Report(first.settled + second.settled, first.lost + second.lost, first.in_order or second.in_order)
