"""The gate before every send of one shard: the lease, the stop signal, and who is told what is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from sls_siem.delivery.stop import Stop
from sls_siem.errors import Rerouted, Stopped
from sls_siem.health import Health, Pulse
from sls_siem.metrics import Metrics
from sls_siem.siem.output import Rejection

LEASE_LOOK_S = 0.2
WAY_LOOK_S = 1.0


class LeaseView(Protocol):
    """What delivery needs to know of the membership."""

    def valid(self) -> bool:
        """A send or a save may start now."""
        ...


class Rejects(Protocol):
    """Takes events that the SIEM will never take."""

    def reject(self, rejection: Rejection) -> None:
        """Return once the event counts as settled."""
        ...


class Pause:
    """How the sender of one shard waits in the middle of a payload, for as long as its lane is the way out.

    Args:
        stop: ends every wait.
        replaced: another way out is in force (`Outlet`).
        clock: seconds of a monotonic clock.
    """

    def __init__(self, stop: Stop, replaced: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._stop = stop
        self._replaced = replaced
        self._clock = clock
        self._leaving = False

    def leave(self) -> None:
        """The lane is being left in good order: let it wait for its last answers."""
        self._leaving = True

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            Stopped: the shard ends: what is in hand had its time to be sent.
            Rerouted: the way out was replaced; a wait of 0 s, in the middle of a frame, does not look for that.
        """
        self._wait(seconds, self._stop.wait)

    def wait_unasked(self, seconds: float) -> None:
        """Sleep before something that need not be sent any more once the shard is to end; raises as `wait` does."""
        self._wait(seconds, self._stop.wait_asked)

    def _wait(self, seconds: float, stop_wait: Callable[[float], bool]) -> None:
        until, left_s = self._clock() + seconds, seconds
        while True:
            if stop_wait(min(left_s, WAY_LOOK_S)):
                raise Stopped
            if seconds > 0 and not self._leaving and self._replaced():
                raise Rerouted
            left_s = until - self._clock()
            if left_s <= 0:
                return


class ShardGate:
    """Implements `siem.output.Gate` for the sender thread of one shard.

    Args:
        who: how `status` names the shard, such as `shard 3`.
        lease: asked before each send.
        stop: ends every send.
        pause: waits.
        pulse: the sender thread's sign of life.
        health: told what is waited for.
        metrics: counts retries.
        rejects: what becomes of events that the SIEM will never take.
    """

    def __init__(
        self,
        who: str,
        *,
        lease: LeaseView,
        stop: Stop,
        pause: Pause,
        pulse: Pulse,
        health: Health,
        metrics: Metrics,
        rejects: Rejects,
    ) -> None:
        self._who = who
        self._lease = lease
        self._stop = stop
        self._pause = pause
        self._pulse = pulse
        self._health = health
        self._metrics = metrics
        self._rejects = rejects

    def before_send(self) -> None:
        """Return when the lease allows a send; see `Gate`."""
        self._pulse.moved()
        if self._stop.over:
            raise Stopped
        while not self._lease.valid():
            self.wait(LEASE_LOOK_S, "no heartbeat was answered for 80 % of the consumer group's timeout: sends stop")

    def stands_open(self) -> bool:
        """Look at the lease and the stop signal; see `Gate`."""
        return not self._stop.over and self._lease.valid()

    def wait(self, seconds: float, why: str) -> None:
        """Sleep; see `Gate`."""
        self._health.hold(self._who, why)
        self._pulse.waiting(seconds, why)
        self._pause.wait(seconds)
        self._pulse.moved()

    def hold_back(self, seconds: float, why: str) -> None:
        """Sleep as the operator wants it: nothing is wrong with the shard.

        Raises:
            Stopped: the shard is to end; the time left is for what was sent before.
            Rerouted: another configuration is in force.
        """
        self._pulse.waiting(seconds, why)
        self._pause.wait_unasked(seconds)
        self._pulse.moved()

    def leave(self) -> None:
        """The lane is being left in good order."""
        self._pause.leave()

    def busy(self, seconds: float, why: str) -> None:
        """Announce one exchange; see `Gate`."""
        self._pulse.waiting(seconds, why)

    def retried(self, reason: str) -> None:
        """Count one retry; see `Gate`."""
        self._metrics.retries.labels(reason=reason).inc()

    def reject(self, rejection: Rejection) -> None:
        """Make the event a dead letter, or hold; see `Gate`."""
        self._rejects.reject(rejection)

    def passed(self) -> None:
        """A payload was handed over, or another output is the way out: the shard does not hold."""
        self._pulse.moved()
        self._health.release(self._who)
