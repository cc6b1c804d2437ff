"""The seam between formats and outputs inside the codec: what is put around a message.

A writer knows the envelope or the frame of one output, and what happens to a message that is too long for it. It
knows no escapes but those of its own header, no positions and no batches.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, Union

from sls_siem.codec.wire import GroupMeta, Log


class TooLong(NamedTuple):
    """A message that may not be sent, by policy."""

    message: bytes
    ident: bytes


Written = Union[bytes, list[bytes], TooLong, None]
"""What has to be sent as a piece; or several pieces that may not share a payload; or what may not be sent; or nothing,
of an event that is left out."""


class GroupWriter(Protocol):
    """Writes the logs of one group; not shared between threads."""

    def write(self, log: Log, ident: bytes) -> Written:
        """Write one log as it goes out."""
        ...


class Writer(Protocol):
    """An output as configured; thread-safe.

    Attributes:
        separator: what stands between two events of a payload.
        one_each: a payload holds one piece only.
    """

    separator: bytes
    one_each: bool

    def open(self, meta: GroupMeta) -> GroupWriter:
        """Prepare for the logs of one group."""
        ...

    def split(self, data: bytes) -> list[bytes]:
        """Cut a payload's data back into its pieces."""
        ...
