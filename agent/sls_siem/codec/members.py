"""Shorten an event that is a list of named members until it fits, so that it still parses.

1. The event ends with the marker `__truncated__`; a member of the log that has this name is renamed like any other
   later one of a name.
2. Members are left out from the end until those that remain fit with empty values (fixed ones, numbers and the event
   id, with their value).
3. The longest values of the rest are shortened: with the greatest size such that all values fit when none is longer,
   each longer one is cut to that size, or a few bytes less so that no character and no escape is cut apart. Sizes are
   those of the values as written, escapes included, quotes not.
4. An embedded JSON value counts with its own size. If it is too long, its text is cut instead, as a string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

TRUNCATED = b"__truncated__"

Boundary = Callable[[bytes, int, int], int]


class Member(NamedTuple):
    """One member as written: `label + value + close`; `embedded`: the label to use when the value is `embedded`."""

    label: bytes
    value: bytes
    close: bytes = b""
    fixed: bool = False
    embedded: Optional[tuple[bytes, bytes]] = None

    @property
    def size(self) -> int:
        """Bytes of the value as written when nothing is cut."""
        return len(self.embedded[1] if self.embedded else self.value)

    def cut(self, size: int, boundary: Boundary) -> bytes:
        """Write the member with at most so many bytes of value."""
        if self.embedded and self.size <= size:
            return self.embedded[0] + self.embedded[1]
        if self.fixed:
            return self.label + self.value
        return self.label + self.value[: boundary(self.value, 0, size)] + self.close


def level(sizes: Sequence[int], room: int) -> int:
    """Find the greatest size such that everything fits in `room` when nothing is longer than it."""
    left = len(sizes)
    for size in sorted(sizes):
        if size * left > room:
            return room // left
        room -= size
        left -= 1
    return max(sizes, default=0)


def shorten(members: Sequence[Member], *, room: int, separator: bytes, boundary: Boundary) -> list[bytes]:
    """Write as much of the members as fits.

    Args:
        members: all members of the event, in order.
        room: bytes for the members and a separator after each.
        separator: what stands between two members.
        boundary: finds where an escaped value may be cut.
    """
    kept = []
    for member in members:
        least = len(member.label) + (len(member.value) if member.fixed else len(member.close)) + len(separator)
        if least > room:
            break
        room -= least
        kept.append(member)
    size = level([member.size for member in kept if not member.fixed], room)
    return [member.cut(size, boundary) for member in kept]
