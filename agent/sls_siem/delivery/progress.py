"""One shard's progress, shared by its reader and its sender behind one lock.

The reader asks for the next job and puts what it pulled; the sender takes batches, enters what it hands over, and
brings back what the SIEM said. When a connection breaks, everything that is not settled is read again: the lost
spans first, then on from the first event that was never handed over.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Optional

from sls_siem.codec.model import Batch, Span
from sls_siem.delivery.job import Item, Job, Settled
from sls_siem.delivery.ledger import Entry, Ledger, Mark
from sls_siem.siem.output import Report

QUEUED_BATCHES = 2
GROWTH_MEMORY = 0.3
"""Weight of the newest batch in `Progress.growth`."""


class Progress:
    """Ledger, reading plan and queue of one shard.

    Args:
        position: where reading starts.
        give_back: returns bytes to the window.
        clock: seconds of a monotonic clock.
        shard: shard id.
    """

    def __init__(
        self, position: int, *, give_back: Callable[[int], None], clock: Callable[[], float], shard: int = 0
    ) -> None:
        self._shard = shard
        self._ledger = Ledger(position)
        self._give_back = give_back
        self._clock = clock
        self._lock = threading.RLock()
        self._for_reader = threading.Condition(self._lock)
        self._for_sender = threading.Condition(self._lock)
        self._generation = 0
        self._reading = Mark(position)
        self._alone_until = self._whole_until = position
        self._again: deque[Job] = deque()
        self._queue: deque[Item] = deque()
        self._in_hand: Optional[Item] = None
        self._unchecked: Optional[Batch] = None
        self._handed_over = 0
        self._growth = 1.0
        self._closed = False
        self._reader_woken = self._sender_woken = self._room_wanted = False

    # --- for everybody ---

    @property
    def position(self) -> int:
        """Position up to which everything is settled; none within a batch of which it is not sure what is where."""
        with self._lock:
            position = self._ledger.position
            return position if self._unchecked is None else min(position, self._unchecked.position)

    @property
    def reading_position(self) -> int:
        """Position that will be asked for next when nothing was lost."""
        with self._lock:
            return self._reading.position

    @property
    def unsettled_bytes(self) -> int:
        """Bytes handed over that are not settled."""
        with self._lock:
            return self._ledger.unsettled_bytes

    @property
    def growth(self) -> float:
        """Bytes handed over for each byte pulled, lately."""
        with self._lock:
            return self._growth

    def idle(self) -> bool:
        """Nothing is queued, lost or unsettled."""
        with self._lock:
            return not self._queue and not self._again and self._ledger.position >= self._reading.position

    @property
    def sent_in_vain(self) -> bool:
        """Something was handed over behind `position`: whoever starts there sends it again."""
        with self._lock:
            frontier = self._ledger.frontier
            return frontier.position > self.position or frontier.skip > 0

    def unsettled_for_s(self) -> float:
        """Age of the oldest unsettled payload."""
        with self._lock:
            since = self._ledger.oldest_unsettled_at
            return 0.0 if since is None else self._clock() - since

    def wake(self) -> None:
        """Let everyone who waits look again."""
        with self._lock:
            self._reader_woken = self._sender_woken = True
            self._for_reader.notify()
            self._for_sender.notify()

    def close(self) -> None:
        """The sender takes nothing more: drop what is queued and let nobody wait."""
        with self._lock:
            self._closed = True
            self._drop_queue()
            self._for_reader.notify()
            self._for_sender.notify()

    # --- for the reader ---

    def next_job(self) -> Optional[Job]:
        """Tell what to pull next; None while the queue is full."""
        with self._lock:
            if self._closed or len(self._queue) >= QUEUED_BATCHES:
                return None
            job = self._again[0] if self._again else self._job_for_new()
            alone, whole = job.position < self._alone_until, job.position < self._whole_until
            return job if (job.alone, job.whole) == (alone, whole) else replace(job, alone=alone, whole=whole)

    def _job_for_new(self) -> Job:
        return Job(self._reading.position, skip=self._reading.skip, generation=self._generation)

    def rest(self, seconds: float, *, full: bool) -> None:
        """Wait up to `seconds`; when the queue is full, only until there is room; always until something was lost."""

        def ready() -> bool:
            if self._reader_woken or self._closed:
                return True
            changed = self._generation != generation or lost < len(self._again)
            return len(self._queue) < QUEUED_BATCHES and (full or changed)

        with self._lock:
            generation, lost = self._generation, len(self._again)
            self._room_wanted = full
            self._for_reader.wait_for(ready, seconds)
            self._reader_woken = self._room_wanted = False

    def has_lost(self) -> bool:
        """There are lost entries to be read again."""
        with self._lock:
            return bool(self._again)

    def put(self, job: Job, batch: Batch, size: int, *, held: Optional[int]) -> bool:
        """Queue an answer; False when a rewind has made it stale (its bytes then left the window).

        Args:
            job: the job it answers.
            batch: the answer, with the job's skip and limit applied to it.
            size: what it takes of the window.
            held: number of events in the answer (only looked at for a lost entry and for a skip); None where it cannot
                be counted: what follows is then sent whole (some of it perhaps twice).
        """
        with self._lock:
            if self._closed or job.generation != self._generation:
                self._give_back(size)
                return False
            last = self._continue_after(job, batch, held)
            skip_left = 0 if held is None else max(0, job.skip - held)
            self._queue.append(Item(batch, job, size, last, skip_left))
            self._for_sender.notify()
            return True

    def _continue_after(self, job: Job, batch: Batch, held: Optional[int]) -> bool:
        """Plan the next pull after this answer; True when a lost entry is complete with it."""
        skip_left = 0 if held is None else max(0, job.skip - held)
        if job.again is None:
            self._reading = Mark(batch.next_position, skip_left)
            return True
        wanted = job.limit or 0
        left = job.skip + wanted if held is None else wanted - max(0, min(wanted, held - job.skip))
        done = left <= 0 or batch.next_position >= (job.end or 0)
        self._again.popleft()
        if not done:
            rest = Job(batch.next_position, job.end, skip_left, left, job.again, job.generation)
            self._again.appendleft(rest)
        return done

    def jump(self, job: Job, position: int) -> None:
        """Retention removed every group from the job's position to `position`: read on from there, in its turn.

        A job for new logs says nothing of entries that were lost meanwhile: these are pulled next and find their gap.
        """
        with self._lock:
            if job.generation != self._generation:
                return
            if job.again is None:
                self._queue_gap(job, position)
                return
            for gone in [o for o in self._again if job.position <= o.position and (o.end or position) <= position]:
                self._again.remove(gone)
                if gone.again is not None:
                    self._end_lost(gone.again)
            if self._again and self._again[0].again is job.again:
                self._skip_expired_head(position)

    def _queue_gap(self, job: Job, position: int) -> None:
        """Queue a batch of no group in place of what is gone: with it the ledger moves on in its turn."""
        self._reading = Mark(position)
        self._queue.append(Item(Batch(self._shard, job.position, position, 0, b""), job, 0))
        self._for_sender.notify()

    def _end_lost(self, entry: Entry) -> None:
        """Nothing more of a lost entry can be pulled; what was pulled before retention came is still sent."""
        item = self._newest_of(entry)
        if item is None:
            self._ledger.settle(entry)
        else:
            item.last = True

    def _newest_of(self, entry: Entry) -> Optional[Item]:
        """Find the newest batch of a lost entry that is still to be handed over."""
        for item in (*reversed(self._queue), self._in_hand):
            if item is not None and item.job.again is entry and item.job.generation == self._generation:
                return item
        return None

    def _skip_expired_head(self, position: int) -> None:
        """The first part of a lost entry is gone; what is left of it is sent whole (some of it perhaps twice).

        What is still to be handed over keeps its place. Which of the events to be skipped are gone is not known.
        """
        head = self._again.popleft()
        entry = head.again
        if entry is None:
            return
        span, limit = entry.span, head.skip + (head.limit or 0)
        if self._newest_of(entry) is None:
            entry.span = Span(position, span.end, 0, limit)
        else:
            entry.span = Span(span.start, span.end, span.skip, span.events + head.skip)
        self._again.appendleft(Job(position, head.end, 0, limit, entry, head.generation))

    def restart(self, position: int) -> None:
        """The shard's positions mean something else now (its logstore was made anew): begin at `position`."""
        with self._lock:
            self._rewind(Mark(position))
            self._alone_until = self._whole_until = position
            self._again.clear()
            self._unchecked = None
            self._ledger.restart(position)

    # --- for the sender ---

    def take(self, timeout_s: float) -> Optional[Item]:
        """Wait for the next batch; None when none came in time, at `wake`, or when the shard is closed."""
        with self._lock:
            if not (self._queue or self._closed or self._sender_woken):
                self._for_sender.wait(timeout_s)
            self._sender_woken = False
            if self._closed or not self._queue:
                return None
            item = self._in_hand = self._queue.popleft()
            self._unchecked = None if item.batch.checked else item.batch
            self._handed_over = 0
            if self._room_wanted:
                self._for_reader.notify()
            return item

    def current(self, item: Item) -> bool:
        """The batch has not been made stale by a rewind."""
        with self._lock:
            return item.job.generation == self._generation

    def enter(self, item: Item, span: Span, size: int, *, omitted: int = 0) -> Optional[Entry]:
        """Note that a payload of this batch is about to be handed over; None when a rewind has made it stale."""
        with self._lock:
            if item.job.generation != self._generation:
                return None
            self._handed_over += size
            if item.job.again is not None:
                return self._ledger.enter_again(item.job.again, span, size, self._clock(), omitted=omitted)
            return self._ledger.enter(span, size, self._clock(), omitted=omitted)

    def counted(self) -> None:
        """The batch in hand holds the groups that were announced."""
        with self._lock:
            self._unchecked = None

    def finished(self, item: Item) -> None:
        """Every payload of the batch has been handed over."""
        with self._lock:
            self._give_back(item.size)
            self._in_hand = self._unchecked = None
            if item.job.generation == self._generation:
                if item.job.again is None:
                    self._ledger.advance(item.batch.next_position, item.skip_left)
                    self._note_growth(item)
                elif item.last:
                    self._ledger.settle(item.job.again)

    def _note_growth(self, item: Item) -> None:
        """Learn from a batch that was handed over whole."""
        if item.size and not item.batch.skip:
            self._growth += GROWTH_MEMORY * (self._handed_over / item.size - self._growth)

    def pass_over(self, item: Item) -> None:
        """The one log group of this batch became a dead letter: everything of it counts as settled."""
        with self._lock:
            if item.job.generation == self._generation:
                entry = item.job.again
                if entry is None:
                    self._ledger.advance(item.batch.next_position)
                elif item.last:
                    self._ledger.settle(entry)
                else:
                    span = entry.span
                    entry.span = Span(item.batch.next_position, span.end, 0, span.skip + span.events)

    def abandoned(self, item: Item, *, miscounted: bool = False) -> None:
        """The batch leaves the window without having been handed over whole.

        Args:
            item: of that batch.
            miscounted: it does not hold the groups that were announced, so what was handed over of it was named
                wrongly and something may be missing: all of it is pulled again, and checked.
        """
        with self._lock:
            self._give_back(item.size)
            batch, self._in_hand, self._unchecked = self._unchecked, None, None
            if miscounted and batch is not None:
                self._ledger.go_back(Mark(batch.position, batch.skip))
                self._whole_until = batch.next_position
                self._rewind(self._ledger.frontier)
                self._for_reader.notify()

    def report(self, report: Report) -> Settled:
        """Note what the SIEM said; a broken order makes everything unsettled be read again."""
        if not (report.settled or report.lost or report.in_order):
            return Settled()
        with self._lock:
            events = size = 0
            for token in report.settled:
                if isinstance(token, Entry) and self._ledger.settle(token):
                    events += max(0, token.span.events - token.omitted)
                    size += token.size
            lost = [token for token in report.lost if isinstance(token, Entry)]
            for entry in lost:
                self._ledger.lose(entry)
            if report.in_order:
                self._rewind(self._ledger.frontier)
            else:
                self._again.extend(self._job_for(entry) for entry in lost if not entry.settled)
            if report.in_order or lost:
                self._for_reader.notify()
            return Settled(events, size)

    def read_again(self, *, whole_until: Optional[int] = None, alone_until: Optional[int] = None) -> None:
        """Pull everything that was not handed over once more.

        Args:
            whole_until: answers to what is asked before this position are checked before anything of them is sent.
            alone_until: up to there one group at a time.
        """
        with self._lock:
            if whole_until is not None:
                self._whole_until = whole_until
            if alone_until is not None:
                self._alone_until = alone_until
            self._rewind(self._ledger.frontier)
            self._for_reader.notify()

    def send_unsettled_again(self, *, torn: bool) -> None:
        """The lane is given up: what it was handed and did not settle is read and sent again, in order.

        Args:
            torn: a batch was left in the middle, so what follows must be read again in any case.
        """
        with self._lock:
            if not torn and self._ledger.oldest_unsettled_at is None:
                return
            self._ledger.lose_all()
            self._rewind(self._ledger.frontier)
            self._for_reader.notify()

    def _rewind(self, mark: Mark) -> None:
        self._generation += 1
        self._drop_queue()
        self._reading = mark
        self._rebuild_again()

    def _rebuild_again(self) -> None:
        self._again = deque(self._job_for(entry) for entry in self._ledger.lost())

    def _job_for(self, entry: Entry) -> Job:
        span = entry.span
        return Job(span.start, span.end, span.skip, span.events, entry, self._generation)

    def _drop_queue(self) -> None:
        for item in self._queue:
            self._give_back(item.size)
        self._queue.clear()
