r"""Decide whether a value is one well-formed JSON object or array that may stand in an event as such.

A value is embedded when all of this holds; else it stays text:

- It is one object or array by the grammar of RFC 8259, with nothing but white space (space, TAB, LF, CR) around it,
  in well-formed UTF-8 without a byte order mark. `NaN` and `Infinity` are no JSON. Numbers may be of any size.
- No string in it, name or value, holds the escape of a lone surrogate (`"\ud800"`): the grammar allows it, but many
  receivers refuse the whole event for it.
- Objects and arrays are nested at most 64 deep, so that no receiver has to go deeper than for other events.

The same name twice in an object is well-formed; what to make of it is left to the receiver.

The value's own text is embedded, without CR, LF and TAB. In JSON these stand between tokens only, and no two tokens
are kept apart by white space alone, so the value stays the same and the event stays one line. Spaces stay.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, Optional, Union

DEEPEST = 64

# Every escape from left to right, so that the second backslash of a pair is not taken for the start of an escape.
_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL)
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


# Numbers are only checked, never made: the size of a number must not matter.
_DECODER = json.JSONDecoder(parse_float=len, parse_int=len, parse_constant=_refuse)


def embeddable(raw: bytes) -> Optional[bytes]:
    """Return the text to embed for a value from the wire, None when it stays text."""
    text = raw.strip(b" \t\r\n")
    if text[:1] not in (b"{", b"[") or _too_deep(text) or _has_lone_surrogate(text):
        return None
    try:
        _DECODER.decode(text.decode())
    except ValueError:
        return None
    return raw.translate(None, b"\r\n\t")


def parse_container(raw: bytes) -> Union[dict[str, Any], list[Any], None]:
    """Read a value from the wire that is one JSON object or array, nested no deeper than `DEEPEST`; None otherwise."""
    text = raw.strip(b" \t\r\n")
    if text[:1] not in (b"{", b"[") or _too_deep(text):
        return None
    try:
        found: Union[dict[str, Any], list[Any]] = json.loads(text.decode(), parse_constant=_refuse)
    except ValueError:  # also of a number with thousands of digits
        return None
    return found


def _too_deep(text: bytes) -> bool:
    if text.count(b"{") + text.count(b"[") <= DEEPEST:
        return False
    # Without escapes, every second piece between quotes is outside of strings; linear, whatever the text.
    outside = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    depth = 0
    for bracket in outside.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _has_lone_surrogate(text: bytes) -> bool:
    if b"\\u" not in text:
        return False
    return any(escape.group(1) for escape in _ESCAPES.finditer(text))
