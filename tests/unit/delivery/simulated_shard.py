"""A shard of SLS and a way to the SIEM as one seeded simulation, for a real reader and sender without threads or waits.

Whatever of the other side may run while one waits for an answer does so: each call asks `meanwhile`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Optional, Union

import lz4.block

from sls_siem.codec.compiled import load
from sls_siem.codec.model import Payload
from sls_siem.dead_letter import DeadLetter
from sls_siem.delivery.sender import Notice
from sls_siem.emulator.loggroups import encode_list, make_group
from sls_siem.errors import CursorInvalidError, TransientSourceError
from sls_siem.siem.output import Gate, Rejection, Report, Token
from sls_siem.sls.model import Checkpoint, Pulled

BASE = 500
OUT = "out"
"""What the filter leaves out."""


@dataclass
class Weather:
    """How often what happens, from 0 to 1; each seed has its own, so that what is frequent in it meets itself.

    Args:
        failing: a call of SLS fails; a save may be carried out all the same, at once or later.
        short: an answer holds fewer groups than there are.
        retention: removes some of the oldest groups, before a pull.
        garbled: a group of an answer cannot be walked, this time.
        broken: a group is stored so that it never can.
        lost: of what waits at the SIEM when the lane is asked: lost rather than settled.
        refused: an event is refused for ever.
        rerouted: a reload replaces the way out, before a payload.
        miscounted: an answer that may be decompressed while it is encoded lacks a group, or has one twice.
        meanwhile: the other side gets to run while one waits.
    """

    failing: float = 0.0
    short: float = 0.0
    retention: float = 0.0
    garbled: float = 0.0
    broken: float = 0.0
    lost: float = 0.0
    refused: float = 0.0
    rerouted: float = 0.0
    miscounted: float = 0.0
    meanwhile: float = 0.3

    @classmethod
    def drawn(cls, random: Random) -> Weather:
        """Draw a seed's."""
        return cls(*(random.choice((0.0, 0.0, 0.0, 0.05, 0.2)) for _ in range(9)), random.choice((0.0, 0.3, 0.7)))


class Shard:
    """What reading and saving need of `Source`; knows what of its logs has arrived.

    Args:
        random: decides.
        weather: how often what happens.
        regrouped: a query runs in between: what comes says nothing of the groups it comes from.
        meanwhile: lets the other side run.
    """

    def __init__(self, random: Random, weather: Weather, *, regrouped: bool, meanwhile: Callable[[], None]) -> None:
        self.random = random
        self.weather = weather
        self.regrouped = regrouped
        self.meanwhile = meanwhile
        self.begin = BASE
        self.checkpoint_at = self.asked = BASE
        self._late: list[int] = []
        self.arrived: Counter[str] = Counter()
        self.dead: set[str] = set()
        self.dead_groups: set[int] = set()
        self.refused: set[str] = set()
        self.broken: set[int] = set()
        self.garbled: set[int] = set()
        self.miscounted = False
        self.wrong: list[str] = []
        self._ids: list[list[str]] = []

    @property
    def end(self) -> int:
        return BASE + len(self._ids)

    def chance(self, probability: float) -> bool:
        """Draw whether it happens."""
        return probability > 0 and self.random.random() < probability

    def write(self) -> None:
        """Another log group comes."""
        position = self.end
        logs = self.random.choice((0, 1, 1, 2, 5))
        self._ids.append([f"0-{position}-{n}" for n in range(logs)])
        if self.chance(self.weather.broken):
            self.broken.add(position)
        self.refused.update(each for each in self._ids[-1] if self.chance(self.weather.refused))

    # --- Source ---

    def pull(
        self,
        _shard: int,
        position: int,
        *,
        end_position: Optional[int] = None,
        count: int = 1000,
        whole: bool = True,
    ) -> Pulled:
        self._call()
        if self.chance(self.weather.retention):
            self.begin = min(self.end, self.begin + self.random.randint(1, 3))
        if position > self.end:
            raise CursorInvalidError("InvalidCursor")
        if position < self.begin and self.chance(0.5):
            raise CursorInvalidError("InvalidCursor")
        first = max(position, self.begin)
        last = min(
            self.end, first + count, first + (self.random.randint(0, 3) if self.chance(self.weather.short) else 9)
        )
        if end_position is not None:
            last = min(last, end_position)
        if last <= first:
            return Pulled(position, position, 0, b"")
        wanted = list(range(first, last))
        if self.regrouped:
            return Pulled(position, last, 1, encode_list([self._wire(wanted)]))
        groups = [self._wire([each]) for each in wanted]
        if whole or not (codec := load()):
            return Pulled(position, last, len(groups), encode_list(groups))
        body = encode_list(self._perhaps_miscounted(groups))
        packed = codec.lz4_packed(lz4.block.compress(body, store_size=False), len(body))
        return Pulled(position, last, len(groups), packed, checked=False)

    def cursor(self, _shard: int, at: Union[str, int]) -> int:
        self._call()
        return self.begin if at == "begin" else self.end

    def checkpoint(self, _shard: int) -> Checkpoint:
        self._call()
        return Checkpoint(self.checkpoint_at, "me")

    def save_checkpoint(self, _shard: int, position: int, *, force: bool = False) -> None:
        assert not force
        if position < self.asked:
            self.wrong.append(f"a save of {position} is asked for after one of {self.asked}")
        self.asked = position
        fails = self.chance(self.weather.failing)
        if fails and self.chance(0.3):
            self._late.append(position)
        elif not fails or self.chance(0.5):
            self._save(position)
        if fails:
            raise TransientSourceError("no answer")

    def close(self) -> None:
        """Nothing is open."""

    def begin_again(self) -> int:
        """Another consumer begins; returns where."""
        self.asked = self.checkpoint_at
        return self.checkpoint_at

    def _call(self) -> None:
        self.meanwhile()
        if self._late and self.chance(0.2):
            self._save(self._late.pop())
        if self.chance(self.weather.failing):
            raise TransientSourceError("no answer")

    def _wire(self, positions: list[int]) -> bytes:
        """Make one group of what stands at these."""
        if self.chance(self.weather.garbled):
            self.garbled.update(positions)
        elif not self.broken.intersection(positions):
            return self._sound(positions)
        # A length that is not there, and what it was.
        return b"\x0a\xff\x7f" + f"{positions[0]}-{positions[-1]}".encode()

    def _perhaps_miscounted(self, groups: list[bytes]) -> list[bytes]:
        if not self.chance(self.weather.miscounted):
            return groups
        self.miscounted = True
        place = self.random.randrange(len(groups))
        return groups[:place] + groups[place + 1 :] if self.chance(0.5) else groups[: place + 1] + groups[place:]

    def _sound(self, positions: list[int]) -> bytes:
        logs = [each for position in positions for each in self._ids[position - BASE]]
        return make_group(
            [{"id": each, "left": _left(each), "pad": "x" * 500 * is_long(each)} for each in logs], time=1_700_000_000
        )

    def _save(self, position: int) -> None:
        for each in range(self.checkpoint_at, position):
            wanted = [event for event in self._ids[each - BASE] if _left(event) != OUT]
            missing = [event for event in wanted if not (self.arrived[event] or event in self.dead)]
            if missing and each not in self.dead_groups and each >= self.begin:
                self.wrong.append(f"checkpoint {position} passes {missing}")
        self.checkpoint_at = position

    # --- dead letters ---

    def append(self, letter: DeadLetter) -> None:
        """Keep a dead letter (of `DeadLetters`, what a sender uses)."""
        if letter.raw:
            first, last = letter.event.rpartition(b"\x7f")[2].split(b"-")
            positions = range(int(first), int(last) + 1)
            if len(positions) > 1 or positions[0] not in self.broken | self.garbled:
                self.wrong.append(f"sound groups became a dead letter: {positions}")
            self.dead_groups.update(positions)
            return
        event_id = id_of(letter.event)
        if event_id not in self.refused and not (letter.reason == "oversize" and is_long(event_id)):
            self.wrong.append(f"event {event_id} became a dead letter, but was not refused")
        # What is found to be miscounted later has given its logs the ids of others.
        if not (self.regrouped or self.miscounted) and letter.event_id != event_id:
            self.wrong.append(f"dead letter {letter.event_id} holds {letter.event!r}")
        self.dead.add(event_id)


class SimulatedLane:
    """Implements `Lane`: settles at once, later in any order, or later in order until its connection breaks.

    Args:
        kind: `at once`, `acknowledged` or `stream`.
        shard: what arrives is its.
        gate: of the shard's sender.
    """

    def __init__(self, kind: str, shard: Shard, gate: Gate) -> None:
        self._kind = kind
        self._shard = shard
        self._gate = gate
        self._pending: deque[tuple[Token, list[str]]] = deque()
        self.settled: set[str] = set()

    def send(self, payload: Payload, token: Token) -> Report:
        shard = self._shard
        self._gate.before_send()
        shard.meanwhile()
        ids = []
        for place, line in enumerate(() if isinstance(token, Notice) else payload.data.splitlines()):
            event_id = id_of(line)
            if event_id in shard.refused:
                self._gate.reject(Rejection(payload, place, "invalid-event", "no"))
            else:
                ids.append(event_id)
        again = [each for each in ids if each in self.settled]
        if again and shard.begin == BASE and not (shard.garbled or shard.miscounted):
            shard.wrong.append(f"{again} are sent again after they were settled")
        self._pending.append((token, ids))
        return self._arrive(len(self._pending)) if self._kind == "at once" else self._look()

    def poll(self) -> Report:
        self._shard.meanwhile()
        return self._look()

    def next_poll_s(self) -> Optional[float]:
        return 0.0 if self._pending else None

    def finish(self, deadline_s: float) -> Report:
        return self._look()

    def close(self) -> None:
        self._leave()

    def _look(self) -> Report:
        shard = self._shard
        if self._kind == "acknowledged":
            known = [each for each in self._pending if shard.random.random() < 0.5]
            lost = [each for each in known if shard.chance(shard.weather.lost)]
            self._pending = deque(each for each in self._pending if each not in known)
            arrived = [each for each in known if each not in lost]
            return Report(self._note(arrived), tuple(token for token, _ in lost))
        if self._kind == "stream" and shard.chance(shard.weather.lost):
            return Report(lost=self._leave(), in_order=True)
        return self._arrive(shard.random.randint(0, len(self._pending)))

    def _arrive(self, count: int) -> Report:
        return Report(settled=self._note([self._pending.popleft() for _ in range(count)]))

    def _note(self, arrived: list[tuple[Token, list[str]]]) -> tuple[Token, ...]:
        for _, ids in arrived:
            self._shard.arrived.update(ids)
            self.settled.update(ids)
        return tuple(token for token, _ in arrived)

    def _leave(self) -> tuple[Token, ...]:
        lost = tuple(token for token, _ in self._pending)
        self._pending.clear()
        return lost


def id_of(event: bytes) -> str:
    """The id that the log was written with; it stands in front of whatever an output cuts off."""
    found = re.search(rb'"id":"([^"]+)"', event)
    assert found, event
    return found[1].decode()


def is_long(event_id: str) -> bool:
    """Whether some outputs find the log too long."""
    return event_id.endswith("-3")


def _left(event_id: str) -> str:
    return OUT if event_id.endswith("-2") else "in"
