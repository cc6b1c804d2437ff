"""One indexer: what it has accepted and holds in memory, what it has stored, and the acknowledgements it owes.

Facts about acknowledgements: Splunk, "About HTTP Event Collector Indexer Acknowledgment"; vector, RFC 2021-10-29-9465.
An ackId belongs to a channel, the first is 0, each request gets one; `true` is told once and then forgotten; unknown,
pending and failed look alike. This module knows no HTTP.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from sls_siem.emulator.store import EventStore, now_s


@dataclass(frozen=True)
class Delays:
    """When an accepted batch is stored and when its acknowledgement becomes true.

    Args:
        index_s: from acceptance to the store.
        ack_s: from the store to `true`.
        never: it never becomes true.
    """

    index_s: float = 0.0
    ack_s: float = 0.0
    never: bool = False


@dataclass
class _Batch:
    events: Sequence[tuple[str, bytes]]
    request: int
    at_s: float
    ack_s: float
    never: bool
    true_from_s: Optional[float] = None
    places: range = range(0)


@dataclass
class _Channel:
    next_id: int = 0
    pending: dict[int, _Batch] = field(default_factory=dict)


class Indexer:
    """Memory, acknowledgements and the way to the store; thread-safe.

    Args:
        store: where events end up; shared by all indexers of a collector.
        name: for its thread.
    """

    def __init__(self, store: EventStore, name: str = "hec-indexer") -> None:
        self.generation = 0
        self._store = store
        self._name = name
        self._changed = threading.Condition()
        self._memory: list[tuple[float, int, _Batch]] = []
        self._held = 0
        self._order = itertools.count()
        self._channels: dict[str, _Channel] = {}
        self._thread: Optional[threading.Thread] = None
        self._running = False

    def start(self) -> None:
        """Start moving events from memory to the store."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Store what is in memory and end."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    @property
    def held(self) -> int:
        """Events accepted and not stored yet."""
        return self._held

    def unasked(self, channel: str) -> int:
        """Acknowledgements of a channel that were not told yet."""
        with self._changed:
            return len(self._channels[channel].pending) if channel in self._channels else 0

    def accept(
        self,
        events: Sequence[tuple[str, bytes]],
        *,
        request: int,
        at_s: float,
        generation: int,
        delays: Delays,
        channel: Optional[str] = None,
    ) -> Optional[int]:
        """Take events into memory.

        Args:
            events: (id, exact bytes) each.
            request: number of their request.
            at_s: CLOCK_BOOTTIME when the request came.
            generation: `self.generation` when the request came; after a crash since then nothing is taken.
            delays: see there.
            channel: where an acknowledgement is owed; None for none.

        Returns:
            The ackId, None without a channel.

        Raises:
            ConnectionAbortedError: the indexer has crashed since the request came.
        """
        batch = _Batch(events, request, at_s, delays.ack_s, delays.never)
        with self._changed:
            if generation != self.generation:
                raise ConnectionAbortedError("the indexer crashed while the request was on its way")
            if delays.index_s > 0:
                heapq.heappush(self._memory, (now_s() + delays.index_s, next(self._order), batch))
                self._held += len(events)
                self._changed.notify_all()
            else:
                self._index(batch)
            return None if channel is None else self._owe(channel, batch)

    def _owe(self, channel: str, batch: _Batch) -> int:
        owed = self._channels.setdefault(channel, _Channel())
        ack_id = owed.next_id
        owed.next_id += 1
        owed.pending[ack_id] = batch
        return ack_id

    def _index(self, batch: _Batch) -> None:
        batch.places = self._store.add(batch.events, request=batch.request, at_s=batch.at_s)
        batch.events = ()
        batch.true_from_s = now_s() + batch.ack_s

    def poll(self, channel: str, ack_ids: Iterable[int]) -> dict[int, bool]:
        """Answer what was asked on `/ack`; a `true` is told this once."""
        with self._changed:
            pending = self._channels[channel].pending if channel in self._channels else {}
            answer: dict[int, bool] = {}
            for ack_id in ack_ids:
                ready = ack_id in pending and self._is_true(pending[ack_id])
                answer[ack_id] = answer.get(ack_id, False) or ready
                if ready:
                    del pending[ack_id]
            return answer

    @staticmethod
    def _is_true(batch: _Batch) -> bool:
        return not batch.never and batch.true_from_s is not None and now_s() >= batch.true_from_s

    def flush(self) -> None:
        """Store now what is in memory."""
        with self._changed:
            self._index_due(float("inf"))

    def crash(self, *, forget_unacknowledged: bool = False) -> int:
        """Die and come back: memory and acknowledgements are gone, every channel starts at 0 again.

        Args:
            forget_unacknowledged: also lose stored events whose acknowledgement was owed and never told.

        Returns:
            Number of events lost.
        """
        with self._changed:
            lost = self._held
            if forget_unacknowledged:
                for channel in self._channels.values():
                    lost += sum(self._store.forget(batch.places) for batch in channel.pending.values())
            self._memory.clear()
            self._held = 0
            self._channels.clear()
            self.generation += 1
            return lost

    def _index_due(self, until_s: float) -> None:
        while self._memory and self._memory[0][0] <= until_s:
            _, _, batch = heapq.heappop(self._memory)
            self._held -= len(batch.events)
            self._index(batch)

    def _run(self) -> None:
        with self._changed:
            while self._running:
                self._index_due(now_s())
                self._changed.wait(max(0.0, self._memory[0][0] - now_s()) if self._memory else None)
