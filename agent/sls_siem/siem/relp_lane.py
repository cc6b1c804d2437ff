"""One shard's way to a receiver that speaks RELP: a payload is settled when each of its messages was answered 200.

What the answer is worth is the receiver's affair: rsyslog answers when a message is in its queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Optional

from sls_siem.codec.model import Payload
from sls_siem.errors import Stopped
from sls_siem.siem.dialer import Dialer
from sls_siem.siem.frames import counted_messages
from sls_siem.siem.link import Link, joined
from sls_siem.siem.output import Gate, ProbeResult, Report, Token
from sls_siem.siem.probe import probe_address
from sls_siem.siem.relp_frames import RelpBrokenError
from sls_siem.siem.relp_session import LOOK_S, WINDOW, RelpSession
from sls_siem.siem.stream import Stream

OPEN_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 90.0
"""A receiver that answers nothing for so long counts as broken (librelp's own default)."""

POLL_S = 0.02


@dataclass
class _Sent:
    token: Token
    unanswered: int = 0
    complete: bool = False


class RelpLane:
    """Implements `Lane`.

    Args:
        link: the lane's connection.
        clock: seconds of a monotonic clock.
        gate: asked before each write.
        answer_timeout_s: see `ANSWER_TIMEOUT_S`.
    """

    def __init__(
        self, link: Link, *, clock: Callable[[], float], gate: Gate, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._link = link
        self._clock = clock
        self._gate = gate
        self._answer_timeout_s = answer_timeout_s
        self._session: Optional[RelpSession[_Sent]] = None
        self._pending: deque[_Sent] = deque()

    # -- Lane -----------------------------------------------------------------------------------------------------

    def send(self, payload: Payload, token: Token) -> Report:
        """Send a payload; see `Lane`."""
        report = self.poll()
        while self._session is None:
            if report.lost:
                return Report(report.settled, (*report.lost, token), in_order=True)
            self._open()
        sent = _Sent(token)
        self._pending.append(sent)
        try:
            self._send_all(self._session, sent, payload.data)
        except OSError as exc:
            return joined(report, self._break(exc))
        except Stopped:
            # The receiver ignores a frame that never becomes whole.
            self._pending.clear()
            self._drop_session()
            self._link.abort()
            raise
        return joined(report, self._settled())

    def poll(self) -> Report:
        """Read the answers that have come; see `Lane`."""
        if self._session is None:
            return Report()
        try:
            self._exchange(self._session, 0.0)
        except OSError as exc:
            return self._break(exc)
        return self._settled()

    def next_poll_s(self) -> Optional[float]:
        """See `Lane`."""
        return POLL_S if self._pending else None

    def finish(self, deadline_s: float) -> Report:
        """Wait for the answers; see `Lane`."""
        end = self._clock() + deadline_s
        report = self.poll()
        while self._pending and self._session is not None and self._clock() < end:
            self._gate.busy(LOOK_S, "waiting for the receiver's last answers")
            try:
                self._exchange(self._session, max(0.0, min(LOOK_S, end - self._clock())))
            except OSError as exc:
                return joined(report, self._break(exc))
            report = joined(report, self._settled())
        return report

    def close(self) -> None:
        """See `Lane`."""
        self._pending.clear()
        session = self._drop_session()
        if session is None:
            return
        try:
            session.close()
        except OSError:
            self._link.abort()
        else:
            self._link.close()

    # -- session --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if not self._link.attempt() or self._link.stream is None:
            return
        session: RelpSession[_Sent] = RelpSession(self._link.stream, self._clock, before_write=self._gate.before_send)
        self._gate.busy(OPEN_TIMEOUT_S, f"opening the RELP session with {self._link.url}")
        try:
            session.open(OPEN_TIMEOUT_S)
        except OSError as exc:
            self._link.drop(self._link.broken(exc))
            return
        self._session = session

    def _send_all(self, session: RelpSession[_Sent], sent: _Sent, data: bytes) -> None:
        messages = counted_messages(data)
        text = f"{self._link.url}: waiting for answers"
        while True:
            # Half a window at a time, so that its answers come while the other half is written.
            room = WINDOW - session.unanswered
            batch = list(islice(messages, room)) if room >= WINDOW // 2 else []
            if batch:
                sent.unanswered += len(batch)
                session.put(batch, sent)
            elif room >= WINDOW // 2 and not session.unwritten:
                sent.complete = True
                return
            self._gate.busy(LOOK_S, text)
            self._exchange(session, LOOK_S)
            if self._clock() - session.moved_at >= LOOK_S:
                self._gate.wait(0.0, text)

    def _exchange(self, session: RelpSession[_Sent], wait_s: float) -> None:
        answered = session.exchange(wait_s)
        for sent in answered:
            sent.unanswered -= 1
        if session.waits_for_s >= self._answer_timeout_s:
            raise RelpBrokenError(f"a message was not answered within {self._answer_timeout_s:g} s")

    def _settled(self) -> Report:
        settled = []
        while self._pending and self._pending[0].complete and not self._pending[0].unanswered:
            settled.append(self._pending.popleft().token)
        if settled:
            # Not at each answer: a receiver that takes a payload but for one message would be tried without a pause.
            self._link.worked()
        return Report(settled=tuple(settled))

    def _break(self, exc: OSError) -> Report:
        settled = self._settled().settled
        lost = tuple(sent.token for sent in self._pending)
        self._pending.clear()
        self._drop_session()
        self._link.drop(self._link.broken(exc))
        return Report(settled=settled, lost=lost, in_order=bool(lost))

    def _drop_session(self) -> Optional[RelpSession[_Sent]]:
        session, self._session = self._session, None
        return session


def probe_relp(dialer: Dialer, timeout_s: float) -> ProbeResult:
    """Look at one address: reachable, certificate, and a RELP session opened and closed."""
    reached = probe_address(dialer, timeout_s)
    if not reached.ok:
        return reached
    try:
        stream = Stream(dialer.dial(timeout_s))
    except OSError as exc:
        return ProbeResult(False, dialer.url, dialer.explain(exc), reached.facts)
    session: RelpSession[None] = RelpSession(stream)
    try:
        session.open(timeout_s)
        session.close()
    except OSError as exc:
        stream.abort()
        text = f"{dialer.explain(exc, connected=True)}; is this the port of a RELP receiver?"
        return ProbeResult(False, dialer.url, text, reached.facts)
    stream.close()
    return ProbeResult(True, dialer.url, f"{reached.text}, speaks RELP", reached.facts)
