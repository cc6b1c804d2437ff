"""Faults that a stream receiver (syslog over TCP or TLS, RELP) commits on demand, and a record of each strike.

The plan decides which connection is struck and when; the receiver commits the fault. A fault counts frames and bytes on
each connection from the moment it was armed, and strikes a connection at most once.

==================  =================================================================================================
kind                what happens once `after_frames` frames (or `after_bytes` bytes) were taken
==================  =================================================================================================
fin                 FIN; what still comes is read and thrown away until the peer closes or `delay_s` (default 5) is over
close               close() as a process that ends: FIN, or RST where bytes were unread
rst                 RST
half_open           nothing is read any more and nothing sent, for `delay_s` (default 600), then RST
kill_unread         like `half_open` with a short `delay_s` (default 0.5): bytes lie unread in the kernel, then RST
drop                everything is read and nothing stored any more
slow                from now on at most `bytes_per_s` are read, for `delay_s` (default: to the end)
close_at_accept     closed as soon as accepted (TLS: before the handshake)
stall_at_accept     accepted and left alone for `delay_s` (default 600), no handshake, nothing read
ack_delay           RELP: answers come `delay_s` late from now on
ack_lost            RELP: the next `frames` messages are stored and never answered
ack_error           RELP: the next `frames` messages are refused with `500`, not stored
serverclose         RELP: `serverclose` is sent, then the connection closed
==================  =================================================================================================
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from sls_siem.emulator.store import now_s

AT_ACCEPT = frozenset({"close_at_accept", "stall_at_accept"})
STREAM_KINDS = AT_ACCEPT | {"fin", "close", "rst", "half_open", "kill_unread", "drop", "slow"}
RELP_KINDS = STREAM_KINDS | {"ack_delay", "ack_lost", "ack_error", "serverclose"}


@dataclass(frozen=True)
class StreamFault:
    """One kind of trouble; without `count` and `for_s` it strikes every connection until it is cleared.

    Args:
        kind: see the module.
        after_frames: strikes a connection when so many frames were taken; 0 with the first bytes.
        after_bytes: when so many bytes were read, if `after_frames` is 0.
        count: strikes so many connections.
        for_s: may strike for so long, from now on.
        probability: strikes each connection with this probability.
        seed: of the random source behind `probability`.
        delay_s: see the module; 0 for the default there.
        bytes_per_s: of `slow`.
        frames: of `ack_lost` and `ack_error`.
        answered: RELP: the frames stored before the fault struck are still answered.
    """

    kind: str
    after_frames: int = 0
    after_bytes: int = 0
    count: Optional[int] = None
    for_s: Optional[float] = None
    probability: float = 1.0
    seed: int = 0
    delay_s: float = 0.0
    bytes_per_s: float = 1024.0
    frames: int = 1
    answered: bool = True

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist.

        Raises:
            ValueError: it does not.
        """
        if self.kind not in RELP_KINDS:
            raise ValueError(f"no such fault: {self.kind!r}; there are {', '.join(sorted(RELP_KINDS))}")


@dataclass(frozen=True)
class StreamStrike:
    """One time that a fault struck.

    Args:
        fault: number that `add` gave.
        kind: the fault's.
        at_s: CLOCK_BOOTTIME.
        connection: number of the struck connection.
        frames: frames taken on it since the fault was armed.
    """

    fault: int
    kind: str
    at_s: float
    connection: int
    frames: int


@dataclass
class _Progress:
    frames: int = 0
    size: int = 0
    over: bool = False


@dataclass
class _Armed:
    number: int
    fault: StreamFault
    left: Optional[int]
    until_s: Optional[float]
    random: random.Random
    seen: dict[int, _Progress] = field(default_factory=dict)

    def over(self) -> bool:
        return self.left == 0 or (self.until_s is not None and now_s() >= self.until_s)

    def due(self, progress: _Progress) -> bool:
        if not self.fault.after_frames and self.fault.after_bytes:
            return progress.size >= self.fault.after_bytes
        return progress.frames >= self.fault.after_frames

    def room_for(self, frames: int, progress: _Progress) -> int:
        """Tell how many of the coming frames may be stored before this fault strikes."""
        if not self.fault.after_frames and self.fault.after_bytes:
            return frames
        return min(frames, max(0, self.fault.after_frames - progress.frames))

    def progress(self, connection: int) -> _Progress:
        if connection not in self.seen:
            spared = self.fault.probability < 1 and self.random.random() >= self.fault.probability
            self.seen[connection] = _Progress(over=spared)
        return self.seen[connection]


class StreamPlan:
    """All faults of one receiver, thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._armed: list[_Armed] = []
        self._strikes: deque[StreamStrike] = deque(maxlen=100_000)

    def add(self, fault: StreamFault) -> int:
        """Arm a fault; returns its number."""
        until_s = None if fault.for_s is None else now_s() + fault.for_s
        with self._lock:
            armed = _Armed(next(self._numbers), fault, fault.count, until_s, random.Random(fault.seed))
            self._armed.append(armed)
            return armed.number

    def clear(self, number: Optional[int] = None) -> None:
        """Disarm one fault, or all; connections already struck stay so."""
        with self._lock:
            self._armed = [armed for armed in self._armed if number is not None and armed.number != number]

    def active(self) -> dict[int, StreamFault]:
        """Tell the faults that may still strike, by number."""
        with self._lock:
            return {armed.number: armed.fault for armed in self._armed if not armed.over()}

    def strikes(self) -> list[StreamStrike]:
        """List what struck, oldest first (the newest 100,000)."""
        with self._lock:
            return list(self._strikes)

    def at_accept(self, connection: int) -> Optional[StreamFault]:
        """Decide what becomes of a connection that was just accepted."""
        with self._lock:
            for armed in self._armed:
                if armed.fault.kind in AT_ACCEPT and not armed.over() and not armed.progress(connection).over:
                    return self._strike(armed, connection)
        return None

    def room(self, connection: int) -> Optional[int]:
        """Bytes that may be read before a fault that counts bytes strikes; None when there is none."""
        with self._lock:
            rooms = [
                armed.fault.after_bytes - progress.size
                for armed in self._armed
                if armed.fault.after_bytes and not armed.fault.after_frames and not armed.over()
                for progress in [armed.progress(connection)]
                if not progress.over
            ]
        return max(1, min(rooms)) if rooms else None

    def take(self, connection: int, frames: int, size: int) -> tuple[int, Optional[StreamFault]]:
        """Count what was read and decide.

        Args:
            connection: its number.
            frames: whole frames that the bytes just read completed.
            size: number of these bytes.

        Returns:
            How many of the frames may be stored, and the fault that strikes after them; None for none.
        """
        due: list[tuple[int, _Armed]] = []
        with self._lock:
            for armed in self._armed:
                if armed.fault.kind in AT_ACCEPT or armed.over():
                    continue
                progress = armed.progress(connection)
                if progress.over:
                    continue
                allowed = armed.room_for(frames, progress)
                progress.frames += frames
                progress.size += size
                if armed.due(progress):
                    due.append((allowed, armed))
            if not due:
                return frames, None
            # The others that are due strike with the next bytes, if there are any.
            allowed, armed = min(due, key=lambda pair: pair[0])
            return allowed, self._strike(armed, connection)

    def parts(self, connection: int, data: bytes) -> Iterator[bytes]:
        """Cut what was read where a fault that counts bytes strikes, also one armed while the read was waiting."""
        while data:
            room = self.room(connection)
            yield data if room is None else data[:room]
            data = b"" if room is None else data[room:]

    def _strike(self, armed: _Armed, connection: int) -> StreamFault:
        progress = armed.progress(connection)
        progress.over = True
        if armed.left is not None:
            armed.left -= 1
        strike = StreamStrike(armed.number, armed.fault.kind, now_s(), connection, progress.frames)
        self._strikes.append(strike)
        return armed.fault
