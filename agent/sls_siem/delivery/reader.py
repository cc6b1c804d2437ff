"""The reader thread of one shard: every call to SLS for this shard, one after the other, on one session.

It pulls ahead of the sender as far as the window has room, finds what retention removed, saves the checkpoint, and
looks whether somebody else moves it. It knows no SIEM.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Optional

from sls_siem.codec import count_events
from sls_siem.codec.model import Batch
from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.gate import LeaseView
from sls_siem.delivery.job import Job
from sls_siem.delivery.keeper import CALL_S, CheckpointKeeper
from sls_siem.delivery.lag import LagMeter, Retention
from sls_siem.delivery.pacing import Pacer
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.source import Source
from sls_siem.delivery.stop import Stop
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.errors import (
    CodecError,
    CursorInvalidError,
    NotOwnerError,
    SourceError,
    TransientSourceError,
)
from sls_siem.health import Health, Pulse
from sls_siem.metrics import Metrics
from sls_siem.retry import Backoff
from sls_siem.sls.model import Pulled

LOG = logging.getLogger(__name__)
LARGEST_ANSWER = 10 * 1024 * 1024
GROUPS_PER_PULL = 1000
LOOK_S = 0.25
REST_S = 1.0
SHORTEST_REST_S = 0.01
STOP_LOOK_S = 0.02
LAG_S = 5.0


@dataclass(frozen=True)
class ReaderSettings:
    """What a reader needs of the configuration.

    Args:
        regrouped: a query or processor is set.
        unsettled_s: how long the saved position may stay behind what was sent.
    """

    regrouped: bool
    unsettled_s: float


class Reader:
    """Pulls one shard.

    Args:
        shard: shard id.
        source: session used by this thread only.
        saver: the shard's checkpoint.
        progress: where answers go.
        window: bytes that may be held.
        pacer: when to ask again.
        turns: when the other shards of the process are asked.
        settings: of the configuration.
        lease: saves need it.
        stop: the shard's stop signal.
        pulse: this thread's sign of life.
        health: told about errors and holds.
        metrics: counted here: bytes pulled, groups expired, lag.
        retention: of the logstore.
        random: for the jitter of retries.
        sleep: pauses while the sender ends.
    """

    def __init__(
        self,
        shard: int,
        source: Source,
        saver: CheckpointSaver,
        progress: Progress,
        *,
        window: Window,
        pacer: Pacer,
        turns: Turns,
        settings: ReaderSettings,
        lease: LeaseView,
        stop: Stop,
        pulse: Pulse,
        health: Health,
        metrics: Metrics,
        retention: Retention,
        random: Random,
        sleep: Callable[[float], object],
    ) -> None:
        self._shard = shard
        self._source = source
        self._saver = saver
        self._progress = progress
        self._window = window
        self._pacer = pacer
        self._turns = turns
        self._settings = settings
        self._stop = stop
        self._pulse = pulse
        self._health = health
        self._metrics = metrics
        self._backoff = Backoff(0.2, 30.0)
        self._random = random
        self._sleep = sleep
        self._failures = 0
        self._failing_with: Optional[type[SourceError]] = None
        self._who = f"shard {shard} reading"
        self._next_pull_at = 0.0
        self._retry_at = 0.0
        self._next_lag_at = 0.0
        self._caught_up = False
        self._keeper = CheckpointKeeper(
            shard, saver, progress, lease=lease, stop=stop, pulse=pulse, health=health, metrics=metrics
        )
        self._lag = LagMeter(shard, source, progress, metrics=metrics, retention=retention)

    @property
    def lag_s(self) -> Optional[float]:
        """Age of the oldest log group that is not settled; None until it was measured."""
        return self._lag.lag_s

    def run(self, sender_ended: Callable[[], bool]) -> None:
        """Read until told to stop, then save until the sender has ended and its last word is saved.

        Raises:
            NotOwnerError: the service says that the shard is not ours.
            CheckpointMovedError: another process uses our consumer name.
        """
        while not self._stop.asked:
            self._keep_house()
            self._pull_if_due()
            self._rest()
        self._health.release(self._who)
        while not sender_ended():
            if not self._stop.over:
                self._keeper.save_if_due()
            self._pulse.moved()
            self._sleep(STOP_LOOK_S)
        self._keeper.save_last_word()

    # --- pulling ---

    def _pull_if_due(self) -> None:
        job = self._progress.next_job()
        if job is None or time.monotonic() < self._due_at(job) or self._over_unsettled():
            return
        self._pulse.waiting(LOOK_S, "waiting for room in the window")
        if self._window.reserve(LARGEST_ANSWER, LOOK_S, shard=self._shard):
            self._fetch(job)

    def _due_at(self, job: Job) -> float:
        """What was lost is read again at once, new logs at the shard's pace; nothing before a failure's pause."""
        return self._retry_at if job.again is not None else max(self._retry_at, self._next_pull_at)

    def _over_unsettled(self) -> bool:
        """The saved position has fallen too far behind: wait, unless something must be sent again."""
        if self._progress.unsettled_for_s() <= self._settings.unsettled_s or self._progress.has_lost():
            return False
        self._health.hold(self._who, f"what was sent is not settled after unsettled_s = {self._settings.unsettled_s:g}")
        return True

    def _fetch(self, job: Job) -> None:
        """Pull one answer; the window holds `LARGEST_ANSWER` for it."""
        reserved = min(LARGEST_ANSWER, self._window.size)
        asked_at = time.monotonic()
        pulled: Optional[Pulled] = None
        self._pulse.waiting(CALL_S, "pulling")
        try:
            pulled = self._source.pull(
                self._shard,
                job.position,
                end_position=job.end,
                count=1 if job.alone else GROUPS_PER_PULL,
                # The codec compares the number of groups only where they have positions, and only at their end.
                whole=job.whole or job.again is not None or self._settings.regrouped,
            )
        except CursorInvalidError as exc:
            self._start_from_oldest(job, exc)
        except SourceError as exc:
            self._failed(exc)
        finally:
            self._pulse.moved()
            size = len(pulled.body) if pulled is not None else 0
            if size > reserved:
                self._window.exceed(size - reserved)
            else:
                self._window.give_back(reserved - size)
        if pulled is not None:
            self._next_pull_at = self._next_turn(pulled, asked_at, size)
            self._take_in(job, pulled, size)

    def _next_turn(self, pulled: Pulled, asked_at: float, size: int) -> float:
        """Tell when to ask again, after an answer of `size` bytes to what was asked at `asked_at`."""
        now = time.monotonic()
        pause_s = self._pacer.answered(
            size, asked_at, took_s=now - asked_at, growth=self._progress.growth, at_end=pulled.end_of_cursor
        )
        if size > 0 and pause_s > 0:
            return self._turns.take(self._shard, now + pause_s, now + pause_s - asked_at)
        self._turns.leave(self._shard)
        return now + pause_s

    def _take_in(self, job: Job, pulled: Pulled, size: int) -> None:
        """Check the answer for a gap and hand it to the sender."""
        first = job.position if self._settings.regrouped else pulled.next_position - pulled.groups
        if first < job.position or pulled.next_position < job.position:
            self._window.give_back(size)
            self._failed(_wrong_positions(job, pulled))
            return
        if first > job.position:
            self._window.give_back(size)
            self._look_at_gap(job, first, _wrong_positions(job, pulled))
            return
        if self._may_count_wrong(job, pulled):
            self._window.give_back(size)
            return
        self._metrics.pulled_bytes.inc(size)
        if job.again is None:
            self._caught_up = pulled.next_position == job.position or pulled.end_of_cursor is True
        if pulled.next_position > job.position:
            self._succeeded()
            self._queue(job, pulled, size)
        else:
            self._window.give_back(size)
            self._look_after_empty(job)

    def _may_count_wrong(self, job: Job, pulled: Pulled) -> bool:
        """Look whether all is there of which a part is to be left out, where the answer itself does not tell."""
        if not self._settings.regrouped or not (job.skip or job.limit) or pulled.next_position == job.position:
            return False
        oldest = self._cursor("begin")
        if oldest is not None and oldest > job.position:
            self._pass_gap(job, min(oldest, pulled.next_position))
        return oldest is None or oldest > job.position

    def _queue(self, job: Job, pulled: Pulled, size: int) -> None:
        held = self._events_in(job, pulled)
        batch = Batch(
            shard=self._shard,
            position=job.position,
            next_position=pulled.next_position,
            groups=pulled.groups,
            body=pulled.body,
            regrouped=self._settings.regrouped,
            skip=job.skip if held is None else min(job.skip, held),
            limit=job.limit,
            checked=pulled.checked,
        )
        self._progress.put(job, batch, size, held=held)

    def _events_in(self, job: Job, pulled: Pulled) -> Optional[int]:
        """Number of events in the answer, only counted where somebody needs it; None where it cannot be counted."""
        if job.again is None and not job.skip:
            return 0
        try:
            return count_events(pulled.body)
        except CodecError:  # the sender will find the same fault
            return None

    def _look_after_empty(self, job: Job) -> None:
        """A range that is read again answers nothing: its logs are gone, or the service must be asked again."""
        if job.again is None or job.end is None:
            self._succeeded()
            return
        otherwise = TransientSourceError(f"no log came for position {job.position}, which was read before")
        self._look_at_gap(job, job.end, otherwise)

    def _look_at_gap(self, job: Job, first: int, otherwise: SourceError) -> None:
        """The answer leaves out what was asked for, up to `first`: believed only as far as the shard begins later."""
        oldest = self._cursor("begin")
        if oldest is None:
            return
        if oldest > job.position:
            self._pass_gap(job, min(oldest, first))
        else:
            self._failed(otherwise)

    def _pass_gap(self, job: Job, first: int) -> None:
        """Retention removed what the job asked for: count it and read on behind it."""
        self._succeeded()
        self._count_expired(job.position, first)
        self._progress.jump(job, first)

    def _count_expired(self, asked: int, first: int) -> None:
        text = (
            f"shard {self._shard}: retention removed {first - asked} log groups before they were read: asked for "
            f"position {asked}, the oldest there is {first}. Raise the logstore's retention or the consumers' speed"
        )
        LOG.error(text)
        self._health.error(text)
        self._metrics.expired_groups.labels(shard=str(self._shard)).inc(first - asked)

    def _start_from_oldest(self, job: Job, error: CursorInvalidError) -> None:
        """The position is refused: go on at the oldest log there is, never at the end."""
        oldest = self._cursor("begin")
        if oldest is None:
            return
        if oldest > job.position:
            self._pass_gap(job, oldest)
        elif oldest < job.position and self._source_ends_before(job.position):
            text = (
                f"shard {self._shard}: position {job.position} lies beyond the shard's end: the logstore was made "
                f"anew. Starting again at its oldest log, {oldest}"
            )
            LOG.error(text)
            self._health.error(text)
            self._metrics.expired_groups.labels(shard=str(self._shard)).inc()
            self._saver.restart(oldest)
            self._progress.restart(oldest)
        else:
            self._failed(error)

    def _source_ends_before(self, position: int) -> bool:
        end = self._cursor("end")
        return end is not None and end < position

    def _cursor(self, at: str) -> Optional[int]:
        """Find the shard's begin or end; None when the service did not say."""
        self._pulse.waiting(CALL_S, f"finding the shard's {at}")
        try:
            return self._source.cursor(self._shard, at)
        except SourceError as exc:
            self._failed(exc)
            return None
        finally:
            self._pulse.moved()

    # --- failures ---

    def _succeeded(self) -> None:
        if self._failures:
            LOG.info("shard %d: SLS answers again", self._shard)
        self._failures = 0
        self._failing_with = None
        self._health.release(self._who)

    def _failed(self, error: SourceError) -> None:
        if isinstance(error, NotOwnerError):
            raise error
        retry_after = error.retry_after_s if isinstance(error, TransientSourceError) else None
        delay = self._backoff.delay(self._failures, self._random, retry_after_s=retry_after)
        if type(error) is not self._failing_with:
            LOG.warning("shard %d: %s", self._shard, error)
            self._failing_with = type(error)
        self._failures += 1
        if self._failures > 1:
            self._health.hold(self._who, str(error))
            self._health.error(str(error))
        self._retry_at = time.monotonic() + delay

    def _rest(self) -> None:
        """Wait until something is due; a job that becomes possible, or a stop, ends the wait."""
        job = self._progress.next_job()
        pull_in = REST_S if job is None else self._due_at(job) - time.monotonic()
        if pull_in <= 0 and not self._over_unsettled():
            return
        seconds = min(REST_S, pull_in) if pull_in > 0 else REST_S
        save_in = self._keeper.due_in()
        if save_in is not None:
            seconds = min(seconds, max(save_in, SHORTEST_REST_S))
        self._pulse.waiting(seconds, "")
        self._progress.rest(seconds, full=job is None)
        self._pulse.moved()

    # --- checkpoint, lag ---

    def _keep_house(self) -> None:
        # Before our own save, which would cover up what somebody else has stored.
        self._keeper.compare_if_due()
        self._keeper.save_if_due()
        now = time.monotonic()
        if now >= self._next_lag_at:
            self._next_lag_at = now + LAG_S
            self._pulse.waiting(CALL_S, "measuring the lag")
            self._lag.measure(caught_up=self._caught_up)
            self._pulse.moved()


def _wrong_positions(job: Job, pulled: Pulled) -> TransientSourceError:
    return TransientSourceError(
        f"the service answered {pulled.groups} log groups that end at {pulled.next_position} "
        f"when position {job.position} was asked for; asking again"
    )
