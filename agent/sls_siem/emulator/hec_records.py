"""What passes between the parts of a HEC emulator: one request, the record of one, the sums over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from sls_siem.emulator.hec_http import Head


@dataclass(frozen=True)
class RequestRecord:
    """One request that was answered, or struck by a fault.

    Args:
        number: counted from 1 over all connections.
        at_s: CLOCK_BOOTTIME when its first byte was there.
        method: as sent.
        path: as sent, without query.
        status: HTTP status of the answer; 0 when none was sent.
        code: HEC code of the answer; -1 when it has none.
        events: events stored with it.
        size: bytes of its body as sent.
        channel: as sent; "" when none was.
        fault: kind of the fault that struck it; "" for none.
        peer: the client's address as "host:port".
    """

    number: int
    at_s: float
    method: str
    path: str
    status: int
    code: int
    events: int
    size: int
    channel: str
    fault: str
    peer: str = ""


@dataclass(frozen=True)
class Counters:
    """What a collector has seen so far.

    Args:
        requests: requests whose head was read.
        events: events taken (sink mode: needles counted).
        wire_bytes: bytes of bodies as sent.
        content_bytes: bytes of bodies after decompression (sink mode without `sink_inflate`: as sent).
        skipped: objects with `fields` and without `event`, taken by a 200 and stored nowhere.
        trapped_requests: requests answered 200 of which the rest was dropped for an unknown envelope key: each one is
            a bug of the sender.
        refused: answers with a code other than 0, 17, 24, 25.
        lost_in_crash: events accepted and lost by `crash`.
    """

    requests: int = 0
    events: int = 0
    wire_bytes: int = 0
    content_bytes: int = 0
    skipped: int = 0
    trapped_requests: int = 0
    refused: int = 0
    lost_in_crash: int = 0


@dataclass(frozen=True)
class Request:
    """One request with its body.

    Args:
        number: counted from 1 over all connections.
        head: request line and headers.
        body: as sent; valid until the connection's next request.
        generation: of each indexer when the head was there.
    """

    number: int
    head: Head
    body: Union[bytes, memoryview]
    generation: tuple[int, ...]

    @property
    def channel(self) -> str:
        """The data channel as sent, "" when none was."""
        return self.head.headers.get("x-splunk-request-channel") or self.head.query.get("channel", "")
