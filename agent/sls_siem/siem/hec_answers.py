"""What an answer of HEC means: the table of codes and HTTP statuses, and the strict reading of a body.

Pure: it decides, the lane acts. Sources: Splunk, "Troubleshoot HTTP Event Collector", possible error codes; codes 0 to
22 also from gjanders/SplunkAdmins; what is stored on a partial accept from recordings of ross/logit.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Optional

from sls_siem.retry import parse_retry_after

ANSWER_TEXT = 200
LONGEST_RETRY_AFTER_S = 3600.0
SHORT_BODY_BYTES = 256
RELOAD_COMMAND = "systemctl reload 'sls-siem@*'"
_ITS_FILE = "{token_file}"
_RELOAD = f"put the right token into {_ITS_FILE}, then: {RELOAD_COMMAND}"


class Action(enum.Enum):
    """What a lane does about an answer."""

    ACCEPT = "everything is taken"
    ACCEPT_AND_SLOW_DOWN = "everything is taken; the receiver is nearly full"
    HEALTHY = "the answer of the health page"
    RETRY = "send again after a pause, at another address if there is one"
    RESUME = "as RETRY, from the event it names if it names one"
    HOLD_TOKEN = "hold, reading the token anew"  # noqa: S105 - an action
    HOLD_SETUP = "hold until somebody repairs the configuration of either side"
    EMPTY = "the request held no event"
    REFUSE_EVENT = "events before the named one are taken, that one never will be"
    REFUSE_FIELDS = "likewise; worth one more try without `fields`"
    REFUSE_INDEX = "likewise, but the number may be one too high"
    SPLIT = "too large: send in halves"


@dataclass(frozen=True)
class Meaning:
    """One row of the table.

    Args:
        status: HTTP status that comes with it.
        action: what to do.
        reason: short fixed word for metrics.
        advice: what the operator can do; empty when nothing. `advice_for` puts the token's file into it.
    """

    status: int
    action: Action
    reason: str
    advice: str = ""

    def advice_for(self, token_file: str) -> str:
        """Give the advice to an operator whose HEC token is in that file."""
        return self.advice.replace(_ITS_FILE, token_file)


_CHANNEL = "what is in between removes X-Splunk-Request-Channel, or is not sticky: let it pass the header and cookies"
_NO_ACK = "the token has no indexer acknowledgement: turn on useACK for it in Splunk, or set hec.acknowledge = false"
_INDEX = "the index does not exist or the token may not write to it: create or allow it in Splunk, or change hec.index"

CODES: Mapping[int, Meaning] = {
    0: Meaning(200, Action.ACCEPT, "ok"),
    1: Meaning(403, Action.HOLD_TOKEN, "token", f"enable the token in Splunk, or {_RELOAD}"),
    2: Meaning(401, Action.HOLD_TOKEN, "token", _RELOAD),
    3: Meaning(401, Action.HOLD_TOKEN, "token", _RELOAD),
    4: Meaning(403, Action.HOLD_TOKEN, "token", _RELOAD),
    5: Meaning(400, Action.EMPTY, "no-data", "something in between removes the body of the request"),
    6: Meaning(400, Action.REFUSE_EVENT, "invalid-event"),
    7: Meaning(400, Action.REFUSE_INDEX, "incorrect-index", _INDEX),
    8: Meaning(500, Action.RETRY, "server-error"),
    9: Meaning(503, Action.RESUME, "busy"),
    10: Meaning(400, Action.HOLD_SETUP, "channel", _CHANNEL),
    11: Meaning(400, Action.HOLD_SETUP, "channel", _CHANNEL),
    12: Meaning(400, Action.REFUSE_EVENT, "invalid-event"),
    13: Meaning(400, Action.REFUSE_EVENT, "blank-event"),
    14: Meaning(400, Action.HOLD_SETUP, "ack-disabled", _NO_ACK),
    15: Meaning(400, Action.REFUSE_FIELDS, "invalid-fields"),
    16: Meaning(400, Action.HOLD_TOKEN, "token", f"the Authorization header gets lost on the way, or {_RELOAD}"),
    17: Meaning(200, Action.HEALTHY, "health", "a request for events was answered with the health page"),
    18: Meaning(503, Action.RETRY, "unhealthy"),
    19: Meaning(503, Action.RETRY, "unhealthy"),
    20: Meaning(503, Action.RETRY, "unhealthy"),
    21: Meaning(400, Action.HOLD_TOKEN, "token", _RELOAD),
    22: Meaning(400, Action.HOLD_TOKEN, "token", f"enable the token in Splunk, or {_RELOAD}"),
    23: Meaning(503, Action.RETRY, "shutting-down"),
    24: Meaning(200, Action.ACCEPT_AND_SLOW_DOWN, "nearly-full"),
    25: Meaning(200, Action.ACCEPT_AND_SLOW_DOWN, "nearly-full"),
    26: Meaning(429, Action.RETRY, "throttled"),
    27: Meaning(429, Action.RETRY, "throttled"),
    28: Meaning(400, Action.HOLD_SETUP, "channel", _CHANNEL),
}
"""Every code that HEC is known to answer with."""

_NOT_HEC = "is this the address of an HTTP Event Collector?"
STATUSES: Mapping[int, Meaning] = {
    401: Meaning(401, Action.HOLD_TOKEN, "token", _RELOAD),
    403: Meaning(403, Action.HOLD_TOKEN, "token", _RELOAD),
    404: Meaning(404, Action.HOLD_SETUP, "not-hec", _NOT_HEC),
    405: Meaning(405, Action.HOLD_SETUP, "not-hec", _NOT_HEC),
    407: Meaning(407, Action.HOLD_SETUP, "not-hec", "a proxy wants a password: let the SIEM's address go around it"),
    408: Meaning(408, Action.RETRY, "timeout"),
    413: Meaning(413, Action.SPLIT, "too-large"),
    415: Meaning(415, Action.HOLD_SETUP, "encoding", "the receiver takes no gzip: set hec.gzip = false"),
    429: Meaning(429, Action.RETRY, "throttled"),
}
"""What an HTTP status means without a code of the table, as from a load balancer."""

_REDIRECT = Meaning(300, Action.HOLD_SETUP, "redirect", "not followed: put the address it leads to into hec.urls")
_SERVER_ERROR = Meaning(500, Action.RETRY, "server-error")
_UNKNOWN = Meaning(400, Action.HOLD_SETUP, "not-hec", _NOT_HEC)


@dataclass(frozen=True)
class Answer:
    """One answer, read and judged.

    Args:
        status: HTTP status.
        code: HEC code; None when the body has none.
        words: the receiver's own, of whatever length and form.
        number: `invalid-event-number`, when it is a natural number.
        ack_id: `ackId`, likewise; 0 is a good one.
        retry_after_s: `Retry-After`, in seconds.
        meaning: what to do about it.
    """

    status: int
    code: Optional[int]
    words: str
    number: Optional[int]
    ack_id: Optional[int]
    retry_after_s: Optional[float]
    meaning: Meaning

    @property
    def text(self) -> str:
        """Status, code and the receiver's words, bounded and free of control characters."""
        label = f"HTTP {self.status}" if self.code is None else f"HTTP {self.status}, code {self.code}"
        words = printable(self.words)
        return f"{label}: {words}" if words else label


def read_answer(status: int, headers: Mapping[str, str], body: bytes, wall_time: float) -> Answer:
    """Read an answer to a request for events, for health or for acknowledgements; never raises.

    Args:
        status: HTTP status.
        headers: names in lower case.
        body: whole body, of whatever form.
        wall_time: epoch seconds now, for a `Retry-After` that is a date.
    """
    judge = _judge if len(body) <= SHORT_BODY_BYTES else _judge.__wrapped__
    answer = judge(status, body)
    after_s = parse_retry_after(headers.get("retry-after"), clock=lambda: wall_time, longest_s=LONGEST_RETRY_AFTER_S)
    return answer if after_s is None else replace(answer, retry_after_s=after_s)


@lru_cache(maxsize=64)  # without acknowledgement, every acceptance has the same body
def _judge(status: int, body: bytes) -> Answer:
    members = read_object(body)
    code = _natural(members.get("code"))
    text = members.get("text")
    words = text if isinstance(text, str) else body.decode("utf-8", "replace") if code is None else ""
    return Answer(
        status=status,
        code=code,
        words=words,
        number=_natural(members.get("invalid-event-number")),
        ack_id=_natural(members.get("ackId")),
        retry_after_s=None,
        meaning=meaning_of(status, code),
    )


def meaning_of(status: int, code: Optional[int]) -> Meaning:
    """Look an answer up: by its code, unless the HTTP status contradicts an acceptance."""
    row = CODES.get(code) if code is not None else None
    if row is not None and (status == 200 or row.status != 200):
        return row
    if row is None and status == 200 and code is not None:
        # A later Splunk's code. 200 is an acceptance as 24 and 25 are; to resend for ever would only make duplicates.
        return CODES[24]
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return _REDIRECT
    return _SERVER_ERROR if status >= 500 else _UNKNOWN


def read_object(body: bytes) -> Mapping[str, object]:
    """Read a JSON object; empty when the bytes are none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def printable(text: str, limit: int = ANSWER_TEXT) -> str:
    """Bound a foreign text and take out what could forge a log line or reach a terminal."""
    cleaned = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    return re.sub(r" {2,}", " ", cleaned).strip()[:limit]


def _natural(value: object) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
