"""A strict syslog receiver on loopback (TCP, TLS, UDP), for demo, bench and tests.

It takes LF and octet-counted frames, parses each by RFC 5424 or RFC 3164 to the letter, stores the well-formed ones by
event id with a digest of the exact frame (without its framing), and breaks connections on demand.

**In a test, in this process**::

    with SyslogEmulator(framing="octet-counting", rfc="5424", keep_bytes=True) as siem:
        siem.url                                            # "tcp://127.0.0.1:PORT", "tls://…" with tls=, "udp://…"
        siem.inject("fin", after_frames=100, count=1)       # FIN after 100 frames, the rest is lost
        siem.inject("half_open", after_bytes=50_000, count=1)
        siem.inject("slow", bytes_per_s=20_000, delay_s=5)
        siem.store.wait_for(1000, timeout_s=30)
        siem.message("0-17-3").hostname                     # parsed fields, with keep_bytes
        assert not siem.malformed()

| member | what it does |
|---|---|
| `SyslogEmulator(settings=None, *, host, port=0, tls=None, **changes)` | `changes`: keys of `SyslogSettings` |
| `start()`, `stop()`, `with` | `start` returns the emulator; both may be called once |
| `url`, `host`, `port`, `control_url` | the port stays the same while it is down |
| `store` | `EventStore`; ids from SD parameter `id`, else `sls_id` / `externalId` in MSG; a part is `<id>#2/3` |
| `message(event_id)` | `SyslogMessage` of the first copy (needs `keep_bytes`) |
| `malformed()`, `connections()`, `counters` | what was refused, what ended and how, sums |
| `inject(kind, **fields)` → number, `inject(StreamFault(...))` | arm a fault; kinds and fields: `syslog_faults` |
| `clear_faults(number=None)`, `faults()`, `strikes()` | disarm; what is armed; what struck when |
| `configure(**changes)` | change settings (new connections; `on_peer_fin` and `mode="parse"` ones at once) |
| `stop_listening(connections="rst")`, `listen_again()` | the SIEM is down ("rst", "fin", "keep"), then up, same port |
| `restart()` | both at once: what lay unread in the kernel is lost |
| `drop_connections(reset=True)` | end all open connections now, keep listening |
| `set_tls(context)` | new certificate for new connections |
| `set_dropping(flag)` | UDP: read and store nothing |

**As its own process**: `python -m sls_siem.emulator.syslog [--settings JSON] [--port N] [--tls-cert F --tls-key F]
[--client-ca F]` prints one JSON line `{"emulator": "syslog", "url", "host", "port", "control", "pid"}` and ends on
SIGTERM or when its stdin closes; `sls_siem.emulator.remote.EmulatorProcess("syslog")` starts and drives one.

**Control API** (`control` describes calls and store queries): `POST inject | clear_faults | configure |
stop_listening | listen_again | restart | drop_connections | set_dropping` with the methods' arguments; `GET summary |
faults | strikes | malformed | connections`.

Bench: `SyslogEmulator(mode="sink")` reads into one buffer and counts LF (or `sink_needle`); with octet counting set
`sink_needle=' id="'`.
"""

from __future__ import annotations

import dataclasses
import ssl
import sys
from typing import Any, Optional, final

from sls_siem.emulator.listener import Connection, Listener
from sls_siem.emulator.process import main_of
from sls_siem.emulator.syslog_base import Door, StreamEmulator
from sls_siem.emulator.syslog_datagrams import Datagrams
from sls_siem.emulator.syslog_faults import STREAM_KINDS, StreamFault
from sls_siem.emulator.syslog_inbox import SyslogSettings
from sls_siem.emulator.syslog_parse import SyslogMessage
from sls_siem.emulator.syslog_receiver import Reception, at_accept

__all__ = ["StreamFault", "SyslogEmulator", "SyslogMessage", "SyslogSettings"]


@final
class SyslogEmulator(StreamEmulator[SyslogSettings]):
    """A syslog receiver on loopback; the module's text has its members at a glance.

    Args:
        settings: where to start from.
        host: address to bind.
        port: 0 lets the kernel choose.
        tls: TLS with this context (`certificates.server_context`).
        changes: keys of `SyslogSettings` that differ from `settings`.
    """

    name = "syslog"

    def __init__(
        self,
        settings: Optional[SyslogSettings] = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        **changes: Any,
    ) -> None:
        self._address = (host, port, tls)
        super().__init__(dataclasses.replace(settings or SyslogSettings(), **changes), STREAM_KINDS)

    def __enter__(self) -> SyslogEmulator:
        return self.start()

    def start(self) -> SyslogEmulator:
        """Listen."""
        self._start()
        return self

    def set_dropping(self, flag: bool) -> None:
        """Let a UDP receiver read and store nothing, or stop doing so."""
        if isinstance(self._door, Datagrams):
            self._door.dropping = flag

    def _make_door(self) -> Door:
        host, port, tls = self._address
        if self.settings.transport == "udp":
            return Datagrams(self._inbox, host, port)
        buffer = self.settings.receive_buffer
        door = Listener("syslog", self._receive, host=host, port=port, tls=tls, receive_buffer=buffer)
        door.at_accept = lambda connection: at_accept(self._plan, connection)
        return door

    def _scheme(self) -> str:
        if self.settings.transport == "udp":
            return "udp"
        return "tcp" if self._door.tls is None else "tls"

    def _receive(self, connection: Connection) -> None:
        Reception(connection, self._inbox, self._plan).run()

    def _commands(self) -> dict[str, Any]:
        return {**super()._commands(), "set_dropping": self.set_dropping}


if __name__ == "__main__":
    sys.exit(main_of(SyslogEmulator))
