"""A receiver of syslog over TCP, plain or RELP, and the two kernels between it and the agent, as one seeded simulation.

What is simulated is what tcp(7) and the kernel's sources promise: a process that ends with bytes unread answers by RST,
one that has read everything by FIN, and by RST to whatever comes later; an RST empties our send queue; behind a FIN,
reading shows no RST any more. The receiver's process reads what its kernel has within `LAG_S`, or it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Optional

from sls_siem.emulator.relp_frames import RelpFrame, RelpStream
from sls_siem.siem.stream import Peer
from tests.unit.siem.support import Clock

STEP_S, LOOK_S = 0.05, 0.001
LAG_S = 1.2
DELAY_S = 0.3
SETTLE_S = 2.0
"""More than `LAG_S` and `DELAY_S` together."""


@dataclass
class Weather:
    """How often what happens, from 0 to 1; each seed has its own, so that what is frequent in it meets itself.

    Args:
        refused: a connection cannot be opened.
        turned_away: it is taken and closed at once, or what comes in a second is read and thrown away.
        ends: the receiver's process ends, in each twentieth of a second.
        closes: likewise it closes its side when it has read everything.
        idle: it reads nothing in that time, as far as `LAG_S` allows.
        network: bytes that the network carries at once.
        buffer: bytes that wait in our kernel.
        shut: the gate does not stand open.
        rejects: a receiver that answers refuses a message.
    """

    refused: float = 0.0
    turned_away: float = 0.0
    ends: float = 0.0
    closes: float = 0.0
    idle: float = 0.0
    network: int = 100_000
    buffer: int = 100_000
    shut: float = 0.0
    rejects: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> Weather:
        """Draw a seed's."""
        return cls(
            refused=random.choice((0.0, 0.3)),
            turned_away=random.choice((0.0, 0.0, 0.3)),
            ends=random.choice((0.0, 0.01, 0.05)),
            closes=random.choice((0.0, 0.0, 0.02, 0.1)),
            idle=random.choice((0.0, 0.5, 0.9)),
            network=random.choice((300, 3_000, 100_000)),
            buffer=random.choice((500, 100_000)),
            shut=random.choice((0.0, 0.0, 0.3)),
            rejects=random.choice((0.0, 0.0, 0.01)),
        )


@dataclass
class Receiver:
    """The process and its store.

    Args:
        random: decides.
        weather: how often what happens.
        clock: moved on by whoever waits.
    """

    random: Random
    weather: Weather
    clock: Clock
    stored: set[bytes] = field(default_factory=set)

    def chance(self, probability: float) -> bool:
        """Draw whether it happens."""
        return probability > 0 and self.random.random() < probability

    def is_shut(self) -> bool:
        """Draw whether the gate does not stand open."""
        return self.chance(self.weather.shut)

    def clear_up(self) -> None:
        """End all trouble."""
        self.weather = Weather()


class SimulatedStream:
    """Stands in for `Stream`, and is the whole way to the receiver's process.

    Args:
        receiver: at the other end.
    """

    held_back = 0

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._now = receiver.clock.now
        self._written = bytearray()
        self._acked = self._read = 0
        self._rest = b""
        self._arrivals: deque[tuple[int, float]] = deque()
        self._gone = False
        self._fin_at: Optional[float] = None
        self._rst_at: Optional[float] = None
        self._thrown_away_until = 0.0
        self.half_closed = False
        if receiver.chance(receiver.weather.turned_away):
            self._thrown_away_until = self._now + receiver.random.choice((0.0, receiver.random.random()))

    # --- what the lane does with it ---

    def write(self, data: memoryview) -> int:
        self._pass()
        if self._rst_seen():
            raise ConnectionResetError("reset")
        room = max(0, self._receiver.weather.buffer - self.unacknowledged())
        self._written += data[:room]
        return min(room, len(data))

    def wait_writable(self, seconds: float) -> bool:
        self._wait(seconds, lambda: self.unacknowledged() < self._receiver.weather.buffer or self._ended())
        return not self._ended()

    def wait_readable(self, seconds: float) -> None:
        self._wait(seconds, self._ended)

    def let_pass(self, seconds: float) -> None:
        self._wait(seconds, lambda: False)

    def look(self) -> Peer:
        self._pass()
        if self._fin_seen():
            return Peer.CLOSED
        if self._rst_seen():
            raise ConnectionResetError("reset")
        return Peer.OPEN

    def unacknowledged(self) -> int:
        self._pass()
        return 0 if self._rst_seen() else len(self._written) - self._acked

    def reset_by_peer(self) -> bool:
        self._pass()
        return self._rst_seen()

    def mark(self) -> int:
        return len(self._written)

    def arrived(self, mark: int) -> bool:
        return self.unacknowledged() == 0 or mark <= self._acked

    def half_close(self) -> bool:
        self._pass()
        if self._rst_seen():
            raise ConnectionResetError("reset")
        self.half_closed = True
        return True

    def close(self) -> None:
        self.half_closed = True

    def abort(self) -> None:
        self._gone = True

    # --- time ---

    def _wait(self, seconds: float, ready: Callable[[], bool]) -> None:
        end = self._receiver.clock.now + seconds
        while not ready() and self._receiver.clock.now < end:
            self._receiver.clock.now += min(STEP_S / 2, max(1e-3, end - self._receiver.clock.now))
            self._pass()

    def _pass(self) -> None:
        """Let happen what has happened since the last look; a look takes time."""
        self._receiver.clock.now += LOOK_S
        while self._now < self._receiver.clock.now:
            self._now = min(self._receiver.clock.now, self._now + STEP_S)
            self._carry()
            self._live()

    def _carry(self) -> None:
        """The network brings bytes to the receiver's kernel, or an RST back when nobody has them any more."""
        moved = min(len(self._written) - self._acked, self._receiver.random.randint(0, self._receiver.weather.network))
        if moved <= 0 or self._rst_at is not None:
            return
        if self._gone:
            self._rst_at = self._now + self._delay()
            return
        self._acked += moved
        self._arrivals.append((self._acked, self._now))

    def _live(self) -> None:
        """The receiver's process reads, and ends some day."""
        receiver, weather = self._receiver, self._receiver.weather
        if self._gone:
            return
        if not receiver.chance(weather.idle):
            self._take(receiver.random.choice((self._acked, self._read + receiver.random.randint(0, 500))))
        while self._arrivals and self._arrivals[0][1] <= self._now - LAG_S:
            self._take(self._arrivals.popleft()[0])
        everything = self._read == self._acked
        if 0.0 < self._thrown_away_until <= self._now:
            self._read = self._acked
            self._end()
            return
        closed = self.half_closed and everything and self._acked == len(self._written)
        if closed or receiver.chance(weather.ends) or (everything and receiver.chance(weather.closes)):
            self._end()

    def _take(self, upto: int) -> None:
        """Read, and store every whole line."""
        first, self._read = self._read, max(self._read, min(upto, self._acked))
        if self._thrown_away_until == 0.0:
            self._store(bytes(self._written[first : self._read]))

    def _store(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._receiver.stored.update(lines)

    def _end(self) -> None:
        self._gone = True
        if self._read < self._acked:
            self._rst_at = self._now + self._delay()
        else:
            self._fin_at = self._now + self._delay()

    def _delay(self) -> float:
        return self._receiver.random.uniform(0.0, DELAY_S)

    def _fin_seen(self) -> bool:
        return self._fin_at is not None and self._now >= self._fin_at

    def _rst_seen(self) -> bool:
        return self._rst_at is not None and self._now >= self._rst_at

    def _ended(self) -> bool:
        return self._fin_seen() or self._rst_seen()


class SimulatedRelpStream(SimulatedStream):
    """Likewise, to a receiver that answers each message once it has it; what is on its way back may be lost."""

    def __init__(self, receiver: Receiver) -> None:
        self._frames = RelpStream()
        self._answers: deque[tuple[float, bytes]] = deque()
        self._answered_at = 0.0
        super().__init__(receiver)

    def read(self) -> Optional[bytes]:
        self._pass()
        if self._answers and self._answers[0][0] <= self._now:
            data = self._answers.popleft()[1]
            cut = self._receiver.random.randint(1, len(data))
            if data[cut:]:
                self._answers.appendleft((self._now, data[cut:]))
            return data[:cut]
        if self._rst_seen():
            raise ConnectionResetError("reset")
        return b"" if self._fin_seen() else None

    def wait_any(self, seconds: float, *, writing: bool) -> None:
        def ready() -> bool:
            answered = bool(self._answers) and self._answers[0][0] <= self._now
            return answered or self._ended() or (writing and self.unacknowledged() < self._receiver.weather.buffer)

        self._wait(seconds, ready)

    def _store(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if frame.command == "close":
                continue
            answer = b"200 OK"
            if frame.command == "open":
                answer += b"\nrelp_version=0\ncommands=syslog"
            elif self._receiver.chance(self._receiver.weather.rejects):
                answer = b"500 no"
            else:
                self._receiver.stored.add(frame.data)
            self._answered_at = max(self._answered_at, self._now + self._delay())
            self._answers.append((self._answered_at, RelpFrame(frame.txnr, "rsp", answer).encode()))

    def _end(self) -> None:
        super()._end()
        ended_at = self._now + self._receiver.random.choice((0.0, DELAY_S))
        self._answers = deque(each for each in self._answers if each[0] <= ended_at)


class SimulatedDialer:
    """Stands in for `Dialer`.

    Args:
        receiver: at the other end.
        number: of the address.
        stream: what `dial` makes.
    """

    timeout_s = 10.0

    def __init__(self, receiver: Receiver, number: int, stream: type[SimulatedStream]) -> None:
        self._receiver = receiver
        self._stream = stream
        self.url = f"tcp://receiver-{number}:601"

    def dial(self) -> SimulatedStream:
        self._receiver.clock.now += 0.01
        if self._receiver.chance(self._receiver.weather.refused):
            raise ConnectionRefusedError("nobody listens")
        return self._stream(self._receiver)

    def explain(self, exc: OSError, *, connected: bool = False) -> str:
        return f"{exc} ({connected})"
