"""The first start of a consumer group: make it, and save where every shard begins before anybody pulls.

A position that is not saved can be lost: had the first process died before its first checkpoint, its successor would
resolve `end` anew and skip what came meanwhile. So whoever makes the group resolves `start` for every shard before,
and saves it right after, the making. Another consumer that finds the group but not all first positions waits for one
group timeout, then does what is left with the positions that it resolved at first sight.

First positions are saved from the highest shard id down, under a consumer name of their own. As long as no other
name is in the checkpoints, a shard without one below a shard with one was missed; a shard above all of them is
younger than the group and is read from its begin, as is every shard without a checkpoint once the group is in use.
What a maker left over that died half way, with nobody there to see, starts where `end` was when it began to save.
Who has begun to save them finishes that also when told to stop: whoever came next would resolve `end` anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Optional, Protocol, Union

from sls_siem.errors import NotFoundError, PermissionRefusedError, QuotaExceededError
from sls_siem.sls.model import Checkpoint, ConsumerGroup, Shard

LOG = logging.getLogger(__name__)

STARTER = "sls-siem-first-position"
"""Consumer name under which first positions are saved."""
POLL_S = 1.0
FINISH_S = 10.0
"""How long a stop waits at most for first positions that are being saved."""
MOST_NAMES = 30
BEFORE_SAVE_S = 5
"""So long before its first save a maker had resolved its positions, in whole seconds of the service's clock."""

Wait = Callable[[float], bool]


class StartCalls(Protocol):
    """The calls of an SLS session that a first start needs."""

    def list_shards(self) -> tuple[Shard, ...]:
        """ListShards."""
        ...

    def cursor(self, shard: int, at: Union[str, int]) -> int:
        """GetCursor."""
        ...

    def list_consumer_groups(self) -> tuple[ConsumerGroup, ...]:
        """ListConsumerGroup."""
        ...

    def create_consumer_group(self, timeout_s: int, in_order: bool) -> bool:
        """CreateConsumerGroup."""
        ...

    def checkpoints(self) -> dict[int, Checkpoint]:
        """GetCheckPoint of all shards."""
        ...

    def checkpoint(self, shard: int) -> Checkpoint:
        """GetCheckPoint of one shard."""
        ...

    def save_checkpoint(
        self, shard: int, position: int, *, force: bool = False, consumer: Optional[str] = None
    ) -> None:
        """UpdateCheckPoint."""
        ...

    @property
    def consumer_group(self) -> str:
        """Name of our group."""
        ...


@dataclass(frozen=True)
class StartReport:
    """How the group was found.

    Args:
        timeout_s: the group's timeout in force.
        in_order: the group's order in force.
        created: this call made the group.
        saved: shards whose first position this call saved.
        differences: a line for each setting of an existing group that differs from the configuration.
    """

    timeout_s: int
    in_order: bool
    created: bool = False
    saved: tuple[int, ...] = ()
    differences: tuple[str, ...] = ()


class FirstStart:
    """Makes or finds the group and its first positions; used by one thread.

    After an error `prepare` may be called again and goes on where it was, with the positions resolved before.

    Args:
        calls: a session.
        start: "begin", "end" or epoch seconds: where a new group starts.
        group_timeout_s: of a new group.
        in_order: of a new group.
        wait: sleeps for so many seconds, True when told to stop; also called with 0 between calls.
        clock: monotonic seconds.
        random: spreads those who take over at the same time.
    """

    def __init__(
        self,
        calls: StartCalls,
        *,
        start: Union[str, int],
        group_timeout_s: int,
        in_order: bool,
        wait: Wait,
        clock: Callable[[], float] = time.monotonic,
        random: Optional[Random] = None,
    ) -> None:
        self._calls = calls
        self._start = start
        self._timeout_s = group_timeout_s
        self._in_order = in_order
        self._wait = wait
        self._clock = clock
        self._random = random or Random()
        self._first: dict[int, int] = {}
        self._resolved = False
        self._created = False
        self._take_over_at: Optional[float] = None
        self._stop_seen_at: Optional[float] = None
        self._saving = False

    @property
    def saving(self) -> bool:
        """First positions are being saved, and some may be missing yet: to be finished also when told to stop."""
        return self._saving

    def prepare(self) -> Optional[StartReport]:
        """Do it; None when told to stop before it was done, or `FINISH_S` after that while it saves.

        Raises:
            QuotaExceededError: the logstore has no room for the group; the message names those that are there.
            SourceError: a call failed.
        """
        if self._saving and self._cut_off():
            return None
        group = self._find_or_create()
        if group is None:
            return None
        saved = self._save_missing(()) if self._created else self._join(group)
        if saved is None:
            return None
        self._saving = False
        differences = () if self._created else self._differences(group)
        for line in differences:
            LOG.warning("%s", line)
        return StartReport(group.timeout_s, group.in_order, self._created, saved, differences)

    # --- the group ---

    def _find_or_create(self) -> Optional[ConsumerGroup]:
        """Find the group, or make it with every first position at hand; None when told to stop."""
        configured = ConsumerGroup(self._calls.consumer_group, self._timeout_s, self._in_order)
        groups = self._list()
        found = _named(configured.name, groups)
        if found is not None or self._created:
            return found or configured
        if not self._resolve(self._start):
            return None
        try:
            self._created = self._calls.create_consumer_group(self._timeout_s, self._in_order)
        except QuotaExceededError as exc:
            raise _explained(exc, configured.name, groups) from exc
        if self._created:
            LOG.info("made consumer group %s, which starts at %s", configured.name, self._start)
            return configured
        return _named(configured.name, self._list()) or configured

    def _list(self) -> tuple[ConsumerGroup, ...]:
        """List the groups; without the permission to do so, making ours tells whether it is there."""
        try:
            return self._calls.list_consumer_groups()
        except PermissionRefusedError as exc:
            LOG.debug("consumer groups cannot be listed: %s", exc)
            return ()

    def _differences(self, group: ConsumerGroup) -> tuple[str, ...]:
        settings = (
            ("group_timeout_s", self._timeout_s, group.timeout_s),
            ("in_order", str(self._in_order).lower(), str(group.in_order).lower()),
        )
        return tuple(
            f"consumer group {group.name} exists with {key} = {theirs}, which is kept; the configuration has {ours}"
            for key, ours, theirs in settings
            if ours != theirs
        )

    # --- first positions ---

    def _resolve(self, start: Union[str, int]) -> bool:
        """Find out, once, where every shard starts; False when told to stop."""
        if self._resolved:
            return True
        first: dict[int, int] = {}
        for shard in self._calls.list_shards():
            if self._wait(0):
                return False
            try:
                first[shard.shard] = self._calls.cursor(shard.shard, start)
            except NotFoundError as exc:
                _pass_if_shard_ended(exc)
        self._first, self._resolved = first, True
        return True

    def _start_behind(self, stored: Mapping[int, Checkpoint]) -> Union[str, int]:
        """Where the shards start that a maker has left over: `end` was where it stood when that one began."""
        begun = [found.update_time for found in stored.values() if found.update_time]
        if self._start != "end" or not begun:
            return self._start
        return min(begun) // 1_000_000 - BEFORE_SAVE_S

    def _join(self, group: ConsumerGroup) -> Optional[tuple[int, ...]]:
        """Wait for the first positions of a group that another consumer made; what is missing then is done here."""
        while True:
            stored = _stored(self._calls.checkpoints())
            if _in_use(stored):
                return ()
            if not self._resolve(self._start_behind(stored)):
                return None
            if not _missing(self._first, stored):
                return ()
            now = self._clock()
            if self._take_over_at is None:
                LOG.info("consumer group %s has no first positions yet, waiting for its maker", group.name)
                self._take_over_at = now + group.timeout_s + self._random.random() * POLL_S
            if now >= self._take_over_at:
                return self._save_missing(stored)
            if self._wait(min(POLL_S, self._take_over_at - now)):
                return None

    def _save_missing(self, stored: Union[Mapping[int, Checkpoint], tuple[()]]) -> Optional[tuple[int, ...]]:
        """Save first positions from the highest shard down, never over a checkpoint; None when a stop cut it off."""
        self._saving = True
        saved = []
        for shard in _missing(self._first, stored):
            if self._cut_off():
                return None
            try:
                now = self._calls.checkpoint(shard)
                if now.position is None and not now.unreadable:
                    self._calls.save_checkpoint(shard, self._first[shard], force=True, consumer=STARTER)
                    saved.append(shard)
            except NotFoundError as exc:
                _pass_if_shard_ended(exc)
        return tuple(saved)

    def _cut_off(self) -> bool:
        """Told to stop `FINISH_S` ago."""
        if not self._wait(0):
            return False
        now = self._clock()
        if self._stop_seen_at is None:
            self._stop_seen_at = now
        return now - self._stop_seen_at >= FINISH_S


def _pass_if_shard_ended(exc: NotFoundError) -> None:
    """A split or merged shard may end with its retention after it was listed; then it has nothing left to lose."""
    if exc.code.lower() != "shardnotexist":
        raise exc


def prepare_positions(
    calls: StartCalls,
    *,
    start: Union[str, int],
    group_timeout_s: int,
    in_order: bool,
    wait: Wait,
) -> Optional[StartReport]:
    """Make or find the group and its first positions in one go; arguments and errors as of `FirstStart`."""
    return FirstStart(calls, start=start, group_timeout_s=group_timeout_s, in_order=in_order, wait=wait).prepare()


def _named(name: str, groups: Iterable[ConsumerGroup]) -> Optional[ConsumerGroup]:
    return next((group for group in groups if group.name == name), None)


def _stored(checkpoints: Mapping[int, Checkpoint]) -> dict[int, Checkpoint]:
    return {shard: found for shard, found in checkpoints.items() if found.position is not None or found.unreadable}


def _in_use(stored: Mapping[int, Checkpoint]) -> bool:
    """Somebody has saved where it has read to, so all first positions had been there before."""
    return any(found.consumer != STARTER for found in stored.values())


def _missing(first: Iterable[int], stored: Union[Mapping[int, Checkpoint], tuple[()]]) -> list[int]:
    """List the shards whose first position is still to be saved, in the order in which that is done."""
    highest = max(stored, default=None)
    return sorted((s for s in first if s not in stored and (highest is None or s < highest)), reverse=True)


def _explained(error: QuotaExceededError, name: str, groups: tuple[ConsumerGroup, ...]) -> QuotaExceededError:
    names = sorted(group.name for group in groups)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    there = f": {', '.join(names[:MOST_NAMES])}{more}" if names else ""
    return QuotaExceededError(
        f"consumer group {name!r} cannot be made, the logstore has as many as the service allows (30){there}. Delete "
        f"one that nobody uses, in the console or by DeleteConsumerGroup, or name one of them in sls.consumer_group. "
        f"{error}",
        code=error.code,
        status=error.status,
        request_id=error.request_id,
    )
