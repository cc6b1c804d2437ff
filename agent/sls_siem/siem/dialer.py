"""Opens a connection to one address of the SIEM, and says what to do when that fails."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Optional

from sls_siem.config.urls import ENCRYPTED_SCHEMES, HTTP_PORTS, SYSLOG_PORTS, parse_address
from sls_siem.net.connect import connect
from sls_siem.net.deadline import Deadline
from sls_siem.net.tls import ClientContext
from sls_siem.siem.advice import advice

CONNECT_TIMEOUT_S = 10.0
_PORTS = {**HTTP_PORTS, **SYSLOG_PORTS}


class Dialer:
    """The way to open a connection to one address.

    Args:
        url: of any output.
        tls: context for those with TLS.
        server_name: for SNI and the check of the certificate; the URL's host when None.
        timeout_s: for resolution, all addresses of the name and the handshake together.
    """

    def __init__(
        self,
        url: str,
        tls: Optional[ClientContext],
        server_name: Optional[str],
        *,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        address = parse_address(url, _PORTS)
        self.url = url
        self.host = address.host
        self.port = address.port
        self.timeout_s = timeout_s
        self._tls = tls if address.scheme in ENCRYPTED_SCHEMES else None
        self._server_name = server_name

    def dial(self, timeout_s: Optional[float] = None) -> socket.socket:
        """Connect.

        Raises:
            OSError: no connection; `explain` says why.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        return connect(
            self.host,
            self.port,
            Deadline(limit_s),
            tls=self._tls,
            server_name=self._server_name,
            connect_timeout_s=limit_s,
        )

    def explain(self, exc: OSError, *, connected: bool = False) -> str:
        """Say what failed and what to do about it."""
        name = self._server_name or self.host
        return advice(exc, self.host, self.port, name=name, connected=connected)


def certificate_ends(dialers: Iterable[Dialer], tls: Optional[ClientContext]) -> dict[str, float]:
    """Tell when the certificates of these addresses end, as far as they were seen, and our own as `client`."""
    if tls is None:
        return {}
    seen = {dialer.url: tls.peer_ends.get((dialer.host, dialer.port)) for dialer in dialers}
    return {name: end for name, end in {**seen, "client": tls.own_end}.items() if end is not None}
