"""A strict RELP receiver on loopback (plain or TLS), for tests and bench: syslog with an answer per message.

A message is stored, parsed by RFC 5424 or 3164, and then answered `200 OK`; a malformed one is answered `500`. Wrong
transaction numbers and broken framing end the session with `serverclose`.

**In a test, in this process**::

    with RelpEmulator(rfc="5424", ack_delay_s=0.05) as siem:
        siem.url                                                     # "relp://127.0.0.1:PORT", "relp+tls://…" with tls=
        siem.inject("rst", after_frames=50, answered=False, count=1) # 50 stored, none of that read answered, RST
        siem.inject("ack_lost", after_frames=10, frames=3, count=1)  # stored and never answered
        siem.inject("ack_delay", delay_s=2, for_s=10)
        siem.inject("serverclose", after_frames=20, count=1)
        siem.store.wait_for(1000, timeout_s=30)

Members, control API and process options are those of `syslog`; settings are `RelpSettings` (`ack_delay_s`), faults all
of `syslog_faults` except `slow`. `connections()` ends with "close" after an orderly one. `python -m
sls_siem.emulator.relp` prints `{"emulator": "relp", "url", "host", "port", "control", "pid"}`.
"""

from __future__ import annotations

import dataclasses
import ssl
import sys
from typing import Any, Optional, final

from sls_siem.emulator.listener import Connection, Listener
from sls_siem.emulator.process import main_of
from sls_siem.emulator.relp_receiver import RelpReception, RelpSettings
from sls_siem.emulator.syslog_base import Door, StreamEmulator
from sls_siem.emulator.syslog_faults import RELP_KINDS, StreamFault
from sls_siem.emulator.syslog_receiver import at_accept

__all__ = ["RelpEmulator", "RelpSettings", "StreamFault"]


@final
class RelpEmulator(StreamEmulator[RelpSettings]):
    """A RELP receiver on loopback; the module's text has its members at a glance.

    Args:
        settings: where to start from.
        host: address to bind.
        port: 0 lets the kernel choose.
        tls: TLS with this context (`certificates.server_context`).
        changes: keys of `RelpSettings` that differ from `settings`.
    """

    name = "relp"

    def __init__(
        self,
        settings: Optional[RelpSettings] = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        **changes: Any,
    ) -> None:
        self._address = (host, port, tls)
        super().__init__(dataclasses.replace(settings or RelpSettings(), **changes), RELP_KINDS - {"slow"})

    def __enter__(self) -> RelpEmulator:
        return self.start()

    def start(self) -> RelpEmulator:
        """Listen."""
        self._start()
        return self

    def _make_door(self) -> Door:
        host, port, tls = self._address
        buffer = self.settings.receive_buffer
        door = Listener("relp", self._receive, host=host, port=port, tls=tls, receive_buffer=buffer)
        door.at_accept = lambda connection: at_accept(self._plan, connection)
        return door

    def _scheme(self) -> str:
        return "relp" if self._door.tls is None else "relp+tls"

    def _receive(self, connection: Connection) -> None:
        RelpReception(connection, self._inbox, self._plan).run()


if __name__ == "__main__":
    sys.exit(main_of(RelpEmulator))
