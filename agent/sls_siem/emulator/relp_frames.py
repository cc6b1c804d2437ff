"""RELP's wire format: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`, as strictly as its description reads.

Source: "RELP - The Reliable Event Logging Protocol" (librelp, doc/relp.html). Pure: bytes in, frames out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TXNR = 999_999_999
_HEAD = re.compile(rb"(0|[1-9][0-9]{0,8}) ([A-Za-z]{1,32}) (0|[1-9][0-9]{0,8})(?=[ \n])")
_LONGEST_HEAD = 9 + 1 + 32 + 1 + 9 + 1


@dataclass(frozen=True)
class RelpFrame:
    """One frame.

    Args:
        txnr: transaction number; 0 only from the server, for `serverclose`.
        command: such as `syslog`.
        data: its data.
    """

    txnr: int
    command: str
    data: bytes = b""

    def encode(self) -> bytes:
        """Lay the frame out for the wire."""
        head = f"{self.txnr} {self.command} {len(self.data)}".encode("ascii")
        return head + (b" " + self.data if self.data else b"") + b"\n"


class RelpStream:
    """The frames of one direction of a connection.

    Args:
        max_data_bytes: longer data breaks the stream.
    """

    def __init__(self, *, max_data_bytes: int = 16 << 20) -> None:
        self.broken = ""
        self._max = max_data_bytes
        self._rest = b""

    @property
    def partial(self) -> bytes:
        """What has come of a frame that is not whole yet."""
        return self._rest

    def feed(self, data: bytes) -> list[RelpFrame]:
        """Take bytes; return the frames they complete. What is no frame sets `broken` for good."""
        stream = self._rest + data
        frames: list[RelpFrame] = []
        place = 0
        while not self.broken and place < len(stream):
            match = _HEAD.match(stream, place)
            if match is None:
                if len(stream) - place > _LONGEST_HEAD or b"\n" in stream[place:]:
                    self.broken = f"no frame at {stream[place : place + 60]!r}"
                break
            end = self._end(stream, match)
            if end < 0:
                break
            start = match.end() + (1 if match[3] != b"0" else 0)
            frames.append(RelpFrame(int(match[1]), match[2].decode("ascii"), stream[start : end - 1]))
            place = end
        self._rest = stream[place:]
        return frames

    def _end(self, stream: bytes, match: re.Match[bytes]) -> int:
        """Return where the next frame starts; -1 when this one is not whole, or broken."""
        size = int(match[3])
        end = match.end() + (size + 1 if size else 0) + 1
        if size > self._max:
            self.broken = f"{size} octets of data, {self._max} allowed"
        elif size and stream[match.end() : match.end() + 1] != b" ":
            self.broken = "no space before the data"
        elif len(stream) >= end and stream[end - 1 : end] != b"\n":
            self.broken = f"no LF behind the data of frame {int(match[1])}"
        return end if len(stream) >= end and not self.broken else -1
