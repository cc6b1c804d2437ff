"""The sender thread of one shard: encode, look at the gate, hand over, and tell the progress what settled.

It knows no HTTP, no syslog and no SLS call: batches come from `Progress`, bytes leave through a `Lane`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from sls_siem.codec import count_groups
from sls_siem.codec.model import Batch, Oversize, Payload
from sls_siem.dead_letter import DeadLetter
from sls_siem.delivery.gate import ShardGate
from sls_siem.delivery.job import Item
from sls_siem.delivery.ledger import Entry
from sls_siem.delivery.notice import notice_batch
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.rejects import RejectPolicy
from sls_siem.delivery.stop import Stop
from sls_siem.errors import CodecError, Rerouted, Stopped
from sls_siem.health import Pulse
from sls_siem.metrics import Metrics
from sls_siem.siem.output import Lane, Rejection, Report

LOG = logging.getLogger(__name__)
IDLE_S = 5.0
SHORTEST_POLL_S = 0.01
LEAVE_LANE_S = 10.0
COUNT_AFTER_S = 0.25
"""A batch that was not checked and takes longer is counted, so that positions within it can be saved."""


@dataclass(frozen=True, eq=False)
class Notice:
    """Token of an announcement: it has no place in the ledger, and is sent again when it was lost."""

    letter: DeadLetter


OpenLane = Callable[["Sender", Way], tuple[Lane, ShardGate, RejectPolicy]]


class Sender:
    """Ships the batches of one shard.

    Args:
        shard: shard id.
        progress: where batches come from and outcomes go to.
        outlet: the way in force.
        open_lane: makes the way out of an output, with the gate before it and what becomes of refused events.
        stop: the shard's stop signal.
        pulse: this thread's sign of life.
        metrics: counted here: pulled logs, delivered events and bytes.
        host: named in notices.
        wall: epoch seconds.
    """

    def __init__(
        self,
        shard: int,
        progress: Progress,
        *,
        outlet: Outlet,
        open_lane: OpenLane,
        stop: Stop,
        pulse: Pulse,
        metrics: Metrics,
        host: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._shard = shard
        self._progress = progress
        self._outlet = outlet
        self._open_lane = open_lane
        self._stop = stop
        self._pulse = pulse
        self._metrics = metrics
        self._host = host
        self._wall = wall
        self._notices: deque[Notice] = deque()
        self._announced: set[Notice] = set()
        self._batch: Optional[Batch] = None
        self._encoded = 0
        self._entry: Optional[Entry] = None
        self._failed_at: Optional[int] = None
        self._generation, self._way = outlet.current()
        self._lane, self._gate, self._policy = open_lane(self, self._way)

    def run(self) -> None:
        """Ship until told to stop, then settle what is in flight as far as the drain allows."""
        try:
            while not self._stop.asked:
                try:
                    self._step()
                except Rerouted:
                    self._change_way(torn=True)
            self._absorb(self._lane.poll())
        except Stopped:
            LOG.debug("shard %d: sender stopped", self._shard)
        finally:
            self._progress.close()
        if not self._stop.over:
            seconds = self._stop.remaining_s()
            self._pulse.waiting(seconds, "draining")
            self._absorb(self._lane.finish(seconds))
        self._lane.close()

    def _change_way(self, *, torn: bool = False) -> None:
        """Leave the old lane in good order and go on through the new output; nothing is lost, little sent twice."""
        seconds = min(LEAVE_LANE_S, self._stop.remaining_s())
        self._gate.leave()
        self._pulse.waiting(seconds, "leaving the old output")
        self._absorb(self._lane.finish(seconds))
        self._lane.close()
        self._progress.send_unsettled_again(torn=torn)
        self._notices.extend(self._announced)
        self._announced.clear()
        self._generation, self._way = self._outlet.current()
        self._lane, self._gate, self._policy = self._open_lane(self, self._way)
        self._gate.passed()

    def _step(self) -> None:
        if self._outlet.generation != self._generation:
            self._change_way()
        next_poll = self._lane.next_poll_s()
        pause = IDLE_S if next_poll is None else min(IDLE_S, max(next_poll, SHORTEST_POLL_S))
        self._pulse.waiting(pause, "")
        item = self._progress.take(pause)
        self._pulse.moved()
        if item is not None:
            if self._outlet.generation != self._generation:
                self._change_way()  # while it waited; nothing may go out by a configuration that is gone
            self._ship(item)
            self._poll_when_due()
        elif next_poll is not None:
            self._absorb(self._lane.poll())
        self._announce()

    def _poll_when_due(self) -> None:
        due = self._lane.next_poll_s()
        if due is not None and due <= 0:
            self._absorb(self._lane.poll())

    def _ship(self, item: Item) -> None:
        self._batch = item.batch
        self._encoded = item.batch.skip
        done = False
        try:
            encoder = self._way.reference if self._suspicious(item.batch) else self._way.encoder
            count_at = float("inf") if item.batch.checked else time.monotonic() + COUNT_AFTER_S
            for encoded in encoder.encode(item.batch):
                if not self._progress.current(item):
                    return
                self._hand_over(item, encoded)
                if time.monotonic() >= count_at:
                    self._count(item)
                    count_at = float("inf")
            done = self._progress.current(item)
        except CodecError as exc:
            self._undecodable(item, exc)
        finally:
            self._batch = None
            if done:
                self._progress.finished(item)
            else:
                self._progress.abandoned(item, miscounted=bool(_miscount(item.batch)))

    def _count(self, item: Item) -> None:
        wrong = _miscount(item.batch)
        if wrong:
            raise CodecError(wrong)
        self._progress.counted()

    def _hand_over(self, item: Item, encoded: object) -> None:
        if isinstance(encoded, Oversize):
            self._metrics.pulled_logs.inc()
            entry = self._progress.enter(item, encoded.span, len(encoded.event), omitted=1)
            if entry is None:
                return
            answer = f"longer than syslog.max_bytes ({len(encoded.event)} bytes of message)"
            self._policy.give_up(self._letter(encoded.event_id, "oversize", answer, encoded.event))
            self._absorb(Report(settled=(entry,)))
            self._encoded += 1
            return
        assert isinstance(encoded, Payload)
        self._metrics.pulled_logs.inc(encoded.span.events)
        if encoded.omitted:
            self._metrics.filtered_logs.inc(len(encoded.omitted))
        if not encoded.data:
            self._settle_unsent(item, encoded)
            return
        self._keep_to_limits(encoded)
        entry = self._progress.enter(item, encoded.span, len(encoded.data), omitted=len(encoded.omitted))
        if entry is None:
            return
        self._entry = entry
        report = self._lane.send(encoded, entry)
        self._encoded += encoded.span.events
        if not report.in_order:
            self._gate.passed()
        self._absorb(report)
        self._poll_when_due()

    def _settle_unsent(self, item: Item, payload: Payload) -> None:
        """A filter left out every event of it: nothing is sent, and its place is settled."""
        entry = self._progress.enter(item, payload.span, 0, omitted=len(payload.omitted))
        self._encoded += payload.span.events
        if entry is not None:
            self._absorb(Report(settled=(entry,)))

    def _keep_to_limits(self, payload: Payload) -> None:
        events, size = self._way.limits
        delay = max(events.delay(payload.events), size.delay(len(payload.data)))
        if delay > 0:
            self._hold_back(delay)

    def _hold_back(self, seconds: float) -> None:
        """Wait, and go on asking what became of what was sent before."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            next_poll = self._lane.next_poll_s()
            pause = left if next_poll is None else min(left, max(next_poll, SHORTEST_POLL_S))
            self._gate.hold_back(pause, "keeping to the configured speed limit")
            self._poll_when_due()

    def _absorb(self, report: Report) -> None:
        settled = self._progress.report(report)
        if settled.events:
            self._metrics.delivered_events.inc(settled.events)
            self._metrics.delivered_bytes.inc(settled.size)
        if self._announced:
            self._notices.extend(token for token in report.lost if isinstance(token, Notice))
            self._announced.difference_update(report.settled, report.lost)

    # --- events that will never be taken ---

    def reject(self, rejection: Rejection) -> None:
        """Give one event of the payload in hand up; see `Gate.reject`."""
        if self._batch is None:
            LOG.error("shard %d: the SIEM refuses a notice: %s: %s", self._shard, rejection.reason, rejection.answer)
            return
        ordinal = self._encoded + rejection.payload.place_of(rejection.index)
        try:
            event_id = self._way.encoder.event_id(self._batch, ordinal)
        except CodecError as exc:
            # Not the log group's fault, since it was encoded: pulling it again would leave this payload owed for ever.
            raise RuntimeError(f"shard {self._shard}: an event that was sent cannot be named: {exc}") from exc
        event = self._way.encoder.split(rejection.payload.data)[rejection.index]
        self._policy.give_up(self._letter(event_id, rejection.reason, rejection.answer, event))
        if self._entry is not None:
            self._entry.omitted += 1

    def _letter(self, event_id: str, reason: str, answer: str, event: bytes) -> DeadLetter:
        return DeadLetter(event_id, self._shard, reason, answer, event, self._wall())

    def written(self, letter: DeadLetter) -> None:
        """A letter is durable: announce it once the payload in hand has left."""
        self._notices.append(Notice(letter))

    def _announce(self) -> None:
        while self._notices and not self._stop.over:
            notice = self._notices.popleft()
            encoder = self._way.notices or self._way.encoder
            for encoded in encoder.encode(notice_batch(notice.letter, self._host)):
                if isinstance(encoded, Payload):
                    self._announced.add(notice)
                    self._absorb(self._lane.send(encoded, notice))

    # --- log groups that cannot be walked ---

    def _suspicious(self, batch: Batch) -> bool:
        """It holds a group that failed before: let the reference codec try."""
        return self._failed_at is not None and batch.position <= self._failed_at < batch.next_position

    def _undecodable(self, item: Item, error: CodecError) -> None:
        batch = item.batch
        failed_before = batch.checked and self._suspicious(batch)
        failed_at = batch.position + (0 if batch.regrouped else max(0, error.group_index))
        self._failed_at = failed_at
        if not failed_before:
            LOG.warning("shard %d: log group at %d: %s; pulling it again", self._shard, failed_at, error)
            self._progress.read_again(whole_until=batch.next_position)
        elif batch.groups > 1 or (batch.regrouped and not item.job.alone):
            LOG.warning("shard %d: log group at %d: %s; pulling it alone", self._shard, failed_at, error)
            self._progress.read_again(alone_until=batch.next_position if batch.regrouped else failed_at + 1)
        else:
            self._give_up_group(item, error)

    def _give_up_group(self, item: Item, error: CodecError) -> None:
        batch = item.batch
        letter = DeadLetter(
            f"{batch.shard}-{batch.position}",
            batch.shard,
            "undecodable",
            str(error),
            bytes(batch.body),
            self._wall(),
            raw=True,
            position=batch.position,
        )
        self._policy.give_up(letter)
        self._progress.pass_over(item)


def _miscount(batch: Batch) -> str:
    """Say that an unchecked batch holds another number of groups than was announced; empty when it does not.

    Of one that cannot be decompressed, or walked, only groups in front of the fault are handed over.
    """
    found = None if batch.checked else count_groups(batch.body, packed=True)
    if found is None or found == batch.groups:
        return ""
    return f"the body holds {found} log groups, not {batch.groups} as announced"
