"""Cut a run of written events into payloads, and give each the span of its events.

A payload is full when another event, with the separator before it, would make it longer than the limit; a longer
event goes alone. A payload also ends before an event that may not be sent and at the end of the batch. Where a
payload holds one piece only (datagrams), an event that was split gives several: the last of them counts the event,
those before it count none.

An event that is left out counts as part of the payload that is being filled and takes no room in it; where all are
left out, the payload is empty.
"""

from __future__ import annotations

from sls_siem.codec.model import Batch, Encoded, Oversize, Payload, Span
from sls_siem.codec.writers import TooLong, Writer, Written


class Packer:
    """Packs the events of one batch.

    Args:
        batch: tells how positions are counted.
        writer: the output.
        limit: most bytes of a payload.
    """

    def __init__(self, batch: Batch, writer: Writer, limit: int) -> None:
        self._batch = batch
        self._separator = writer.separator
        self._gap = len(writer.separator)
        # A payload of one piece is full whatever comes.
        self._limit = 0 if writer.one_each else limit
        self._ready: list[Encoded] = []
        self._pieces: list[bytes] = []
        self._size = self._raw = self._events = 0
        self._begin = self._end = self._skip = 0
        self._omitted: list[int] = []
        self._here = self._beyond = self._before = 0

    def enter(self, group: int, before: int) -> None:
        """Go on with another group.

        Args:
            group: its place in the batch.
            before: number of events in the groups before it.
        """
        batch = self._batch
        if batch.regrouped:
            self._here, self._beyond, self._before = batch.position, batch.next_position, before
        else:
            self._here = batch.position + group
            self._beyond = self._here + 1

    def add(self, place: int, written: Written, raw: int) -> bool:
        """Add an event of the present group and tell whether something is ready.

        Args:
            place: its place in the group.
            written: as it goes out.
            raw: its size on the wire in bytes.
        """
        if isinstance(written, bytes):
            size = self._size + len(written)
            if self._pieces and size > self._limit:
                self._close()
                size = len(written)
            self._pieces.append(written)
            self._size = size + self._gap
            self._count(place, raw)
        elif written is None:
            self._omitted.append(self._events)
            self._count(place, raw)
        elif isinstance(written, TooLong):
            self._close()
            self._ready.append(Oversize(written.message, written.ident.decode(), self._span_of_one(place, 1)))
        else:
            self._close()
            self._ready += [Payload(piece, self._span_of_one(place, 0)) for piece in written[:-1]]
            self.add(place, written[-1], raw)
        return bool(self._ready)

    def take(self) -> list[Encoded]:
        """Take what is ready."""
        ready, self._ready = self._ready, []
        return ready

    def finish(self) -> list[Encoded]:
        """Take everything."""
        self._close()
        return self.take()

    def _count(self, place: int, raw: int) -> None:
        """Count an event as part of the payload."""
        if not self._events:
            self._begin = self._here
            self._skip = self._before + place
        self._raw += raw
        self._events += 1
        self._end = self._beyond

    def _span_of_one(self, place: int, events: int) -> Span:
        return Span(self._here, self._beyond, self._before + place, events)

    def _close(self) -> None:
        if self._events:
            span = Span(self._begin, self._end, self._skip, self._events)
            data = self._separator.join(self._pieces)
            self._ready.append(Payload(data, span, self._raw, tuple(self._omitted)))
            self._pieces = []
            self._omitted = []
            self._size = self._raw = self._events = 0
