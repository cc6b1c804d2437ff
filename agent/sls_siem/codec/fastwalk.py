"""Read logs that look like the ones before them, several times faster than `wire.walk_log` and with the same result.

The logs of a logstore mostly have the same keys in the same order. For such a *shape* one regular expression guesses
where the values of a log are; the guess counts only when every length on the wire agrees with it, else the log is
walked by `wire`. So this module decides nothing: without it every event would be the same, only later. It is a trick
of the Python codec and no part of the specification.

Why the check is complete: the expression fixes every byte of a log but the lengths and the values, and a value runs
up to the next byte 0x12 (or the end). If each content's two lengths are those of the bytes matched, a walk that
follows the lengths meets the same boundaries, one after the other.
"""

from __future__ import annotations

import re
from typing import Optional

from sls_siem.codec.wire import Log, read_varint, walk_log

_LENGTH = rb"[\x80-\xff]{0,2}[\x00-\x7f]"
_MANY = 8192
_MOST_SHAPES = 512
_MOST_KEYS = 200
_LONGEST_KEYS = 4096
_WORTH_IT = 3


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _ValueSizes(dict[bytes, int]):
    """Content header (tag, length, key, value's length) → length of the value, -1 when its two lengths disagree."""

    def __missing__(self, header: bytes) -> int:
        whole, start = read_varint(header, 1, len(header))
        key_size, key_start = read_varint(header, start + 1, len(header))
        value_size, _ = read_varint(header, key_start + key_size + 1, len(header))
        if len(self) > _MANY:
            self.clear()
        self[header] = found = value_size if whole == len(header) - start + value_size else -1
        return found


class _Times(dict[bytes, int]):
    """Varint on the wire → seconds."""

    def __missing__(self, wire: bytes) -> int:
        if len(self) > _MANY:
            self.clear()
        self[wire] = found = read_varint(wire, 0, len(wire))[0] & 0xFFFFFFFF
        return found


class _Shape:
    """Logs with these keys in this order, with or without nanoseconds."""

    def __init__(self, keys: tuple[bytes, ...], *, with_ns: bool) -> None:
        self.keys = keys
        self._with_ns = with_ns
        self._stop = 2 * len(keys) + 1
        contents = (
            b"(\\x12" + _LENGTH + re.escape(b"\n" + _varint(len(key)) + key) + b"\\x12" + _LENGTH + b")([^\\x12]*)"
            for key in keys
        )
        pattern = b"\\x08([\\x80-\\xff]{0,4}[\\x00-\\x7f])" + b"".join(contents) + (b"\\x25(.{4})" if with_ns else b"")
        self._match = re.compile(pattern, re.DOTALL).fullmatch
        self._times = _Times()
        self._sizes = _ValueSizes()

    def read(self, body: bytes, start: int, end: int) -> Optional[Log]:
        """Read a log of this shape; None when it has another."""
        match = self._match(body, start, end)
        if match is None:
            return None
        parts: tuple[bytes, ...] = match.groups()
        values = parts[2 : self._stop : 2]
        if list(map(self._sizes.__getitem__, parts[1 : self._stop : 2])) != list(map(len, values)):
            return None
        ns = int.from_bytes(parts[-1], "little") if self._with_ns else None
        return Log(self._times[parts[0]], ns, self.keys, values)


class LogReader:
    """Reads logs, learning their shapes; bounded in memory, safe to share between threads.

    A shape is worth an expression when it has been seen a few times. `first` and `second` are the two shapes that fit
    last, since logs of two kinds often take turns.
    """

    def __init__(self) -> None:
        self._shapes: dict[tuple[tuple[bytes, ...], bool], _Shape] = {}
        self._seen: dict[tuple[tuple[bytes, ...], bool], int] = {}
        self._first: Optional[_Shape] = None
        self._second: Optional[_Shape] = None

    def read(self, body: bytes, start: int, end: int) -> Log:
        """Read the log between `start` and `end`.

        Raises:
            WireError: as `wire.walk_log`.
        """
        first = self._first
        if first is not None:
            log = first.read(body, start, end)
            if log is not None:
                return log
            second = self._second
            if second is not None:
                log = second.read(body, start, end)
                if log is not None:
                    self._first, self._second = second, first
                    return log
        return self._learn(walk_log(body, start, end))

    def _learn(self, log: Log) -> Log:
        """Remember the shape of a log that had to be walked; its keys become the shape's own tuple."""
        if not 0 < len(log.keys) <= _MOST_KEYS or sum(map(len, log.keys)) > _LONGEST_KEYS:
            return log
        name = (log.keys, log.ns is not None)
        shape = self._shapes.get(name)
        if shape is None:
            seen = self._seen.get(name, 0) + 1
            if len(self._seen) > _MANY:
                self._seen.clear()
            self._seen[name] = seen
            if seen < _WORTH_IT:
                return log
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[name] = _Shape(log.keys, with_ns=log.ns is not None)
        if shape is not self._first:
            self._first, self._second = shape, self._first
        return log._replace(keys=shape.keys)
