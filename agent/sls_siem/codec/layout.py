"""What is computed once for many logs: the names of an event's members, for a list of keys after given metadata.

It must not know any format's escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 2048
_LONGEST_KEYS = 16384


class LayoutCache(Generic[T]):
    """Keeps what a format made of (names taken before, keys), bounded in number and size; safe between threads."""

    def __init__(self, make: Callable[[tuple[bytes, ...], tuple[bytes, ...]], T]) -> None:
        self._make = make
        self._made: dict[tuple[tuple[bytes, ...], tuple[bytes, ...]], T] = {}

    def get(self, before: tuple[bytes, ...], keys: tuple[bytes, ...]) -> T:
        """Look up, or make, what belongs to `keys` after the names `before`."""
        name = (before, keys)
        found = self._made.get(name)
        if found is None:
            found = self._make(before, keys)
            if _size(before) + _size(keys) <= _LONGEST_KEYS:
                if len(self._made) >= _MOST:
                    self._made.clear()
                self._made[name] = found
        return found


def _size(names: Sequence[bytes]) -> int:
    return sum(map(len, names)) + 16 * len(names)
