"""What a seed stands for: output, agents, shards, and which fault begins when. Knows no server and no process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.world import World

SLS, PROCESS, SIEM = "sls", "process", "siem"
HEC, HEC_ACK, SYSLOG, TLS, RELP = "hec", "hec-ack", "syslog", "tls", "relp"
OUTPUTS = (HEC, HEC_ACK, SYSLOG, TLS, RELP)
ANY_HEC, PLAIN, STREAM = (HEC, HEC_ACK), (SYSLOG, TLS), (SYSLOG, TLS, RELP)
FAULTS_PER_SIDE = 3
FIRST_AT_S, LAST_AT_S = 0.3, 4.0

Course = Iterator[float]
"""The course of a fault: yields the seconds it wants to be left alone for."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Args:
        name: in reports.
        side: SLS, PROCESS or SIEM.
        outputs: those it makes sense for.
        repeats: it explains that logs arrive twice.
        begin: makes its course.
        weight: how often it is drawn.
        once: at most one of it in a schedule.
    """

    name: str
    side: str
    outputs: tuple[str, ...]
    repeats: bool
    begin: Callable[[World, Random, Happening], Course]
    weight: float = 1.0
    once: bool = False


KINDS: dict[str, Kind] = {}


def kind(
    name: str, side: str, *, outputs: Iterable[str] = OUTPUTS, repeats: bool, weight: float = 1.0, once: bool = False
) -> Callable[[Callable[..., Course]], Callable[..., Course]]:
    """Register a fault; see `Kind`."""

    def register(begin: Callable[..., Course]) -> Callable[..., Course]:
        assert name not in KINDS, name
        KINDS[name] = Kind(name, side, tuple(outputs), repeats, begin, weight, once)
        return begin

    return register


@dataclass
class Happening:
    """One fault of a schedule, and what became of it.

    Args:
        number: its place in the schedule.
        kind: name of its kind.
        at_s: seconds after the feed began.
        struck_s: when it struck (CLOCK_BOOTTIME); None before.
        ended_s: when it was over.
        in_flight: logs that were not settled when it struck.
        lasting: what it did to a connection stays until that ends.
        injected: its number with the receiver; connections that were marked by then are struck even after it ended.
    """

    number: int
    kind: str
    at_s: float
    struck_s: float | None = None
    ended_s: float | None = None
    in_flight: int = 0
    lasting: bool = False
    injected: int | None = None


@dataclass(frozen=True)
class Schedule:
    """What a seed, an output and an attempt stand for."""

    seed: int
    output: str
    attempt: int
    agents: int
    shards: int
    expired_cursor: str
    compression: str
    faults: tuple[Happening, ...]

    def random(self, number: int) -> Random:
        """The random source of one fault, the same whatever other faults there are."""
        return Random(f"{self.seed}/{self.output}/{self.attempt}/{number}")


def draw(seed: int, output: str, attempt: int) -> Schedule:
    """Draw the schedule that a seed stands for; a further attempt is another schedule."""
    random = Random(f"{seed}/{output}/{attempt}")
    names: list[str] = []
    counts = (
        (SLS, random.choice((3, 3, 4))),
        (SIEM, random.choice((3, 3, 4, 5))),
        (PROCESS, random.choice((0, 1, 1, 2))),
    )
    for side, count in counts:
        names += _choose([k for k in KINDS.values() if k.side == side and output in k.outputs], count, random)
    random.shuffle(names)
    times = sorted(random.uniform(FIRST_AT_S, LAST_AT_S) for _ in names)
    return Schedule(
        seed,
        output,
        attempt,
        agents=random.choice((1, 1, 2, 2, 3)),
        shards=random.choice((2, 3, 4)),
        expired_cursor=random.choice(("invalid", "begin")),
        compression=random.choice(("lz4", "lz4", "zstd")),
        faults=tuple(Happening(number, name, at) for number, (name, at) in enumerate(zip(names, times))),
    )


def _choose(kinds: list[Kind], count: int, random: Random) -> list[str]:
    chosen: list[str] = []
    while len(chosen) < count:
        found = random.choices(kinds, [k.weight for k in kinds])[0]
        if not (found.once and found.name in chosen):
            chosen.append(found.name)
    return chosen
