"""The best proof that plain TCP gives: a real receiver reads a half-closed connection to its end before it closes.

The drain of a syslog lane rests on it: the peer's FIN (over TLS its close_notify, where it sends one) settles what was
sent. That its process has read everything does not say that it wrote everything: `docs/evidence/receivers.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.receivers import require
from tests.receivers.measure_loss import Subject, half_close

pytestmark = pytest.mark.contract

MESSAGES = 10_000


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        (Subject("rsyslog"), "FIN"),
        (Subject("rsyslog", "tls (OpenSSL)"), "close_notify"),
        (Subject("rsyslog", "tls (GnuTLS)"), "FIN"),
        (Subject("syslog-ng"), "FIN"),
        (Subject("syslog-ng", "tls (OpenSSL)"), "close_notify"),
    ],
    ids=lambda value: f"{value.receiver}-{value.transport}" if isinstance(value, Subject) else value,
)
def test_the_receiver_reads_to_the_end_before_it_closes(subject: Subject, answer: str, tmp_path: Path) -> None:
    require(subject.receiver)

    assert half_close(subject, tmp_path, MESSAGES).missing == 0
    # Python 3.9 cannot tell a FIN without close_notify from one with it.
    expected = {answer} if sys.version_info >= (3, 10) or subject.transport == "tcp" else {answer, "close_notify"}
    assert half_close(subject, tmp_path / "again", MESSAGES).answer in expected
