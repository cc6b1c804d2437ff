"""The collector itself: a request goes in, the answer that Splunk would give comes out, and events reach an indexer.

Every decision about tokens, channels, sizes, capacity and partial acceptance is here; sockets, and faults that are
committed on them, are in `hec_connection`. Status table and traps: `hec_codes`, `hec_objects`.
"""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections import deque
from dataclasses import replace
from typing import Optional, Union

from sls_siem.emulator.hec_codes import ACCEPTED, NUMBERED, Answer, hec_answer, html_answer, json_answer, not_found
from sls_siem.emulator.hec_faults import Fault
from sls_siem.emulator.hec_http import BadRequestError, BodyTooLargeError, Head, inflate
from sls_siem.emulator.hec_indexer import Delays, Indexer
from sls_siem.emulator.hec_objects import IndexRule, Reading, read_objects, read_raw
from sls_siem.emulator.hec_records import Counters, Request, RequestRecord, Trace, trace_of
from sls_siem.emulator.hec_settings import HecSettings, HecToken, token_of
from sls_siem.emulator.store import EventStore

ROUTES = {
    "/services/collector": "event",
    "/services/collector/event": "event",
    "/services/collector/event/1.0": "event",
    "/services/collector/raw": "raw",
    "/services/collector/raw/1.0": "raw",
    "/services/collector/ack": "ack",
    "/services/collector/health": "health",
    "/services/collector/health/1.0": "health",
}
STATES = {"ok": 17, "busy": 9, "shutting-down": 23, "queues-full": 18, "ack-unavailable": 19, "queues-full-no-ack": 20}
"""What `/health` says in each state of the collector."""

_NEARLY = 0.8
_STICKY = "hec_indexer"


class RefusedError(Exception):
    """The request is answered with `answer` and nothing else is done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.code))
        self.answer = answer


class HecService:
    """Everything of a collector but its sockets; thread-safe.

    Args:
        settings: see there.
        store: where events end up.
    """

    def __init__(self, settings: HecSettings, store: EventStore) -> None:
        self.settings = settings
        self.state = "ok"
        self.poison: dict[str, int] = {}
        self.requests: deque[RequestRecord] = deque(maxlen=200_000)
        self.traces: deque[Trace] = deque(maxlen=200_000)
        self.indexers = [Indexer(store, f"hec-indexer-{number}") for number in range(settings.indexers)]
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._turn = itertools.count()
        self._counters = Counters()

    @property
    def counters(self) -> Counters:
        """Tell what was seen so far."""
        return self._counters

    def count(self, **more: int) -> None:
        """Add to counters."""
        with self._lock:
            sums = {name: getattr(self._counters, name) + value for name, value in more.items()}
            self._counters = replace(self._counters, **sums)

    def next_number(self) -> int:
        """Number a request whose head was read."""
        self.count(requests=1)
        return next(self._numbers)

    def generation(self) -> tuple[int, ...]:
        """Tell how often each indexer has crashed, to recognise a request from before."""
        return tuple(indexer.generation for indexer in self.indexers)

    def body_limit(self) -> int:
        """Most bytes that are read of a body; more is answered by `too_large`."""
        return self.settings.body_limit

    def too_large(self, endpoint: str) -> Answer:
        """Answer to a body over the limit: 413, on Splunk Cloud 400 with code 6 (recorded)."""
        if self.settings.edition == "cloud" and endpoint in ("event", "raw"):
            return hec_answer(6)
        limit = self.settings.body_limit
        return html_answer(413, "Content Too Large", f"The request is longer than the maximum of {limit} bytes.")

    def handle(self, endpoint: str, request: Request, fault: Optional[Fault] = None) -> Answer:
        """Answer one request.

        Args:
            endpoint: as `ROUTES` has it; "" for an unknown path.
            request: see there.
            fault: what strikes it; here only the parts about storing, codes and acknowledgements.

        Raises:
            ConnectionAbortedError: the indexer has crashed since the request's head was read.
        """
        try:
            answer = self._route(endpoint, request, fault)
        except RefusedError as exc:
            answer = exc.answer
        except BodyTooLargeError:
            answer = self.too_large(endpoint)
        if answer.code not in (-1, 0, 17, 24, 25):
            self.count(refused=1)
        return self._with_retry_after(answer)

    def _with_retry_after(self, answer: Answer) -> Answer:
        after_s = self.settings.retry_after_s
        if after_s is None or answer.status not in (429, 503) or "Retry-After" in answer.headers:
            return answer
        return replace(answer, headers={**answer.headers, "Retry-After": f"{after_s:g}"})

    def _route(self, endpoint: str, request: Request, fault: Optional[Fault]) -> Answer:
        method = request.head.method
        if not endpoint:
            return not_found()
        if method != ("GET" if endpoint == "health" else "POST"):
            return not_found(405)
        if fault is not None and fault.kind == "answer":
            return self._ordered(endpoint, request, fault)
        if endpoint == "health":
            return self._health(request)
        token = self._authorize(request.head)
        if endpoint == "ack":
            return self._ack(token, request)
        return self._take(endpoint, token, request, fault=fault)

    # -- who may come in ------------------------------------------------------------------------------------------

    def _authorize(self, head: Head) -> HecToken:
        value = self._token_value(head)
        token = self.settings.token(value)
        if token is None:
            raise RefusedError(hec_answer(4))
        if not token.enabled:
            raise RefusedError(hec_answer(1))
        return token

    def _token_value(self, head: Head) -> str:
        given = head.headers.get("authorization")
        if given is None:
            if "token" not in head.query:
                raise RefusedError(hec_answer(2))
            if not self.settings.query_string_token:
                raise RefusedError(hec_answer(16))
            return head.query["token"]
        value = token_of(given)
        if value is None:
            raise RefusedError(hec_answer(3))
        return value

    def _health(self, request: Request) -> Answer:
        given = request.head.headers.get("authorization")
        value = request.head.query.get("token") if given is None else token_of(given) or ""
        if value is not None:
            token = self.settings.token(value)
            if token is None:
                return hec_answer(21)
            if not token.enabled:
                return hec_answer(22)
        return hec_answer(STATES[self.state])

    # -- acknowledgements -----------------------------------------------------------------------------------------

    def _ack(self, token: HecToken, request: Request) -> Answer:
        if not token.use_ack:
            return hec_answer(14)
        channel = self._channel(token, request)
        if self.state in ("ack-unavailable", "queues-full-no-ack"):
            return hec_answer(9)
        try:
            asked = json.loads(bytes(request.body))["acks"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return hec_answer(6 if len(request.body) else 5)
        if not isinstance(asked, list) or not all(type(item) is int and item >= 0 for item in asked):
            return hec_answer(6)
        indexer, cookie = self._indexer(request.head)
        told = indexer.poll(f"{token.value}/{channel}", asked)
        answer = json_answer(200, {"acks": {str(ack_id): done for ack_id, done in told.items()}})
        return replace(answer, headers={**answer.headers, **cookie})

    def _channel(self, token: HecToken, request: Request) -> str:
        channel = request.channel
        if not channel:
            if token.use_ack:
                raise RefusedError(hec_answer(28 if self.settings.edition == "cloud" else 10))
            return ""
        try:
            return str(uuid.UUID(channel))
        except ValueError as exc:
            raise RefusedError(hec_answer(11)) from exc

    def _indexer(self, head: Head) -> tuple[Indexer, dict[str, str]]:
        """Choose the indexer: the one of the sticky cookie, else the next in turn."""
        if len(self.indexers) == 1:
            return self.indexers[0], {}
        for cookie in head.headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == _STICKY and value.isdigit() and int(value) < len(self.indexers):
                return self.indexers[int(value)], {}
        number = next(self._turn) % len(self.indexers)
        return self.indexers[number], {"Set-Cookie": f"{_STICKY}={number}; Path=/"}

    # -- events ---------------------------------------------------------------------------------------------------

    def _take(self, endpoint: str, token: HecToken, request: Request, *, fault: Optional[Fault]) -> Answer:
        self._admit(token)
        channel = self._channel(token, request)
        indexer, cookie = self._indexer(request.head)
        nearly = self._room(indexer, f"{token.value}/{channel}" if token.use_ack else None)
        reading = self._sink(request) if self.settings.mode == "sink" else self._read(endpoint, token, request)
        if fault is not None and not fault.stores:
            reading = replace(reading, events=[])
        ack_id = self._store(indexer, token, request, reading=reading, fault=fault)
        if reading.code:
            number = reading.number if reading.code in NUMBERED else None
            return hec_answer(reading.code, number=number, ack_id=ack_id, stored=len(reading.events))
        answer = hec_answer(nearly, ack_id=ack_id, stored=len(reading.events))
        return replace(answer, headers={**answer.headers, **cookie})

    def _admit(self, token: HecToken) -> None:
        if self.state == "shutting-down":
            raise RefusedError(hec_answer(23))
        if self.state in ("busy", "queues-full", "queues-full-no-ack"):
            raise RefusedError(hec_answer(9))
        if self.state == "ack-unavailable" and token.use_ack:
            raise RefusedError(hec_answer(9))

    def _room(self, indexer: Indexer, channel: Optional[str]) -> int:
        """Return the code of a 200 (0, 24 or 25), or refuse with 26 or 27."""
        capacity, owed = self.settings.queue_capacity, self.settings.ack_capacity
        if capacity and indexer.held >= capacity:
            raise RefusedError(hec_answer(26))
        unasked = indexer.unasked(channel) if channel is not None else 0
        if unasked >= owed:
            raise RefusedError(hec_answer(27))
        if capacity and indexer.held >= capacity * _NEARLY:
            return 24
        return 25 if unasked >= owed * _NEARLY else 0

    def content(self, request: Request) -> Union[bytes, memoryview]:
        """Decompress a body.

        Raises:
            RefusedError: 415 for an encoding other than gzip, 400 for broken gzip.
            BodyTooLargeError: it is longer than allowed when decompressed.
        """
        encoding = request.head.headers.get("content-encoding", "identity").lower()
        if encoding == "identity":
            return request.body
        if encoding != "gzip":
            text = f"The content encoding {encoding!r} is not supported."
            raise RefusedError(html_answer(415, "Unsupported Media Type", text))
        try:
            return inflate(request.body, self.settings.body_limit)
        except BadRequestError as exc:
            raise RefusedError(hec_answer(6, number=0)) from exc

    def _read(self, endpoint: str, token: HecToken, request: Request) -> Reading:
        content = self.content(request)
        self.count(wire_bytes=len(request.body), content_bytes=len(content))
        if endpoint == "raw":
            return read_raw(bytes(content))
        rule = IndexRule(token.indexes, self.settings.code7_ahead)
        reading = read_objects(content, rule, self.poison)
        self.count(skipped=reading.skipped, trapped_requests=int(reading.trapped))
        return reading

    def _sink(self, request: Request) -> Reading:
        content = self.content(request) if self.settings.sink_inflate else request.body
        needle = self.settings.sink_needle.encode()
        buffer = content.obj if isinstance(content, memoryview) else content
        assert isinstance(buffer, (bytes, bytearray))
        events = buffer.count(needle, 0, len(content)) if needle else 0
        self.count(wire_bytes=len(request.body), content_bytes=len(content), events=events)
        if self.settings.sink_trace:
            self.traces.append(trace_of(buffer, len(content)))
        return Reading()

    def _store(
        self, indexer: Indexer, token: HecToken, request: Request, *, reading: Reading, fault: Optional[Fault] = None
    ) -> Optional[int]:
        late_s = fault.delay_s if fault is not None and fault.kind == "ack_late" else 0.0
        never = fault is not None and (fault.kind == "ack_never" or not fault.stores)
        delays = Delays(self.settings.index_delay_s, self.settings.ack_delay_s + late_s, never)
        owes = token.use_ack and (not reading.code or self._tells_in_part(reading))
        ack_id = indexer.accept(
            reading.events,
            request=request.number,
            at_s=request.head.at_s,
            generation=request.generation[self.indexers.index(indexer)],
            delays=delays,
            channel=f"{token.value}/{self._channel(token, request)}" if owes else None,
        )
        self.count(events=len(reading.events))
        return ack_id

    def _tells_in_part(self, reading: Reading) -> bool:
        return self.settings.ack_partial and bool(reading.events) and reading.code in NUMBERED

    # -- answers made to order ------------------------------------------------------------------------------------

    def _ordered(self, endpoint: str, request: Request, fault: Fault) -> Answer:
        """Give the answer that a fault asks for, storing what the real one would have stored."""
        stored, number, ack_id = 0, None, None
        if endpoint in ("event", "raw") and self._would_store(fault):
            stored, number, ack_id = self._store_ordered(endpoint, request, fault)
        headers = {} if fault.location is None else {"Location": fault.location}
        if fault.code is None:
            page = html_answer(fault.status or 500, "Error", fault.body or "The server could not answer.")
            after = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
            return replace(page, headers={**page.headers, **headers, **after}, stored=stored)
        answer = hec_answer(
            fault.code,
            number=number,
            ack_id=ack_id,
            status=fault.status,
            text=fault.text,
            retry_after_s=fault.retry_after_s,
            stored=stored,
        )
        return replace(answer, headers={**answer.headers, **headers})

    @staticmethod
    def _would_store(fault: Fault) -> bool:
        if fault.stored is not None:
            return fault.stored
        return fault.names_object or fault.code in ACCEPTED

    def _store_ordered(self, endpoint: str, request: Request, fault: Fault) -> tuple[int, Optional[int], Optional[int]]:
        token = self._authorize(request.head)
        indexer, _ = self._indexer(request.head)
        reading = self._read(endpoint, token, request)
        number = None
        if fault.names_object and reading.events:
            refused = self._named(fault, len(reading.events))
            number = refused + (self.settings.code7_ahead if fault.code == 7 else 0)
            if fault.sticky and fault.code is not None:
                self.poison[reading.events[refused][0]] = fault.code
            reading = replace(reading, events=reading.events[:refused])
        # Of other answers only one that names an object may tell an ackId; what else is stored is owed none.
        named = fault.code if number is not None and fault.code else 8
        reading = replace(reading, code=0 if fault.code in ACCEPTED else named)
        ack_id = self._store(indexer, token, request, reading=reading)
        return len(reading.events), number, ack_id

    def _named(self, fault: Fault, events: int) -> int:
        if fault.at_fraction is not None:
            return min(int(fault.at_fraction * events), events - 1)
        assert fault.invalid_event_number is not None
        ahead = self.settings.code7_ahead if fault.code == 7 else 0
        return max(0, min(fault.invalid_event_number - ahead, events - 1))
