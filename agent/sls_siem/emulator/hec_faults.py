"""Faults that a HEC emulator commits on demand: which request is struck, and a record of each strike.

The plan only decides and remembers; `hec_connection` commits the fault. Kinds, and whether the request's events are
stored unless `stored` says otherwise:

=====================  ======  =====================================================================================
kind                   stored  what happens
=====================  ======  =====================================================================================
answer                 by code the answer `code`/`status`/`text`/`invalid_event_number`/`retry_after_s`/`location`
reset_in_body          no      RST after `at_bytes` bytes of the body
reset_before           no      the whole request is read, then RST
close_before           no      the whole request is read, then FIN without an answer
reset_after            yes     RST instead of the answer
close_after            yes     FIN instead of the answer
close_keep_alive       yes     the whole answer, then FIN although nothing announced it
truncated              yes     half of the answer's body, then FIN
garbage                yes     200 with a body that is no JSON (`body`)
html                   no      an HTML page, status 502 unless `status`
slow_body              yes     the body is read at `bytes_per_s`; 0 does not read it at all until `delay_s` is over
slow_answer            yes     the answer comes after `delay_s`, and at `bytes_per_s` when that is set
black_hole             no      the request is read and never answered, at most `delay_s` (default 600)
ack_never              yes     an ackId that never becomes true
ack_late               yes     an ackId that becomes true `delay_s` later than usual
=====================  ======  =====================================================================================

An acknowledgement "lost after true" is `reset_after` with `endpoint="ack"`.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from dataclasses import dataclass
from typing import Optional

from sls_siem.emulator.store import now_s

KINDS = frozenset(
    {
        "answer",
        "reset_in_body",
        "reset_before",
        "close_before",
        "reset_after",
        "close_after",
        "close_keep_alive",
        "truncated",
        "garbage",
        "html",
        "slow_body",
        "slow_answer",
        "black_hole",
        "ack_never",
        "ack_late",
    }
)
ENDPOINTS = frozenset({"event", "raw", "ack", "health", "any"})
_NOT_STORED = frozenset({"reset_in_body", "reset_before", "close_before", "html", "black_hole"})


@dataclass(frozen=True)
class Fault:
    """One kind of trouble and when it strikes; without `count` and `for_s` it strikes until it is cleared.

    Args:
        kind: see the module.
        endpoint: "event", "raw", "ack", "health" or "any".
        count: strikes the next so many requests to the endpoint.
        skip: lets so many of them pass first.
        for_s: strikes for so long, from now on.
        probability: strikes each of them with this probability.
        seed: of the random source behind `probability`.
        stored: whether the struck request's events are stored; None as the table says.
        code: HEC code of `answer`; None for an answer with `status` and an HTML body.
        status: HTTP status; None as the code has it.
        text: text of `answer` instead of the table's.
        invalid_event_number: `answer` names this object; the ones before the refused one are stored. Cut to the last
            object of the request.
        at_fraction: names the object at this fraction (0 to 1) of the request instead.
        sticky: the object so named is refused with `code` for ever (`poison`).
        retry_after_s: `Retry-After`.
        location: `Location`, for a redirect.
        body: of `garbage`, `html` and an `answer` without code.
        delay_s: seconds, see the module; `answer` waits so long before it answers.
        bytes_per_s: see the module.
        at_bytes: of `reset_in_body`.
    """

    kind: str
    endpoint: str = "event"
    count: Optional[int] = None
    skip: int = 0
    for_s: Optional[float] = None
    probability: float = 1.0
    seed: int = 0
    stored: Optional[bool] = None
    code: Optional[int] = None
    status: Optional[int] = None
    text: Optional[str] = None
    invalid_event_number: Optional[int] = None
    at_fraction: Optional[float] = None
    sticky: bool = False
    retry_after_s: Optional[float] = None
    location: Optional[str] = None
    body: Optional[str] = None
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    at_bytes: int = 1

    def __post_init__(self) -> None:
        """Refuse a kind or endpoint that does not exist.

        Raises:
            ValueError: it does not.
        """
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind!r}; there are {', '.join(sorted(KINDS))}")
        if self.endpoint not in ENDPOINTS:
            raise ValueError(f"no such endpoint: {self.endpoint!r}; there are {', '.join(sorted(ENDPOINTS))}")

    @property
    def stores(self) -> bool:
        """Whether a struck request that is otherwise good is stored."""
        return self.kind not in _NOT_STORED if self.stored is None else self.stored

    @property
    def names_object(self) -> bool:
        """Whether the answer names one object of the request."""
        return self.invalid_event_number is not None or self.at_fraction is not None


@dataclass(frozen=True)
class Strike:
    """One time that a fault struck.

    Args:
        fault: number that `add` gave.
        kind: the fault's.
        at_s: CLOCK_BOOTTIME.
        request: number of the struck request.
        endpoint: "event", "raw", "ack" or "health".
    """

    fault: int
    kind: str
    at_s: float
    request: int
    endpoint: str


class _Armed:
    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.left = fault.count
        self.skip = fault.skip
        self.until_s = None if fault.for_s is None else now_s() + fault.for_s
        self.random = random.Random(fault.seed)

    def over(self) -> bool:
        return self.left == 0 or (self.until_s is not None and now_s() >= self.until_s)

    def strikes(self, endpoint: str) -> bool:
        if self.fault.endpoint not in ("any", endpoint) or self.over():
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.fault.probability < 1 and self.random.random() >= self.fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class FaultPlan:
    """All faults of one emulator, thread-safe; the first added that fits a request strikes it, alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._armed: list[_Armed] = []
        self._strikes: deque[Strike] = deque(maxlen=100_000)

    def add(self, fault: Fault) -> int:
        """Arm a fault; returns its number."""
        with self._lock:
            armed = _Armed(next(self._numbers), fault)
            self._armed.append(armed)
            return armed.number

    def clear(self, number: Optional[int] = None) -> None:
        """Disarm one fault, or all."""
        with self._lock:
            self._armed = [armed for armed in self._armed if number is not None and armed.number != number]

    def active(self) -> dict[int, Fault]:
        """Tell the faults that may still strike, by number."""
        with self._lock:
            return {armed.number: armed.fault for armed in self._armed if not armed.over()}

    def pick(self, endpoint: str, request: int) -> Optional[Fault]:
        """Decide what strikes this request; None for nothing."""
        with self._lock:
            for armed in self._armed:
                if armed.strikes(endpoint):
                    strike = Strike(armed.number, armed.fault.kind, now_s(), request, endpoint)
                    self._strikes.append(strike)
                    return armed.fault
        return None

    def strikes(self) -> list[Strike]:
        """List what struck, oldest first (the newest 100,000)."""
        with self._lock:
            return list(self._strikes)
