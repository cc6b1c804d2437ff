"""A strict Splunk HTTP Event Collector on loopback, for demo, bench and tests.

It answers as the status table of Splunk says and as recorded against a real one (partial acceptance, one-shot
acknowledgements, the unknown-envelope-key trap), stores every event it has "indexed" so that tests can compare ids and
bytes, and commits faults on demand.

**In a test, in this process**::

    with HecEmulator(tokens=(HecToken(use_ack=True),), index_delay_s=0.2) as hec:
        hec.url                                     # "http://127.0.0.1:PORT" ("https://…" with tls=server_context(...))
        hec.inject("answer", code=9, retry_after_s=1, count=3)      # the next 3 event requests are answered 503
        hec.inject("answer", code=6, at_fraction=0.5, sticky=True, count=1)   # partial accept; that event stays refused
        hec.inject("reset_after", probability=0.2, seed=7, for_s=5) # stored, then RST before the answer
        hec.inject("reset_after", endpoint="ack", count=1)          # an acknowledgement lost after `true`
        hec.store.wait_for(1000, timeout_s=30)
        hec.store.compare({id: event_digest(bytes), ...}) == Comparison()

| member | what it does |
|---|---|
| `HecEmulator(settings=None, *, host="127.0.0.1", port=0, tls=None, **changes)` | `changes` are keys of `HecSettings` |
| `start()`, `stop()`, `with` | `start` returns the emulator; both may be called once |
| `url`, `host`, `port`, `token`, `control_url` | `token` is the first one's value |
| `store` | `EventStore` of what is indexed: ids, copies, digests, times, bytes with `keep_bytes=True` |
| `counters` | requests, events, bytes, skipped, `trapped_requests` (a bug of the sender), refused, lost_in_crash |
| `requests()` | list of `RequestRecord`, the newest 200,000 |
| `inject(kind, **fields)` → number, `inject(Fault(...))` | arm a fault; kinds and fields: `hec_faults` |
| `clear_faults(number=None)`, `faults()`, `strikes()` | disarm; what is armed; what struck when (`Strike`) |
| `configure(**changes)` | change any key of `HecSettings` while running, except `indexers`, `journal`, `keep_bytes` |
| `set_state(state)` | a key of `hec_service.STATES`: ok, busy, shutting-down, queues-full, ack-unavailable … |
| `set_token(HecToken(...))`, `remove_token(value)` | add or replace (disable, restrict) a token; take one away |
| `poison(event_id, code=6)`, `heal(event_id=None)` | refuse that event whenever it comes, by partial accept; undo |
| `crash(forget_unacknowledged=False)` → lost | RST to all; what is in memory is lost; ackIds start at 0 again |
| `stop_listening(connections="rst")`, `listen_again()` | the SIEM is down ("rst", "fin", "keep"), then up, same port |
| `drop_connections(reset=True)` | end all open connections, keep listening |
| `set_tls(context)` | new certificate for new connections |
| `flush()`, `held` | index at once what is in memory; how many events are there |

**As its own process**: `python -m sls_siem.emulator.hec [--settings JSON] [--port N] [--tls-cert F --tls-key F]
[--client-ca F]` prints one JSON line `{"emulator": "hec", "url", "host", "port", "control", "pid", "token"}` and ends
on SIGTERM or when its stdin closes. `sls_siem.emulator.remote.EmulatorProcess` starts and drives one.

**Control API**, JSON over HTTP at `control` (also under `/_emulator` of the service's own port while that is up); store
queries are described in `control`:

| request | arguments (JSON object) |
|---|---|
| `POST inject` → fault number | the fields of `Fault`, `kind` first of all |
| `POST clear_faults` | `{}` or `{"number": N}` |
| `POST configure`, `POST set_token` | keys of `HecSettings`; keys of `HecToken` |
| `POST remove_token`, `POST set_state` | `{"value"}`, `{"state"}` |
| `POST poison`, `POST heal` | `{"event_id", "code"}`; `{}` or `{"event_id"}` |
| `POST crash` → lost | `{"forget_unacknowledged"}` |
| `POST stop_listening`, `POST drop_connections` | `{"connections"}`; `{"reset"}` |
| `POST listen_again`, `POST flush` | `{}` |
| `GET summary` | state, listening, counters, events held, open connections, accepted connections, store |
| `GET faults`, `GET strikes`, `GET requests` | armed faults by number, strikes, request records |
| `GET traces` | with `sink_trace`: when each request came, ids of its first and last event |

Paths: `/services/collector`, `/event`, `/event/1.0`, `/raw`, `/raw/1.0`, `/ack`, `/health`, `/health/1.0` below it.
Bench: `HecEmulator(mode="sink")` reads bodies into one buffer, counts bytes and `sink_needle`, parses nothing.
"""

from __future__ import annotations

import dataclasses
import ssl
import sys
from typing import Any, Optional, Union, final

from sls_siem.emulator.control import Control, ControlServer, plain
from sls_siem.emulator.hec_codes import Answer
from sls_siem.emulator.hec_connection import Conversation
from sls_siem.emulator.hec_faults import Fault, FaultPlan, Strike
from sls_siem.emulator.hec_records import Counters, RequestRecord, Trace
from sls_siem.emulator.hec_service import STATES, HecService
from sls_siem.emulator.hec_settings import HecSettings, HecToken, settings_from, token_from
from sls_siem.emulator.journal import JournalStore
from sls_siem.emulator.listener import Connection, Listener
from sls_siem.emulator.process import main_of
from sls_siem.emulator.store import EventStore

__all__ = ["Fault", "HecEmulator", "HecSettings", "HecToken", "RequestRecord", "Strike"]

_FIXED = frozenset({"indexers", "journal", "keep_bytes"})


@final
class HecEmulator:
    """A HEC on loopback; the module's text has its members at a glance.

    Args:
        settings: where to start from.
        host: address to bind.
        port: 0 lets the kernel choose.
        tls: serve https with this context (`certificates.server_context`).
        changes: keys of `HecSettings` that differ from `settings`.
    """

    def __init__(
        self,
        settings: Optional[HecSettings] = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        **changes: Any,
    ) -> None:
        settings = settings_from(changes, settings)
        keep = settings.keep_bytes
        self.store = (
            JournalStore(settings.journal, keep_bytes=keep) if settings.journal else EventStore(keep_bytes=keep)
        )
        self._service = HecService(settings, self.store)
        self._plan = FaultPlan()
        self._control = Control(self._commands(), self._queries(), self.store)
        self._control_server = ControlServer(self._control)
        self._listener = Listener("hec", self._converse, host=host, port=port, tls=tls)

    def __enter__(self) -> HecEmulator:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> HecEmulator:
        """Index, answer and listen."""
        for indexer in self._service.indexers:
            indexer.start()
        self._control_server.start()
        self._listener.listen()
        return self

    def stop(self) -> None:
        """End everything; the store stays readable."""
        self._listener.stop()
        self._control_server.stop()
        for indexer in self._service.indexers:
            indexer.stop()

    @property
    def host(self) -> str:
        """Address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """Port it listens on; stays the same while it is down."""
        return self._listener.port

    @property
    def url(self) -> str:
        """What goes into `hec.urls`."""
        return f"{'http' if self._listener.tls is None else 'https'}://{self.host}:{self.port}"

    @property
    def control_url(self) -> str:
        """Where the control API is."""
        return self._control_server.url

    @property
    def token(self) -> str:
        """Value of the first token."""
        return self.settings.tokens[0].value

    @property
    def settings(self) -> HecSettings:
        """As they are now."""
        return self._service.settings

    @property
    def counters(self) -> Counters:
        """What was seen so far."""
        return self._service.counters

    @property
    def held(self) -> int:
        """Events accepted and still in memory only."""
        return sum(indexer.held for indexer in self._service.indexers)

    def requests(self) -> list[RequestRecord]:
        """List the requests so far, each recorded just before its answer is sent."""
        return list(self._service.requests)

    def traces(self) -> list[Trace]:
        """List when which requests came, with `sink_trace`."""
        return list(self._service.traces)

    def inject(self, fault: Union[str, Fault] = "", **fields: Any) -> int:
        """Arm a fault, given as one or by its kind and fields; returns its number.

        Raises:
            ValueError: no such kind or endpoint.
            TypeError: no such field.
        """
        if not isinstance(fault, Fault):
            fault = Fault(fields.pop("kind", fault), **fields)
        return self._plan.add(fault)

    def clear_faults(self, number: Optional[int] = None) -> None:
        """Disarm one fault, or all."""
        self._plan.clear(number)

    def faults(self) -> dict[int, Fault]:
        """Tell what is armed, by number."""
        return self._plan.active()

    def strikes(self) -> list[Strike]:
        """List what struck, oldest first."""
        return self._plan.strikes()

    def configure(self, **changes: Any) -> None:
        """Change settings from the next request on.

        Raises:
            ValueError: the key cannot change while it runs.
            TypeError: no such key.
        """
        if fixed := _FIXED & changes.keys():
            raise ValueError(f"cannot change while running: {', '.join(sorted(fixed))}")
        self._service.settings = settings_from(changes, self._service.settings)

    def set_state(self, state: str) -> None:
        """Put the collector into one of `hec_service.STATES`.

        Raises:
            ValueError: no such state.
        """
        if state not in STATES:
            raise ValueError(f"no such state: {state!r}; there are {', '.join(STATES)}")
        self._service.state = state

    def set_token(self, token: HecToken) -> None:
        """Add a token or replace the one of the same value."""
        others = [other for other in self.settings.tokens if other.value != token.value]
        self.configure(tokens=(*others, token))

    def remove_token(self, value: str) -> None:
        """Take a token away: it is answered with code 4."""
        self.configure(tokens=tuple(token for token in self.settings.tokens if token.value != value))

    def poison(self, event_id: str, code: int = 6) -> None:
        """Refuse this event with this code whenever it comes, accepting the ones before it."""
        self._service.poison[event_id] = code

    def heal(self, event_id: Optional[str] = None) -> None:
        """Undo `poison` for one event, or for all."""
        if event_id is None:
            self._service.poison.clear()
        else:
            self._service.poison.pop(event_id, None)

    def crash(self, forget_unacknowledged: bool = False) -> int:
        """Kill the indexers and have them back at once.

        Args:
            forget_unacknowledged: also lose stored events whose acknowledgement was owed and never told.

        Returns:
            Number of accepted events lost.
        """
        lost = sum(indexer.crash(forget_unacknowledged=forget_unacknowledged) for indexer in self._service.indexers)
        self._service.count(lost_in_crash=lost)
        self._listener.end_connections(reset=True)
        return lost

    def stop_listening(self, connections: str = "rst") -> None:
        """Refuse connections from now on; open ones end by "rst" or "fin", or are kept with "keep"."""
        self._listener.stop_listening(connections=connections)

    def listen_again(self) -> None:
        """Accept connections again, on the same port."""
        self._listener.listen()

    def drop_connections(self, reset: bool = True) -> int:
        """End all open connections by RST or FIN; says how many."""
        return self._listener.end_connections(reset=reset)

    def set_tls(self, context: ssl.SSLContext) -> None:
        """Use another certificate for new connections."""
        self._listener.tls = context

    def flush(self) -> None:
        """Index at once what is in memory."""
        for indexer in self._service.indexers:
            indexer.flush()

    def summary(self) -> dict[str, object]:
        """Tell the state in one document."""
        return {
            "state": self._service.state,
            "listening": self._listener.listening,
            "counters": dataclasses.asdict(self.counters),
            "held": self.held,
            "open_connections": len(self._listener.connections()),
            "accepted_connections": self._listener.accepted,
            "handshake_failures": list(self._listener.handshake_failures),
            "store": {"total": self.store.total, "ids": len(self.store)},
        }

    def addresses(self) -> dict[str, object]:
        """Tell what the process prints when it has started."""
        addresses: dict[str, object] = {"emulator": "hec", "url": self.url, "host": self.host, "port": self.port}
        return {**addresses, "control": self.control_url, "token": self.token}

    def _converse(self, connection: Connection) -> None:
        Conversation(connection, self._service, self._plan, self._control_answer).run()

    def _control_answer(self, method: str, target: str, body: bytes) -> Answer:
        answer = self._control.handle(method, target, body)
        return Answer(answer.status, answer.body, {"Content-Type": answer.content_type})

    def _commands(self) -> dict[str, Any]:
        methods = (
            self.inject,
            self.clear_faults,
            self.configure,
            self.remove_token,
            self.set_state,
            self.poison,
            self.heal,
            self.crash,
            self.stop_listening,
            self.listen_again,
            self.drop_connections,
            self.flush,
        )
        commands: dict[str, Any] = {method.__name__: method for method in methods}
        commands["set_token"] = lambda **fields: self.set_token(token_from(fields))
        return commands

    def _queries(self) -> dict[str, Any]:
        return {
            "": self.summary,
            "summary": self.summary,
            "faults": lambda: plain(self.faults()),
            "strikes": self.strikes,
            "requests": self.requests,
            "traces": self.traces,
        }


if __name__ == "__main__":
    sys.exit(main_of(HecEmulator))
