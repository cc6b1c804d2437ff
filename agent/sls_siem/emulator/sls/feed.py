"""Feeds: threads inside the emulator that append generated logs at a given rate."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.sls.store import Logstore


@dataclass(frozen=True)
class FeedPlan:
    """What a feed appends.

    Args:
        profile: kind of log, see `generate`.
        logs: how many; None means until it is stopped.
        logs_per_group: how many in a log group.
        groups_per_append: groups appended to one shard at a time.
        mb_per_s: raw megabytes (10**6) per second; None means as fast as it goes.
        shard: where; None takes the writable shards in turn.
        seed: of the logs.
        first_seq: number of the first log; None continues where the logstore's last feed ends (`logs` is needed).
    """

    profile: str = "nginx"
    logs: Optional[int] = None
    logs_per_group: int = 100
    groups_per_append: int = 1
    mb_per_s: Optional[float] = None
    shard: Optional[int] = None
    seed: int = 0
    first_seq: Optional[int] = None


class Feed:
    """One running feed."""

    _numbers = itertools.count(1)

    def __init__(self, store: Logstore, plan: FeedPlan, now: Callable[[], float]) -> None:
        self.number = next(self._numbers)
        self.plan = plan
        self.appended = 0
        self.appended_bytes = 0
        self.error = ""
        self._store = store
        self._now = now
        self._stop = threading.Event()
        self.first_seq = self._choose_first_seq()
        self._thread = threading.Thread(target=self._run, name=f"feed-{self.number}", daemon=True)

    def _choose_first_seq(self) -> int:
        if self.plan.first_seq is not None:
            return self.plan.first_seq
        # A feed without end takes numbers that no other can reach.
        return self._store.take_seq(self.plan.logs if self.plan.logs is not None else 10**12)

    def start(self) -> Feed:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End early; returns when nothing more will be appended."""
        self._stop.set()
        self.join(10)

    def join(self, timeout: Optional[float] = None) -> bool:
        """Wait until all is appended; False when the time was too short."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def describe(self) -> dict[str, Any]:
        return {
            "feed": self.number,
            "profile": self.plan.profile,
            "seed": self.plan.seed,
            "first_seq": self.first_seq,
            "appended": self.appended,
            "appended_bytes": self.appended_bytes,
            "running": self.running,
            "error": self.error,
        }

    def _run(self) -> None:
        try:
            self._feed()
        except Exception as exc:  # noqa: BLE001 - top of a thread; whoever asked reads it in `error`
            self.error = f"{type(exc).__name__}: {exc}"

    def _feed(self) -> None:
        plan = self.plan
        source = LogSource(plan.profile, plan.seed)
        size = plan.logs_per_group
        started = time.monotonic()
        while not self._stop.is_set() and (plan.logs is None or self.appended < plan.logs):
            left = size * plan.groups_per_append if plan.logs is None else plan.logs - self.appended
            count = min(left, size * plan.groups_per_append)
            first = self.first_seq + self.appended
            groups = list(source.groups(count, logs_per_group=size, first_seq=first, now=self._now))
            self._store.append(plan.shard, groups)
            self.appended += count
            self.appended_bytes += sum(map(len, groups))
            if plan.mb_per_s:
                self._stop.wait(max(0.0, started + self.appended_bytes / (plan.mb_per_s * 1e6) - time.monotonic()))
