"""One shard: log groups by position, their receive times, and what retention has taken away.

It must not know HTTP, consumer groups or compression. Its owner holds the lock.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

from sls_siem.emulator.loggroups import field, split_list

# PullLogs answers at most so many bytes, before compression (sls API reference, PullLogs).
MAX_ANSWER_BYTES = 10 * 1024 * 1024
HASH_END = (1 << 128) - 1


@dataclass(frozen=True)
class KeyRange:
    """Hash keys from `begin` (inclusive) to `end` (exclusive, but for the very last key)."""

    begin: int
    end: int

    def holds(self, key: int) -> bool:
        return self.begin <= key < self.end or key == self.end == HASH_END


@dataclass(frozen=True)
class StoredGroup:
    """One log group as it was appended.

    Args:
        shard: shard id.
        position: the number in its own cursor.
        received: epoch seconds of receipt.
        trimmed: retention removed it, nobody can read it any more.
        data: body of the LogGroup; empty when it was trimmed and not kept.
    """

    shard: int
    position: int
    received: float
    trimmed: bool
    data: bytes


@dataclass(frozen=True)
class Pace:
    """Lets what a shard repeats appear evenly, instead of being there at once.

    Args:
        groups_per_s: so many log groups appear in a second.
        since: epoch seconds at which the first one does.
        wall: epoch seconds.
    """

    groups_per_s: float
    since: float
    wall: Callable[[], float]

    def appeared(self) -> int:
        """Log groups so far."""
        return max(0, int((self.wall() - self.since) * self.groups_per_s))

    def received(self, index: int) -> float:
        """Epoch seconds at which the group with that number appears."""
        return self.since + (index + 1) / self.groups_per_s


@dataclass(frozen=True)
class Extent:
    """What one answer holds: the groups with the indices from `first` to before `last`."""

    position: int
    first: int
    last: int
    raw_bytes: int

    @property
    def groups(self) -> int:
        return self.last - self.first

    @property
    def next_position(self) -> int:
        return self.position + self.groups


class Shard:
    """A shard of a logstore.

    Args:
        number: its id.
        base: position of its first group ever.
        keys: its share of the hash keys.
        created: epoch seconds.
        parents: ids of the shards it was split or merged from.
        keep_trimmed: keep what retention removed, for `stored`.
    """

    def __init__(
        self,
        number: int,
        *,
        base: int,
        keys: KeyRange,
        created: int,
        parents: tuple[int, ...] = (),
        keep_trimmed: bool = True,
    ) -> None:
        self.number = number
        self.base = base
        self.keys = keys
        self.created = created
        self.parents = parents
        self.read_only = False
        self._keep_trimmed = keep_trimmed
        self._begin = base
        self._repeat = 1
        self._pace: Optional[Pace] = None
        self._frames: list[bytes] = []
        self._ends: list[int] = [0]
        self._received: list[float] = []

    @property
    def _lap(self) -> int:
        """Groups after which they begin again."""
        return len(self._received)

    @property
    def begin(self) -> int:
        """Position of the oldest group that retention has left."""
        return self._begin

    @property
    def end(self) -> int:
        """Position of the next group to come."""
        there = self._lap * self._repeat
        return self.base + (there if self._pace is None else min(there, self._pace.appeared()))

    @property
    def raw_bytes(self) -> int:
        """Bytes ever appended, as a LogGroupList."""
        return self._ends[self._lap] * self._repeat

    def append(self, groups: Iterable[bytes], received: float) -> int:
        """Store groups and return the position of the first."""
        if self._repeat != 1:
            raise ValueError(f"shard {self.number} repeats what was preloaded, nothing can be appended")
        first = self.end
        if self._received:
            received = max(received, self._received[-1])
        for group in groups:
            self._frames.append(field(1, group))
            self._ends.append(self._ends[-1] + len(self._frames[-1]))
            self._received.append(received)
        return first

    def repeat(self, times: int, pace: Optional[Pace] = None) -> None:
        """Let what is stored now be followed by itself until it stands there `times` times, at a pace or at once.

        At once, an answer ends where the groups begin again: so the same few answers are given, which are compressed
        once. At a pace it goes on behind that, as an answer of a shard that fills does.
        """
        if times < 1 or (times > 1 and not self._frames):
            raise ValueError(f"shard {self.number} cannot repeat {len(self._frames)} groups {times} times")
        if times > 1 and pace is not None:
            self._frames += self._frames
            self._ends += [self._ends[-1] + end for end in self._ends[1:]]
        self._repeat, self._pace = times, pace

    # -------------------------------------------------------------------------------------------------------- reading

    def extent(self, position: int, *, count: int, end: int) -> Extent:
        """Choose the groups of one answer: from `position`, at most `count`, before `end`, at most 10 MiB."""
        stop = min(end, self.end)
        if position >= stop:
            return Extent(position, 0, 0, 0)
        first = (position - self.base) % self._lap
        last = min(first + count, len(self._frames), first + stop - position)
        fitting = bisect_right(self._ends, self._ends[first] + MAX_ANSWER_BYTES) - 1
        last = max(first + 1, min(last, fitting))
        return Extent(position, first, last, self._ends[last] - self._ends[first])

    def body(self, extent: Extent) -> bytes:
        """Join an extent's groups to a LogGroupList."""
        return b"".join(self._frames[extent.first : extent.last])

    def received_at(self, position: int) -> float:
        if self._pace is not None:
            return self._pace.received(position - self.base)
        return self._received[(position - self.base) % self._lap]

    def position_at(self, received: float) -> int:
        """Find the first group received then or later; the end when there is none."""
        if self._pace is not None:
            index = max(0, math.ceil((received - self._pace.since) * self._pace.groups_per_s) - 1)
            return max(self._begin, min(self.end, self.base + index))
        index = bisect_left(self._received, received)
        if index == len(self._received):
            return self.end
        return max(self._begin, self.base + index)

    def stored(self, start: int, stop: int) -> Iterator[StoredGroup]:
        for position in range(max(start, self.base), min(stop, self.end)):
            frame = self._frames[(position - self.base) % self._lap]
            data = split_list(frame)[0] if frame else b""
            yield StoredGroup(self.number, position, self.received_at(position), position < self._begin, data)

    # ------------------------------------------------------------------------------------------------------ retention

    def trim(self, before: int) -> int:
        """Remove the groups before that position and return how many that were."""
        target = min(max(before, self._begin), self.end)
        removed = target - self._begin
        if not self._keep_trimmed and self._repeat == 1:
            for index in range(self._begin - self.base, target - self.base):
                self._frames[index] = b""
        self._begin = target
        return removed
