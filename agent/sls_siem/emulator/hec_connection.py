"""One client's connection to a HEC emulator: read requests, commit the fault that strikes each, send the answers.

What an answer says is decided in `hec_service`; here it is only delayed, cut, garbled or withheld.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Optional

from sls_siem.emulator.control import PREFIX
from sls_siem.emulator.hec_codes import Answer, html_answer
from sls_siem.emulator.hec_faults import Fault, FaultPlan
from sls_siem.emulator.hec_http import MAX_DISCARD_BYTES, BadRequestError, BodyTooLargeError, Head, HttpStream
from sls_siem.emulator.hec_records import Request, RequestRecord
from sls_siem.emulator.hec_service import ROUTES, HecService
from sls_siem.emulator.listener import Connection

BLACK_HOLE_S = 600.0
_SILENT = frozenset({"reset_in_body", "reset_before", "close_before", "reset_after", "close_after", "black_hole"})

ControlHandler = Callable[[str, str, bytes], Answer]
"""(method, path with query, body) → answer of the control API."""


class Conversation:
    """All requests of one connection.

    Args:
        connection: where they come from.
        service: gives the answers.
        plan: which request is struck by what.
        control: answers paths under `/_emulator`.
    """

    def __init__(self, connection: Connection, service: HecService, plan: FaultPlan, control: ControlHandler) -> None:
        self._connection = connection
        self._service = service
        self._plan = plan
        self._control = control
        self._stream = HttpStream(connection)

    def run(self) -> None:
        """Answer until one side closes.

        Raises:
            OSError: the connection broke.
        """
        try:
            while self._exchange():
                pass
        except BadRequestError as exc:
            with contextlib.suppress(OSError):
                self._stream.write(html_answer(400, "Bad Request", str(exc)), close=True)

    def _exchange(self) -> bool:
        """Handle one request; False when the connection is to be closed."""
        head = self._stream.read_head()
        if head is None:
            return False
        if head.path.startswith(PREFIX):
            return self._control_exchange(head)
        generation = self._service.generation()
        number = self._service.next_number()
        endpoint = ROUTES.get(head.path, "")
        fault = self._plan.pick(endpoint, number)
        try:
            body = self._read_body(head, fault)
        except BodyTooLargeError:
            request = Request(number, head, b"", generation)
            whole = (head.content_length or MAX_DISCARD_BYTES + 1) <= MAX_DISCARD_BYTES
            return self._send(request, self._service.too_large(endpoint), None) and whole
        request = Request(number, head, body, generation)
        if fault is not None and fault.kind in _SILENT:
            self._stay_silent(endpoint, request, fault)
            return False
        return self._send(request, self._answer(endpoint, request, fault), fault)

    def _control_exchange(self, head: Head) -> bool:
        body = bytes(self._stream.read_body(head, limit=1 << 30))
        query = "&".join(f"{name}={value}" for name, value in head.query.items())
        self._stream.write(self._control(head.method, f"{head.path}?{query}" if query else head.path, body))
        return head.headers.get("connection", "").lower() != "close"

    def _read_body(self, head: Head, fault: Optional[Fault]) -> memoryview:
        pace = 0.0
        if fault is not None and fault.kind == "reset_in_body":
            self._stream.read_some(min(fault.at_bytes, head.content_length or 0))
            return memoryview(b"")
        if fault is not None and fault.kind == "slow_body":
            pace = fault.bytes_per_s
            if pace <= 0:
                self._connection.pause_while_open(fault.delay_s or BLACK_HOLE_S)
        return self._stream.read_body(head, limit=self._service.body_limit(), bytes_per_s=pace)

    def _stay_silent(self, endpoint: str, request: Request, fault: Fault) -> None:
        stored = 0
        if fault.stores and fault.kind != "reset_in_body":
            stored = self._service.handle(endpoint, request).stored
        self._record(request, None, fault, stored=stored)
        if fault.kind == "black_hole":
            self._connection.pause_while_open(fault.delay_s or BLACK_HOLE_S)
        elif fault.kind.startswith("reset"):
            self._connection.reset_on_close()

    def _answer(self, endpoint: str, request: Request, fault: Optional[Fault]) -> Answer:
        if fault is None or fault.kind not in ("html", "garbage"):
            return self._service.handle(endpoint, request, fault)
        stored = self._service.handle(endpoint, request).stored if fault.stores else 0
        if fault.kind == "html":
            text = fault.body or "The load balancer got no answer from the server behind it."
            page = html_answer(fault.status or 502, "Bad Gateway", text)
            return Answer(page.status, page.body, page.headers, stored=stored)
        garbage = (fault.body or '\x00{"text":"Succ\xff').encode("latin-1", "replace")
        return Answer(fault.status or 200, garbage, {"Content-Type": "application/json; charset=UTF-8"}, stored=stored)

    def _send(self, request: Request, answer: Answer, fault: Optional[Fault]) -> bool:
        kind = "" if fault is None else fault.kind
        self._record(request, answer, fault, stored=answer.stored)
        if fault is not None and kind in ("answer", "slow_answer"):
            self._connection.pause(fault.delay_s)
        last = request.head.headers.get("connection", "").lower() == "close"
        pace = fault.bytes_per_s if fault is not None and kind == "slow_answer" else 0.0
        self._stream.write(answer, close=last, cut_body=kind == "truncated", bytes_per_s=pace)
        return not last and kind not in ("truncated", "close_keep_alive")

    def _record(self, request: Request, answer: Optional[Answer], fault: Optional[Fault], *, stored: int) -> None:
        self._service.requests.append(
            RequestRecord(
                number=request.number,
                at_s=request.head.at_s,
                method=request.head.method,
                path=request.head.path,
                status=0 if answer is None else answer.status,
                code=-1 if answer is None else answer.code,
                events=stored,
                size=len(request.body),
                channel=request.channel,
                fault="" if fault is None else fault.kind,
                peer=self._connection.peer,
            )
        )
