"""The gate of a simulated lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

from sls_siem.errors import Stopped
from sls_siem.siem.output import Rejection
from tests.unit.siem.support import Clock

LOOKS = 20_000


class SimulatedGate:
    """Passes the time of waits at once, clears up the weather, and stops the lane's owner.

    Args:
        clock: moved on by waits.
        clear_up: ends all trouble.
        clears_up_at: number of the look with which that is called.
        stops_at: number of the look from which on everything is stopped; None for never.
        shut: draws whether the gate does not stand open.
    """

    def __init__(
        self,
        clock: Clock,
        clear_up: Callable[[], None],
        *,
        clears_up_at: int,
        stops_at: Optional[int],
        shut: Callable[[], bool] = lambda: False,
    ) -> None:
        self.rejections: list[Rejection] = []
        self.stops_at = stops_at
        self._looks = 0
        self._clock = clock
        self._clear_up = clear_up
        self._clears_up_at = clears_up_at
        self._shut = shut

    def before_send(self) -> None:
        self._look()

    def stands_open(self) -> bool:
        return not self._shut()

    def wait(self, seconds: float, why: str) -> None:
        assert why
        self._look()
        self._clock.now += seconds

    def busy(self, seconds: float, why: str) -> None:
        assert seconds > 0
        assert why

    def retried(self, reason: str) -> None:
        assert reason

    def reject(self, rejection: Rejection) -> None:
        self._look()
        self.rejections.append(rejection)

    def _look(self) -> None:
        self._looks += 1
        assert self._looks < LOOKS, "not settled long after the trouble was over"
        if self._looks == self._clears_up_at:
            self._clear_up()
        if self.stops_at is not None and self._looks >= self.stops_at:
            raise Stopped
