"""What goes into the codec and what comes out: batches of raw log groups, payloads of SIEM bytes.

A *position* is the number inside an SLS cursor: it grows by one per log group of a shard. A *span* names a run of
events without holding their bytes, so that exactly these events can be pulled and sent again later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional, Protocol, Union

from sls_siem.errors import CodecError


class Kept(Protocol):
    """A LogGroupList that the compiled codec keeps, perhaps still compressed: it reads it there, anybody else takes
    `bytes` of it, which raises `ValueError` when it cannot be decompressed. Its length is what was announced until
    then."""

    def __len__(self) -> int: ...

    def __bytes__(self) -> bytes: ...


Body = Union[bytes, Kept]
"""LogGroupList in protobuf wire form."""


def whole(body: Body) -> bytes:
    """Give the whole of a LogGroupList.

    Raises:
        CodecError: it cannot be decompressed.
    """
    try:
        return bytes(body)
    except ValueError as exc:
        raise CodecError(f"log group list: {exc}") from exc


@dataclass(frozen=True)
class Batch:
    """One answer of PullLogs, not decoded.

    Args:
        shard: shard id.
        position: position of the first log group in `body` (with `regrouped`: the position that was asked for).
        next_position: position to ask for next; without `regrouped` it is `position + groups`.
        groups: number of log groups in `body`.
        body: the log groups.
        regrouped: the service ran a query or a processor, so groups in `body` have no position of their own.
        skip: so many events at the front of `body` are left out (they were settled before).
        limit: at most so many events after these are encoded; None means all.
        checked: the number of groups was compared with `body`; otherwise it may prove wrong when all before has been
            encoded, and each of these groups then had another one's position.
    """

    shard: int
    position: int
    next_position: int
    groups: int
    body: Body
    regrouped: bool = False
    skip: int = 0
    limit: Optional[int] = None
    checked: bool = True


class Span(NamedTuple):
    """A run of consecutive events of a shard.

    Args:
        start: position to pull from (the group of the first event; with `regrouped`, the batch's position).
        end: position to pull up to, exclusive (one past the group of the last event; with `regrouped`, the
            batch's next position).
        skip: events between `start` and the first event of the run.
        events: number of events in the run.
    """

    start: int
    end: int
    skip: int
    events: int


@dataclass(frozen=True)
class Payload:
    """Bytes ready for the SIEM: the body of one HEC request, or a run of whole syslog frames.

    Args:
        data: the events, back to back, each as the output's `split` finds it again.
        span: the events that `data` holds, and those between and around them that were left out.
        raw_bytes: size of these events' share of the batch body in bytes (an estimate, for throughput figures).
        omitted: places in the span of the events that a filter left out: they gave no byte. When it left out all of
            them, `data` is empty and there is nothing to send.
    """

    data: bytes
    span: Span
    raw_bytes: int = 0
    omitted: tuple[int, ...] = ()

    @property
    def events(self) -> int:
        """Number of events in `data`."""
        return self.span.events - len(self.omitted)

    def place_of(self, index: int) -> int:
        """Find the place in the span of the event with this index in `data`."""
        for omitted in self.omitted:
            if omitted > index:
                break
            index += 1
        return index


@dataclass(frozen=True)
class Oversize:
    """One event that may not be sent because `syslog.oversize = "dead-letter"` and its frame is too long.

    Args:
        event: the whole event as it would have been sent (message part only, no frame).
        event_id: as `interface.md` defines it.
        span: this one event.
    """

    event: bytes
    event_id: str
    span: Span


Encoded = Union[Payload, Oversize]


class Encoder(Protocol):
    """Turns batches into payloads: pure, thread-safe, deterministic."""

    def encode(self, batch: Batch) -> Iterator[Encoded]:
        """Yield the batch's events as payloads, lazily and in order, each cut at the output's batch size.

        Raises:
            CodecError: a group cannot be walked; everything before that group has been yielded.
        """
        ...

    def split(self, data: bytes) -> list[bytes]:
        """Cut a payload's data back into its events (slow path: after a partial accept)."""
        ...

    def event_id(self, batch: Batch, ordinal: int) -> str:
        """Name the event with the given ordinal, counted from 0 over all events of `batch.body` (slow path)."""
        ...
