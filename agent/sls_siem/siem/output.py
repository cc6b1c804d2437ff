"""The seam between delivery and the SIEM: what every output (HEC, syslog, RELP, UDP) looks like from above.

An `Output` is the SIEM as configured. It opens one `Lane` per shard: one connection, one order, one owner thread.
A lane takes payloads and later reports, by the token that came with each, which of them are settled (taken in the
strongest way the protocol, as configured, can say) and which are lost and must be pulled and sent again. It holds
no event bytes once `send` has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Protocol, Union

from sls_siem.codec.model import Payload

Token = object
"""Whatever the caller wants to see again; compared by identity."""


@dataclass(frozen=True)
class Report:
    """What a lane learned since it was last asked.

    Args:
        settled: tokens of payloads that are settled, in the order in which that became known.
        lost: tokens of payloads that were handed over but must be sent again.
        in_order: the connection broke: everything `lost` must go out again before any payload not yet sent.
    """

    settled: tuple[Token, ...] = ()
    lost: tuple[Token, ...] = ()
    in_order: bool = False


@dataclass(frozen=True)
class Rejection:
    """One event that the SIEM proved it will never take.

    Args:
        payload: the payload it was part of.
        index: its place among `payload`'s events, counted from 0.
        reason: short fixed word, such as `invalid-event`, `too-large`, `incorrect-index`.
        answer: the receiver's own words, bounded, without secrets.
    """

    payload: Payload
    index: int
    reason: str
    answer: str


class Gate(Protocol):
    """What a lane asks before it acts and while it waits; given by the owner of the lane's thread."""

    def before_send(self) -> None:
        """Return when a send may start now (lease valid, rate allowed). Call right before each request or write.

        Raises:
            Stopped: the owner wants the thread to end.
        """
        ...

    def stands_open(self) -> bool:
        """Tell whether `before_send` would return at once."""
        ...

    def wait(self, seconds: float, why: str) -> None:
        """Sleep, announced to the watchdog and shown in `status` as the thing waited for; ends early to stop.

        With 0 s it only shows what is waited for.

        Raises:
            Stopped: the owner wants the thread to end, or (not with 0 s) to leave this output.
        """
        ...

    def busy(self, seconds: float, why: str) -> None:
        """Announce that one blocking exchange starts that ends within `seconds` by its own deadline."""
        ...

    def retried(self, reason: str) -> None:
        """Count one retry (`sls_siem_retries_total{reason}`)."""
        ...

    def reject(self, rejection: Rejection) -> None:
        """Make the event a durable dead letter, or hold, as configured; returns once it counts as settled.

        Raises:
            Stopped: the owner wants the thread to end; the event is not settled.
        """
        ...


class Lane(Protocol):
    """One ordered way to the SIEM; used by one thread only."""

    def send(self, payload: Payload, token: Token) -> Report:
        """Hand a payload over, retrying for ever with backoff.

        The returned report may already name `token` as settled, or, when a connection broke, as lost.

        Raises:
            Stopped: the gate said stop; `token` and everything unreported counts as not settled.
        """
        ...

    def poll(self) -> Report:
        """Find out, without blocking for longer than one exchange, what has settled or was lost meanwhile.

        Raises:
            Stopped: the gate said stop.
        """
        ...

    def next_poll_s(self) -> Optional[float]:
        """Seconds until `poll` has something to do; None when nothing is pending."""
        ...

    def finish(self, deadline_s: float) -> Report:
        """Stop sending and learn as much as `deadline_s` allows: half-close and wait for the peer's FIN, or wait
        for outstanding acks. Ends at once when nothing is pending. Never raises."""
        ...

    def close(self) -> None:
        """Drop the connection; whatever was pending stays unsettled. Never raises."""
        ...


@dataclass(frozen=True)
class EndpointState:
    """Health of one address of the SIEM, for `status` and `sls_siem_siem_up`.

    Args:
        url: as configured, without user information.
        up: the last exchange with it worked.
        last_error: bounded text, empty when there was none; that of a lane that still fails while others get through.
    """

    url: str
    up: bool
    last_error: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """One line of `check --connect` about the SIEM.

    Args:
        ok: nothing to be done.
        subject: what was looked at, such as the URL.
        text: what was found and, unless ok, what to do.
        facts: machine-readable details for `--json`.
    """

    ok: bool
    subject: str
    text: str
    facts: dict[str, Union[str, int, float, bool]] = field(default_factory=dict)


class Output(Protocol):
    """The SIEM as configured; thread-safe, shared by all lanes."""

    def lane(self, shard: int, gate: Gate) -> Lane:
        """Make the way for one shard; connects on first use."""
        ...

    def endpoints(self) -> tuple[EndpointState, ...]:
        """Tell the health of every configured address."""
        ...

    def certificate_ends(self) -> Mapping[str, float]:
        """Tell when certificates end, in epoch seconds: by address those that were seen, and `client`, our own."""
        ...

    def probe(self, timeout_s: float) -> tuple[ProbeResult, ...]:
        """Try each address without sending an event (`check --connect`)."""
        ...

    def close(self) -> None:
        """Release what the lanes share. Never raises."""
        ...
