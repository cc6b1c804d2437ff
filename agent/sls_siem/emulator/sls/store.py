"""A logstore: its shards with their key ranges, its consumer groups, its processors. Safe to use from any thread.

It must not know HTTP; what goes over the wire is made of it in `service`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from sls_siem.emulator.loggroups import decode_group
from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.consumer_group import ConsumerGroup
from sls_siem.emulator.sls.refusal import RefusalError, parameter_invalid, shard_missing
from sls_siem.emulator.sls.shard import HASH_END, KeyRange, Pace, Shard, StoredGroup

# Positions look like the service's: far above 2**53, and never the same in two shards, so that a cursor that goes to
# the wrong shard is refused. The second number is how far apart two shards start.
_FIRST_POSITION = 1_447_299_606_896_632_356
_STEP = 7_368_741_241_633


class Positions:
    """Gives every shard of one emulator a first position of its own."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def next_base(self) -> int:
        return _FIRST_POSITION + next(self._numbers) * _STEP


@dataclass(frozen=True)
class Appended:
    """Where `groups` log groups went: to `shard`, the first at `position`."""

    shard: int
    position: int
    groups: int


class Logstore:
    """One logstore.

    Args:
        project: name of its project.
        name: its own name.
        shards: how many shards it starts with, sharing the hash keys evenly.
        ttl_days: its retention, as GetLogStore tells it; `apply_retention` applies it.
        keep_trimmed: keep what retention removed, for `stored`; False for runs that append for hours.
        clock: the emulator's time.
        positions: gives shards their first position.
    """

    def __init__(
        self,
        project: str,
        name: str,
        *,
        shards: int,
        ttl_days: int,
        clock: Clock,
        positions: Positions,
        keep_trimmed: bool = True,
    ) -> None:
        self.project = project
        self.name = name
        self.ttl_days = ttl_days
        self.keep_trimmed = keep_trimmed
        self.lock = threading.RLock()
        self.processors: dict[str, str] = {}
        self.consumer_groups: dict[str, ConsumerGroup] = {}
        self._clock = clock
        self._positions = positions
        self._shards: dict[int, Shard] = {}
        self._numbers = itertools.count()
        self._turn = itertools.count()
        self._next_seq = 0
        limits = [HASH_END * place // shards for place in range(shards)] + [HASH_END]
        for begin, end in zip(limits, limits[1:]):
            self._add_shard(KeyRange(begin, end), ())

    def _add_shard(self, keys: KeyRange, parents: tuple[int, ...]) -> Shard:
        shard = Shard(
            next(self._numbers),
            base=self._positions.next_base(),
            keys=keys,
            created=int(self._clock.wall()),
            parents=parents,
            keep_trimmed=self.keep_trimmed,
        )
        self._shards[shard.number] = shard
        return shard

    # --------------------------------------------------------------------------------------------------------- shards

    def shards(self) -> list[Shard]:
        with self.lock:
            return list(self._shards.values())

    def shard(self, number: int, *, missing_status: int = 404) -> Shard:
        """Find a shard.

        Raises:
            RefusalError: `ShardNotExist`, with the status that the calling operation documents.
        """
        found = self._shards.get(number)
        if found is None:
            raise shard_missing(number, missing_status)
        return found

    def split(self, number: int, key: Optional[int] = None) -> tuple[int, int]:
        """Split a shard at a hash key (default: its middle); it becomes read-only. Returns its two children."""
        with self.lock:
            shard = self._writable(number)
            middle = (shard.keys.begin + shard.keys.end) // 2 if key is None else key
            if not shard.keys.begin < middle < shard.keys.end:
                raise parameter_invalid(f"key {middle:032x} is not inside shard {number}")
            shard.read_only = True
            left = self._add_shard(KeyRange(shard.keys.begin, middle), (number,))
            right = self._add_shard(KeyRange(middle, shard.keys.end), (number,))
            return left.number, right.number

    def merge(self, number: int) -> int:
        """Merge a shard with its right neighbour; both become read-only. Returns their child."""
        with self.lock:
            left = self._writable(number)
            neighbours = [s for s in self._shards.values() if not s.read_only and s.keys.begin == left.keys.end]
            if not neighbours:
                raise parameter_invalid(f"shard {number} has no right neighbour to merge with")
            right = neighbours[0]
            left.read_only = right.read_only = True
            return self._add_shard(KeyRange(left.keys.begin, right.keys.end), (left.number, right.number)).number

    def _writable(self, number: int) -> Shard:
        shard = self.shard(number)
        if shard.read_only:
            raise parameter_invalid(f"shard {number} is read-only")
        return shard

    def remove_shard(self, number: int) -> None:
        """Drop a shard altogether, as the service does once a read-only shard is empty and old."""
        with self.lock:
            self.shard(number)
            del self._shards[number]
            for group in self.consumer_groups.values():
                group.forget_shard(number)

    # -------------------------------------------------------------------------------------------------------- writing

    def append(self, shard: Optional[int], groups: Sequence[bytes], *, received: Optional[float] = None) -> Appended:
        """Store log groups.

        Args:
            shard: where; None takes the writable shards in turn. A read-only one passes on to its children in turn.
            groups: bodies of LogGroups.
            received: epoch seconds of receipt; never earlier than that of the group before.
        """
        with self.lock:
            target = self._choose(shard)
            moment = self._clock.wall() if received is None else received
            return Appended(target.number, target.append(groups, moment), len(groups))

    def append_by_key(self, key: int, groups: Sequence[bytes]) -> Appended:
        """Store log groups in the shard that the hash key belongs to."""
        with self.lock:
            target = next(shard for shard in self._open_shards() if shard.keys.holds(key))
            return self.append(target.number, groups)

    def preload(
        self, shard: int, groups: Sequence[bytes], *, repeat: int = 1, mb_per_s: Optional[float] = None
    ) -> Appended:
        """Store log groups and let them repeat: as much as a benchmark wants to read, for the memory of one round.

        Args:
            shard: its id.
            groups: of one round.
            repeat: rounds.
            mb_per_s: raw megabytes (10**6) that appear in a second; None has all of them there at once.
        """
        with self.lock:
            appended = self.append(shard, groups)
            pace = None
            if mb_per_s is not None:
                per_group = sum(map(len, groups)) / len(groups)
                pace = Pace(mb_per_s * 1e6 / per_group, self._clock.wall(), self._clock.wall)
            self.shard(appended.shard).repeat(repeat, pace)
            return appended

    def take_seq(self, logs: int) -> int:
        """Set aside sequence numbers for generated logs and return the first."""
        with self.lock:
            first = self._next_seq
            self._next_seq += logs
            return first

    def _open_shards(self) -> list[Shard]:
        return [shard for shard in self._shards.values() if not shard.read_only]

    def _choose(self, number: Optional[int]) -> Shard:
        if number is None:
            candidates = self._open_shards()
        else:
            asked = self.shard(number)
            candidates = self._descendants(asked) if asked.read_only else [asked]
        return candidates[next(self._turn) % len(candidates)]

    def _descendants(self, ancestor: Shard) -> list[Shard]:
        keys = ancestor.keys
        return [s for s in self._open_shards() if s.keys.begin < keys.end and keys.begin < s.keys.end]

    # ------------------------------------------------------------------------------------------------------ retention

    def trim(self, shard: int, *, before: int) -> int:
        """Remove the groups before a position, as retention does; returns how many."""
        with self.lock:
            return self.shard(shard).trim(before)

    def trim_received(self, *, before: float) -> int:
        """Remove everything received before that moment (epoch seconds) from every shard; returns how many groups."""
        with self.lock:
            return sum(shard.trim(shard.position_at(before)) for shard in self._shards.values())

    def apply_retention(self) -> int:
        """Remove what is older than `ttl_days`; returns how many groups."""
        return self.trim_received(before=self._clock.wall() - self.ttl_days * 86_400)

    def stored(
        self, shard: Optional[int] = None, start: Optional[int] = None, limit: Optional[int] = None
    ) -> Iterator[StoredGroup]:
        """List what was ever appended, trimmed groups included, by shard and position.

        Args:
            shard: only this one; None means all.
            start: first position; None means from the first group ever.
            limit: at most so many groups.
        """
        with self.lock:
            chosen = self.shards() if shard is None else [self.shard(shard)]
            spans = [(item, item.base if start is None else start, item.end) for item in chosen]
        listing = itertools.chain.from_iterable(item.stored(first, stop) for item, first, stop in spans)
        return itertools.islice(listing, limit)

    # ------------------------------------------------------------------------------------------------ consumer groups

    def group(self, name: str) -> ConsumerGroup:
        """Find a consumer group.

        Raises:
            RefusalError: `ConsumerGroupNotExist`.
        """
        found = self.consumer_groups.get(name)
        if found is None:
            raise RefusalError(404, "ConsumerGroupNotExist", f"consumer group {name} does not exist")
        return found

    def create_group(self, name: str, *, timeout_s: int, in_order: bool, quota: int) -> ConsumerGroup:
        """Make a consumer group.

        Raises:
            RefusalError: `ConsumerGroupAlreadyExist` or `ConsumerGroupQuotaExceed`.
        """
        with self.lock:
            if name in self.consumer_groups:
                raise RefusalError(400, "ConsumerGroupAlreadyExist", f"consumer group {name} already exists")
            if len(self.consumer_groups) >= quota:
                raise RefusalError(403, "ConsumerGroupQuotaExceed", f"the logstore has {quota} consumer groups already")
            self.consumer_groups[name] = ConsumerGroup(name, timeout_s=timeout_s, in_order=in_order, clock=self._clock)
            return self.consumer_groups[name]

    def set_checkpoint(self, group: str, shard: int, cursor: str) -> None:
        """Plant a checkpoint, whatever its text: for tests of damaged and foreign ones."""
        with self.lock:
            self.group(group).save(shard, cursor, "")


def check_group(data: bytes) -> None:
    """Refuse what is no LogGroup.

    Raises:
        RefusalError: `PostBodyInvalid`.
    """
    try:
        decode_group(data)
    except ValueError as exc:
        raise RefusalError(400, "PostBodyInvalid", f"the body is not a LogGroup: {exc}") from exc
