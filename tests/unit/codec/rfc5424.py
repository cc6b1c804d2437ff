"""A strict parser of RFC 5424, section 6, written from its grammar; refuses what the grammar does not allow."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    pri: int
    timestamp: str
    hostname: str
    app_name: str
    procid: str
    msgid: str
    data: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    text: bytes


_HEADER = re.compile(
    rb"<(0|[1-9][0-9]{0,2})>"
    rb"([1-9][0-9]{0,2}) "
    rb"(-|[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    rb"(?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_NAME = rb"[!#-<>-\\^-~]{1,32}"  # PRINTUSASCII but '=', SP, ']' and '"'
_ELEMENT = re.compile(rb"\[(" + _NAME + rb")((?: " + _NAME + rb'="(?:[^"\\\]]|\\["\\\]])*")*)\]')
_PARAM = re.compile(rb" (" + _NAME + rb')="((?:[^"\\\]]|\\["\\\]])*)"')


def parse(frame: bytes) -> Message:
    header = _HEADER.match(frame)
    assert header, frame
    pri = int(header.group(1))
    assert pri <= 191
    assert header.group(2) == b"1"
    place = header.end()
    data = []
    if frame[place : place + 1] == b"-":
        place += 1
    else:
        while element := _ELEMENT.match(frame, place):
            params = tuple(
                (name.decode(), re.sub(rb"\\(.)", rb"\1", value).decode())
                for name, value in _PARAM.findall(element.group(2))
            )
            data.append((element.group(1).decode(), params))
            place = element.end()
        assert data, frame
    assert frame[place : place + 1] in (b"", b" ")
    words = [word.decode("ascii") for word in header.groups()[2:]]
    return Message(pri, *words, tuple(data), frame[place + 1 :])
