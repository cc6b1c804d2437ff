r"""Format `cef`: ArcSight's Common Event Format, `CEF:0|vendor|product|version|event id|name|severity|extension`.

**Header.** `\` and `|` get a backslash; CR, LF and NUL become a space, since a header has one line; an empty field is
`-`; fields are cut to 63, 63, 31, 1023 and 512 characters. The severity is a number from 0 to 10 or `Low`, `Medium`,
`High`, `Very-High` or `Unknown`; anything else is 5.

**Extension.** Pairs with a space between them, in this order: `rt` (the log's time in milliseconds), `externalId` (the
event id), on a replay `sls_replay=1`; then without a table of fields `msg`, the event as in format `json` without the
marks, or with one the mapped keys in the order of the table. A field that is missing, empty or `-` is left out. The
custom fields of the dictionary (`cs1`, `cn1`, `c6a2`, `flexString1`, `deviceCustomDate1` …) are followed by their
label, the name of the field, unless the table has a label of its own. In values `\` and `=` get a backslash, CR and LF
become `\r` and `\n`; pipes stay. NUL, for which CEF has no escape, becomes a space on syslog.

Shortened, it ends with `__truncated__=true`; JSON in `msg` is shortened by its own rules and still parses.

Source: ArcSight, CEF implementation standard, "Header information", "Character encoding", "Extension dictionary".
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Union

from sls_siem.codec.fields import Template
from sls_siem.codec.formats import REPLAY
from sls_siem.codec.json_format import JsonFormat, JsonGroup
from sls_siem.codec.members import TRUNCATED, Member, shorten
from sls_siem.codec.nested import NestedFields
from sls_siem.codec.pipe_header import HeaderField, PipeGroupHeader, PipeHeader
from sls_siem.codec.settings import CefSettings, SeverityBy
from sls_siem.codec.text import escape_boundary, json_string, to_text
from sls_siem.codec.wire import GroupMeta, Log

_MARKER = b"%b=true" % TRUNCATED
_SEVERITY = re.compile(rb"10|[0-9]|Unknown|Low|Medium|High|Very-High")
_DEFAULT_SEVERITY = b"5"
_LABELLED = re.compile(r"cs[1-6]|cn[1-3]|cfp[1-4]|c6a[1-4]|deviceCustomDate[12]|flexDate1|flex(?:Number|String)[12]")
_KEPT = bytes(code for code in range(256) if code not in b"\\=\r\n")
_NOTHING = (None, b"", b"-")
_LEAST_HEADER = 24
_LEAST_JSON = 22  # {"__truncated__":true}


class _Mapped(NamedTuple):
    """One entry of the table: `key=`, the field's name, and the label with the space before it."""

    key: bytes
    name: bytes
    label: bytes


def escape_header(text: bytes) -> bytes:
    """Write text as a field of the header."""
    return text.replace(b"\\", b"\\\\").replace(b"|", b"\\|")


def escape_value(text: bytes) -> bytes:
    """Write text as a value of the extension."""
    if not text.translate(None, _KEPT):
        return text
    text = text.replace(b"\\", b"\\\\").replace(b"=", b"\\=")
    return text.replace(b"\r", b"\\r").replace(b"\n", b"\\n")


class CefFormat:
    """Format `cef` as configured.

    Args:
        cef: settings of the format.
        json_format: writes the event in `msg`.
        with_id: write `externalId`.
        replay: mark the event as sent again on purpose.
        no_nul: NUL may not appear.
    """

    def __init__(self, cef: CefSettings, json_format: JsonFormat, *, with_id: bool, replay: bool, no_nul: bool) -> None:
        texts = ((cef.vendor, 63), (cef.product, 63), (cef.version, 31), (cef.event_id, 1023), (cef.name, 512))
        fields = [HeaderField(Template(text), length) for text, length in texts]
        self.header = PipeHeader(b"CEF:0|", fields, escape_header)
        self.severity = _Severity(cef.severity)
        self.mapped = None if cef.fields is None else [_mapped(key, name, dict(cef.fields)) for key, name in cef.fields]
        self.json_format = json_format
        self.with_id = with_id
        self.replay = b"%b=1" % REPLAY if replay else b""
        self.no_nul = no_nul

    def open(self, meta: GroupMeta) -> CefGroup:
        return CefGroup(self, meta)

    def boundary(self, text: bytes, start: int, end: int) -> int:
        return escape_boundary(text, start, end, pipes=True)


class CefGroup:
    """Writes the logs of one group as `cef`."""

    def __init__(self, parent: CefFormat, meta: GroupMeta) -> None:
        self._parent = parent
        self._fields = NestedFields(meta)
        self._header = PipeGroupHeader(parent.header, meta, self._fields)
        self._json: JsonGroup = parent.json_format.open(meta)

    def message(self, log: Log, ident: bytes) -> bytes:
        self._fields.turn_to(log)
        parts = self._opening(log, ident)
        if self._parent.mapped is None:
            parts.append(b"msg=" + escape_value(self._json.message(log, ident)))
        else:
            parts += [key + value + label for key, value, label, *_ in self._mapped()]
        return self._header.write(self._severity()) + b" ".join(parts)

    def json_value(self, log: Log, ident: bytes) -> bytes:
        return json_string(self.message(log, ident))

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        self._fields.turn_to(log)
        opening = self._opening(log, ident)
        room -= len(_MARKER)
        wanted = sum(map(len, opening)) + len(opening)
        header = self._header.shortened(self._severity(), max(room - wanted, _LEAST_HEADER))
        room -= len(header)
        members = [Member(part, b"", fixed=True) for part in opening]
        if self._parent.mapped is not None:
            members += self._mapped()
        parts = shorten(members, room=room, separator=b" ", boundary=self._parent.boundary)
        if self._parent.mapped is None:
            room -= sum(map(len, parts)) + len(parts)
            parts += self._short_json(log, ident, room - len(b"msg= "))
        return header + b" ".join((*parts, _MARKER))

    def _opening(self, log: Log, ident: bytes) -> list[bytes]:
        parent = self._parent
        ns = log.ns if log.ns is not None and log.ns <= 999_999_999 else 0
        parts = [b"rt=%d" % (log.time * 1000 + ns // 1_000_000)]
        if parent.with_id:
            parts.append(b"externalId=" + ident)
        if parent.replay:
            parts.append(parent.replay)
        return parts

    def _mapped(self) -> list[Member]:
        """List the pairs of the table that the log has, each with its label as the end."""
        members = []
        for key, name, label in self._parent.mapped or ():
            value = self._fields.find(name)
            if value not in _NOTHING and value is not None:
                text = to_text(value)
                if self._parent.no_nul:
                    text = text.replace(b"\x00", b" ")
                members.append(Member(key, escape_value(text), label))
        return members

    def _short_json(self, log: Log, ident: bytes, room: int) -> list[bytes]:
        """Write `msg` with JSON so short that, escaped, it fits; nothing when none does."""
        size = room
        while size >= _LEAST_JSON:
            text = escape_value(self._json.shortened(log, ident, size))
            if len(text) <= room:
                return [b"msg=" + text]
            # Escapes are spread unevenly, so this may take a few rounds; each is shorter than the one before.
            size = min(size - 1, size * room // len(text))
        return []

    def _severity(self) -> bytes:
        return self._parent.severity.of(self._fields) + b"|"


class _Severity:
    """The severity of each log."""

    def __init__(self, severity: Union[str, SeverityBy]) -> None:
        self._by = severity if isinstance(severity, SeverityBy) else None
        self._template = Template(severity if isinstance(severity, str) else severity.default)
        constant = self._template.constant if self._by is None else None
        self._constant = None if constant is None else _known(constant)
        self._names = {} if self._by is None else {key.encode(): name.encode() for key, name in self._by.names.items()}

    def of(self, fields: NestedFields) -> bytes:
        """Find the severity of the log that `fields` has been turned to."""
        if self._constant is not None:
            return self._constant
        found: Optional[bytes] = None
        if self._by is not None:
            value = fields.find(self._by.field.encode())
            found = None if value is None else self._names.get(to_text(value))
        return _known(self._template.fill_by(fields.find) if found is None else found)


def _known(severity: bytes) -> bytes:
    return severity if _SEVERITY.fullmatch(severity) else _DEFAULT_SEVERITY


def _mapped(key: str, name: str, table: dict[str, str]) -> _Mapped:
    label = f"{key}Label"
    text = b""
    if _LABELLED.fullmatch(key) and label not in table:
        text = b" %b=%b" % (label.encode(), escape_value(name.encode().replace(b"\x00", b" ")))
    return _Mapped(key.encode() + b"=", name.encode(), text)
