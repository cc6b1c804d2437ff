"""Faults on demand: which calls they strike, how often, and when they struck.

This module decides; `service` carries out. Every fault that matches a call strikes it, in the order of adding.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

CALLS = (
    "any", "pull", "heartbeat", "save_checkpoint", "get_checkpoint", "cursor", "cursor_time", "list_shards",
    "get_logstore", "list_logstores", "list_groups", "create_group", "update_group", "delete_group", "put_logs",
    "split_shard", "merge_shard", "unknown",
)  # fmt: skip
ACTIONS = (
    "status",  # answer `status` with `code` and `message` (or `body`, a page that is no JSON), nothing is executed
    "delay",  # wait `seconds`, then go on
    "reset",  # reset the connection before anything is executed
    "black_hole",  # never answer
    "lost_answer",  # execute, then reset the connection
    "reset_mid_body",  # half the answer, then a reset
    "truncate",  # half the answer, then an ordinary end of the connection
    "shorten",  # half the body with a Content-Length that fits
    "corrupt",  # flip bytes in the middle of the body
    "garble",  # a body of the same length that no decompressor takes
    "rawsize",  # add `amount` to x-log-bodyrawsize
    "count",  # add `amount` to x-log-count
    "drop_header",  # leave out the header `header`
    "set_header",  # send the header `header` with the value `value`
    "date_skew",  # move the Date header by `seconds`
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """What a request asks for, as far as faults can tell calls apart."""

    kind: str
    logstore: str = ""
    shard: Optional[int] = None
    group: str = ""
    consumer: str = ""


@dataclass
class Fault:
    """A fault, and what it did.

    Args:
        action: one of `ACTIONS`.
        call: one of `CALLS`.
        shard: only calls on this shard; None means any.
        consumer: only calls that name this consumer: heartbeats and saves (a pull names none).
        logstore: only calls on the logstore of this name.
        times: strikes at most so often; None means without end.
        skip: lets so many matching calls pass first.
        for_s: strikes for so many seconds from its adding; None means without end.
        probability: strikes that share of the calls, by `seed`.
        seed: of the choice by probability and of the bytes that `corrupt` flips.
        status: of the action `status`.
        code: `errorCode` of the action `status`.
        message: `errorMessage` of the action `status`.
        body: a whole body instead of code and message, such as a proxy's error page.
        seconds: of `delay` and `date_skew`.
        amount: of `rawsize` and `count`.
        header: of `drop_header` and `set_header`, in the spelling of the wire.
        value: of `set_header`.
        struck: when it struck, `time.monotonic()`.
    """

    action: str
    call: str = "any"
    shard: Optional[int] = None
    consumer: Optional[str] = None
    logstore: Optional[str] = None
    times: Optional[int] = None
    skip: int = 0
    for_s: Optional[float] = None
    probability: float = 1.0
    seed: int = 0
    status: int = 500
    code: str = "InternalServerError"
    message: str = "a fault asked for it"
    body: Optional[str] = None
    seconds: float = 0.0
    amount: int = 1
    header: str = ""
    value: str = ""
    number: int = 0
    added: float = 0.0
    struck: list[float] = field(default_factory=list)
    struck_calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS or self.call not in CALLS:
            raise ValueError(f"no fault has action {self.action!r} and call {self.call!r}")
        self.random = random.Random(self.seed)

    def concerns(self, call: Call) -> bool:
        return (
            self.call in ("any", call.kind)
            and self.shard in (None, call.shard)
            and self.consumer in (None, call.consumer)
            and self.logstore in (None, call.logstore)
        )


class FaultPlan:
    """The faults in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: dict[int, Fault] = {}

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force and return it, with its number."""
        with self._lock:
            fault.number = next(self._numbers)
            fault.added = time.monotonic()
            self._faults[fault.number] = fault
        return fault

    def remove(self, fault: Fault) -> None:
        with self._lock:
            self._faults.pop(fault.number, None)

    def clear(self) -> None:
        """Lift all faults; those added know for ever when they struck."""
        with self._lock:
            self._faults.clear()

    def all(self) -> Sequence[Fault]:
        with self._lock:
            return tuple(self._faults.values())

    def strike(self, call: Call) -> Sequence[Fault]:
        """Choose the faults that strike this call, and note that they did."""
        if not self._faults:
            return ()
        now = time.monotonic()
        with self._lock:
            return [fault for fault in self._faults.values() if fault.concerns(call) and _strikes(fault, call, now)]


def _strikes(fault: Fault, call: Call, now: float) -> bool:
    if fault.times is not None and len(fault.struck) >= fault.times:
        return False
    if fault.for_s is not None and now - fault.added > fault.for_s:
        return False
    if fault.skip > 0:
        fault.skip -= 1
        return False
    if fault.probability < 1.0 and fault.random.random() >= fault.probability:
        return False
    fault.struck.append(now)
    fault.struck_calls.append(call)
    return True
