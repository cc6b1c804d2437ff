"""Cuts the body of a HEC request into the events that are still to be sent, after an answer that took only some.

A payload's events stand one to a line (JSON needs no raw line end). Slow path: a body that is taken is never cut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sls_siem.codec.model import Payload


@dataclass(frozen=True)
class Piece:
    """A run of a payload's events.

    Args:
        data: the events, one to a line.
        first: place of the first one in the payload, counted from 0.
        events: number of events.
        stripped: `fields` was taken out.
    """

    data: bytes
    first: int
    events: int
    stripped: bool = False

    def run(self, start: int, end: int) -> list[Piece]:
        """Take the events from `start` up to `end`, counted in this piece; no piece when there are none."""
        start, end = max(start, 0), min(end, self.events)
        if start >= end:
            return []
        lines = _lines(self.data)[start:end]
        return [Piece(b"\n".join(lines) + b"\n", self.first + start, end - start, self.stripped)]

    def halves(self) -> list[Piece]:
        """Cut in the middle; needs two events or more."""
        middle = self.events // 2
        return [*self.run(0, middle), *self.run(middle, self.events)]

    def without_fields(self) -> list[Piece]:
        """Take the member `fields` out of a single event; no piece when it has none."""
        data = _without_member(self.data, "fields")
        return [] if data == self.data else [Piece(data, self.first, self.events, stripped=True)]


def whole(payload: Payload) -> Piece:
    """Take all events of a payload."""
    return Piece(payload.data, 0, payload.events)


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line]


def _without_member(data: bytes, name: str) -> bytes:
    """Cut a member out of a JSON object and leave every other byte as it is (decoding would change numbers)."""
    text = data.decode("utf-8", "surrogateescape")
    for start, end, key in _members(text):
        if key == name:
            before, after = text[:start].rstrip(), text[end:].lstrip()
            if before.endswith(","):
                before = before[:-1]
            elif after.startswith(","):
                after = after[1:]
            return (before + after).encode("utf-8", "surrogateescape")
    return data


def _members(text: str) -> list[tuple[int, int, str]]:
    """Find the members of the outermost object as (start of the name, end of the value, name)."""
    decoder = json.JSONDecoder()
    found: list[tuple[int, int, str]] = []
    place = text.find("{") + 1
    try:
        while place and _skip(text, place) < len(text) and text[_skip(text, place)] == '"':
            start = _skip(text, place)
            key, place = decoder.raw_decode(text, start)
            colon = _skip(text, place)
            if text[colon : colon + 1] != ":":
                break
            _, place = decoder.raw_decode(text, _skip(text, colon + 1))
            found.append((start, place, str(key)))
            place = _skip(text, place)
            place = place + 1 if text[place : place + 1] == "," else 0
    except (ValueError, RecursionError):
        return []
    return found


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\t", "\r", "\n"):
        place += 1
    return place
