"""One shard's way to a syslog receiver over TCP or TLS, as safe as a protocol without acknowledgements can be.

A payload is settled when all of it was written, the receiver's kernel has acknowledged it, `settle_s` have passed
since, and the connection is still open in both directions. When a connection breaks, everything that is not settled
counts as lost, in order. On drain our side of a connection that is not brand-new is half-closed: the receiver's FIN
then shows that it read everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from sls_siem.codec.model import Payload
from sls_siem.errors import Stopped
from sls_siem.siem.frames import Frames
from sls_siem.siem.link import CLOSED, Link, Problem, joined
from sls_siem.siem.output import Gate, Report, Token
from sls_siem.siem.stream import Stream

STALL_S = 30.0
STALL_LOOK_S = 1.0
GOOD_AFTER_S = 2.0
"""A connection that has stood for so long was not refused."""

LAST_ACK_S = 1.0
LAST_ACK_LOOK_S = 0.01


@dataclass(frozen=True)
class StreamSettings:
    """How a lane behaves.

    Args:
        framing: `lf` or `octet-counting`.
        settle_s: see the module.
        stall_s: a receiver that takes no byte for so long counts as broken.
    """

    framing: str
    settle_s: float
    stall_s: float = STALL_S


@dataclass
class _Sent:
    token: Token
    mark: int
    arrived_at: Optional[float] = None


class StreamLane:
    """Implements `Lane`.

    Args:
        settings: see there.
        link: the lane's connection.
        clock: seconds of a monotonic clock.
        gate: asked before each write.
    """

    def __init__(self, settings: StreamSettings, link: Link, *, clock: Callable[[], float], gate: Gate) -> None:
        self._settings = settings
        self._link = link
        self._clock = clock
        self._gate = gate
        self._pending: deque[_Sent] = deque()
        self._travelling: deque[_Sent] = deque()  # those of them that have not arrived
        self._connected_at = 0.0
        self._end = 0.0

    # -- Lane -----------------------------------------------------------------------------------------------------

    def send(self, payload: Payload, token: Token) -> Report:
        """Write a payload; see `Lane`."""
        while True:
            report = self._look(token)
            if report is not None:
                return report
            stream = self._link.stream
            if stream is None:
                if self._link.attempt():
                    self._connected_at = self._clock()
                continue
            self._gate.before_send()
            written, problem = self._write(stream, payload.data)
            if problem is None:
                sent = _Sent(token, stream.mark())
                self._pending.append(sent)
                self._travelling.append(sent)
                return self._settled()
            if written or self._pending:
                return self._break(problem, token)
            self._link.drop(problem)

    def poll(self) -> Report:
        """Look at the connection and at what has settled; see `Lane`."""
        return self._look() or self._settled()

    def next_poll_s(self) -> Optional[float]:
        """See `Lane`."""
        if not self._pending:
            return None
        arrived_at = self._pending[0].arrived_at
        if arrived_at is None:
            return min(0.25, max(0.02, self._settings.settle_s / 10))
        return max(0.0, arrived_at + self._settings.settle_s - self._clock())

    def finish(self, deadline_s: float) -> Report:
        """Half-close and wait for the receiver's FIN; see `Lane`."""
        self._end = self._clock() + deadline_s
        report = self.poll()
        while self._pending and self._link.stream is not None and self._clock() < self._end:
            report = joined(report, self._towards_fin(self._link.stream))
        return report

    def close(self) -> None:
        """See `Lane`."""
        self._forget()
        self._link.close()

    def _forget(self) -> None:
        self._pending.clear()
        self._travelling.clear()

    def _look(self, *also: Token) -> Optional[Report]:
        """Look for the receiver's close; a report when it leaves something unsettled (with what was to follow)."""
        stream, problem = self._link.stream, self._link.look()
        if stream is None or problem is None:
            return None
        if problem is CLOSED and stream.half_closed:
            return self._closed_by_peer(stream)
        if self._pending:
            return self._break(problem, *also)
        self._link.drop(problem)
        return None

    def _break(self, problem: Problem, *also: Token) -> Report:
        """Everything unsettled is lost: it must go out again, in order, before anything else."""
        lost = (*(sent.token for sent in self._pending), *also)
        self._forget()
        self._link.drop(problem)
        return Report(lost=lost, in_order=True)

    # -- writing --------------------------------------------------------------------------------------------------

    def _write(self, stream: Stream, data: bytes) -> tuple[int, Optional[Problem]]:
        """Write whole frames; returns how many bytes went out, and what broke."""
        view, frames = memoryview(data), Frames(data, self._settings.framing)
        place, moved_at = 0, self._clock()
        try:
            while place < len(data):
                allowed = self._allowed(stream, frames, place)
                written = stream.write(view[place:allowed])
                place += written
                if written:
                    moved_at = self._clock()
                elif self._clock() - moved_at >= self._settings.stall_s:
                    return place, Problem("stalled", f"the receiver has read nothing for {self._settings.stall_s:g} s")
                elif not self._room_comes(stream, moved_at):
                    return place, self._link.look() or CLOSED
        except OSError as exc:
            return place, self._link.broken(exc)
        except Stopped:
            if stream.held_back or frames.end_at_or_after(place) != place:
                self._link.abort()
            raise
        return place, None

    def _room_comes(self, stream: Stream, moved_at: float) -> bool:
        """Wait for a slow receiver; False when it has closed its side: whatever it does then, it is left."""
        text = f"{self._link.url}: the receiver reads slowly"
        self._gate.busy(STALL_LOOK_S, text)
        alive = stream.wait_writable(STALL_LOOK_S)
        if self._clock() - moved_at >= STALL_LOOK_S:
            self._gate.wait(0.0, text)
        return alive

    def _allowed(self, stream: Stream, frames: Frames, place: int) -> int:
        """Tell up to where may be written now, once the gate, asked between two frames, has let it.

        That is all while the gate stands open, else the end of this frame; to find it costs more than to write it.
        """
        if self._gate.stands_open():
            return frames.size
        # What TLS has encrypted already must be written, were it only to keep the connection.
        end = frames.end_at_or_after(min(place + stream.held_back, frames.size))
        if end > place:
            return end
        self._gate.before_send()
        return frames.size

    # -- settling -------------------------------------------------------------------------------------------------

    def _settled(self) -> Report:
        """Settle what has arrived and is old enough; the connection was seen open just now."""
        stream, now = self._link.stream, self._clock()
        if stream is None:
            return Report()
        while self._travelling and stream.arrived(self._travelling[0].mark):
            self._travelling.popleft().arrived_at = now
        if self._pending and _age_s(self._pending[0], now) >= min(GOOD_AFTER_S, self._settings.settle_s):
            # Once more, behind what the kernel said about arrival: a close in between unsettles it.
            report = self._look()
            if report is not None:
                return report
            self._link.worked()
        settled = []
        while self._pending and _age_s(self._pending[0], now) >= self._settings.settle_s:
            settled.append(self._pending.popleft().token)
        return Report(settled=tuple(settled))

    def _towards_fin(self, stream: Stream) -> Report:
        """Half-close when it is time, wait for a moment, and look.

        A receiver that refuses us, by a FIN too, does so soon after it accepted: its close proves nothing then.
        """
        now = self._clock()
        wait_s = max(0.0, min(0.1, self._end - now))
        self._gate.busy(STALL_LOOK_S, "waiting for the receiver to close the connection")
        try:
            if now - self._connected_at < GOOD_AFTER_S or stream.half_close():
                stream.wait_readable(wait_s)
            else:
                stream.wait_writable(wait_s)
            return self.poll()
        except OSError as exc:
            return self._break(self._link.broken(exc))

    def _closed_by_peer(self, stream: Stream) -> Report:
        """Judge the FIN after our half-close: it read everything if its kernel took everything and no RST follows."""
        end = min(self._end, self._clock() + LAST_ACK_S)
        while stream.unacknowledged() and self._clock() < end:
            stream.let_pass(LAST_ACK_LOOK_S)
            stream.look()
        if stream.unacknowledged() or stream.reset_by_peer():
            return self._break(CLOSED)
        settled = tuple(sent.token for sent in self._pending)
        self._forget()
        self._link.worked()
        self._link.abort()
        return Report(settled=settled)


def _age_s(sent: _Sent, now: float) -> float:
    return -1.0 if sent.arrived_at is None else now - sent.arrived_at
