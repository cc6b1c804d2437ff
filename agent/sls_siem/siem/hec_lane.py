"""One shard's way to the Splunk HTTP Event Collector: sends, judges answers, and retries for ever.

What an answer means stands in `hec_answers`, how bodies are cut in `hec_pieces`, whose acknowledgement is owed in
`hec_acks`; here is what is done about it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Optional

from sls_siem.codec.model import Payload
from sls_siem.errors import Stopped
from sls_siem.net.http import HttpConnectError, HttpError, HttpProtocolError, HttpTimeout
from sls_siem.retry import Backoff
from sls_siem.siem.hec_acks import AckBook
from sls_siem.siem.hec_answers import Action, Answer, Meaning
from sls_siem.siem.hec_job import Job
from sls_siem.siem.hec_pieces import Piece, whole
from sls_siem.siem.hec_poll import AckPoller
from sls_siem.siem.hec_route import HecShared, Route, TokenMissingError
from sls_siem.siem.output import Gate, Rejection, Report, Token
from sls_siem.siem.pauses import HOLD, RETRY, Pauses
from sls_siem.siem.rotation import Failure

LOG = logging.getLogger(__name__)
HEALTH_TIMEOUT_S = 5.0
SUSPECT_BYTES = 5_000_000
SLOW_DOWN = Pauses(Backoff(0.5, 10.0))
_STICKY = "several indexers behind one address need a sticky load balancer (cookie), or each its own URL in hec.urls"
_HOLDS = frozenset({Action.HOLD_TOKEN, Action.HOLD_SETUP, Action.HEALTHY, Action.EMPTY, Action.REFUSE_INDEX})


class HecLane:
    """Implements `Lane`.

    Args:
        shared: see there.
        routes: this lane's way to each address, in the order of the rotation.
        book: acknowledgements; None when the configuration does not ask for them.
        first: number of the address this lane starts at.
        gate: asked before each request.
    """

    def __init__(
        self, shared: HecShared, routes: Sequence[Route], book: Optional[AckBook], *, first: int, gate: Gate
    ) -> None:
        self._shared = shared
        self._attempts = shared.rotation.attempts()
        self._routes = routes
        self._channels = AckBook(len(routes), 0.0, shared.clock) if book is None else book
        self._book = book
        self._poller = None if book is None else AckPoller(shared, routes, book, gate)
        self._first = first % len(routes)
        self._gate = gate
        self._generation = 0
        self._mute: set[int] = set()
        self._nearly_full = 0
        self._slow_until = 0.0
        self._last_body: tuple[Optional[bytes], bytes] = (None, b"")
        self._actions: dict[Action, Callable[[Job, Piece, int, Answer], list[Piece]]] = {
            Action.ACCEPT: self._accepted,
            Action.ACCEPT_AND_SLOW_DOWN: self._accepted,
            Action.RESUME: self._resume,
            Action.EMPTY: self._empty,
            Action.REFUSE_EVENT: self._refused_event,
            Action.REFUSE_FIELDS: self._refused_event,
            Action.REFUSE_INDEX: self._refused_index,
            Action.SPLIT: self._too_large,
        }

    # -- Lane -----------------------------------------------------------------------------------------------------

    def send(self, payload: Payload, token: Token) -> Report:
        """Hand a payload over; see `Lane`."""
        self._slow_down()
        job = Job(payload, token, self._book, self._restarted)
        try:
            self._send_all(job)
        except Stopped:
            if self._book is not None and job.receipt is not None:
                self._book.abandon(job.receipt)
            raise
        finally:
            self._last_body = (None, b"")
        if self._book is None or job.receipt is None:
            return Report(settled=(token,))
        self._book.complete(job.receipt)
        return self._report()

    def poll(self) -> Report:
        """Ask for acknowledgements that are due; see `Lane`."""
        if self._poller is not None:
            self._poller.poll()
        return self._report()

    def next_poll_s(self) -> Optional[float]:
        """See `Lane`."""
        return None if self._poller is None else self._poller.next_poll_s()

    def finish(self, deadline_s: float) -> Report:
        """Wait for outstanding acknowledgements; see `Lane`."""
        if self._poller is not None:
            self._poller.finish(deadline_s)
        return self._report()

    def close(self) -> None:
        """See `Lane`."""
        for route in self._routes:
            route.close()

    def _report(self) -> Report:
        if self._book is None:
            return Report()
        settled, lost = self._book.report()
        return Report(settled=settled, lost=lost)

    # -- one payload ----------------------------------------------------------------------------------------------

    def _send_all(self, job: Job) -> None:
        pieces = deque([whole(job.payload)])
        while pieces := pieces or deque(job.unproven()):
            if job.lost:
                return
            piece = pieces.popleft()
            pieces.extendleft(reversed(self._try(job, piece)))

    def _try(self, job: Job, piece: Piece) -> list[Piece]:
        """Send one piece once; returns what remains of it to be sent."""
        index = self._await_address()
        rest: list[Piece] = []
        if self._book is not None and piece.events > 1 and self._book.channel(index).last_id < 0:
            # One event for the first ackId: before it, a restart could not be told from a beginning.
            rest, (piece,) = piece.run(1, piece.events), piece.run(0, 1)
        return [*self._try_at(index, job, piece), *rest]

    def _try_at(self, index: int, job: Job, piece: Piece) -> list[Piece]:
        self._generation = self._attempts.generation(index)
        try:
            answer = self._exchange(index, piece)
        except HttpError as exc:
            # Without an answer the request may have been taken all the same: its events may arrive twice.
            self._broken(index, exc)
            return [piece, *(job.in_doubt(index) if exc.sent else ())]
        except TokenMissingError as exc:
            self._shared.tokens.refused()
            self._fail(index, Failure("token", str(exc), HOLD))
            return [piece]
        again = job.refused(index, piece, answer)
        handler = self._actions.get(answer.meaning.action, self._refused)
        return [*handler(job, piece, index, answer), *again]

    def _exchange(self, index: int, piece: Piece) -> Answer:
        route, url = self._routes[index], self._attempts.url(index)
        body = self._body(route, piece)
        self._gate.busy(route.timeout_s, f"connecting to {url}")
        spent_s = route.connect()
        self._gate.before_send()
        self._gate.busy(route.timeout_s, f"sending to {url}")
        return route.post_events(body, self._channels.channel(index).guid, spent_s=spent_s)

    def _body(self, route: Route, piece: Piece) -> bytes:
        """Compress once for all attempts at the same piece."""
        data, body = self._last_body
        if data is not piece.data:
            body = route.body(piece.data)
            self._last_body = (piece.data, body)
        return body

    def _await_address(self) -> int:
        """Wait until an address may be tried; one that failed has to be healthy again if there are others."""
        while True:
            choice = self._attempts.choose(self._first)
            if choice.wait_s > 0:
                self._gate.wait(choice.wait_s, f"{self._attempts.url(choice.index)}: {choice.why}")
            elif not (choice.returning or choice.index in self._mute) or self._returns(choice.index):
                return choice.index

    def _returns(self, index: int) -> bool:
        """Look at an address that failed before events are sent to it again."""
        if index in self._mute:
            return self._acknowledges(index)
        return len(self._routes) == 1 or self._healthy(index)

    def _acknowledges(self, index: int) -> bool:
        """Ask instead of sending the events again, which it would take without acknowledging them."""
        assert self._poller is not None
        self._generation = self._attempts.generation(index)
        answer = self._poller.ask_whether(index)
        if answer is not None and answer.meaning.reason == "ack-disabled":
            self._failed(index, answer, _NO_ACK_ID)
            return False
        self._mute.discard(index)
        return True

    def _healthy(self, index: int) -> bool:
        route = self._routes[index]
        self._generation = self._attempts.generation(index)
        if not self._attempts.claim(index, HEALTH_TIMEOUT_S):
            return False
        began = self._shared.clock()
        self._gate.busy(HEALTH_TIMEOUT_S, f"looking at the health of {self._attempts.url(index)}")
        try:
            answer = route.health(timeout_s=HEALTH_TIMEOUT_S)
        except HttpError as exc:
            self._broken(index, exc, self._shared.rotation.least_pause_s(index, self._shared.clock() - began))
            return False
        # A load balancer may hide the health page; then only a request for events can tell.
        if answer.meaning.action is Action.HEALTHY or answer.status in (404, 405):
            return True
        self._failed(index, answer)
        return False

    # -- what becomes of an answer --------------------------------------------------------------------------------

    def _accepted(self, job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        if answer.meaning.action is Action.ACCEPT:
            self._nearly_full = 0
        else:
            self._nearly_full += 1
            pause_s = SLOW_DOWN.pause_s(self._nearly_full, self._shared.random)
            self._slow_until = self._shared.clock() + max(pause_s, answer.retry_after_s or 0.0)
        if self._book is None or job.receipt is None:
            self._attempts.worked(index)
            return []
        if answer.ack_id is None:
            # Sent again once the token acknowledges: what was taken now is not proven.
            self._mute.add(index)
            self._failed(index, answer, _NO_ACK_ID)
            return [piece]
        if job.taken(index, piece, answer.ack_id):
            self._attempts.worked(index)
        return []

    def _restarted(self, index: int, ack_id: int) -> None:
        assert self._book is not None
        url = self._attempts.url(index)
        if self._book.resets == 1:
            LOG.warning("%s: ackId %d was given before: the indexer restarted; sending again", url, ack_id)
            self._gate.retried("indexer-restart")
        else:
            message = f"ackId {ack_id} was given before, again and again; {_STICKY}"
            self._fail(index, Failure("indexer-restart", message))

    def _refused(self, _job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        self._failed(index, answer)
        return [piece]

    def _resume(self, _job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        self._failed(index, answer)
        number = answer.number
        if number is None or number >= piece.events:
            return [piece]
        return piece.run(number, piece.events) if number else [piece]

    def _empty(self, _job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        """Believe only a request without events to be empty: from any other, something on the way took its body."""
        if not piece.data.strip():
            return []
        self._failed(index, answer)
        return [piece]

    def _refused_event(self, job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        self._attempts.worked(index)
        if piece.events == 1:
            return self._refused_alone(job, piece, answer)
        number = answer.number
        self._gate.retried("partial")
        if number is None or number >= piece.events:
            return piece.halves()
        refused = piece.run(number, number + 1)
        if len(piece.data) <= SUSPECT_BYTES:
            refused = self._refused_alone(job, refused[0], answer)
        # else: Splunk Cloud answers code 6 to a request over its size limit (ross/logit); the event alone will tell.
        return refused + piece.run(number + 1, piece.events)

    def _refused_alone(self, job: Job, piece: Piece, answer: Answer) -> list[Piece]:
        if answer.meaning.action is Action.REFUSE_FIELDS and not piece.stripped:
            stripped = piece.without_fields()
            if stripped:
                return stripped
        self._reject(job, piece, answer)
        return []

    def _refused_index(self, job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        """The number may be that of the refused event or one more (ross/logit): send both alone."""
        if piece.events == 1:
            if self._shared.templated_index:
                self._attempts.worked(index)
                self._reject(job, piece, answer)
                return []
            self._failed(index, answer)
            return [piece]
        self._gate.retried("partial")
        number = answer.number
        if number is None or number > piece.events:
            return piece.halves()
        suspects = piece.run(number - 1, number) + piece.run(number, number + 1)
        return suspects + piece.run(number + 1, piece.events)

    def _too_large(self, job: Job, piece: Piece, index: int, answer: Answer) -> list[Piece]:
        self._attempts.worked(index)
        if piece.events > 1:
            self._gate.retried("too-large")
            return piece.halves()
        self._reject(job, piece, answer)
        return []

    def _reject(self, job: Job, piece: Piece, answer: Answer) -> None:
        words = self._routes[0].clean(answer.text)
        self._gate.reject(Rejection(job.payload, piece.first, answer.meaning.reason, words))

    # -- failures -------------------------------------------------------------------------------------------------

    def _failed(self, index: int, answer: Answer, meaning: Optional[Meaning] = None) -> None:
        meaning = meaning or answer.meaning
        if meaning.action is Action.HOLD_TOKEN:
            self._shared.tokens.refused()
        text = self._routes[index].clean(answer.text)
        advice = self._routes[index].advice(meaning)
        message = f"{text}; {advice}" if advice else text
        pauses = HOLD if meaning.action in _HOLDS else RETRY
        self._fail(index, Failure(meaning.reason, message, pauses, answer.retry_after_s))

    def _broken(self, index: int, exc: HttpError, least_pause_s: Optional[float] = None) -> None:
        if exc.stale:
            self._gate.retried("stale-connection")
            return
        self._fail(index, Failure(_reason(exc), self._routes[index].explain(exc), retry_after_s=least_pause_s))

    def _fail(self, index: int, failure: Failure) -> None:
        self._attempts.failed(index, self._generation, failure)
        self._gate.retried(failure.reason)

    def _slow_down(self) -> None:
        pause_s = self._slow_until - self._shared.clock()
        if pause_s > 0:
            self._gate.wait(pause_s, "the receiver says that its queue is nearly full")


_NO_ACK_ID = Meaning(
    200,
    Action.HOLD_SETUP,
    "ack-missing",
    "the answer has no ackId: the token does not acknowledge; turn on useACK for it in Splunk, or set "
    "hec.acknowledge = false",
)


def _reason(exc: HttpError) -> str:
    if isinstance(exc, HttpConnectError):
        return "connect"
    if isinstance(exc, HttpTimeout):
        return "timeout"
    return "protocol" if isinstance(exc, HttpProtocolError) else "connection-lost"
