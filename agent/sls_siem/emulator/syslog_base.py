"""What the syslog and the RELP emulator have in common: a door, an inbox, faults on demand, the control API.

The members are described in `syslog` and `relp`, at a glance.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections import deque
from typing import Any, Generic, Optional, Protocol, Union

from sls_siem.emulator.control import Control, ControlServer
from sls_siem.emulator.listener import Connection
from sls_siem.emulator.store import EventStore
from sls_siem.emulator.syslog_faults import StreamFault, StreamPlan, StreamStrike
from sls_siem.emulator.syslog_inbox import ConnectionRecord, Inbox, Malformed, SettingsT, StreamCounters
from sls_siem.emulator.syslog_parse import SyslogMessage, parse

_FIXED = frozenset({"transport", "receive_buffer", "keep_bytes"})


class Door(Protocol):
    """What `Listener` and `Datagrams` have in common."""

    host: str
    port: int
    tls: Optional[ssl.SSLContext]
    accepted: int
    handshake_failures: deque[str]

    @property
    def listening(self) -> bool: ...

    def connections(self) -> list[Connection]: ...

    def listen(self) -> None: ...

    def stop_listening(self, *, connections: str = "rst") -> None: ...

    def end_connections(self, *, reset: bool = True) -> int: ...

    def stop(self) -> None: ...


class StreamEmulator(Generic[SettingsT]):
    """A receiver of syslog frames on loopback.

    Args:
        settings: how it behaves.
        kinds: faults it can commit.
    """

    name = "stream"

    def __init__(self, settings: SettingsT, kinds: frozenset[str]) -> None:
        self.store = EventStore(keep_bytes=settings.keep_bytes)
        self._kinds = kinds
        self._inbox = Inbox(settings, self.store)
        self._plan = StreamPlan()
        self._control_server = ControlServer(Control(self._commands(), self._queries(), self.store))
        self._door = self._make_door()

    def _make_door(self) -> Door:
        raise NotImplementedError

    def _scheme(self) -> str:
        raise NotImplementedError

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _start(self) -> None:
        self._control_server.start()
        self._door.listen()

    def stop(self) -> None:
        """End everything; the store stays readable."""
        self._door.stop()
        self._control_server.stop()

    @property
    def host(self) -> str:
        """Address it listens on."""
        return self._door.host

    @property
    def port(self) -> int:
        """Port it listens on; stays the same while it is down."""
        return self._door.port

    @property
    def url(self) -> str:
        """What goes into `syslog.url`."""
        return f"{self._scheme()}://{self.host}:{self.port}"

    @property
    def control_url(self) -> str:
        """Where the control API is."""
        return self._control_server.url

    @property
    def settings(self) -> SettingsT:
        """As they are now."""
        return self._inbox.settings

    @property
    def counters(self) -> StreamCounters:
        """What was seen so far."""
        return self._inbox.counters

    def message(self, event_id: str) -> Optional[SyslogMessage]:
        """Parse the first copy of an event; None when it never arrived or no bytes are kept."""
        data = self.store.data(event_id)
        return None if data is None else parse(data, self.settings.rfc, strict_tag=self.settings.strict_tag)

    def malformed(self) -> list[Malformed]:
        """List the frames that were refused (the newest 10,000)."""
        return list(self._inbox.malformed)

    def connections(self) -> list[ConnectionRecord]:
        """List the connections that have ended (the newest 100,000)."""
        return list(self._inbox.connections)

    def inject(self, fault: Union[str, StreamFault] = "", **fields: Any) -> int:
        """Arm a fault, given as one or by its kind and fields; returns its number.

        Raises:
            ValueError: no such kind.
            TypeError: no such field.
        """
        if not isinstance(fault, StreamFault):
            fault = StreamFault(fields.pop("kind", fault), **fields)
        if fault.kind not in self._kinds:
            raise ValueError(f"no fault of {self.name}: {fault.kind!r}; it has {', '.join(sorted(self._kinds))}")
        return self._plan.add(fault)

    def clear_faults(self, number: Optional[int] = None) -> None:
        """Disarm one fault, or all; connections already struck stay so."""
        self._plan.clear(number)

    def faults(self) -> dict[int, StreamFault]:
        """Tell what is armed, by number."""
        return self._plan.active()

    def strikes(self) -> list[StreamStrike]:
        """List what struck, oldest first."""
        return self._plan.strikes()

    def configure(self, **changes: Any) -> None:
        """Change settings.

        Raises:
            ValueError: the key cannot change while it runs.
            TypeError: no such key.
        """
        if fixed := _FIXED & changes.keys():
            raise ValueError(f"cannot change while running: {', '.join(sorted(fixed))}")
        self._inbox.settings = dataclasses.replace(self._inbox.settings, **changes)

    def stop_listening(self, connections: str = "rst") -> None:
        """Refuse connections from now on; open ones end by "rst" or "fin", or are kept with "keep"."""
        self._door.stop_listening(connections=connections)

    def listen_again(self) -> None:
        """Listen again, on the same port."""
        self._door.listen()

    def restart(self) -> None:
        """Die and come back: open connections are reset, what lay unread in the kernel is lost."""
        self.stop_listening()
        self.listen_again()

    def drop_connections(self, reset: bool = True) -> int:
        """End all open connections by RST or FIN; says how many."""
        return self._door.end_connections(reset=reset)

    def set_tls(self, context: ssl.SSLContext) -> None:
        """Use another certificate for new connections."""
        self._door.tls = context

    def summary(self) -> dict[str, object]:
        """Tell the state in one document."""
        return {
            "listening": self._door.listening,
            "counters": dataclasses.asdict(self.counters),
            "open_connections": len(self._door.connections()),
            "accepted_connections": self._door.accepted,
            "handshake_failures": list(self._door.handshake_failures),
            "store": {"total": self.store.total, "ids": len(self.store)},
        }

    def addresses(self) -> dict[str, object]:
        """Tell what the process prints when it has started."""
        addresses: dict[str, object] = {"emulator": self.name, "url": self.url, "host": self.host, "port": self.port}
        return {**addresses, "control": self.control_url}

    def _commands(self) -> dict[str, Any]:
        methods = (
            self.inject,
            self.clear_faults,
            self.configure,
            self.stop_listening,
            self.listen_again,
            self.restart,
            self.drop_connections,
        )
        return {method.__name__: method for method in methods}

    def _queries(self) -> dict[str, Any]:
        return {
            "": self.summary,
            "summary": self.summary,
            "faults": self.faults,
            "strikes": self.strikes,
            "malformed": self.malformed,
            "connections": self.connections,
        }
