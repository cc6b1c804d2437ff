"""Format `json`: one object, members in the order of the wire.

`__time__` and, when the log has it, `__time_ns_part__` (integers), `__topic__`, `__source__` (when on the wire, also
when empty), `__tag__:<key>` …; then, only where nothing around the event carries them, the event id and, on a replay,
`"sls_replay":"1"`; then the contents. The id comes before the contents so that no log can take its name. No white
space between tokens. A value is a string; contents and tags named in `json_fields` (by the name on the wire, all of
that name) are embedded where `jsonvalue` allows it.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from sls_siem.codec.fields import TIME, TIME_NS, shared_fields
from sls_siem.codec.formats import REPLAY, Marks
from sls_siem.codec.jsonvalue import embeddable
from sls_siem.codec.layout import LayoutCache
from sls_siem.codec.members import TRUNCATED, Member, shorten
from sls_siem.codec.text import Names, escape_boundary, json_escape, json_escape_all, json_string, to_text
from sls_siem.codec.wire import GroupMeta, Log

_MARKER = b'"%b":true}' % TRUNCATED


class _Layout(NamedTuple):
    """The contents of logs with the same keys: a `%` format of the values, and which of them may be embedded."""

    form: bytes
    embedded: tuple[int, ...]


class _Opening(NamedTuple):
    """What comes before the contents: names taken, bytes after the numbers, bytes after the event id."""

    names: tuple[bytes, ...]
    shared: bytes
    marks: bytes


class JsonFormat:
    """Format `json` as configured.

    Args:
        json_fields: names of the fields to embed, as written out.
        marks: what the event itself carries.
    """

    def __init__(self, json_fields: frozenset[bytes], marks: Marks) -> None:
        self.json_fields = json_fields
        self.marks = marks
        self.layouts = LayoutCache(self._lay_out)

    def open(self, meta: GroupMeta) -> JsonGroup:
        return JsonGroup(self, meta)

    def boundary(self, text: bytes, start: int, end: int) -> int:
        return escape_boundary(text, start, end)

    def _lay_out(self, before: tuple[bytes, ...], keys: tuple[bytes, ...]) -> _Layout:
        names = Names(before)
        form = []
        embedded = []
        for index, key in enumerate(keys):
            own = to_text(key)
            if own in self.json_fields:
                embedded.append(index)
            label = json_string(names.claim(own)).replace(b"%", b"%%")
            form.append(b",%b:%%b" % label if own in self.json_fields else b',%b:"%%b"' % label)
        return _Layout(b"".join(form) + b"}", tuple(embedded))


class JsonGroup:
    """Writes the logs of one group as `json`."""

    def __init__(self, parent: JsonFormat, meta: GroupMeta) -> None:
        self._parent = parent
        self._meta = meta
        self._openings: dict[bool, _Opening] = {}
        self._keys: Optional[tuple[bytes, ...]] = None
        self._with_ns = False
        self._opening = _Opening((), b"", b"")
        self._layout = _Layout(b"", ())

    def message(self, log: Log, ident: bytes) -> bytes:
        time, ns, keys, values = log
        if keys is not self._keys or (ns is not None) is not self._with_ns:
            self._turn_to(log)
        form, embedded = self._layout
        values = self._with_embedded(values, embedded) if embedded else json_escape_all(values)
        _, shared, marks = self._opening
        if marks:
            shared += ident + marks
        if ns is None:
            return b'{"__time__":%d%b%b' % (time, shared, form % values)
        return b'{"__time__":%d,"__time_ns_part__":%d%b%b' % (time, ns, shared, form % values)

    json_value = message

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        parts = shorten(
            self._members(log, ident), room=room - 1 - len(_MARKER), separator=b",", boundary=self._parent.boundary
        )
        return b"{" + b"".join(part + b"," for part in parts) + _MARKER

    def _turn_to(self, log: Log) -> None:
        """Get ready for logs of another kind."""
        self._keys = log.keys
        self._with_ns = log.ns is not None
        opening = self._openings.get(self._with_ns)
        if opening is None:
            opening = self._openings[self._with_ns] = self._open()
        self._opening = opening
        self._layout = self._parent.layouts.get(opening.names, log.keys)

    def _open(self) -> _Opening:
        names = Names([TIME, TIME_NS] if self._with_ns else [TIME])
        shared = []
        for name, value in shared_fields(self._meta):
            label = json_string(names.claim(name))
            text = embeddable(value) if name in self._parent.json_fields else None
            shared.append(b",%b:%b" % (label, text or json_string(value)))
        marks = self._parent.marks
        after = b""
        if marks.id_field:
            shared.append(b',%b:"' % json_string(names.claim(marks.id_field)))
            after = b'"'
        if marks.replay:
            label = b',%b:"1"' % json_string(names.claim(REPLAY))
            after += label if marks.id_field else b""
            shared.append(b"" if marks.id_field else label)
        return _Opening(names.taken, b"".join(shared), after)

    def _with_embedded(self, values: tuple[bytes, ...], embedded: tuple[int, ...]) -> tuple[bytes, ...]:
        escaped = list(map(json_escape, values))
        for index in embedded:
            escaped[index] = embeddable(values[index]) or b'"%b"' % escaped[index]
        return tuple(escaped)

    def _members(self, log: Log, ident: bytes) -> list[Member]:
        """List all members, to be shortened; slow."""
        names = Names([TRUNCATED])
        members = [Member(_label(names, TIME), b"%d" % log.time, fixed=True)]
        if log.ns is not None:
            members.append(Member(_label(names, TIME_NS), b"%d" % log.ns, fixed=True))
        members += [self._member(names, name, value) for name, value in shared_fields(self._meta)]
        marks = self._parent.marks
        if marks.id_field:
            members.append(Member(_label(names, marks.id_field), json_string(ident), fixed=True))
        if marks.replay:
            members.append(Member(_label(names, REPLAY), b'"1"', fixed=True))
        members += [self._member(names, to_text(key), value) for key, value in zip(log.keys, log.values)]
        return members

    def _member(self, names: Names, name: bytes, value: bytes) -> Member:
        label = _label(names, name)
        text = embeddable(value) if name in self._parent.json_fields else None
        return Member(label + b'"', json_escape(value), b'"', embedded=None if text is None else (label, text))


def _label(names: Names, name: bytes) -> bytes:
    return json_string(names.claim(name)) + b":"
