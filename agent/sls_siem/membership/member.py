"""Membership of the consumer group: one thread that sends heartbeats and does nothing that could block them.

A shard that the answer adds is taken; one that it leaves out is handed over and only then left out of the next
heartbeat, which goes out at once. A lease that ran out, or an eviction, drops every shard: it is read again from the
checkpoint on the server, wherever that stands by then. Protocol: consumer library of the SLS SDKs, HeartBeat call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Optional, Protocol

from sls_siem.errors import NotFoundError, NotOwnerError, SourceError, TransientSourceError
from sls_siem.health import Health, Pulse
from sls_siem.membership.lease import SENDING_SHARE, Lease, boottime
from sls_siem.metrics import Metrics
from sls_siem.retry import Backoff

LOG = logging.getLogger(__name__)
WHO = "consumer group"
FIRST_RETRY_S = 0.5


class HeartbeatCalls(Protocol):
    """The one call of an SLS session that the membership makes."""

    def heartbeat(self, shards: Iterable[int], *, timeout_s: float = 5.0) -> tuple[int, ...]:
        """Tell which shards are held, learn which should be."""
        ...


class ShardHost(Protocol):
    """Whoever works on the shards."""

    def working(self) -> frozenset[int]:
        """Shards that are worked on, those being handed over included, dropped ones not."""
        ...

    def ending(self) -> frozenset[int]:
        """Shards that are being handed over or were dropped, until their threads have ended."""
        ...

    def take(self, shard: int) -> None:
        """Start to work on a shard."""
        ...

    def hand_over(self, shard: int) -> None:
        """Settle and save what is in hand, then let go of the shard."""
        ...

    def abandon_all(self) -> None:
        """Send and save nothing more on any shard."""
        ...


class Member:
    """The heartbeat thread.

    Args:
        calls: session used by this thread only.
        host: whoever works on the shards.
        lease: renewed here.
        interval_s: time between two heartbeats; shortened where the timeout in force leaves no room for a lost one.
        group_timeout_s: the group's timeout, in force on the service.
        prepare: makes the group and its first positions; called first, returns the timeout in force; may raise
            SourceError (tried again, also after a stop) and must return None once it was told to stop, at the latest
            when what it has begun and should finish took too long.
        health: told about holds and errors.
        metrics: told when a heartbeat was answered.
        fatal: told of an error that must end the process.
    """

    def __init__(
        self,
        calls: HeartbeatCalls,
        host: ShardHost,
        lease: Lease,
        *,
        interval_s: float,
        group_timeout_s: float,
        prepare: Callable[[Pulse], Optional[float]],
        health: Health,
        metrics: Metrics,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._calls = calls
        self._host = host
        self._lease = lease
        self._interval_s = interval_s
        self._timeout_s = group_timeout_s
        self._prepare = prepare
        self._health = health
        self._metrics = metrics
        self._fatal = fatal
        self._wake = threading.Condition()
        self._woken = False
        self._leaving = False
        self._stopped = False
        self._failures = 0
        self._backoff = Backoff(min(FIRST_RETRY_S, interval_s), interval_s)
        self._random = Random()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.last_answered: Optional[float] = None

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def look(self) -> None:
        """Send a heartbeat at once: a shard has been handed over."""
        with self._wake:
            self._woken = True
            self._wake.notify_all()

    def leave(self) -> None:
        """Take no shard any more; heartbeats go on, so that what is held can be handed over."""
        self._leaving = True
        self.look()

    def stop(self, seconds: float) -> None:
        """Tell the service that nothing is held, then end."""
        self._leaving = True
        self._stopped = True
        self.look()
        self._thread.join(seconds)

    @property
    def stopping(self) -> bool:
        """It was told to leave or to stop."""
        return self._leaving or self._stopped

    # --- the thread ---

    def _run(self) -> None:
        pulse = self._health.pulse(self._thread.name)
        try:
            if self._prepared(pulse):
                self._beat_until_stopped(pulse)
        except BaseException as exc:  # noqa: BLE001 - top of a thread: the process must not live on without it
            self._fatal(exc)
        finally:
            self._health.ended(pulse)

    def _prepared(self, pulse: Pulse) -> bool:
        """Make or find the group; False when told to stop before that worked."""
        while True:
            try:
                timeout_s = self._prepare(pulse)
            except SourceError as exc:
                self._failed(exc)
                self._pause_before_retry(pulse, self._retry_delay(exc))
                continue
            if timeout_s is None:
                return False
            self._timeout_s = timeout_s
            self._lease.set_timeout(timeout_s)
            self._keep_within(timeout_s)
            self._succeeded()
            # The long wait that was announced for this must not excuse what hangs after it.
            pulse.moved()
            return True

    def _keep_within(self, timeout_s: float) -> None:
        """Beat often enough for the group's timeout, which may be another than the configured one."""
        longest_s = timeout_s * SENDING_SHARE / 2
        if self._interval_s > longest_s:
            LOG.warning(
                "%s: its timeout is %g s, so a heartbeat is sent every %.3g s instead of %g",
                *(WHO, timeout_s, longest_s, self._interval_s),
            )
            self._interval_s = longest_s

    def _beat_until_stopped(self, pulse: Pulse) -> None:
        while True:
            last = self._stopped
            pause = self._beat(pulse)
            if last:
                return
            self._pause(pulse, pause)

    def _beat(self, pulse: Pulse) -> float:
        """Send one heartbeat; returns the pause after it."""
        if self._lease.lapsed() and self._host.working():
            self._drop("no heartbeat was answered for the consumer group's timeout")
        working = sorted(self._host.working())
        timeout_s = self._exchange_timeout_s()
        pulse.waiting(timeout_s, "heartbeat")
        sent_at = boottime()
        try:
            assigned = self._calls.heartbeat(working, timeout_s=timeout_s)
        except NotOwnerError as exc:
            self._failed(exc)
            self._drop(f"the service does not know this consumer any more: {exc}")
            return min(FIRST_RETRY_S, self._interval_s)
        except SourceError as exc:
            self._failed(exc)
            return self._retry_delay(exc)
        finally:
            pulse.moved()
        self._answered(sent_at)
        self._follow(assigned)
        return self._interval_s

    def _exchange_timeout_s(self) -> float:
        return max(0.5, min(self._timeout_s / 4, 10.0))

    def _answered(self, sent_at: float) -> None:
        self._lease.answered(sent_at)
        self.last_answered = time.time()
        self._metrics.last_heartbeat.set_to_current_time()
        self._succeeded()

    def _follow(self, assigned: tuple[int, ...]) -> None:
        """Take what is new, hand over what is gone."""
        working, ending = self._host.working(), self._host.ending()
        for shard in sorted(working - set(assigned) - ending):
            self._host.hand_over(shard)
        if not self.stopping:
            for shard in sorted(set(assigned) - working - ending):
                LOG.info("shard %d: assigned to us", shard)
                self._host.take(shard)

    def _drop(self, why: str) -> None:
        LOG.error("dropping every shard: %s", why)
        self._health.error(why)
        self._lease.drop()
        self._host.abandon_all()

    # --- failures and pauses ---

    def _succeeded(self) -> None:
        if self._failures:
            LOG.info("%s: SLS answers again", WHO)
        self._failures = 0
        self._health.release(WHO)

    def _failed(self, error: SourceError) -> None:
        text = str(error)
        if isinstance(error, NotFoundError) and self.last_answered is not None:
            text += ". Restart this instance to create the consumer group anew; what it then reads is up to sls.start"
        if self._failures == 0:
            LOG.warning("%s: %s", WHO, text)
        self._failures += 1
        self._health.hold(WHO, text)
        self._health.error(text)

    def _retry_delay(self, error: SourceError) -> float:
        retry_after = error.retry_after_s if isinstance(error, TransientSourceError) else None
        return min(self._interval_s, self._backoff.delay(self._failures - 1, self._random, retry_after_s=retry_after))

    def _pause_before_retry(self, pulse: Pulse, seconds: float) -> None:
        """Pause; once told to stop, for a short while that nothing cuts off."""
        if self.stopping:
            self._pause(pulse, min(seconds, FIRST_RETRY_S), whatever_comes=True)
        else:
            self._pause(pulse, seconds)

    def _pause(self, pulse: Pulse, seconds: float, *, whatever_comes: bool = False) -> None:
        pulse.waiting(seconds, "")
        with self._wake:
            self._wake.wait_for(lambda: not whatever_comes and (self._woken or self._stopped), seconds)
            self._woken = False
        pulse.moved()
