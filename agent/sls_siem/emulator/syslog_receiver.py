"""One sender's connection to a syslog receiver: read, cut into frames, store, and commit the fault that strikes it.

It behaves like rsyslog and syslog-ng where they agree: a half-closed connection is read to its end before it is closed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from sls_siem.emulator.listener import Connection
from sls_siem.emulator.store import now_s
from sls_siem.emulator.syslog_faults import StreamFault, StreamPlan
from sls_siem.emulator.syslog_frames import Deframer
from sls_siem.emulator.syslog_inbox import ConnectionRecord, Inbox, SyslogSettings

HALTS = frozenset({"half_open", "kill_unread"})
_READ = 1 << 18
_SLICE_S = 0.02
FOREVER_S = 600.0


class Reception:
    """The handler of one connection."""

    def __init__(self, connection: Connection, inbox: Inbox[SyslogSettings], plan: StreamPlan) -> None:
        self._connection = connection
        self._inbox = inbox
        self._plan = plan
        settings = inbox.settings
        self._deframer = Deframer(settings.framing, max_frame_bytes=settings.max_frame_bytes)
        self._buffer = bytearray(_READ)
        self._frames = 0
        self._size = 0
        self._at_s = self._caught_up_s = connection.at_s
        self._pace = 0.0
        self._pace_until_s = 0.0
        self._dropping = False

    def run(self) -> None:
        """Read until the end of the connection, whoever brings it about.

        Raises:
            OSError: the connection broke.
        """
        end = "broken"
        try:
            end = self._sink() if self._inbox.settings.mode == "sink" else self._receive()
        except ConnectionAbortedError:
            end = "ended"
            raise
        finally:
            self._record(end)

    def _record(self, end: str) -> None:
        connection = self._connection
        self._inbox.connections.append(
            ConnectionRecord(
                number=connection.number,
                peer=connection.peer,
                frames=self._frames,
                size=self._size,
                end=end,
                partial=self._deframer.partial[:1000],
                at_s=connection.at_s,
                ended_s=now_s(),
                caught_up_s=self._caught_up_s,
            )
        )

    def _sink(self) -> str:
        while (count := self._connection.recv_into(self._buffer, _READ)) > 0:
            self._inbox.sink(self._buffer, count)
            self._size += count
        self._peer_finished()
        return "peer-fin"

    def _receive(self) -> str:
        while True:
            count = self._read()
            if not count:
                self._peer_finished()
                return "peer-fin"
            for part in self._plan.parts(self._connection.number, bytes(memoryview(self._buffer)[:count])):
                end = self._take(part)
                if end:
                    return end

    def _take(self, data: bytes) -> str:
        """Handle bytes just read; returns how the connection ends, "" when it goes on."""
        number = self._connection.number
        frames = self._deframer.feed(data)
        self._size += len(data)
        self._inbox.count(bytes=len(data))
        allowed, fault = self._plan.take(number, len(frames), len(data))
        if not self._dropping:
            self._frames += self._inbox.put(frames[:allowed], connection=number, at_s=self._at_s)
        if fault is not None and self._commit(fault, frames[allowed:]):
            return fault.kind
        if self._deframer.broken:
            self._inbox.refuse(self._deframer.broken, self._deframer.partial, number)
            return "framing"
        return ""

    def _read(self) -> int:
        most = _READ
        room = self._plan.room(self._connection.number)
        if room is not None:
            most = min(most, room)
        if self._pace and now_s() < self._pace_until_s:
            most = min(most, max(1, int(self._pace * _SLICE_S)))
            self._connection.pause(most / self._pace)
        waits = not self._connection.unread()
        count = self._connection.recv_into(self._buffer, most)
        self._at_s = now_s()
        if waits or not self._connection.unread():
            self._caught_up_s = self._at_s
        return count

    def _commit(self, fault: StreamFault, left: list[bytes]) -> bool:
        """Do what the fault says; False when the connection goes on. `left`: frames read and not stored so far."""
        if fault.kind == "slow":
            self._pace = max(1.0, fault.bytes_per_s)
            self._pace_until_s = now_s() + (fault.delay_s or 1e9)
            self._frames += self._inbox.put(left, connection=self._connection.number, at_s=self._at_s)
            return False
        if fault.kind == "drop":
            self._dropping = True
            return False
        commit(self._connection, fault)
        return True

    def _peer_finished(self) -> None:
        settings = self._inbox.settings
        if settings.on_peer_fin == "hold":
            self._connection.pause(FOREVER_S)
        elif settings.on_peer_fin == "reset":
            self._connection.reset_on_close()
        else:
            self._connection.pause(settings.close_delay_s)
            say_goodbye(self._connection)


def at_accept(plan: StreamPlan, connection: Connection) -> bool:
    """Commit the fault that strikes a connection before anything is read; False when it is to be closed.

    Raises:
        OSError: the connection ended meanwhile.
    """
    fault = plan.at_accept(connection.number)
    if fault is not None and fault.kind == "stall_at_accept":
        connection.reset_on_close()
        connection.pause(fault.delay_s or FOREVER_S)
    return fault is None


def commit(connection: Connection, fault: StreamFault) -> None:
    """Bring a connection to the end that a fault wants; returns when only closing it is left.

    Raises:
        OSError: the peer was quicker.
    """
    if fault.kind == "fin":
        finish(connection, fault.delay_s or 5.0)
    elif fault.kind == "rst":
        connection.reset_on_close()
    elif fault.kind in HALTS:
        connection.reset_on_close()
        connection.pause(fault.delay_s or (0.5 if fault.kind == "kill_unread" else FOREVER_S))


def finish(connection: Connection, drain_s: float) -> None:
    """Send FIN, then read and forget until the peer closes or the time is over."""
    socket.socket.shutdown(connection.sock, socket.SHUT_WR)
    end_s = now_s() + drain_s
    scratch = bytearray(65_536)
    while (left_s := end_s - now_s()) > 0:
        connection.sock.settimeout(left_s)
        # The bare socket: a TLS session is of no interest any more.
        if not socket.socket.recv_into(connection.sock, scratch):
            break
        connection.check()


def say_goodbye(connection: Connection) -> None:
    """Answer an orderly end of a TLS session with our own; nothing to do for plain TCP."""
    if isinstance(connection.sock, ssl.SSLSocket):
        connection.sock.settimeout(2.0)
        with contextlib.suppress(OSError, ValueError):
            connection.sock.unwrap()
