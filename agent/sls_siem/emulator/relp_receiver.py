"""One sender's connection to a RELP receiver: session, transaction numbers, answers, and the fault that strikes it.

A message is answered `200 OK` when it is in the store. Answers are batched per read, as real receivers do under load.
"""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass

from sls_siem.emulator.listener import Connection
from sls_siem.emulator.relp_frames import MAX_TXNR, RelpFrame, RelpStream
from sls_siem.emulator.store import now_s
from sls_siem.emulator.syslog_faults import StreamFault, StreamPlan
from sls_siem.emulator.syslog_inbox import ConnectionRecord, Inbox, SyslogSettings
from sls_siem.emulator.syslog_receiver import HALTS, commit

_READ = 1 << 18
_OFFER = b"200 OK\nrelp_version=0\nrelp_software=sls-siem-emulator,1\ncommands=syslog"
_SERVERCLOSE = RelpFrame(0, "serverclose").encode()


@dataclass(frozen=True)
class RelpSettings(SyslogSettings):
    """How the receiver behaves; `transport`, `framing`, `mode` and `on_peer_fin` have no meaning here.

    Args:
        ack_delay_s: a message is answered so long after it was stored.
    """

    ack_delay_s: float = 0.0


class RelpReception:
    """The handler of one connection."""

    def __init__(self, connection: Connection, inbox: Inbox[RelpSettings], plan: StreamPlan) -> None:
        self._connection = connection
        self._inbox = inbox
        self._plan = plan
        self._stream = RelpStream(max_data_bytes=inbox.settings.max_frame_bytes)
        self._answers: deque[tuple[float, bytes]] = deque()
        self._delay_s = 0.0
        self._lost = 0
        self._refused = 0
        self._dropping = False
        self._open = False
        self._last_txnr = 0
        self._frames = 0
        self._size = 0

    def run(self) -> None:
        """Serve until one side ends the session.

        Raises:
            OSError: the connection broke.
        """
        end = "broken"
        try:
            end = self._serve()
        except ConnectionAbortedError:
            end = "ended"
            raise
        finally:
            self._inbox.connections.append(
                ConnectionRecord(
                    number=self._connection.number,
                    peer=self._connection.peer,
                    frames=self._frames,
                    size=self._size,
                    end=end,
                    partial=self._stream.partial[:1000],
                    at_s=self._connection.at_s,
                    ended_s=now_s(),
                )
            )

    def _serve(self) -> str:
        while True:
            data = self._read()
            if not data:
                return "peer-fin"
            at_s = now_s()
            for part in self._plan.parts(self._connection.number, data):
                end = self._take_bytes(part, at_s)
                if end:
                    return end

    def _take_bytes(self, data: bytes, at_s: float) -> str:
        """Handle bytes just read; returns how the session ended, "" if it goes on."""
        self._size += len(data)
        self._inbox.count(bytes=len(data))
        frames = deque(self._stream.feed(data))
        messages = sum(frame.command == "syslog" for frame in frames)
        allowed, fault = self._plan.take(self._connection.number, messages, len(data))
        end = self._take(frames, allowed, at_s, answered=fault is None or fault.answered)
        if fault is not None and self._commit(fault):
            return fault.kind
        if fault is not None and not end:
            end = self._take(frames, messages - allowed, at_s, answered=True)
        if not end and self._stream.broken:
            return self._protocol_error(self._stream.broken)
        return end

    def _read(self) -> bytes:
        """Read what comes, sending answers that fall due meanwhile; b"" at the peer's FIN."""
        while True:
            self._send_due()
            # A slice rather than the exact time: the clock of the socket's timeout is another one.
            self._connection.sock.settimeout(0.01 if self._answers else None)
            try:
                data = self._connection.recv(_READ)
            except socket.timeout:
                self._connection.check()
                continue
            self._connection.sock.settimeout(None)
            return data

    def _send_due(self) -> None:
        due = []
        while self._answers and self._answers[0][0] <= now_s():
            due.append(self._answers.popleft()[1])
        if due:
            self._connection.sock.settimeout(None)
            self._connection.send(b"".join(due))

    def _take(self, frames: deque[RelpFrame], messages: int, at_s: float, *, answered: bool) -> str:
        """Handle frames from the left, at most that many messages; returns how the session ended, "" if it goes on."""
        while frames and (messages or frames[0].command != "syslog"):
            frame = frames.popleft()
            messages -= frame.command == "syslog"
            end = self._handle(frame, at_s, answered=answered)
            if end:
                return end
        return ""

    def _handle(self, frame: RelpFrame, at_s: float, *, answered: bool) -> str:
        expected = self._last_txnr % MAX_TXNR + 1
        if frame.txnr != expected:
            return self._protocol_error(f"transaction {frame.txnr} after {self._last_txnr}")
        self._last_txnr = frame.txnr
        if frame.command == "open" and not self._open:
            return self._greet(frame)
        if not self._open:
            return self._protocol_error(f"{frame.command!r} before open")
        if frame.command == "close":
            # An orderly end answers everything before it, however late the answers are meant to be.
            self._connection.send(b"".join(answer for _, answer in self._answers))
            self._answers.clear()
            self._connection.send(RelpFrame(frame.txnr, "rsp").encode() + _SERVERCLOSE)
            return "close"
        if frame.command != "syslog":
            self._answer(frame.txnr, b"500 command not supported")
            return ""
        self._message(frame, at_s, answered=answered)
        return ""

    def _greet(self, frame: RelpFrame) -> str:
        offers = dict(line.partition(b"=")[::2] for line in frame.data.split(b"\n") if line)
        if offers.get(b"relp_version") not in (b"0", b"1"):
            return self._protocol_error(f"open offers {frame.data[:100]!r}")
        if b"syslog" not in offers.get(b"commands", b"").split(b","):
            self._answer(frame.txnr, b"500 command syslog is required")
            return ""
        self._open = True
        self._connection.send(RelpFrame(frame.txnr, "rsp", _OFFER).encode())
        return ""

    def _message(self, frame: RelpFrame, at_s: float, *, answered: bool) -> None:
        if self._refused:
            self._refused -= 1
            self._answer(frame.txnr, b"500 the emulator refuses this message")
            return
        if not self._dropping:
            stored = self._inbox.put([frame.data], connection=self._connection.number, at_s=at_s)
            self._frames += stored
            if not stored:
                self._answer(frame.txnr, b"500 malformed")
                return
        if self._lost:
            self._lost -= 1
        elif answered and not self._dropping:
            self._answer(frame.txnr, b"200 OK")

    def _answer(self, txnr: int, data: bytes) -> None:
        due_s = now_s() + self._delay_s + self._inbox.settings.ack_delay_s
        self._answers.append((due_s, RelpFrame(txnr, "rsp", data).encode()))

    def _protocol_error(self, reason: str) -> str:
        self._inbox.refuse(reason, self._stream.partial, self._connection.number)
        self._connection.send(_SERVERCLOSE)
        return "framing"

    def _commit(self, fault: StreamFault) -> bool:
        """Do what the fault says; False when the session goes on."""
        if fault.kind in ("ack_delay", "ack_lost", "ack_error", "drop"):
            self._delay_s = fault.delay_s if fault.kind == "ack_delay" else self._delay_s
            self._lost = fault.frames if fault.kind == "ack_lost" else self._lost
            self._refused = fault.frames if fault.kind == "ack_error" else self._refused
            self._dropping = self._dropping or fault.kind == "drop"
            return False
        if fault.kind not in HALTS:
            self._send_due()
        if fault.kind == "serverclose":
            self._connection.send(_SERVERCLOSE)
        commit(self._connection, fault)
        return True
