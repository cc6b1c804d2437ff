"""The header that CEF and LEEF have in common: fields between pipes, each filled in from a template.

A field is text; what its characters become is the format's business, and so is what has no character: an empty field
is `-`. Each field is cut to the length that the vendor gives it, before it is escaped. When a whole event is too long,
the longest fields are cut until the header leaves room for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from sls_siem.codec.fields import Template
from sls_siem.codec.members import level
from sls_siem.codec.nested import NestedFields
from sls_siem.codec.text import escape_boundary, to_text
from sls_siem.codec.wire import GroupMeta

_LINE_ENDS = bytes(0x20 if code in b"\r\n\x00" else code for code in range(256))


class HeaderField(NamedTuple):
    """A field of the header: its template and how many characters it may have."""

    template: Template
    length: int


class PipeHeader:
    """A header as configured; thread-safe.

    Args:
        opening: what stands first, with its pipe.
        fields: from the left.
        clean: makes text fit for a field: escapes, replacements.
    """

    def __init__(self, opening: bytes, fields: Sequence[HeaderField], clean: Callable[[bytes], bytes]) -> None:
        self.opening = opening
        self.fields = tuple(fields)
        self._clean = clean

    def clean(self, field: HeaderField, value: bytes) -> bytes:
        """Make a field of what its template gave."""
        text = to_text(value).translate(_LINE_ENDS)
        if len(text) > field.length:
            text = text.decode()[: field.length].encode()
        return self._clean(text) or b"-"

    def join(self, fields: Sequence[bytes], closing: bytes) -> bytes:
        """Write the whole header."""
        return b"%b%b|%b" % (self.opening, b"|".join(fields), closing)


class PipeGroupHeader:
    """Writes the headers of one group's logs; not shared between threads.

    Args:
        header: as configured.
        meta: what the logs share.
        find: finds the fields of the log that it has been turned to.
    """

    def __init__(self, header: PipeHeader, meta: GroupMeta, find: NestedFields) -> None:
        self._header = header
        self._find = find
        shared = [field.template.shared(meta) for field in header.fields]
        self._shared: list[Optional[bytes]] = [
            None if value is None else header.clean(field, value) for field, value in zip(header.fields, shared)
        ]
        self._joined = b"" if None in self._shared else header.join(self._fields(), b"")

    def write(self, closing: bytes) -> bytes:
        """Write the header of the log that `find` has been turned to.

        Args:
            closing: what stands after the pipe of the last field.
        """
        return self._joined + closing if self._joined else self._header.join(self._fields(), closing)

    def shortened(self, closing: bytes, room: int) -> bytes:
        """Write the header in at most `room` bytes, or as short as it can be."""
        fields = self._fields()
        whole = self._header.join(fields, closing)
        if len(whole) <= room:
            return whole
        left = sum(map(len, fields)) - (len(whole) - room)
        size = level([len(field) for field in fields], max(left, 0))
        cut = [field[: escape_boundary(field, 0, size, pipes=True)] or b"-" for field in fields]
        return self._header.join(cut, closing)

    def _fields(self) -> list[bytes]:
        return [
            self._header.clean(field, field.template.fill_by(self._find.find)) if value is None else value
            for field, value in zip(self._header.fields, self._shared)
        ]
