"""Lanes over TCP and RELP against a simulated receiver: whatever they settle was read by the receiver's process, and
once the trouble is over everything is settled.

Each seed has its own kinds of trouble (`Weather`), and repeats exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, cast
from unittest import mock

import pytest

from sls_siem.errors import Stopped
from sls_siem.siem import Lane, Report, link
from sls_siem.siem.relp_lane import RelpLane
from sls_siem.siem.rotation import Rotation
from sls_siem.siem.stream_lane import StreamLane, StreamSettings
from tests.unit.seeds import wrong_in
from tests.unit.siem.simulated_gate import SimulatedGate
from tests.unit.siem.simulated_stream import (
    SETTLE_S,
    Receiver,
    SimulatedDialer,
    SimulatedRelpStream,
    SimulatedStream,
    Weather,
)
from tests.unit.siem.support import Clock, framed, syslog_frames

SEEDS, AT_ONCE = 500, 250


class Owner:
    """A lane's owner: sends in order, sends again first what was lost, looks what has settled, stops."""

    def __init__(self, lane: Lane, framing: str, gate: SimulatedGate, receiver: Receiver, random: Random) -> None:
        self._lane = lane
        self._framing = framing
        self._gate = gate
        self._receiver = receiver
        self._random = random
        self._frames = [syslog_frames(n * 50, random.choice((1, 5, 30))) for n in range(random.randint(1, 20))]
        self._queue = deque(range(len(self._frames)))
        self.settled: set[int] = set()
        self.wrong: list[str] = []

    def work(self) -> None:
        """Until all is settled, or a stop and what a drain still settles."""
        patience = self._random.random()
        try:
            while len(self.settled) < len(self._frames):
                if self._queue:
                    token = self._queue.popleft()
                    self._take(self._lane.send(framed(self._frames[token], self._framing), token))
                if not self._queue or self._random.random() < patience:
                    self._gate.wait(self._random.choice((0.0, 0.1, self._lane.next_poll_s() or 0.0)), "the next look")
                    self._take(self._lane.poll())
                if self._random.random() < 0.02:
                    self._take(self._lane.finish(self._random.choice((0.0, 1.0, 10.0))))
                    self._lane.close()
                    self._queue = deque(n for n in range(len(self._frames)) if n not in self.settled)
        except Stopped:
            self._gate.stops_at = None
            self._take(self._lane.finish(self._random.choice((0.0, 1.0, 10.0))))
            self._lane.close()

    def _take(self, report: Report) -> None:
        assert report.in_order or not report.lost
        for token in cast("tuple[int, ...]", report.settled):
            if token in self.settled:
                self.wrong.append(f"{token} is settled twice")
            self.settled.add(token)
            missing = [frame for frame in self._frames[token] if frame not in self._receiver.stored]
            if missing:
                self.wrong.append(f"{token} is settled, but {len(missing)} of it were not read")
        self._queue.extendleft(reversed(cast("tuple[int, ...]", report.lost)))


def run_seed(seed: int, *, relp: bool = False) -> list[str]:
    """Run a seed; returns what is wrong."""
    kind = SimulatedRelpStream if relp else SimulatedStream
    random, clock = Random(seed), Clock()
    receiver = Receiver(random, Weather.drawn(random), clock)
    gate = SimulatedGate(
        clock,
        receiver.clear_up,
        clears_up_at=random.randint(20, 400),
        stops_at=random.randint(5, 200) if random.random() < 0.5 else None,
        shut=receiver.is_shut,
    )
    dialers = cast("list[Any]", [SimulatedDialer(receiver, number, kind) for number in range(random.choice((1, 1, 2)))])
    rotation = Rotation([dialer.url for dialer in dialers], clock, random.random)
    with mock.patch.object(link, "Stream", lambda dialed: dialed):
        way = link.Link(rotation.attempts(), dialers, gate)
        lane: Lane
        if relp:
            lane, framing = RelpLane(way, clock=clock, gate=gate), "octet-counting"
        else:
            lane, framing = StreamLane(StreamSettings("lf", SETTLE_S), way, clock=clock, gate=gate), "lf"
        owner = Owner(lane, framing, gate, receiver, random)
        owner.work()
    return owner.wrong


RunSeed = Callable[[int], "list[str]"]
run_relp_seed: RunSeed = partial(run_seed, relp=True)


@pytest.mark.parametrize("run", [run_seed, run_relp_seed], ids=["tcp", "relp"])
@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_what_is_settled_was_read_and_everything_is_settled_in_the_end(first: int, run: RunSeed) -> None:
    """To see it fail over TCP: take any FIN behind the half-close for "has read everything", or half-close a connection
    that is brand-new; over RELP: settle a payload of which one message is not answered.
    """
    assert dict(wrong_in(range(first, first + AT_ONCE), run)) == {}
