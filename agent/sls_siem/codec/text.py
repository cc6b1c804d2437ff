r"""Write bytes of a log as text, and text as JSON or key-value: every escape, character by character.

**Text.** Each byte that is not part of well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above
U+10FFFF) becomes the four characters `\xhh`, lower case; all other bytes stay. This comes first, in every format; an
escape of the format then applies to these characters as to any others, so that in JSON the byte FF is written
`"\\xff"` and in key-value `\\xff`.

**JSON.** `"` and `\` get a backslash; U+0008, 9, A, C, D become `\b`, `\t`, `\n`, `\f`, `\r`; other characters
below U+0020 become `\u00hh`, lower case. Everything else is written as it is, in UTF-8: also `/`, DEL, U+2028 and all
beyond ASCII. (That is `json.dumps(text, ensure_ascii=False)`.)

**Key-value.** `\`, `|`, CR, LF, NUL become `\\`, `\|`, `\r`, `\n`, `\0`; in a key also `=` becomes `\=`.

**Names.** Members of an event have different names: in order of appearance, the first keeps its name, a later one of
the same name takes the smallest `_n`, n from 2, that no earlier member has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

_KEPT_IN_JSON = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
_quote = json.JSONEncoder(ensure_ascii=False).encode
_KEPT_IN_KV = bytes(code for code in range(0x80) if code not in b"\\|\r\n\x00")


def to_text(raw: bytes) -> bytes:
    r"""Write invalid bytes as `\xhh`; the result is well-formed UTF-8."""
    if raw.isascii():
        return raw
    return raw.decode("utf-8", "backslashreplace").encode()


def json_escape_all(raw: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Write each as `json_escape`; quick when there is nothing to escape in any of them."""
    return tuple(map(json_escape, raw)) if b"".join(raw).translate(None, _KEPT_IN_JSON) else raw


def json_escape(raw: bytes) -> bytes:
    """Write bytes as the inside of a JSON string."""
    if not raw.translate(None, _KEPT_IN_JSON):
        return raw
    return _quote(raw.decode("utf-8", "backslashreplace"))[1:-1].encode()


def json_string(raw: bytes) -> bytes:
    """Write bytes as a JSON string."""
    return b'"%b"' % json_escape(raw)


def kv_escape(raw: bytes) -> bytes:
    """Write bytes as a value of `kv`."""
    if not raw.translate(None, _KEPT_IN_KV):
        return raw
    text = to_text(raw).replace(b"\\", b"\\\\").replace(b"|", b"\\|")
    return escape_line_ends(text)


def kv_escape_all(raw: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Write each as `kv_escape`; quick when there is nothing to escape in any of them."""
    return tuple(map(kv_escape, raw)) if b"".join(raw).translate(None, _KEPT_IN_KV) else raw


def kv_escape_key(raw: bytes) -> bytes:
    """Write bytes as a key of `kv`."""
    return kv_escape(raw).replace(b"=", b"\\=")


def escape_line_ends(text: bytes) -> bytes:
    r"""Write CR, LF and NUL as `\r`, `\n` and `\0`."""
    return text.replace(b"\r", b"\\r").replace(b"\n", b"\\n").replace(b"\x00", b"\\0")


class Names:
    """Gives each member of one event a name of its own.

    Args:
        taken: names that no member may have.
    """

    def __init__(self, taken: Iterable[bytes] = ()) -> None:
        self._taken = dict.fromkeys(taken)
        self._next: dict[bytes, int] = {}

    def claim(self, name: bytes) -> bytes:
        """Take the name, or the first free one like it."""
        if name not in self._taken:
            self._taken[name] = None
            return name
        number = self._next.get(name, 2)
        while (other := b"%b_%d" % (name, number)) in self._taken:
            number += 1
        self._next[name] = number + 1
        self._taken[other] = None
        return other

    @property
    def taken(self) -> tuple[bytes, ...]:
        """All names given so far."""
        return tuple(self._taken)


def boundary(text: bytes, start: int, end: int) -> int:
    """Find the last place not after `end` that is between two characters of UTF-8 text.

    Args:
        text: well-formed UTF-8.
        start: a place between two characters; the result is not before it.
        end: where one would like to cut.
    """
    if end >= len(text):
        return len(text)
    while end > start and text[end] & 0xC0 == 0x80:
        end -= 1
    return end


def escape_boundary(text: bytes, start: int, end: int, *, pipes: bool = False) -> int:
    r"""Find, as `boundary`, a place that is also not inside an escape (`\u00hh`, or a backslash and a character).

    Args:
        text: JSON or key-value text.
        start: a place between two characters; the result is not before it.
        end: where one would like to cut.
        pipes: key-value, where `\u` is no long escape and `||` is not cut apart.
    """
    end = boundary(text, start, end)
    if end >= len(text):
        return end
    slash = text.rfind(b"\\", max(start, end - 5), end)
    if slash >= 0 and _opens_escape(text, start, slash):
        size = 6 if text[slash + 1] == 0x75 and not pipes else 2
        if slash + size > end:
            return slash
        if slash + size == end:
            return end
    if pipes and end > start and text[end - 1 : end + 1] == b"||":
        return end - 1
    return end


def _opens_escape(text: bytes, start: int, slash: int) -> bool:
    """Tell whether the backslash is the first character of an escape: it ends a run of an odd number of them."""
    first = slash
    while first > start and text[first - 1] == 0x5C:
        first -= 1
    return (slash - first) % 2 == 0
