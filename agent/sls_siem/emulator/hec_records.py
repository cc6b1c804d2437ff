"""What passes between the parts of a HEC emulator: one request, the record of one, the sums over all."""

from __future__ import annotations

import re
import time
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


_ID = re.compile(rb'"sls_id": ?"([^"]*)"')
_NEAR = 4096
"""The id of a request's last event lies within so many bytes of its end, if the event is not longer."""


@dataclass(frozen=True)
class Trace:
    """When a request was there as a whole (epoch seconds), and the ids of its first and last event."""

    at: float
    first: str
    last: str


def trace_of(body: Union[bytes, bytearray], size: int) -> Trace:
    """Look at the two ends of a plain body, of which only `size` bytes count."""
    first = _ID.search(body, 0, size)
    at_the_end = list(_ID.finditer(body, max(0, size - _NEAR), size))
    ends = (first, at_the_end[-1] if at_the_end else first)
    return Trace(time.time(), *("" if found is None else found[1].decode("latin-1") for found in ends))
