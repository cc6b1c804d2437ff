"""RELP's frames (librelp, doc/relp.html): `TXNR SP COMMAND SP DATALEN [SP DATA] LF`; pure, no sockets.

The receiver answers each frame with `rsp`, the same transaction number, and a data part that begins with a
three-digit status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OFFERS = b"relp_version=0\nrelp_software=sls-siem-agent\ncommands=syslog"
MOST_TXNR = 999_999_999
MOST_ANSWER_BYTES = 65536
_HEAD = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_LONGEST_HEAD = 9 + 1 + 32 + 1 + 9 + 1
_STATUS = re.compile(rb"([0-9]{3})(?![0-9])")


class RelpBrokenError(ConnectionError):
    """The receiver's bytes are no RELP, or it refused; the connection is of no use any more."""


@dataclass(frozen=True)
class RelpAnswer:
    """One frame of the receiver.

    Args:
        txnr: of the frame that is answered; 0 for `serverclose`.
        command: `rsp` or `serverclose`.
        data: the data part.
    """

    txnr: int
    command: bytes
    data: bytes

    @property
    def status(self) -> int:
        """Status of a `rsp`; 0 when it has none."""
        match = _STATUS.match(self.data)
        return int(match[1]) if match else 0


def relp_frame(txnr: int, command: bytes, data: bytes = b"") -> bytes:
    """Lay out a frame."""
    if not data:
        return b"%d %b 0\n" % (txnr, command)
    return b"%d %b %d %b\n" % (txnr, command, len(data), data)


def next_txnr(txnr: int) -> int:
    """The number after this one; they start again at 1."""
    return txnr + 1 if txnr < MOST_TXNR else 1


class RelpReader:
    """Puts the receiver's bytes together into frames."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[RelpAnswer]:
        """Take bytes; returns the frames they complete.

        Raises:
            RelpBrokenError: they are no frames.
        """
        held, place, answers = self._held + data, 0, []
        while place < len(held):
            match = _HEAD.match(held, place)
            if match is None:
                if len(held) - place > _LONGEST_HEAD or b"\n" in held[place:]:
                    raise RelpBrokenError(f"it does not speak RELP: {held[place : place + 40]!r}")
                break
            size = int(match[3])
            if size > MOST_ANSWER_BYTES or (match[4] == b" ") != bool(size):
                raise RelpBrokenError(f"it sent a malformed RELP frame: {held[place : place + 40]!r}")
            end = match.end() + (size + 1 if size else 0)
            if len(held) < end:
                break
            if held[end - 1 : end] != b"\n":
                raise RelpBrokenError(f"it sent a RELP frame without its end: {held[place : place + 40]!r}")
            data_part = held[match.end() : match.end() + size]
            answers.append(RelpAnswer(int(match[1]), match[2], data_part))
            place = end
        self._held = held[place:]
        return answers
