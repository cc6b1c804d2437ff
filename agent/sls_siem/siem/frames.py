"""Finds where frames end in a payload, so that a connection is never left in the middle of one."""

from __future__ import annotations

from collections.abc import Iterator


class Frames:
    """The frames of one payload, walked lazily and forwards only.

    Args:
        data: whole frames, as the codec made them.
        framing: `lf` or `octet-counting` (RFC 6587, sections 3.4.1 and 3.4.2).
    """

    def __init__(self, data: bytes, framing: str) -> None:
        self._data = data
        self.size = len(data)
        self._counted = framing == "octet-counting"
        self._end = 0

    def end_at_or_after(self, place: int) -> int:
        """Tell the first place, not before the given one, where a frame ends; 0 counts as one."""
        if not self._counted and place > self._end:
            self._end = self._data.find(b"\n", place - 1) + 1 or len(self._data)
        while self._end < place:
            self._end = _counted_end(self._data, self._end)
        return self._end


def counted_messages(data: bytes) -> Iterator[bytes]:
    """Yield the messages of an octet-counted payload, without their lengths."""
    place = 0
    while place < len(data):
        end = _counted_end(data, place)
        yield data[data.index(b" ", place) + 1 : end]
        place = end


def _counted_end(data: bytes, start: int) -> int:
    space = data.index(b" ", start)
    return space + 1 + int(data[start:space])
