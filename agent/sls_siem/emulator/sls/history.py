"""What happened, for the oracles of tests: every save, heartbeat and pull, the newest of each."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Save:
    """One UpdateCheckPoint.

    Args:
        logstore: `project/logstore`.
        group: consumer group.
        shard: shard id.
        old: position saved before; None when there was none.
        new: position asked to save; None when the cursor was none.
        consumer: who asked.
        forced: `forceSuccess` was true.
        owner: who held the shard then; None when nobody did.
        refused: the error code; empty when it was saved.
        asked_at: when the request had come, on the clock of `at`; a fault may delay what is done about it.
        at: when, `time.monotonic()`, the same clock in every process of the machine.
    """

    logstore: str
    group: str
    shard: int
    old: Optional[int]
    new: Optional[int]
    consumer: str
    forced: bool
    owner: Optional[str]
    refused: str = ""
    asked_at: float = field(default_factory=time.monotonic)
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat: what the consumer reported and what it was answered, or the error code."""

    logstore: str
    group: str
    consumer: str
    reported: tuple[int, ...]
    answered: tuple[int, ...]
    refused: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Pull:
    """One PullLogs that was answered with 200 (before a fault changed it)."""

    logstore: str
    shard: int
    position: int
    next_position: int
    groups: int
    raw_bytes: int
    wire_bytes: int
    user_agent: str = ""
    at: float = field(default_factory=time.monotonic)


class History:
    """The newest records of each kind; a deque may be read while others append, as a copy."""

    def __init__(self, *, saves: int = 1_000_000, others: int = 100_000) -> None:
        self._saves: deque[Save] = deque(maxlen=saves)
        self._heartbeats: deque[Heartbeat] = deque(maxlen=others)
        self._pulls: deque[Pull] = deque(maxlen=others)
        self._calls = 0
        self._counting = threading.Lock()

    @property
    def saves(self) -> list[Save]:
        return list(self._saves.copy())

    @property
    def heartbeats(self) -> list[Heartbeat]:
        return list(self._heartbeats.copy())

    @property
    def pulls(self) -> list[Pull]:
        return list(self._pulls.copy())

    def counts(self) -> dict[str, int]:
        """Count the records that are kept, and all calls ever made."""
        with self._counting:
            calls = self._calls
        kept = {"saves": len(self._saves), "heartbeats": len(self._heartbeats), "pulls": len(self._pulls)}
        return {**kept, "calls": calls}

    def count_call(self) -> None:
        """Count one call, whatever it is and however it is answered."""
        with self._counting:
            self._calls += 1

    def record_save(self, save: Save) -> None:
        self._saves.append(save)

    def record_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._heartbeats.append(heartbeat)

    def record_pull(self, pull: Pull) -> None:
        self._pulls.append(pull)
