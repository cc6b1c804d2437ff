r"""Format `raw`: the value of one field, as text; a log without it is sent as `json`.

`raw_field` is looked for among the contents, of duplicates the first. Invalid UTF-8 is written as `text` says. Where
a line end ends a frame (`lf` framing), CR, LF and NUL are written `\r`, `\n`, `\0`; a backslash is not doubled, so
this cannot be undone. Everywhere else the text is sent as it is.

In a HEC envelope, an empty value counts as missing: HEC refuses an event that is an empty string (code 13), and the
rest of the log would be lost with it. Shortened, the text is cut and has no mark.
"""

from __future__ import annotations

from typing import Optional

from sls_siem.codec.fields import index_of
from sls_siem.codec.json_format import JsonFormat, JsonGroup
from sls_siem.codec.text import boundary, escape_line_ends, json_string, to_text
from sls_siem.codec.wire import GroupMeta, Log


class RawFormat:
    """Format `raw` as configured.

    Args:
        field: name of the field, as written out.
        otherwise: writes logs without it.
        one_line: CR, LF and NUL may not appear.
    """

    def __init__(self, field: bytes, otherwise: JsonFormat, *, one_line: bool) -> None:
        self.field = field
        self.otherwise = otherwise
        self.one_line = one_line

    def open(self, meta: GroupMeta) -> RawGroup:
        return RawGroup(self, self.otherwise.open(meta))

    def boundary(self, text: bytes, start: int, end: int) -> int:
        return boundary(text, start, end)


class RawGroup:
    """Writes the logs of one group as `raw`."""

    def __init__(self, parent: RawFormat, otherwise: JsonGroup) -> None:
        self._parent = parent
        self._otherwise = otherwise
        self._keys: Optional[tuple[bytes, ...]] = None
        self._index = -1

    def message(self, log: Log, ident: bytes) -> bytes:
        text = self._text(log)
        return self._otherwise.message(log, ident) if text is None else text

    def json_value(self, log: Log, ident: bytes) -> bytes:
        text = self._text(log)
        return json_string(text) if text else self._otherwise.message(log, ident)

    def shortened(self, log: Log, ident: bytes, room: int) -> bytes:
        text = self._text(log)
        if text is None:
            return self._otherwise.shortened(log, ident, room)
        return text[: boundary(text, 0, room)]

    def _text(self, log: Log) -> Optional[bytes]:
        if log.keys is not self._keys:
            self._keys = log.keys
            self._index = index_of(log.keys, self._parent.field)
        if self._index < 0:
            return None
        text = to_text(log.values[self._index])
        return escape_line_ends(text) if self._parent.one_line else text
