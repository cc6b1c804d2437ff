r"""The header of a syslog message, in the two forms that receivers read.

RFC 5424: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID SD ` – the time of the log in UTC with `Z`, with six fraction digits
(cut, not rounded) when the log has nanoseconds below 1000000000; fields cut to 255, 48, 128 and 32 bytes; structured
data `[<SD-ID> id="…" logstore="…"]`, then `replay="1"` on a replay and `part="2/3"` in a split message, or `-`
without an SD-ID. In its values `"`, `\`, `]` get a backslash.

RFC 3164: `<PRI>Mmm dd hh:mm:ss HOST APP[PROCID]: ` – the day padded with a space, the time in the configured zone,
`[PROCID]` left out when it is `-`; no field is cut, but `:`, `[`, `]` in APP and PROCID become `_` too, since they end
the tag for a receiver. Where the message is CEF or LEEF and APP is `-`, there is no tag at all: their vendors put these
messages right after HOST.

In a header field, bytes other than 33 to 126 become `_` (byte by byte, before any other rule), and nothing becomes
`-`. If a header would leave less than 64 bytes of `max_bytes` for the message, its longest fields are cut, none to
nothing, until it does not.
"""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from typing import Optional, Protocol
from zoneinfo import ZoneInfo

from sls_siem.codec.fields import Template
from sls_siem.codec.members import level
from sls_siem.codec.priority import Priority
from sls_siem.codec.settings import EncoderSettings, SyslogSettings
from sls_siem.codec.wire import GroupMeta, Log
from sls_siem.errors import ConfigError

LEAST_ROOM = 64

_PRINTABLE = bytes(code if 33 <= code <= 126 else 0x5F for code in range(256))
_IN_TAG = bytes(0x5F if code in b":[]" else code for code in _PRINTABLE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MANY = 4096

_Fields = tuple[bytes, ...]


class Header(Protocol):
    """A form of header; thread-safe.

    Attributes:
        carries_marks: the event id, the mark of a replay and the part of a split message stand in the header.
        templates: what fills the fields.
        priority: gives the PRI.
        room: most bytes of a header.
    """

    carries_marks: bool
    templates: tuple[Template, ...]
    priority: Priority
    room: int

    def clean(self, fields: _Fields) -> _Fields:
        """Make fields of what the templates gave."""
        ...

    def join(self, fields: _Fields) -> bytes:
        """Write the fields and what stands between them and around them."""
        ...

    def write(self, log: Log, pri: int, joined: bytes, *, ident: bytes, part: bytes) -> bytes:
        """Write the whole header, the space before the message included."""
        ...


class Rfc5424:
    """Headers of RFC 5424."""

    _LENGTHS = (255, 48, 128, 32)

    def __init__(self, settings: EncoderSettings, room: int) -> None:
        syslog = settings.syslog
        self.templates = _templates(syslog, syslog.msgid)
        self.priority = Priority(syslog)
        self.room = room
        self.carries_marks = bool(syslog.structured_data)
        self._stamps: dict[int, bytes] = {}
        self._id = b'[%b id="' % syslog.structured_data.encode() if settings.event_id_field else b""
        no_id = b"[%b" % syslog.structured_data.encode()
        store = b' logstore="%b"%b' % (_escape(settings.logstore.encode()), b' replay="1"' if settings.replay else b"")
        self._store = b'"' + store if settings.event_id_field else no_id + store

    def clean(self, fields: _Fields) -> _Fields:
        cut = zip(fields, self._LENGTHS)
        return tuple(field.translate(_PRINTABLE)[:length] or b"-" for field, length in cut)

    def join(self, fields: _Fields) -> bytes:
        return b" %b %b %b %b " % fields

    def write(self, log: Log, pri: int, joined: bytes, *, ident: bytes, part: bytes) -> bytes:
        stamp = self._stamps.get(log.time) or self._stamp(log.time)
        if log.ns is not None and log.ns <= 999_999_999:
            stamp = b"%b.%06dZ" % (stamp[:-1], log.ns // 1000)
        if not self.carries_marks:
            return b"<%d>1 %b%b- " % (pri, stamp, joined)
        if not self._id:
            ident = b""
        return b"<%d>1 %b%b%b%b%b%b] " % (pri, stamp, joined, self._id, ident, self._store, part and b" " + part)

    def _stamp(self, time: int) -> bytes:
        stamp = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        return _remember(self._stamps, time, stamp)


class Rfc3164:
    """Headers of RFC 3164."""

    carries_marks = False

    def __init__(self, settings: EncoderSettings, room: int) -> None:
        self.templates = _templates(settings.syslog)
        self.priority = Priority(settings.syslog)
        self.room = room
        self._zone = _zone(settings.syslog.timezone)
        self._tag_optional = settings.format in ("cef", "leef")
        self._stamps: dict[int, bytes] = {}

    def clean(self, fields: _Fields) -> _Fields:
        host, app, procid = fields
        cleaned = (host.translate(_PRINTABLE), app.translate(_IN_TAG), procid.translate(_IN_TAG))
        return tuple(field or b"-" for field in cleaned)

    def join(self, fields: _Fields) -> bytes:
        host, app, procid = fields
        if self._tag_optional and app == b"-":
            return b" %b " % host
        return b" %b %b: " % (host, app) if procid == b"-" else b" %b %b[%b]: " % (host, app, procid)

    def write(self, log: Log, pri: int, joined: bytes, *, ident: bytes, part: bytes) -> bytes:  # noqa: ARG002
        return b"<%d>%b%b" % (pri, self._stamps.get(log.time) or self._stamp(log.time), joined)

    def _stamp(self, time: int) -> bytes:
        local = datetime.fromtimestamp(time, self._zone)
        stamp = f"{_MONTHS[local.month - 1]} {local.day:2d} {local:%H:%M:%S}".encode()
        return _remember(self._stamps, time, stamp)


class GroupHeader:
    """Writes the headers of one group's logs; not shared between threads."""

    def __init__(self, header: Header, meta: GroupMeta) -> None:
        self._header = header
        self._meta = meta
        shared = [template.shared(meta) for template in header.templates]
        known = tuple(field for field in shared if field is not None)
        self._fields: Optional[_Fields] = header.clean(known) if len(known) == len(shared) else None
        self._joined = header.join(self._fields) if self._fields is not None else b""

    def write(self, log: Log, ident: bytes, part: bytes = b"") -> bytes:
        """Write the header of one log, or of one part of it."""
        header = self._header
        pri = header.priority.constant
        if pri is None:
            pri = header.priority.of(self._meta, log)
        fields, joined = self._fields, self._joined
        if fields is None:
            fields = header.clean(tuple(template.fill(self._meta, log) for template in header.templates))
            joined = header.join(fields)
        written = header.write(log, pri, joined, ident=ident, part=part)
        excess = len(written) - len(part) - header.room
        if excess > 0:
            size = level([len(field) for field in fields], sum(map(len, fields)) - excess)
            joined = header.join(tuple(field[: max(size, 1)] for field in fields))
            written = header.write(log, pri, joined, ident=ident, part=part)
        return written


def _templates(syslog: SyslogSettings, *more: str) -> tuple[Template, ...]:
    return tuple(map(Template, (syslog.hostname, syslog.app_name, syslog.procid, *more)))


def _escape(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"]", b"\\]")


def _remember(stamps: dict[int, bytes], time: int, stamp: bytes) -> bytes:
    if len(stamps) >= _MANY:
        stamps.clear()
    stamps[time] = stamp
    return stamp


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ConfigError(
            [f"syslog.timezone: no data on this system for the time zone {name!r}: install tzdata, or set it to UTC"]
        ) from exc
