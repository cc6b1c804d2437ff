"""The ledger of one shard: which events were handed to the SIEM, and up to where everything is settled.

It keeps spans of positions, never bytes. Its one output is `position`: the place a checkpoint may be saved at,
because every event before it is settled. It knows no clock, no socket and no thread; its owner serialises calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from sls_siem.codec.model import Span


@dataclass(frozen=True)
class Mark:
    """A place between two events: `skip` events after the first event of the group at `position`."""

    position: int
    skip: int = 0


class Entry:
    """One payload that was handed to the SIEM; compared by identity, so that it can serve as a lane's token.

    `omitted` events of its span are not delivered with it: a filter left them out, or the SIEM refused them.
    """

    __slots__ = ("lost", "omitted", "sent_at", "settled", "size", "span")

    def __init__(self, span: Span, size: int, sent_at: float, omitted: int = 0) -> None:
        self.span = span
        self.omitted = omitted
        self.size = size
        self.sent_at = sent_at
        self.settled = False
        self.lost = False

    def __repr__(self) -> str:
        state = "settled" if self.settled else "lost" if self.lost else "pending"
        return f"<Entry {self.span.start}+{self.span.skip} events={self.span.events} {state}>"


class Ledger:
    """Ordered spans of one shard.

    Args:
        position: where reading starts; everything before it counts as settled.
    """

    def __init__(self, position: int) -> None:
        self._entries: list[Entry] = []
        self._frontier = Mark(position)
        self._reached = position
        self._unsettled_bytes = 0

    @property
    def position(self) -> int:
        """Position up to which every event is settled; never one before an earlier one."""
        # What was read again group by group is known better than the mark behind it, which counts events.
        return max(self._reached, self._entries[0].span.start if self._entries else self._frontier.position)

    @property
    def frontier(self) -> Mark:
        """Place of the first event that was never handed to the SIEM."""
        return self._frontier

    @property
    def unsettled_bytes(self) -> int:
        """Bytes handed to the SIEM (or lost on the way) that are not settled."""
        return self._unsettled_bytes

    @property
    def oldest_unsettled_at(self) -> Optional[float]:
        """When the oldest unsettled payload was handed over, on the owner's clock; None without one."""
        return self._entries[0].sent_at if self._entries else None

    def enter(self, span: Span, size: int, sent_at: float, *, omitted: int = 0) -> Entry:
        """Note a payload that is about to be handed over for the first time; `omitted` events of it are not in it.

        Raises:
            ValueError: it does not continue where the last one ended.
        """
        self._must_continue(span)
        entry = Entry(span, size, sent_at, omitted)
        self._entries.append(entry)
        self._unsettled_bytes += size
        self._frontier = Mark(span.start, span.skip + span.events)
        return entry

    def _must_continue(self, span: Span) -> None:
        behind = span.start < self._frontier.position
        repeated = span.start == self._frontier.position and span.skip < self._frontier.skip
        if behind or repeated:
            raise ValueError(f"payload at {span.start}+{span.skip} lies before the frontier {self._frontier}")

    def enter_again(self, lost: Entry, span: Span, size: int, sent_at: float, *, omitted: int = 0) -> Entry:
        """Note a payload that carries the first events of a lost entry once more; the entry keeps the rest.

        Raises:
            ValueError: the span does not start where the rest of the lost entry starts.
        """
        if not lost.lost or lost.settled or span.events > lost.span.events:
            raise ValueError(f"{span} is no part of {lost!r}")
        entry = Entry(span, size, sent_at, omitted)
        index = self._index(lost)
        self._entries.insert(index, entry)
        self._unsettled_bytes += size
        rest = lost.span.events - span.events
        lost.span = Span(span.start, lost.span.end, span.skip + span.events, rest)
        if rest == 0:
            self.settle(lost)
        return entry

    def settle(self, entry: Entry) -> bool:
        """The SIEM took every event of the entry; False when that was known before."""
        if entry.settled:
            return False
        entry.settled = True
        self._unsettled_bytes -= entry.size
        self._trim()
        return True

    def lose(self, entry: Entry) -> None:
        """What was handed over must be pulled and sent again."""
        if not entry.settled:
            entry.lost = True

    def lose_all(self) -> None:
        """Whatever is not settled must be pulled and sent again."""
        for entry in self._entries:
            self.lose(entry)

    def lost(self) -> tuple[Entry, ...]:
        """Entries to be pulled and sent again, in order."""
        return tuple(entry for entry in self._entries if entry.lost and not entry.settled)

    def advance(self, position: int, skip: int = 0) -> None:
        """Everything before `position`, and `skip` events from there on, has been entered (or holds no event).

        Raises:
            ValueError: the position lies before the frontier.
        """
        if position < self._frontier.position:
            raise ValueError(f"position {position} lies before the frontier {self._frontier}")
        self._frontier = Mark(position, skip)

    def go_back(self, mark: Mark) -> None:
        """What was entered from that place on has other places than it was given: forget it, to be entered again.

        Raises:
            ValueError: the place lies behind the frontier.
        """
        if (self._frontier.position, self._frontier.skip) < (mark.position, mark.skip):
            raise ValueError(f"{mark} lies behind the frontier {self._frontier}")
        kept: list[Entry] = []
        behind: list[Entry] = []
        for entry in self._entries:
            before = (entry.span.start, entry.span.skip) < (mark.position, mark.skip)
            (kept if before else behind).append(entry)
        self._forget(behind)
        self._entries = kept
        self._frontier = mark
        self._reached = min(self._reached, mark.position)

    def restart(self, position: int) -> None:
        """Forget everything: the shard's positions mean something else now (its logstore was made anew)."""
        self._forget(self._entries)
        self._entries.clear()
        self._frontier = Mark(position)
        self._reached = position

    def _forget(self, entries: Iterable[Entry]) -> None:
        """An answer that comes late says nothing of what is entered from now on."""
        for entry in entries:
            if not entry.settled:
                entry.settled = True
                self._unsettled_bytes -= entry.size

    def _index(self, entry: Entry) -> int:
        for index, other in enumerate(self._entries):
            if other is entry:
                return index
        raise ValueError(f"{entry!r} is not in the ledger")

    def _trim(self) -> None:
        """Drop the settled entries at the front: only these can move `position`."""
        settled = 0
        for entry in self._entries:
            if not entry.settled:
                break
            self._reached = max(self._reached, entry.span.start)
            settled += 1
        if settled:
            del self._entries[:settled]
