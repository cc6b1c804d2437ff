from __future__ import annotations

import errno
import socket
import ssl

import pytest

from sls_siem.net.connect import HandshakeTimeout
from sls_siem.siem.advice import advice


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code = code
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (certificate_error(10, "certificate has expired"), "let the SIEM's operator renew it"),
        (certificate_error(9, "not yet valid"), "check this machine's clock"),
        (certificate_error(18, "self-signed certificate"), "set tls.ca_file to its CA certificate"),
        (certificate_error(20, "unable to get local issuer"), "set tls.ca_file to the CA certificate that signed it"),
        (certificate_error(62, "Hostname mismatch"), "it is not for siem.example"),
        (certificate_error(77, "something new"), "set tls.ca_file"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "set tls.cert_file"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "who signed our client certificate"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "tls.minimum"),
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS on this port"),
        (tls_error("SOMETHING_ELSE"), "TLS failed: something else"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "cannot resolve 10.0.0.1"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nothing listens on port 6514"),
        (socket.timeout("timed out"), "a firewall may drop it"),
        (
            HandshakeTimeout("connected, but no TLS answer came within 10 s"),
            "port 6514: connected, but no TLS answer came within 10 s: the port may not speak TLS",
        ),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "closed the connection at once"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "cannot connect to 10.0.0.1 port 6514: no route to host"),
    ],
)
def test_each_trouble_has_its_advice_in_one_line(error: OSError, words: str) -> None:
    text = advice(error, "10.0.0.1", 6514, name="siem.example")

    assert words in text
    assert "\n" not in text


def test_a_connection_that_stood_was_lost() -> None:
    text = advice(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "h", 1, name="h", connected=True)

    assert text == "connection lost: connection reset by peer"
