"""One held shard: its reader and its sender, started, drained and joined as one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Optional

from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.gate import LeaseView, Pause, ShardGate
from sls_siem.delivery.lag import Retention
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.pacing import Pacer
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.reader import Reader, ReaderSettings
from sls_siem.delivery.rejects import RejectPolicy
from sls_siem.delivery.sender import Sender
from sls_siem.delivery.source import Source
from sls_siem.delivery.stop import Stop
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.errors import NotOwnerError, SourceError
from sls_siem.health import Health, Pulse
from sls_siem.metrics import Metrics
from sls_siem.retry import Backoff
from sls_siem.siem.output import Lane

LOG = logging.getLogger(__name__)
CALL_S = 30.0
SENDER_LOOK_S = 1.0


@dataclass(frozen=True)
class ShardStatus:
    """One row of `status.json`."""

    shard: int
    position: Optional[int]
    saved: Optional[int]
    lag_s: Optional[float]
    unsettled_bytes: int
    mb_per_s: float


@dataclass(frozen=True)
class DeliverySettings:
    """What delivery needs of the configuration.

    Args:
        consumer: our consumer name.
        regrouped: a query or processor is set.
        checkpoint_s: shortest time between two saves of a shard.
        unsettled_s: how long the saved position may stay behind what was sent.
        batch_bytes: size of one request to the SIEM.
        batch_age_s: longest time a log waits for its batch to fill.
        host: named in notices.
    """

    consumer: str
    regrouped: bool
    checkpoint_s: float
    unsettled_s: float
    batch_bytes: int
    batch_age_s: float
    host: str


@dataclass(frozen=True)
class Shared:
    """What all shards of the process share.

    Args:
        settings: of the configuration.
        outlet: the way to the SIEM in force.
        window: bytes that may be held.
        turns: when each shard is asked.
        lease: sends and saves need it.
        health: threads, holds, errors.
        metrics: counters and gauges.
        retention: how long the logstore keeps logs.
        fatal: told of an error that must end the process.
    """

    settings: DeliverySettings
    outlet: Outlet
    window: Window
    turns: Turns
    lease: LeaseView
    health: Health
    metrics: Metrics
    retention: Retention
    fatal: Callable[[BaseException], None]


class ShardWorker:
    """Owns the two threads of one shard.

    Args:
        shard: shard id.
        source: an SLS session of its own.
        shared: what all shards share.
        ended: called once, from the reader thread, when both threads have ended.

    `refused` tells, then, whether the service said that the shard is not ours.
    """

    def __init__(self, shard: int, source: Source, shared: Shared, ended: Callable[[ShardWorker], None]) -> None:
        self.shard = shard
        self._source = source
        self._shared = shared
        self._ended = ended
        self._stop = Stop()
        self._random = Random()
        self._saver = CheckpointSaver(
            source,
            shard,
            consumer=shared.settings.consumer,
            every_s=shared.settings.checkpoint_s,
            clock=time.monotonic,
        )
        self._pacer = Pacer(shared.settings.batch_bytes, shared.settings.batch_age_s)
        self._progress: Optional[Progress] = None
        self._reader: Optional[Reader] = None
        self._sender_ended = threading.Event()
        self._made_at = time.monotonic()
        self.refused = False
        self._thread = threading.Thread(target=self._run, name=f"shard-{shard}-reader", daemon=True)

    def start(self) -> None:
        """Start reading at the stored checkpoint."""
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """Stop pulling, settle what is in hand, save; `ended` is called at most about `seconds` later."""
        self._stop.drain(seconds)
        self._wake()

    def abandon(self) -> None:
        """Send and save nothing more: the shard is, or may be, somebody else's."""
        self._stop.now()
        self._wake()

    def join(self, seconds: float) -> bool:
        """Wait for the end; True when both threads have ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """It was told to end."""
        return self._stop.asked

    @property
    def dropped(self) -> bool:
        """It may neither send nor save any more."""
        return self._stop.dropped

    def age_s(self) -> float:
        """Seconds since the shard was taken."""
        return time.monotonic() - self._made_at

    def _wake(self) -> None:
        if self._progress is not None:
            self._progress.wake()

    def status(self) -> ShardStatus:
        """Tell where the shard stands."""
        progress, reader = self._progress, self._reader
        return ShardStatus(
            shard=self.shard,
            position=None if progress is None else progress.position,
            saved=self._saver.saved,
            lag_s=None if reader is None else reader.lag_s,
            unsettled_bytes=0 if progress is None else progress.unsettled_bytes,
            mb_per_s=self._pacer.bytes_per_s / 1e6,
        )

    # --- the reader thread ---

    def _run(self) -> None:
        pulse = self._shared.health.pulse(self._thread.name)
        try:
            self._work(pulse)
        except NotOwnerError as exc:
            LOG.warning("shard %d: given up, the service says it is not ours: %s", self.shard, exc)
            self.refused = True
            self._stop.now()
        except BaseException as exc:  # noqa: BLE001 - top of a thread: the process must not live on without it
            self._stop.now()
            self._shared.fatal(exc)
        finally:
            self._wake()
            if self._progress is not None:
                while not self._sender_ended.wait(SENDER_LOOK_S):
                    pulse.moved()
                self._tell_what_is_repeated(self._progress)
            self._source.close()
            self._shared.turns.leave(self.shard)
            self._shared.health.ended(pulse)
            self._shared.health.release(f"shard {self.shard}")
            self._shared.health.release(f"shard {self.shard} reading")
            self._ended(self)

    def _tell_what_is_repeated(self, progress: Progress) -> None:
        if not self._stop.dropped and progress.sent_in_vain:
            LOG.warning(
                "shard %d: not everything was settled when the shard was left (an outage, or delivery.drain_s): what "
                "was sent from position %d on comes again from its next consumer",
                *(self.shard, progress.position),
            )

    def _work(self, pulse: Pulse) -> None:
        position = self._first_position(pulse)
        if position is None:
            return
        LOG.info("shard %d: reading from position %d", self.shard, position)
        self._progress = Progress(
            position, give_back=self._shared.window.give_back, clock=time.monotonic, shard=self.shard
        )
        self._reader = self._make_reader(self._progress, pulse)
        sender = threading.Thread(
            target=self._run_sender, args=(self._progress,), name=f"shard-{self.shard}-sender", daemon=True
        )
        sender.start()
        self._reader.run(self._sender_ended.is_set)

    def _first_position(self, pulse: Pulse) -> Optional[int]:
        """Read the stored checkpoint; a shard without one is younger than the group and is read from its begin."""
        backoff, failures, who = Backoff(0.2, 30.0), 0, f"shard {self.shard}"
        while not self._stop.asked:
            pulse.waiting(CALL_S, "reading the checkpoint")
            try:
                stored = self._saver.load()
                if stored is None:
                    pulse.waiting(CALL_S, "finding the shard's begin")
                    stored = self._source.cursor(self.shard, "begin")
                self._shared.health.release(who)
                return stored
            except NotOwnerError:
                raise
            except SourceError as exc:
                delay = backoff.delay(failures, self._random)
                failures += 1
                self._shared.health.hold(who, str(exc))
                self._shared.health.error(str(exc))
                LOG.warning("shard %d: the checkpoint cannot be read: %s", self.shard, exc)
                pulse.waiting(delay, "pausing before reading the checkpoint again")
                self._stop.wait(delay)
        return None

    def _make_reader(self, progress: Progress, pulse: Pulse) -> Reader:
        shared = self._shared
        return Reader(
            self.shard,
            self._source,
            self._saver,
            progress,
            window=shared.window,
            pacer=self._pacer,
            turns=shared.turns,
            settings=ReaderSettings(shared.settings.regrouped, shared.settings.unsettled_s),
            lease=shared.lease,
            stop=self._stop,
            pulse=pulse,
            health=shared.health,
            metrics=shared.metrics,
            retention=shared.retention,
            random=self._random,
            sleep=self._sender_ended.wait,
        )

    # --- the sender thread ---

    def _run_sender(self, progress: Progress) -> None:
        pulse = self._shared.health.pulse(threading.current_thread().name)
        try:
            self._make_sender(progress, pulse).run()
        except BaseException as exc:  # noqa: BLE001 - top of a thread: the process must not live on without it
            self._stop.now()
            self._shared.fatal(exc)
        finally:
            self._shared.health.ended(pulse)
            self._sender_ended.set()
            progress.wake()

    def _make_sender(self, progress: Progress, pulse: Pulse) -> Sender:
        shared = self._shared

        def open_lane(sender: Sender, way: Way) -> tuple[Lane, ShardGate, RejectPolicy]:
            pause = Pause(self._stop, lambda: shared.outlet.current()[1] is not way)
            gate = self._make_gate(sender, pause, pulse)
            policy = RejectPolicy(
                way.letters,
                who=f"shard {self.shard}",
                pause=pause,
                pulse=pulse,
                health=shared.health,
                metrics=shared.metrics,
                written=sender.written,
            )
            return way.output.lane(self.shard, gate), gate, policy

        return Sender(
            self.shard,
            progress,
            outlet=shared.outlet,
            open_lane=open_lane,
            stop=self._stop,
            pulse=pulse,
            metrics=shared.metrics,
            host=shared.settings.host,
        )

    def _make_gate(self, sender: Sender, pause: Pause, pulse: Pulse) -> ShardGate:
        return ShardGate(
            f"shard {self.shard}",
            lease=self._shared.lease,
            stop=self._stop,
            pause=pause,
            pulse=pulse,
            health=self._shared.health,
            metrics=self._shared.metrics,
            rejects=sender,
        )
