"""Asks the collector which requests are acknowledged, about once a second while any is owed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Optional

from sls_siem.errors import Stopped
from sls_siem.net.http import HttpError
from sls_siem.retry import Backoff
from sls_siem.siem.hec_acks import AckBook, Channel
from sls_siem.siem.hec_answers import Action, Answer
from sls_siem.siem.hec_route import HecShared, Route, TokenMissingError
from sls_siem.siem.output import Gate
from sls_siem.siem.pauses import Pauses

LOG = logging.getLogger(__name__)
INTERVAL_S = 1.0
LONGEST_EXCHANGE_S = 10.0
AFTER_FAILURE = Pauses(Backoff(1.0, 10.0), jitter=False)


class AckPoller:
    """Polls for one lane.

    Args:
        shared: of the output.
        routes: the lane's way to each address.
        book: what is owed.
        gate: told about exchanges.
    """

    def __init__(self, shared: HecShared, routes: Sequence[Route], book: AckBook, gate: Gate) -> None:
        self._shared = shared
        self._routes = routes
        self._book = book
        self._gate = gate
        self._due = [0.0] * len(routes)
        self._failures = [0] * len(routes)
        self._problems = [""] * len(routes)

    def poll(self) -> None:
        """Make the exchange that is due longest, if any, and give up on tokens that waited too long."""
        now = self._shared.clock()
        owing = [index for index in range(len(self._routes)) if self._book.waits_at(index)]
        index = min(owing, key=self._due.__getitem__, default=None)
        if index is not None and self._due[index] <= now:
            self._ask(index, LONGEST_EXCHANGE_S)
        if any(self._due[each] <= now for each in owing if each != index):
            return  # nothing is given up at an address that was not asked before
        expired = self._book.expire()
        if expired:
            LOG.warning("%d requests were not acknowledged in time and are sent again", expired)
            for _ in range(expired):
                self._gate.retried("ack-timeout")

    def next_poll_s(self) -> Optional[float]:
        """Seconds until `poll` has something to do; None when nothing is owed."""
        times = [self._due[index] for index in range(len(self._routes)) if self._book.waits_at(index)]
        expiry = self._book.next_expiry()
        if expiry is not None:
            times.append(expiry)
        return max(0.0, min(times) - self._shared.clock()) if times else None

    def finish(self, deadline_s: float) -> None:
        """Ask until nothing is owed any more or the time is over; never raises."""
        end = self._shared.clock() + deadline_s
        while self._book.waiting():
            left_s = end - self._shared.clock()
            wait_s = self.next_poll_s()
            if wait_s is None or left_s <= 0:
                return
            try:
                if wait_s > 0:
                    self._gate.wait(min(wait_s, left_s), "waiting for the last acknowledgements")
                else:
                    self.poll()
            except Stopped:
                return

    def ask_whether(self, index: int) -> Optional[Answer]:
        """Ask on a channel of its own, to see whether the token acknowledges; None without an answer."""
        route = self._routes[index]
        self._gate.busy(LONGEST_EXCHANGE_S, f"asking {self._shared.rotation.url(index)} whether the token acknowledges")
        try:
            return route.ask_acks([0], Channel().guid, timeout_s=LONGEST_EXCHANGE_S)[0]
        except (HttpError, TokenMissingError):
            return None

    def _ask(self, index: int, longest_s: float) -> None:
        route = self._routes[index]
        timeout_s = min(longest_s, route.timeout_s)
        channel = self._book.channel(index)
        began = self._shared.clock()
        self._due[index] = began + INTERVAL_S
        ids = channel.asked_for()
        if not ids:
            return
        self._gate.busy(timeout_s, f"asking {self._shared.rotation.url(index)} for acknowledgements")
        try:
            answer, told = route.ask_acks(ids, channel.guid, timeout_s=timeout_s)
        except HttpError as exc:
            self._failed(index, route.explain(exc), spent_s=self._shared.clock() - began)
            return
        except TokenMissingError as exc:
            self._failed(index, str(exc))
            return
        if told is None:
            self._refused(index, answer)
            return
        self._failures[index] = 0
        self._problems[index] = ""
        self._book.acknowledged(index, told.intersection(ids))

    def _refused(self, index: int, answer: Answer) -> None:
        if answer.meaning.action is Action.HOLD_TOKEN:
            self._shared.tokens.refused()
        route = self._routes[index]
        advice = route.advice(answer.meaning)
        self._failed(index, route.clean(answer.text) + (f"; {advice}" if advice else ""))

    def _failed(self, index: int, problem: str, *, spent_s: float = 0.0) -> None:
        self._failures[index] += 1
        pause_s = AFTER_FAILURE.pause_s(self._failures[index], self._shared.random)
        least_s = self._shared.rotation.least_pause_s(index, spent_s)
        self._due[index] = self._shared.clock() + max(pause_s, least_s)
        if not self._problems[index]:
            LOG.warning("%s: asking for acknowledgements fails: %s", self._shared.rotation.url(index), problem)
        self._problems[index] = problem
