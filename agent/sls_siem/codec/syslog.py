"""Syslog frames: a header, a message, and what tells a receiver where the frame ends.

Framing (RFC 6587): `octet-counting` writes `LEN SP` before, `lf` writes LF after each message. A `datagram` payload
is one bare message; a `relp` payload is octet-counted and `split` gives the bare messages.

In `lf` framing no frame can be ended early: CR, LF and NUL never come out of a header, of `json` or of `kv`, and
`raw` escapes them.

A message is too long when header, message and the LF are together longer than `max_bytes`. Then, by `oversize`:

- `truncate`: the format shortens the event;
- `split`: the message is cut into parts as long as fits, between characters and not inside an escape or a `||`;
  joined, they are the message again. Each part has the whole header and says which one it is: `part="2/3"` at the end
  of the structured data or, without, before the message with a space after it. Room is kept for as many digits, in
  both numbers, as the number of parts has;
- `dead-letter`: it is not sent.

Part lengths do not depend on digits that are not there: the parts of one message have room for the same header.
"""

from __future__ import annotations

from sls_siem.codec.formats import EventFormat, GroupFormat
from sls_siem.codec.settings import EncoderSettings
from sls_siem.codec.syslog_header import LEAST_ROOM, GroupHeader, Header, Rfc3164, Rfc5424
from sls_siem.codec.wire import GroupMeta, Log
from sls_siem.codec.writers import TooLong, Written


class SyslogWriter:
    """Makes frames of events.

    Args:
        settings: of the encoder.
        header: writes the header.
        event_format: writes the message.
    """

    separator = b""

    def __init__(self, settings: EncoderSettings, header: Header, event_format: EventFormat) -> None:
        self.framing = settings.syslog.framing
        self.one_each = self.framing == "datagram"
        self.oversize = settings.syslog.oversize
        self.room = _room(settings)
        self.header = header
        self.format = event_format

    def open(self, meta: GroupMeta) -> SyslogGroup:
        return SyslogGroup(self, GroupHeader(self.header, meta), self.format.open(meta))

    def frame(self, message: bytes) -> bytes:
        """Put the framing around one message."""
        if self.framing == "lf":
            return message + b"\n"
        if self.framing == "datagram":
            return message
        return b"%d %b" % (len(message), message)

    def split(self, data: bytes) -> list[bytes]:
        """Cut a payload into frames as sent, or, for `relp`, into messages."""
        if self.framing == "datagram":
            return [data] if data else []
        if self.framing == "lf":
            return [line + b"\n" for line in data.split(b"\n")[:-1]]
        frames = []
        place = 0
        while place < len(data):
            space = data.index(b" ", place)
            end = space + 1 + int(data[place:space])
            frames.append(data[space + 1 if self.framing == "relp" else place : end])
            place = end
        return frames


class SyslogGroup:
    """Writes the frames of one group's logs."""

    def __init__(self, parent: SyslogWriter, header: GroupHeader, group_format: GroupFormat) -> None:
        self._parent = parent
        self._header = header.write
        self._format = group_format
        self._message = group_format.message

    def write(self, log: Log, ident: bytes) -> Written:
        header = self._header(log, ident)
        message = self._message(log, ident)
        parent = self._parent
        if len(header) + len(message) <= parent.room:
            return parent.frame(header + message)
        if parent.oversize == "truncate":
            return parent.frame(header + self._format.shortened(log, ident, parent.room - len(header)))
        if parent.oversize == "dead-letter":
            return TooLong(message, ident)
        frames = [parent.frame(part) for part in self._parts(log, ident, message)]
        return frames if parent.one_each else b"".join(frames)

    def _parts(self, log: Log, ident: bytes, message: bytes) -> list[bytes]:
        digits = 1
        while True:
            widest = b"9" * digits
            room = self._parent.room - len(self._with_part(log, ident, b'part="%b/%b"' % (widest, widest)))
            pieces = self._cut(message, room)
            if len(str(len(pieces))) <= digits:
                break
            digits += 1
        return [
            self._with_part(log, ident, b'part="%d/%d"' % (number, len(pieces))) + piece
            for number, piece in enumerate(pieces, 1)
        ]

    def _with_part(self, log: Log, ident: bytes, part: bytes) -> bytes:
        if self._parent.header.carries_marks:
            return self._header(log, ident, part)
        return self._header(log, ident) + part + b" "

    def _cut(self, message: bytes, room: int) -> list[bytes]:
        pieces = []
        start = 0
        while start < len(message):
            end = self._parent.format.boundary(message, start, start + room)
            pieces.append(message[start:end])
            start = end
        return pieces


def _room(settings: EncoderSettings) -> int:
    """Bytes of a frame for header and message."""
    return settings.syslog.max_bytes - (1 if settings.syslog.framing == "lf" else 0)


def make_header(settings: EncoderSettings) -> Header:
    """Make the configured form of header.

    Raises:
        ConfigError: the system does not know the time zone.
    """
    room = _room(settings) - LEAST_ROOM
    return Rfc3164(settings, room) if settings.syslog.rfc == 3164 else Rfc5424(settings, room)
