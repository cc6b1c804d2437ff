"""Collectors and the network in front of them as one seeded simulation, without sockets, threads or real time.

What a collector may do stands in `sls_siem.siem.hec_acks` and `hec_proof`: an ackId belongs to its channel, the first
is 0, `true` is told once; an indexer that restarts forgets all ackIds and what it had not made safe. The network loses
requests and answers, and hands over late what its sender has given up.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

from sls_siem.net.http import HttpAnswer, HttpConnectError, HttpError, HttpTimeout
from tests.unit.siem.support import Clock

EXCHANGE_S = 0.01
TAKES_NOTHING = ((403, 4), (429, 26), (429, 27), (503, 9), (503, 23), (404, None), (413, None), (302, None))
MAY_TAKE_ALL = ((500, 8), (502, None), (200, None))
NAMES_AN_EVENT = (6, 7, 9, 12, 13)


@dataclass
class Weather:
    """How often what happens, from 0 to 1; each seed has its own, so that what is frequent in it meets itself.

    Args:
        unreachable: a connection cannot be opened.
        request_lost, answer_lost: of an exchange.
        late: an exchange times out, and its request is handed over some time later.
        restart: of an indexer, before an exchange.
        disabled: the token begins or ceases to acknowledge, before an exchange.
        nothing, doubtful, naming: a request for events is answered by one of `TAKES_NOTHING` and so on.
        astray: a balancer sends a request to another indexer.
        poison: an event is refused for ever.
        tells_in_part: a partial accept draws an ackId and tells it.
        most_events: of one request; more are answered with 413.
        stores: an indexer makes some of its requests safe, before an exchange.
    """

    unreachable: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    restart: float = 0.0
    disabled: float = 0.0
    nothing: float = 0.0
    doubtful: float = 0.0
    naming: float = 0.0
    astray: float = 0.0
    poison: float = 0.0
    tells_in_part: bool = True
    most_events: int = 1000
    stores: float = 1.0

    @classmethod
    def drawn(cls, random: Random) -> Weather:
        """Draw a seed's."""
        often = [random.choice((0.0, 0.0, 0.0, 0.0, 0.05, 0.15, 0.3)) for _ in fields(cls)[:9]]
        drawn = cls(
            *often,
            poison=random.choice((0.0, 0.05)),
            tells_in_part=random.random() < 0.5,
            most_events=random.choice((1, 5, 1000)),
            stores=random.choice((0.02, 0.05, 0.2, 1.0)),
        )
        if random.random() < 0.7:
            return drawn
        # Without an ackId nothing tells which indexer took a part: see `hec_proof`.
        return replace(drawn, astray=0.1, disabled=0.0, tells_in_part=True)


class Indexer:
    """What it took, in order, and how much of that is safe from a restart."""

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self._requests: list[list[int]] = []
        self._safe = 0
        self._drawn: dict[str, int] = defaultdict(int)
        self._owed: dict[tuple[str, int], int] = {}

    def take(self, events: list[int], channel: Optional[str]) -> Optional[int]:
        """Take a request's events; returns the ackId, None without a channel."""
        self._requests.append(events)
        if channel is None:
            return None
        ack_id = self._drawn[channel]
        self._drawn[channel] += 1
        self._owed[channel, ack_id] = len(self._requests)
        return ack_id

    def make_safe(self, requests: int) -> None:
        """Store so many of the oldest that are not."""
        for events in self._requests[self._safe : self._safe + requests]:
            self.stored.update(events)
            self._safe += 1

    def told(self, channel: str, ack_ids: list[int]) -> dict[str, bool]:
        """Answer a poll."""
        true = {each for each in ack_ids if self._owed.get((channel, each), self._safe + 1) <= self._safe}
        for ack_id in true:
            del self._owed[channel, ack_id]
        return {str(each): each in true for each in ack_ids}

    def restart(self) -> None:
        """Lose what is not safe."""
        del self._requests[self._safe :]
        self._drawn.clear()
        self._owed.clear()


@dataclass
class Collector:
    """One address: a balancer and two indexers behind it.

    Args:
        random: decides.
        weather: how often what happens.
        acknowledges: without acknowledgements whatever was taken is safe, for nothing could tell otherwise.
    """

    random: Random
    weather: Weather
    acknowledges: bool
    indexers: list[Indexer] = field(default_factory=lambda: [Indexer(), Indexer()])
    refused: set[int] = field(default_factory=set)
    poisoned: set[int] = field(default_factory=set)
    late: list[tuple[str, str, bytes]] = field(default_factory=list)
    disabled: bool = False

    def chance(self, probability: float) -> bool:
        """Draw whether it happens."""
        return probability > 0 and self.random.random() < probability

    def pass_by(self) -> None:
        """Let happen what happens before an exchange."""
        for indexer in self.indexers:
            if self.chance(self.weather.stores):
                indexer.make_safe(self.random.choice((1, 2, 100)))
        if self.acknowledges and self.chance(self.weather.restart):
            self.random.choice(self.indexers).restart()
        if self.acknowledges and self.chance(self.weather.disabled):
            self.disabled = not self.disabled
        if self.late and self.chance(0.3):
            self.answer(*self.late.pop(self.random.randrange(len(self.late))))

    def clear_up(self) -> None:
        """End all trouble."""
        self.weather = Weather()
        self.disabled = False
        self.poisoned.clear()
        self.late.clear()

    def answer(self, target: str, channel: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Do what a request asks for; returns status and content."""
        path = urlsplit(target)
        indexer = self.indexers[self.chance(self.weather.astray)]
        if path.path.endswith("/health"):
            return 200, {"text": "HEC is healthy", "code": 17}
        if path.path.endswith("/ack"):
            if self.disabled:
                return 400, {"text": "ACK is disabled", "code": 14}
            return 200, {"acks": indexer.told(parse_qs(path.query)["channel"][0], json.loads(body)["acks"])}
        events = [json.loads(line)["event"]["n"] for line in body.splitlines()]
        return self._take(indexer, channel if self.acknowledges and not self.disabled else None, events)

    def _take(self, indexer: Indexer, channel: Optional[str], events: list[int]) -> tuple[int, Mapping[str, Any]]:
        weather = self.weather
        if len(events) > weather.most_events:
            return 413, {}
        if self.chance(weather.nothing):
            status, code = self.random.choice(TAKES_NOTHING)
            self.refused.update(events if status == 413 and len(events) == 1 else ())
            return _content(status, code)
        self.poisoned.update(each for each in events if each not in indexer.stored and self.chance(weather.poison))
        bad = next((place for place, each in enumerate(events) if each in self.poisoned), None)
        if bad is not None:
            return self._take_in_part(indexer, channel, events, bad, 6)
        if self.chance(weather.naming):
            place = self.random.randrange(len(events))
            return self._take_in_part(indexer, channel, events, place, self._naming_code())
        if self.chance(weather.doubtful):
            if self.random.random() < 0.5:
                self._keep(indexer, events, channel)
            return _content(*self.random.choice(MAY_TAKE_ALL))
        ack_id = self._keep(indexer, events, channel)
        return 200, {"code": 0} if ack_id is None else {"code": self.random.choice((0, 0, 24)), "ackId": ack_id}

    def _naming_code(self) -> int:
        # "Server is busy" tells no ackId: see `Weather.drawn`.
        return self.random.choice([each for each in NAMES_AN_EVENT if each != 9 or not self.weather.astray])

    def _take_in_part(
        self, indexer: Indexer, channel: Optional[str], events: list[int], place: int, code: int
    ) -> tuple[int, Mapping[str, Any]]:
        number = place + (code == 7 and self.random.random() < 0.7)
        content = {"code": code, "invalid-event-number": number}
        if code != 9:
            self.refused.add(events[place])
        if place:
            tells = self.weather.tells_in_part and code != 9
            ack_id = self._keep(indexer, events[:place], channel if tells else None)
            content.update({} if ack_id is None else {"ackId": ack_id})
        return (503 if code == 9 else 400), content

    def _keep(self, indexer: Indexer, events: list[int], channel: Optional[str]) -> Optional[int]:
        ack_id = indexer.take(events, channel)
        if not self.acknowledges:
            indexer.make_safe(1)
        return ack_id


def _content(status: int, code: Optional[int]) -> tuple[int, Mapping[str, Any]]:
    return status, {} if code is None else {"text": "no", "code": code}


class SimulatedConnection:
    """Stands in for `HttpConnection`.

    Args:
        collector: at the other end.
        clock: moved on by each exchange.
    """

    def __init__(self, collector: Collector, clock: Clock) -> None:
        self._collector = collector
        self._clock = clock

    def open(self, *, timeout_s: float) -> None:
        if self._collector.chance(self._collector.weather.unreachable):
            self._clock.now += min(timeout_s, EXCHANGE_S)
            raise HttpConnectError("nobody listens", sent=False) from ConnectionRefusedError()

    def exchange(
        self, _method: str, target: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, max_body: int
    ) -> HttpAnswer:
        self.open(timeout_s=timeout_s)
        collector, weather = self._collector, self._collector.weather
        request = (target, headers.get("X-Splunk-Request-Channel", ""), body)
        self._clock.now += EXCHANGE_S
        collector.pass_by()
        if collector.chance(weather.request_lost):
            raise HttpError("reset", sent=True, stale=collector.chance(0.3))
        if collector.chance(weather.late):
            collector.late.append(request)
            self._clock.now += timeout_s
            raise HttpTimeout("no answer", sent=True)
        status, content = collector.answer(*request)
        if collector.chance(weather.answer_lost):
            raise HttpError("reset", sent=True, stale=collector.chance(0.3))
        text = json.dumps(content).encode() if content else b"<html>"
        assert len(text) <= max_body
        return HttpAnswer(status, {}, text)

    def close(self) -> None:
        """Nothing is open."""
