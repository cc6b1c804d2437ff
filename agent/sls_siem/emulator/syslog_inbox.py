"""Where the frames of all connections of a syslog or RELP receiver end up: checked, counted, stored or refused.

It knows no socket; what a well-formed frame and its event id are is `syslog_parse`'s business.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from sls_siem.emulator.store import EventStore, now_s
from sls_siem.emulator.syslog_parse import SyslogFormatError, event_id, id_in, parse


@dataclass(frozen=True)
class SyslogSettings:
    """How the receiver behaves; every key may be changed while it runs, except `transport` and `receive_buffer`.

    Args:
        transport: "tcp" (TLS when the emulator is given a context) or "udp".
        framing: "auto", "lf" or "octet-counting".
        rfc: what each frame must follow: "5424", "3164", "auto", or "none" to store anything.
        strict_tag: see `syslog_parse.parse_rfc3164`.
        mode: "parse" checks and stores; "sink" counts bytes and `sink_needle`, stores nothing.
        sink_needle: what one event contains once; empty counts LF.
        max_frame_bytes: a longer frame ends its connection (TCP) or is malformed (UDP).
        keep_bytes: keep each frame's bytes in the store.
        on_peer_fin: after the sender's FIN everything is read, then: "close", "hold" (keep our side open) or "reset".
        close_delay_s: wait so long before that "close".
        receive_buffer: SO_RCVBUF in bytes, so that unread data piles up at the sender soon; 0 for the kernel's choice.
    """

    transport: str = "tcp"
    framing: str = "auto"
    rfc: str = "auto"
    strict_tag: bool = False
    mode: str = "parse"
    sink_needle: str = ""
    max_frame_bytes: int = 16 << 20
    keep_bytes: bool = False
    on_peer_fin: str = "close"
    close_delay_s: float = 0.0
    receive_buffer: int = 0


@dataclass(frozen=True)
class Malformed:
    """One frame that was not stored because it breaks its RFC or framing.

    Args:
        reason: where it breaks.
        frame: its first 1000 bytes.
        connection: number of its connection, 0 for UDP.
        at_s: CLOCK_BOOTTIME.
    """

    reason: str
    frame: bytes
    connection: int
    at_s: float


@dataclass(frozen=True)
class ConnectionRecord:
    """How one connection went.

    Args:
        number: counted from 1.
        peer: "host:port".
        frames: frames stored.
        size: bytes read.
        end: "peer-fin", "broken" (by the peer or the network), "ended" (by the emulator), "framing", or a fault's kind.
        partial: bytes of a last frame that never became whole (not stored).
        at_s: CLOCK_BOOTTIME at accept.
        ended_s: CLOCK_BOOTTIME at its end.
        caught_up_s: CLOCK_BOOTTIME when everything that had come was last read (syslog only): what was then thrown away
            unread had come later.
    """

    number: int
    peer: str
    frames: int
    size: int
    end: str
    partial: bytes
    at_s: float
    ended_s: float
    caught_up_s: float = 0.0


@dataclass(frozen=True)
class StreamCounters:
    """What a receiver has seen so far: bytes read, events stored (or counted, in sink mode), malformed frames."""

    bytes: int = 0
    events: int = 0
    malformed: int = 0


SettingsT = TypeVar("SettingsT", bound=SyslogSettings)


class Inbox(Generic[SettingsT]):
    """Where frames of all connections end up; thread-safe.

    Args:
        settings: see there.
        store: for what is well-formed.
    """

    def __init__(self, settings: SettingsT, store: EventStore) -> None:
        self.settings = settings
        self.store = store
        self.malformed: deque[Malformed] = deque(maxlen=10_000)
        self.connections: deque[ConnectionRecord] = deque(maxlen=100_000)
        self._lock = threading.Lock()
        self._counters = StreamCounters()

    @property
    def counters(self) -> StreamCounters:
        """Tell what was seen so far."""
        return self._counters

    def count(self, **more: int) -> None:
        """Add to counters."""
        with self._lock:
            sums = {name: getattr(self._counters, name) + value for name, value in more.items()}
            self._counters = dataclasses.replace(self._counters, **sums)

    def put(self, frames: list[bytes], *, connection: int, at_s: float) -> int:
        """Store the well-formed ones, in order; says how many."""
        events = []
        for frame in frames:
            try:
                events.append((self._id_of(frame), frame))
            except SyslogFormatError as exc:
                self.refuse(str(exc), frame, connection)
        if events:
            self.store.add(events, request=connection, at_s=at_s)
            self.count(events=len(events))
        return len(events)

    def refuse(self, reason: str, frame: bytes, connection: int) -> None:
        """Remember a frame that is not stored."""
        self.malformed.append(Malformed(reason, frame[:1000], connection, now_s()))
        self.count(malformed=1)

    def _id_of(self, frame: bytes) -> str:
        settings = self.settings
        if settings.rfc == "none":
            return id_in(frame)
        return event_id(parse(frame, settings.rfc, strict_tag=settings.strict_tag))

    def sink(self, buffer: bytearray, size: int) -> None:
        """Count what was read without looking at it."""
        needle = self.settings.sink_needle.encode() or b"\n"
        self.count(bytes=size, events=buffer.count(needle, 0, size))
