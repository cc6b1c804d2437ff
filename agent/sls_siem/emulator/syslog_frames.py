"""Cut a syslog byte stream into frames: octet counting (RFC 6587, RFC 5425), LF, or whichever each frame starts like.

Pure: bytes in, whole frames out, the rest kept for the next call.
"""

from __future__ import annotations

FRAMINGS = ("auto", "lf", "octet-counting")
_DIGITS = frozenset(b"123456789")


class FramingError(ValueError):
    """The stream cannot be cut any further."""


class Deframer:
    """The stream of one connection.

    Args:
        framing: one of `FRAMINGS`.
        max_frame_bytes: a longer frame breaks the stream.
    """

    def __init__(self, framing: str = "auto", *, max_frame_bytes: int = 16 << 20) -> None:
        if framing not in FRAMINGS:
            raise ValueError(f"no such framing: {framing!r}; there are {', '.join(FRAMINGS)}")
        self._framing = framing
        self._max = max_frame_bytes
        self.broken = ""
        self._rest = b""

    @property
    def partial(self) -> bytes:
        """What has come of a frame that is not whole yet."""
        return self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the frames they complete.

        When no frame starts where one should, or it is too long, `broken` says why from then on, and the frames before
        that place are still returned.
        """
        if self.broken:
            return []
        frames: list[bytes] = []
        try:
            self._cut(data, frames)
        except FramingError as exc:
            self.broken = str(exc)
        return frames

    def _cut(self, data: bytes, frames: list[bytes]) -> None:
        stream = self._rest + data if self._rest else data
        if self._framing == "lf":
            *whole, self._rest = stream.split(b"\n")
            frames += whole
        else:
            place = 0
            while place < len(stream):
                end = self._next(stream, place, frames)
                if end < 0:
                    break
                place = end
            self._rest = stream[place:]
        too_long = next((place for place, frame in enumerate(frames) if len(frame) > self._max), None)
        if too_long is not None:
            del frames[too_long:]
        if too_long is not None or len(self._rest) > self._max + 11:
            raise FramingError(f"a frame has more than {self._max} octets")

    def _next(self, stream: bytes, place: int, frames: list[bytes]) -> int:
        """Add the frame at `place`; return where the next one starts, -1 when this one is not whole."""
        if self._framing == "auto" and stream[place] not in _DIGITS:
            end = stream.find(b"\n", place)
            if end >= 0:
                frames.append(stream[place:end])
            return end + 1 if end >= 0 else -1
        space = stream.find(b" ", place, place + 11)
        digits = stream[place : space if space >= 0 else place + 11]
        if not digits.isdigit() or digits.startswith(b"0") or (space < 0 and len(digits) > 10):
            raise FramingError(f"no octet count at {stream[place : place + 20]!r}")
        if space < 0:
            return -1
        end = space + 1 + int(digits)
        if int(digits) > self._max:
            raise FramingError(f"a frame of {int(digits)} octets, {self._max} allowed")
        if end > len(stream):
            return -1
        frames.append(stream[space + 1 : end])
        return end
