"""Format `kv`: `key=value` joined by `||`, members and their order as in `json`, with the escapes of `text`.

Shortened, it ends with `||__truncated__=true`.
"""

from __future__ import annotations

from typing import Optional

from sls_siem.codec.fields import TIME, TIME_NS, shared_fields
from sls_siem.codec.formats import REPLAY, Marks
from sls_siem.codec.layout import LayoutCache
from sls_siem.codec.members import TRUNCATED, Member, shorten
from sls_siem.codec.text import Names, escape_boundary, json_string, kv_escape, kv_escape_all, kv_escape_key, to_text
from sls_siem.codec.wire import GroupMeta, Log

_MARKER = b"%b=true" % TRUNCATED
_BETWEEN = b"||"


class KvFormat:
    """Format `kv` as configured.

    Args:
        marks: what the event itself carries.
    """

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.layouts = LayoutCache(_lay_out)

    def open(self, meta: GroupMeta) -> KvGroup:
        return KvGroup(self, meta)

    def boundary(self, text: bytes, start: int, end: int) -> int:
        return escape_boundary(text, start, end, pipes=True)


class KvGroup:
    """Writes the logs of one group as `kv`."""

    def __init__(self, parent: KvFormat, meta: GroupMeta) -> None:
        self._parent = parent
        self._meta = meta
        self._keys: Optional[tuple[bytes, ...]] = None
        self._with_ns = False
        self._shared = self._id_label = self._replay = self._form = b""

    def message(self, log: Log, ident: bytes) -> bytes:
        time, ns, keys, values = log
        if keys is not self._keys or (ns is not None) is not self._with_ns:
            self._turn_to(log)
        contents = self._form % kv_escape_all(values)
        marks = self._marks(ident)
        if ns is None:
            return b"__time__=%d%b%b%b" % (time, self._shared, marks, contents)
        return b"__time__=%d||__time_ns_part__=%d%b%b%b" % (time, ns, self._shared, marks, contents)

    def json_value(self, log: Log, ident: bytes) -> bytes:
        return json_string(self.message(log, ident))

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        parts = shorten(
            self._members(log, ident), room=room - len(_MARKER), separator=_BETWEEN, boundary=self._parent.boundary
        )
        return _BETWEEN.join((*parts, _MARKER))

    def _turn_to(self, log: Log) -> None:
        """Get ready for logs of another kind."""
        self._keys = log.keys
        self._with_ns = log.ns is not None
        names = Names([TIME, TIME_NS] if self._with_ns else [TIME])
        shared = [_label(names, name) + kv_escape(value) for name, value in shared_fields(self._meta)]
        self._shared = b"".join(_BETWEEN + part for part in shared)
        marks = self._parent.marks
        self._id_label = _BETWEEN + _label(names, marks.id_field) if marks.id_field else b""
        self._replay = _BETWEEN + _label(names, REPLAY) + b"1" if marks.replay else b""
        self._form = self._parent.layouts.get(names.taken, log.keys)

    def _marks(self, ident: bytes) -> bytes:
        return self._id_label + ident + self._replay if self._id_label else self._replay

    def _members(self, log: Log, ident: bytes) -> list[Member]:
        """List all members, to be shortened; slow."""
        names = Names([TRUNCATED])
        members = [Member(_label(names, TIME), b"%d" % log.time, fixed=True)]
        if log.ns is not None:
            members.append(Member(_label(names, TIME_NS), b"%d" % log.ns, fixed=True))
        members += [Member(_label(names, name), kv_escape(value)) for name, value in shared_fields(self._meta)]
        marks = self._parent.marks
        if marks.id_field:
            members.append(Member(_label(names, marks.id_field), ident, fixed=True))
        if marks.replay:
            members.append(Member(_label(names, REPLAY), b"1", fixed=True))
        members += [Member(_label(names, to_text(key)), kv_escape(value)) for key, value in zip(log.keys, log.values)]
        return members


def _lay_out(before: tuple[bytes, ...], keys: tuple[bytes, ...]) -> bytes:
    """Make the `%` format of the contents of logs with these keys."""
    names = Names(before)
    return b"".join(b"||%b%%b" % _label(names, to_text(key)).replace(b"%", b"%%") for key in keys)


def _label(names: Names, name: bytes) -> bytes:
    return kv_escape_key(names.claim(name)) + b"="
