r"""Format `leef`: IBM's Log Event Extended Format, versions 1.0 and 2.0.

`LEEF:1.0|vendor|product|version|event id|` or `LEEF:2.0|vendor|product|version|event id|x09|`, then `key=value` pairs
with a TAB between them: `devTime` and `devTimeFormat`; the event id and, on a replay, `sls_replay=1`, where nothing
around the event carries them; then without a table of fields every member as in format `json` under its own name, or
with one the mapped keys in the order of the table. A mapped field that is missing, empty or `-` is left out.

LEEF has no escapes. In values TAB, CR and LF become a space, and on syslog NUL too: rsyslog drops every TAB of a
message that holds one, and with them the pairs. In the header `|`,
`^` and TAB become a space too, an empty field is `-`, and the event id is cut to 255 characters. In keys everything
that could end them, `=`, `|`, `^` and control characters, becomes `_`; so does an empty key. After that, names are made
unique as everywhere (`text.Names`); the four keys that say what the time of the event is are the format's own, so a
field of such a name is a later one.

Shortened, it ends with `__truncated__=true`.

Source: IBM, DSM configuration guide, "LEEF event components", "Predefined LEEF event attributes", "Best practices",
"Custom event date format".
"""

from __future__ import annotations

import time
from typing import Optional

from sls_siem.codec.fields import TIME, TIME_NS, Template, shared_fields
from sls_siem.codec.formats import REPLAY, Marks
from sls_siem.codec.layout import LayoutCache
from sls_siem.codec.members import TRUNCATED, Member, shorten
from sls_siem.codec.nested import NestedFields
from sls_siem.codec.pipe_header import HeaderField, PipeGroupHeader, PipeHeader
from sls_siem.codec.settings import LeefSettings
from sls_siem.codec.text import Names, boundary, json_string, to_text
from sls_siem.codec.wire import GroupMeta, Log

_MARKER = b"%b=true" % TRUNCATED
_TAB = b"\t"
_TIME_FORMAT = b"MMM dd yyyy HH:mm:ss.SSS z"  # of Java's SimpleDateFormat; the third of the patterns that IBM suggests
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RESERVED = (b"devTime", b"devTimeFormat", b"calLanguage", b"calCountryOrRegion")
_LEAST_HEADER = 24

_IN_VALUE = bytes(0x20 if code in b"\t\r\n" else code for code in range(256))
_WITHOUT_NUL = bytes(0x20 if code in b"\t\r\n\x00" else code for code in range(256))
_IN_HEADER = bytes(0x20 if code in b"\t|^" else code for code in range(256))
_IN_KEY = bytes(0x5F if code in b"=|^\x7f" or code < 0x20 else code for code in range(256))


def clean_key(name: bytes) -> bytes:
    """Write text as a key."""
    return name.translate(_IN_KEY) or b"_"


class LeefFormat:
    """Format `leef` as configured.

    Args:
        leef: settings of the format.
        marks: what the event itself carries.
        no_nul: NUL may not appear.
    """

    def __init__(self, leef: LeefSettings, marks: Marks, *, no_nul: bool) -> None:
        # IBM limits the event id only; no other field of a header is a text of the log as a rule.
        texts = ((leef.vendor, 255), (leef.product, 255), (leef.version, 255), (leef.event_id, 255))
        fields = [HeaderField(Template(text), length) for text, length in texts]
        self.header = PipeHeader(b"LEEF:%b|" % leef.format_version.encode(), fields, _clean_header)
        self.closing = b"x09|" if leef.format_version == "2.0" else b""
        mapped = leef.fields
        self.mapped = None if mapped is None else [(key.encode() + b"=", name.encode()) for key, name in mapped]
        self.marks = Marks(clean_key(marks.id_field) if marks.id_field else b"", marks.replay)
        self.layouts = LayoutCache(_lay_out)
        self._table = _WITHOUT_NUL if no_nul else _IN_VALUE

    def open(self, meta: GroupMeta) -> LeefGroup:
        return LeefGroup(self, meta)

    def boundary(self, text: bytes, start: int, end: int) -> int:
        return boundary(text, start, end)

    def value(self, raw: bytes) -> bytes:
        """Write bytes as a value."""
        return to_text(raw).translate(self._table)

    def values(self, raw: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Write each as `value`; quick when there is nothing to replace in any of them."""
        joined = b"".join(raw)
        return raw if joined.isascii() and joined.translate(self._table) == joined else tuple(map(self.value, raw))


class LeefGroup:
    """Writes the logs of one group as `leef`."""

    def __init__(self, parent: LeefFormat, meta: GroupMeta) -> None:
        self._parent = parent
        self._meta = meta
        self._fields = NestedFields(meta)
        self._header = PipeGroupHeader(parent.header, meta, self._fields)
        self._keys: Optional[tuple[bytes, ...]] = None
        self._with_ns = False
        self._shared = self._form = self._stamp = b""
        self._time = -1

    def message(self, log: Log, ident: bytes) -> bytes:
        self._fields.turn_to(log)
        opening = self._header.write(self._parent.closing) + _TAB.join(self._opening(log, ident))
        if self._parent.mapped is not None:
            return opening + b"".join(_TAB + member.label + member.value for member in self._mapped())
        seconds, ns, keys, values = log
        if keys is not self._keys or (ns is not None) is not self._with_ns:
            self._turn_to(log)
        contents = self._form % self._parent.values(values)
        if ns is None:
            return b"%b\t__time__=%d%b%b" % (opening, seconds, self._shared, contents)
        return b"%b\t__time__=%d\t__time_ns_part__=%d%b%b" % (opening, seconds, ns, self._shared, contents)

    def json_value(self, log: Log, ident: bytes) -> bytes:
        return json_string(self.message(log, ident))

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        self._fields.turn_to(log)
        opening = self._opening(log, ident)
        room -= len(_MARKER)
        wanted = sum(map(len, opening)) + len(opening)
        header = self._header.shortened(self._parent.closing, max(room - wanted, _LEAST_HEADER))
        members = [Member(part, b"", fixed=True) for part in opening]
        members += self._members(log) if self._parent.mapped is None else self._mapped()
        parts = shorten(members, room=room - len(header), separator=_TAB, boundary=self._parent.boundary)
        return header + _TAB.join((*parts, _MARKER))

    def _opening(self, log: Log, ident: bytes) -> list[bytes]:
        marks = self._parent.marks
        if log.time != self._time or log.ns is not None:
            self._time = log.time if log.ns is None else -1
            self._stamp = b"devTime=" + _stamp(log)
        parts = [self._stamp, b"devTimeFormat=" + _TIME_FORMAT]
        if marks.id_field:
            parts.append(b"%b=%b" % (marks.id_field, ident))
        if marks.replay:
            parts.append(b"%b=1" % REPLAY)
        return parts

    def _names(self) -> Names:
        marks = self._parent.marks
        own = [marks.id_field] if marks.id_field else []
        return Names([*_RESERVED, *own, *([REPLAY] if marks.replay else [])])

    def _turn_to(self, log: Log) -> None:
        """Get ready for logs of another kind."""
        self._keys = log.keys
        self._with_ns = log.ns is not None
        names = self._names()
        for name in (TIME, TIME_NS) if self._with_ns else (TIME,):
            names.claim(name)
        shared = shared_fields(self._meta)
        self._shared = b"".join(
            b"\t%b=%b" % (names.claim(clean_key(name)), self._parent.value(value)) for name, value in shared
        )
        self._form = self._parent.layouts.get(names.taken, log.keys)

    def _members(self, log: Log) -> list[Member]:
        """List every member under its own name, to be shortened; slow."""
        names = self._names()
        names.claim(TRUNCATED)
        members = [Member(names.claim(TIME) + b"=", b"%d" % log.time, fixed=True)]
        if log.ns is not None:
            members.append(Member(names.claim(TIME_NS) + b"=", b"%d" % log.ns, fixed=True))
        pairs = shared_fields(self._meta) + [(to_text(key), value) for key, value in zip(log.keys, log.values)]
        for name, value in pairs:
            members.append(Member(names.claim(clean_key(name)) + b"=", self._parent.value(value)))
        return members

    def _mapped(self) -> list[Member]:
        """List the pairs of the table that the log has."""
        found = ((key, self._fields.find(name)) for key, name in self._parent.mapped or ())
        return [Member(key, self._parent.value(value)) for key, value in found if value and value != b"-"]


def _clean_header(text: bytes) -> bytes:
    return text.translate(_IN_HEADER)


def _stamp(log: Log) -> bytes:
    ns = log.ns if log.ns is not None and log.ns <= 999_999_999 else 0
    moment = time.gmtime(log.time)
    month = _MONTHS[moment.tm_mon - 1]  # not strftime, which follows the locale
    text = f"{month} {moment.tm_mday:02d} {moment.tm_year} {moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}"
    return b"%b.%03d GMT" % (text.encode(), ns // 1_000_000)


def _lay_out(before: tuple[bytes, ...], keys: tuple[bytes, ...]) -> bytes:
    """Make the `%` format of the contents of logs with these keys."""
    names = Names(before)
    return b"".join(b"\t%b=%%b" % names.claim(clean_key(to_text(key))).replace(b"%", b"%%") for key in keys)
