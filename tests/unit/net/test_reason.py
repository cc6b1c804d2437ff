from __future__ import annotations

import errno
import socket
import ssl

import pytest

from sls_siem.net.deadline import DeadlineExceeded
from sls_siem.net.reason import reason


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "the name does not resolve (Name or service not known)",
        ),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (socket.timeout("The read operation timed out"), "timed out"),
        (DeadlineExceeded("not connected within 5 s"), "not connected within 5 s"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"), "TLS failed: "),
        (ConnectionError(), "ConnectionError"),
    ],
)
def test_says_why_in_words(exc, expected):
    assert reason(exc).startswith(expected)
