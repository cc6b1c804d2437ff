"""A lane against simulated collectors: whatever it settles is safe, and once the trouble is over all of it is settled.

Each seed has its own kinds of trouble (`Weather`), and repeats exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import cast

import pytest

from sls_siem.codec.model import Payload
from sls_siem.config.secrets import Secret
from sls_siem.errors import Stopped
from sls_siem.net.http import HttpConnection
from sls_siem.siem import Lane, Report
from sls_siem.siem.dialer import Dialer
from sls_siem.siem.hec_acks import AckBook
from sls_siem.siem.hec_lane import HecLane
from sls_siem.siem.hec_route import HecShared, Route, TokenSource
from sls_siem.siem.rotation import Rotation
from tests.unit.seeds import wrong_in
from tests.unit.siem.simulated_gate import SimulatedGate
from tests.unit.siem.simulated_hec import Collector, SimulatedConnection, Weather
from tests.unit.siem.support import Clock, hec_events, payload_of

SEEDS, AT_ONCE = 1000, 250


class Owner:
    """A lane's owner: sends in order, sends again first what was lost, asks for acknowledgements, stops."""

    def __init__(self, lane: Lane, gate: SimulatedGate, collectors: Sequence[Collector], random: Random) -> None:
        self._lane = lane
        self._gate = gate
        self._collectors = collectors
        self._random = random
        self._events: list[range] = []
        for _ in range(random.randint(1, 25)):
            first = self._events[-1].stop if self._events else 0
            self._events.append(range(first, first + random.choice((1, 1, 3, 12))))
        self._payloads = [payload_of(hec_events(each.start, len(each))) for each in self._events]
        self._queue = deque(range(len(self._payloads)))
        self.settled: set[int] = set()
        self.wrong: list[str] = []

    @property
    def done(self) -> bool:
        return len(self.settled) == len(self._payloads)

    def work(self) -> None:
        """Until all is settled, or a stop and what a drain still settles."""
        patience = self._random.random()
        try:
            while not self.done:
                if self._queue:
                    token = self._queue.popleft()
                    self._take(self._lane.send(self._payloads[token], token))
                if not self._queue or self._random.random() < patience:
                    self._ask()
        except Stopped:
            self._gate.stops_at = None
            self._take(self._lane.finish(self._random.choice((0.0, 2.0, 30.0))))

    def _ask(self) -> None:
        wait_s = self._lane.next_poll_s()
        assert wait_s is not None or self._queue or self.done, "what is not settled is waited for by nobody"
        if wait_s is not None:
            self._gate.wait(min(wait_s, self._random.uniform(0.0, 2.0)), "until the next look")
            self._take(self._lane.poll())

    def _take(self, report: Report) -> None:
        for token in cast("tuple[int, ...]", report.settled):
            if token in self.settled:
                self.wrong.append(f"{token} is settled twice")
            self.settled.add(token)
            self.wrong += [f"{token} is settled, but event {each} is not safe" for each in self._unsafe(token)]
        self._queue.extendleft(reversed(cast("tuple[int, ...]", report.lost)))

    def _unsafe(self, token: int) -> list[int]:
        dead = {self._events[token][each.index] for each in self._gate.rejections if self._is(each.payload, token)}
        refused = {each for collector in self._collectors for each in collector.refused}
        self.wrong += [f"event {each} is rejected, but was not refused" for each in dead - refused]
        stored = {each for collector in self._collectors for indexer in collector.indexers for each in indexer.stored}
        return [each for each in self._events[token] if each not in stored | dead]

    def _is(self, payload: Payload, token: int) -> bool:
        return payload is self._payloads[token]


def run_seed(seed: int) -> list[str]:
    """Run a seed; returns what is wrong."""
    random, clock = Random(seed), Clock()
    acknowledges = random.random() < 0.8
    collectors = [Collector(random, Weather.drawn(random), acknowledges) for _ in range(random.choice((1, 1, 1, 2)))]
    stops_at = random.randint(5, 200) if random.random() < 0.3 else None

    def clear_up() -> None:
        for collector in collectors:
            collector.clear_up()

    gate = SimulatedGate(clock, clear_up, clears_up_at=random.randint(20, 300), stops_at=stops_at)
    urls = [f"http://collector-{number}:8088" for number in range(len(collectors))]
    rotation = Rotation(urls, clock, random.random)
    tokens = TokenSource(lambda: Secret("token"))
    routes = [
        Route(
            Dialer(url, None, None),
            cast("HttpConnection", SimulatedConnection(collector, clock)),
            tokens,
            timeout_s=random.choice((1.0, 30.0)),
            compress=False,
        )
        for url, collector in zip(urls, collectors)
    ]
    book = AckBook(len(routes), random.choice((3.0, 30.0, 300.0)), clock) if acknowledges else None
    shared = HecShared(rotation, tokens, templated_index=random.random() < 0.3, clock=clock, random=random.random)
    owner = Owner(HecLane(shared, routes, book, first=0, gate=gate), gate, collectors, random)
    owner.work()
    if stops_at is None and not owner.done:
        owner.wrong.append("not everything is settled")
    return owner.wrong


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_what_is_settled_is_safe_and_everything_is_settled_in_the_end(first: int) -> None:
    """To see it fail: let `Proof.followed` prove the prefixes of every channel, or `AckBook.untold` doubt nothing."""
    assert dict(wrong_in(range(first, first + AT_ONCE), run_seed)) == {}
