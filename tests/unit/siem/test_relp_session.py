from __future__ import annotations

import socket
import tracemalloc

from sls_siem.siem.relp_session import RelpSession
from sls_siem.siem.stream import Stream
from tests.unit.siem.support import Clock


def test_what_was_written_is_not_held_while_the_answers_are_awaited() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        session: RelpSession[str] = RelpSession(Stream(ours))
        tracemalloc.start()
        try:
            session.put([b"x" * 60_000], "owner")
            session.exchange(0.0)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert (session.unanswered, session.unwritten) == (1, 0)
        assert held < 30_000


def test_a_lease_that_comes_back_late_is_not_held_against_the_receiver() -> None:
    ours, theirs = socket.socketpair()
    clock = Clock()
    with ours, theirs:
        session: RelpSession[str] = RelpSession(
            Stream(ours), clock, before_write=lambda: setattr(clock, "now", clock.now + 200)
        )
        session.put([b"message"], "owner")
        session.exchange(0.0)

        assert session.waits_for_s == 0
