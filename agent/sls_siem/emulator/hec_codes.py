"""The answers of Splunk's HTTP Event Collector: code, HTTP status, text, and how a body is laid out.

Sources: codes 0 to 22 from the reply-code lookup of gjanders/SplunkAdmins; 23 to 27 from Splunk, "Troubleshoot HTTP
Event Collector"; 28 as recorded against Splunk Cloud 10.5 (ross/logit). Nothing here knows sockets or stored events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Optional

STATUS: dict[int, tuple[int, str]] = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
    16: (400, "Query string authorization is not enabled"),
    17: (200, "HEC is healthy"),
    18: (503, "HEC is unhealthy, queues are full"),
    19: (503, "HEC is unhealthy, ack service unavailable"),
    20: (503, "HEC is unhealthy, queues are full, ack service unavailable"),
    21: (400, "Invalid token"),
    22: (400, "Token disabled"),
    23: (503, "Server is shutting down"),
    24: (200, "HEC queue is approaching its capacity limit"),
    25: (200, "HEC ACK is approaching its capacity limit"),
    26: (429, "HEC queue is at capacity and cannot process any more requests"),
    27: (429, "HEC ACK channel is at capacity and cannot process any more requests"),
    28: (400, "Data channel is missing, sticky load balancing is required"),
}
NUMBERED = frozenset({6, 7, 12, 13, 15})
"""Codes that refuse one object and come with `invalid-event-number`."""

ACCEPTED = frozenset({0, 24, 25})
"""Codes of a 200 that took the whole request."""

NOT_FOUND_TEXT = "The requested URL was not found on this server."


@dataclass(frozen=True)
class Answer:
    """One HTTP answer.

    Args:
        status: HTTP status.
        body: its bytes.
        headers: besides Content-Length, Connection, Date and Server.
        code: HEC code, -1 where the body has none.
        stored: number of events taken with the request.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int = -1
    stored: int = 0


def hec_answer(
    code: int,
    *,
    number: Optional[int] = None,
    ack_id: Optional[int] = None,
    status: Optional[int] = None,
    text: Optional[str] = None,
    retry_after_s: Optional[float] = None,
    stored: int = 0,
) -> Answer:
    """Make the answer of a code.

    Args:
        code: one of `STATUS`; any other needs `status`.
        number: `invalid-event-number`.
        ack_id: `ackId`.
        status: HTTP status instead of the table's.
        text: text instead of the table's.
        retry_after_s: `Retry-After` in seconds.
        stored: see `Answer`.
    """
    known_status, known_text = STATUS.get(code, (500, "Internal server error"))
    body: dict[str, object] = {"text": known_text if text is None else text, "code": code}
    if number is not None:
        body["invalid-event-number"] = number
    if ack_id is not None:
        body["ackId"] = ack_id
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    if retry_after_s is not None:
        headers["Retry-After"] = f"{retry_after_s:g}"
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Answer(known_status if status is None else status, encoded, headers, code, stored)


def json_answer(status: int, value: object) -> Answer:
    """Make an answer that is not of the table, such as that of `/ack`."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=UTF-8"})


def html_answer(status: int, title: str, text: str) -> Answer:
    """Make a page as the web server in front of HEC, or a load balancer, sends it."""
    head = f"<head><title>{status} {title}</title></head>"
    page = f"<!doctype html><html>{head}<body><h1>{title}</h1><p>{text}</p></body></html>"
    return Answer(status, page.encode(), {"Content-Type": "text/html; charset=UTF-8"})


def not_found(status: int = 404) -> Answer:
    """Answer to an unknown path (404) or a wrong method (405); the body's code is 404 for both."""
    return hec_answer(404, status=status, text=NOT_FOUND_TEXT)
