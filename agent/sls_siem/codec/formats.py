"""The formats of an event: what every one of them offers, and how one is chosen.

A format turns a log into the bytes of a message. It knows escapes and the names of members; it does not know what is
put around the message, and where that may end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sls_siem.codec.wire import GroupMeta, Log


@dataclass(frozen=True)
class Marks:
    """What the event itself has to carry because nothing around it does.

    Args:
        id_field: name of the member that holds the event id; empty: none.
        replay: add the member `sls_replay` with the value `1`.
    """

    id_field: bytes = b""
    replay: bool = False


class GroupFormat(Protocol):
    """Writes the logs of one group; not shared between threads."""

    def message(self, log: Log, ident: bytes) -> bytes:
        """Write the event as a message."""
        ...

    def json_value(self, log: Log, ident: bytes) -> bytes:
        """Write the event as one JSON value without CR and LF, never empty (`event` of a HEC envelope)."""
        ...

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        """Write the event as a message of at most `room` bytes."""
        ...


class EventFormat(Protocol):
    """A format as configured; thread-safe."""

    def open(self, meta: GroupMeta) -> GroupFormat:
        """Prepare for the logs of one group."""
        ...

    def boundary(self, text: bytes, start: int, end: int) -> int:
        """Find the last place not after `end` where a message may be cut (`text.boundary`)."""
        ...


REPLAY = b"sls_replay"
