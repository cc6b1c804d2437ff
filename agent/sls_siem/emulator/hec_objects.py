"""Read the body of an event request the way the collector does: object by object, up to the first one it refuses.

The rules and their traps are those recorded against a real Splunk (Enterprise 10.4.3, Cloud 10.5; ross/logit,
tools/splunk-interop). This module is pure: bytes in, verdict out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Optional, Union

ENVELOPE_KEYS = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})
_TEXT_KEYS = ("host", "source", "sourcetype", "index")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class IndexRule:
    """Which indexes a token may write to.

    Args:
        allowed: names; empty allows every one.
        ahead: code 7 names the object so many places after the refused one.
    """

    allowed: tuple[str, ...] = ()
    ahead: int = 1


@dataclass
class Reading:
    """What became of a body.

    Args:
        events: (id, exact bytes) of each object taken, in order.
        code: 0, or the code that refuses the rest.
        number: `invalid-event-number`, where the code has one.
        refused_at: place of the refused object, counted from 0.
        skipped: objects with `fields` and without `event`: taken by the answer, stored nowhere.
        trapped: the rest of the body was dropped behind a 200 because of an unknown envelope key.
        objects: number of objects looked at.
    """

    events: list[tuple[str, bytes]] = field(default_factory=list)
    code: int = 0
    number: Optional[int] = None
    refused_at: Optional[int] = None
    skipped: int = 0
    trapped: bool = False
    objects: int = 0


def read_objects(body: Union[bytes, bytearray, memoryview], rule: IndexRule, poison: Mapping[str, int]) -> Reading:
    """Take objects from the front of a body until its end or the first that is refused.

    Args:
        body: JSON objects back to back, white space between them allowed.
        rule: the token's indexes.
        poison: event id → code with which that event is refused whenever it comes.
    """
    text = _text(body)
    reading = Reading()
    place = _skip_space(text, 0)
    whole = _bytes_of(text) == len(body)
    if whole and place == len(text):
        reading.code = 5
    while place < len(text) and not reading.code and not reading.trapped:
        place = _take(text, place, reading, rule=rule, poison=poison)
    if not whole and not reading.code and not reading.trapped:
        _refuse(reading, 6)
    return reading


def read_raw(content: bytes) -> Reading:
    """Read the body of a raw request: one event per line, no ids."""
    if not content.strip():
        return Reading(code=5)
    return Reading(events=[("", line) for line in content.splitlines() if line.strip()])


def _text(body: Union[bytes, bytearray, memoryview]) -> str:
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError as exc:
        # What stands before the broken byte is still read object by object.
        return str(memoryview(body)[: exc.start], "utf-8")


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _take(text: str, place: int, reading: Reading, *, rule: IndexRule, poison: Mapping[str, int]) -> int:
    try:
        value, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        _refuse(reading, 6)
        return place
    if not isinstance(value, dict):
        _refuse(reading, 6)
        return place
    if not value.keys() <= ENVELOPE_KEYS:
        reading.trapped = True
        return place
    event_id = find_id(value)
    code = poison.get(event_id, 0) or object_code(value, rule)
    if code:
        _refuse(reading, code, ahead=rule.ahead)
        return place
    if "event" in value:
        reading.events.append((event_id, text[place:end].encode("utf-8")))
    else:
        reading.skipped += 1
    reading.objects += 1
    return _skip_space(text, end)


def _refuse(reading: Reading, code: int, *, ahead: int = 1) -> None:
    reading.code = code
    reading.refused_at = reading.objects
    reading.number = reading.objects + (ahead if code == 7 else 0)


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def object_code(value: Mapping[str, object], rule: IndexRule) -> int:
    """Judge one object with known keys: 0, or the code that refuses it."""
    if "event" not in value or value["event"] is None:
        return 0 if "fields" in value and "event" not in value else 12
    if value["event"] == "":
        return 13
    if any(key in value and not isinstance(value[key], str) for key in _TEXT_KEYS):
        return 6
    if "time" in value and not _is_time(value["time"]):
        return 6
    if "fields" in value and not _is_flat(value["fields"]):
        return 15
    if rule.allowed and "index" in value and value["index"] not in rule.allowed:
        return 7
    return 0


def _is_time(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_flat(value: object) -> bool:
    """Whether `fields` is one object of strings, numbers, booleans, or lists of strings."""
    if not isinstance(value, dict):
        return False
    return all(
        isinstance(item, (str, int, float)) or (isinstance(item, list) and all(isinstance(part, str) for part in item))
        for item in value.values()
    )


def find_id(value: Mapping[str, object]) -> str:
    """Find the event's id: `fields.sls_id`, else `event.sls_id`, else ""."""
    for key in ("fields", "event"):
        holder = value.get(key)
        if isinstance(holder, dict) and isinstance(holder.get("sls_id"), str):
            return str(holder["sls_id"])
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
