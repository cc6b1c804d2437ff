"""What a receiver has stored: every arrival of every event, compactly, and the questions that tests put to it.

A million events must fit beside the agent on a small machine, so an arrival is an event id, a 16-byte digest of the
exact bytes, a time and a request number in flat arrays; the bytes themselves are kept only on request. The store knows
no protocol: the receivers decide what an event is and what its id is.

Usage::

    store.add([("0-17-3", b'{"event":...}')], request=4, at_s=now_s())
    store.wait_for(100_000, timeout_s=30)
    verdict = store.compare({"0-17-3": event_digest(b'{"event":...}')})
    assert verdict == Comparison()
"""

from __future__ import annotations

import hashlib
import threading
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

DIGEST_BYTES = 16


def now_s() -> float:
    """Seconds on CLOCK_BOOTTIME, the clock of every time that an emulator reports (the agent's lease uses it too)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def event_digest(data: bytes) -> bytes:
    """Digest of an event's exact bytes, 16 bytes of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True)
class Arrival:
    """One copy of one event.

    Args:
        event_id: as found in the event; "" when it carries none.
        at_s: CLOCK_BOOTTIME when the first byte of its request (HEC) or its frame (syslog, RELP) was read.
        request: number of the request (HEC) or connection (syslog, RELP) it came with, counted from 1.
        digest: `event_digest` of the exact bytes.
        data: the exact bytes; None unless the store keeps them.
    """

    event_id: str
    at_s: float
    request: int
    digest: bytes
    data: Optional[bytes] = None


@dataclass(frozen=True)
class Comparison:
    """What differs between the events that should be there and those that are; equal to `Comparison()` when nothing.

    Args:
        missing: ids that never arrived.
        unknown: ids that arrived and were not expected.
        duplicated: copies beyond the first, by id.
        altered: ids of which a copy differs in its bytes from what was expected.
    """

    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    duplicated: tuple[tuple[str, int], ...] = ()
    altered: tuple[str, ...] = ()


class EventStore:
    """Every event a receiver has stored, thread-safe.

    Args:
        keep_bytes: keep each event's exact bytes beside its digest (memory grows with the data).
    """

    def __init__(self, *, keep_bytes: bool = False) -> None:
        self.keep_bytes = keep_bytes
        self._changed = threading.Condition()
        self._clear()

    def _clear(self) -> None:
        self._ids: list[str] = []
        self._digests = bytearray()
        self._times = array("d")
        self._requests = array("q")
        self._bytes: list[bytes] = []
        self._first: dict[str, int] = {}
        self._copies: dict[str, list[int]] = {}
        self._forgotten: set[int] = set()

    def add(self, events: Sequence[tuple[str, bytes]], *, request: int, at_s: float) -> range:
        """Store events, given as (id, exact bytes), in order.

        Returns:
            Their places in the order of arrival, for `forget`.
        """
        digests = [event_digest(data) for _, data in events]
        with self._changed:
            start = len(self._ids)
            for place, (event_id, data) in enumerate(events, start):
                first = self._first.setdefault(event_id, place)
                if first != place:
                    self._copies.setdefault(event_id, [first]).append(place)
                self._ids.append(event_id)
                if self.keep_bytes:
                    self._bytes.append(bytes(data))
            self._digests += b"".join(digests)
            self._times.extend([at_s] * len(events))
            self._requests.extend([request] * len(events))
            self._changed.notify_all()
        return range(start, start + len(events))

    def forget(self, places: Iterable[int]) -> int:
        """Lose stored arrivals again, as an indexer does whose disk is gone; says how many that were."""
        with self._changed:
            gone = set(places) - self._forgotten
            self._forgotten |= gone
            for event_id in {self._ids[place] for place in gone}:
                left = [place for place in self._places(event_id) if place not in self._forgotten]
                self._first.pop(event_id)
                self._copies.pop(event_id, None)
                if left:
                    self._first[event_id] = left[0]
                if len(left) > 1:
                    self._copies[event_id] = left
            return len(gone)

    def clear(self) -> None:
        """Start empty again."""
        with self._changed:
            self._clear()

    def _places(self, event_id: str) -> list[int]:
        if event_id in self._copies:
            return self._copies[event_id]
        return [self._first[event_id]] if event_id in self._first else []

    def _digest_at(self, place: int) -> bytes:
        return bytes(self._digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])

    @property
    def total(self) -> int:
        """Number of arrivals, copies included."""
        with self._changed:
            return len(self._ids) - len(self._forgotten)

    def __len__(self) -> int:
        """Count the different ids."""
        with self._changed:
            return len(self._first)

    def __contains__(self, event_id: object) -> bool:
        with self._changed:
            return event_id in self._first

    def ids(self) -> list[str]:
        """List every id once, by first arrival."""
        with self._changed:
            return sorted(self._first, key=self._first.__getitem__)

    def sequence(self) -> list[str]:
        """List the ids of all arrivals, copies included, in the order of arrival."""
        with self._changed:
            if not self._forgotten:
                return list(self._ids)
            return [event_id for place, event_id in enumerate(self._ids) if place not in self._forgotten]

    def count(self, event_id: str) -> int:
        """Count the copies of one event; 0 when it never arrived."""
        with self._changed:
            return len(self._places(event_id))

    def duplicates(self) -> dict[str, int]:
        """Tell the copies beyond the first, by id, for ids that have any."""
        with self._changed:
            return {event_id: len(places) - 1 for event_id, places in self._copies.items()}

    def digest(self, event_id: str) -> Optional[bytes]:
        """Digest of the first copy; None when it never arrived."""
        with self._changed:
            places = self._places(event_id)
            return self._digest_at(places[0]) if places else None

    def arrivals(self, event_id: str) -> list[Arrival]:
        """List all copies of one event, oldest first."""
        with self._changed:
            return [self._arrival(place) for place in self._places(event_id)]

    def all_arrivals(self) -> list[Arrival]:
        """List everything, in the order of arrival (one object each: for small stores)."""
        with self._changed:
            return [self._arrival(place) for place in range(len(self._ids)) if place not in self._forgotten]

    def _arrival(self, place: int) -> Arrival:
        return Arrival(
            event_id=self._ids[place],
            at_s=self._times[place],
            request=self._requests[place],
            digest=self._digest_at(place),
            data=self._bytes[place] if self.keep_bytes else None,
        )

    def data(self, event_id: str) -> Optional[bytes]:
        """Exact bytes of the first copy; None when it never arrived or the store keeps no bytes."""
        with self._changed:
            places = self._places(event_id)
            return self._bytes[places[0]] if places and self.keep_bytes else None

    def missing(self, expected: Iterable[str]) -> list[str]:
        """List those of `expected` that never arrived, in the given order."""
        with self._changed:
            return [event_id for event_id in expected if event_id not in self._first]

    def compare(self, expected: Mapping[str, bytes]) -> Comparison:
        """Hold the store against the events that should be there, given as id → `event_digest`."""
        with self._changed:
            return Comparison(
                missing=tuple(event_id for event_id in expected if event_id not in self._first),
                unknown=tuple(event_id for event_id in self._first if event_id not in expected),
                duplicated=tuple((event_id, len(places) - 1) for event_id, places in self._copies.items()),
                altered=tuple(
                    event_id
                    for event_id in self._first
                    if event_id in expected
                    and any(self._digest_at(place) != expected[event_id] for place in self._places(event_id))
                ),
            )

    def digests(self) -> list[tuple[str, bytes, int]]:
        """List (id, digest of the first copy, number of copies), by first arrival."""
        with self._changed:
            ordered = sorted(self._first.items(), key=lambda item: item[1])
            return [
                (event_id, self._digest_at(place), len(self._copies.get(event_id, (place,))))
                for event_id, place in ordered
            ]

    def wait_for(self, ids: int, *, timeout_s: float) -> bool:
        """Wait until at least so many different ids are stored; False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._first) >= ids, timeout_s)

    def wait_for_ids(self, expected: Iterable[str], *, timeout_s: float) -> bool:
        """Wait until every one of these ids is stored; False when the time ran out."""
        left = set(expected)

        def complete() -> bool:
            left.difference_update([event_id for event_id in left if event_id in self._first])
            return not left

        with self._changed:
            return self._changed.wait_for(complete, timeout_s)
