"""One consumer group: who is alive, who holds which shard, and the saved checkpoints.

The rules: a shard stays with the consumer that reports it until that one leaves it out of a heartbeat or is silent
for the group's timeout; a read-only shard is done when its checkpoint stands at its end; with `in_order` a child
waits until its parents are done. Its owner holds the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Optional

from sls_siem.emulator.sls.balance import balance
from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.cursors import to_position
from sls_siem.emulator.sls.refusal import RefusalError
from sls_siem.emulator.sls.shard import Shard


@dataclass(frozen=True)
class SavedCheckpoint:
    """A stored checkpoint: the cursor as it came, who saved it, epoch microseconds."""

    cursor: str = ""
    consumer: str = ""
    update_time: int = 0

    @property
    def position(self) -> Optional[int]:
        return to_position(self.cursor)


class ConsumerGroup:
    """A consumer group of one logstore; `timeout_s` and `in_order` may change while it lives."""

    def __init__(self, name: str, *, timeout_s: int, in_order: bool, clock: Clock) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.in_order = in_order
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._holders: dict[int, str] = {}
        self._checkpoints: dict[int, SavedCheckpoint] = {}

    # ----------------------------------------------------------------------------------------------------- membership

    def heartbeat(self, consumer: str, reported: Sequence[int], shards: Collection[Shard]) -> list[int]:
        """Take a heartbeat and answer which shards the consumer should hold.

        Args:
            consumer: its name.
            reported: the shards it still works on.
            shards: all shards of the logstore.

        Raises:
            RefusalError: the consumer is not known (any more) but works on shards.
        """
        self._evict_silent()
        if consumer not in self._seen and reported:
            raise RefusalError(400, "NotExistConsumerWithBody", f"consumer {consumer} does not exist, but has a body")
        self._seen[consumer] = self._clock.monotonic()
        for shard in [shard for shard, holder in self._holders.items() if holder == consumer]:
            if shard not in reported:
                del self._holders[shard]
        for shard in reported:
            self._holders.setdefault(shard, consumer)
        return self._grant(consumer, shards)

    def _grant(self, consumer: str, shards: Collection[Shard]) -> list[int]:
        wanted = self._unfinished(shards)
        target = balance(wanted, sorted(self._seen), self._holders)
        free = [shard for shard in wanted if self._holders.get(shard, consumer) == consumer]
        granted = [shard for shard in free if target[shard] == consumer]
        self._holders.update(dict.fromkeys(granted, consumer))
        return granted

    def _unfinished(self, shards: Collection[Shard]) -> list[int]:
        done = {shard.number for shard in shards if self._is_done(shard)}
        present = {shard.number for shard in shards}
        return sorted(
            shard.number
            for shard in shards
            if shard.number not in done
            and not (self.in_order and any(parent in present - done for parent in shard.parents))
        )

    def _is_done(self, shard: Shard) -> bool:
        return shard.read_only and self.checkpoint(shard.number).position == shard.end

    def _evict_silent(self) -> None:
        oldest = self._clock.monotonic() - self.timeout_s
        for consumer in [name for name, seen in self._seen.items() if seen < oldest]:
            self.evict(consumer)

    def evict(self, consumer: str) -> None:
        """Forget a consumer: its shards are free at once, and its next heartbeat with shards is refused."""
        self._seen.pop(consumer, None)
        for shard in [shard for shard, holder in self._holders.items() if holder == consumer]:
            del self._holders[shard]

    def forget_shard(self, shard: int) -> None:
        self._holders.pop(shard, None)
        self._checkpoints.pop(shard, None)

    def owner(self, shard: int) -> Optional[str]:
        """Name the consumer that holds the shard now."""
        self._evict_silent()
        return self._holders.get(shard)

    def consumers(self) -> dict[str, list[int]]:
        """List who is alive, with the shards each holds."""
        self._evict_silent()
        return {
            name: sorted(shard for shard, holder in self._holders.items() if holder == name)
            for name in sorted(self._seen)
        }

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def checkpoint(self, shard: int) -> SavedCheckpoint:
        return self._checkpoints.get(shard, SavedCheckpoint())

    def check_owner(self, consumer: str, shard: int) -> None:
        """Refuse a save that is not forced by anyone but the owner.

        Raises:
            RefusalError: `ConsumerNotExist` or `ConsumerNotMatch`.
        """
        owner = self.owner(shard)
        if consumer not in self._seen:
            raise RefusalError(404, "ConsumerNotExist", f"consumer {consumer} does not exist in group {self.name}")
        if owner != consumer:
            raise RefusalError(400, "ConsumerNotMatch", f"shard {shard} belongs to consumer {owner or '(none)'}")

    def save(self, shard: int, cursor: str, consumer: str) -> None:
        self._checkpoints[shard] = SavedCheckpoint(cursor, consumer, int(self._clock.wall() * 1_000_000))
