"""Parse one syslog frame as strictly as RFC 5424 and RFC 3164 are written, so that a test sees what a lenient
receiver would swallow.

Sources: https://www.rfc-editor.org/rfc/rfc5424 section 6, https://www.rfc-editor.org/rfc/rfc3164 section 4. Pure: bytes
in, fields out. Two deliberate choices: a backslash in a parameter value that escapes nothing is refused (the RFC lets a
receiver tolerate it, a sender may not write it), and the TAG of RFC 3164 may have any printable character up to `:` or
`[` unless `strict_tag`.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from typing import NamedTuple

_PRI = re.compile(rb"<(0|[1-9][0-9]{0,2})>")
_TIMESTAMP = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,6})?(Z|[+-]([0-9]{2}):([0-9]{2}))"
)
_NAME = rb"[!#-<>-\\^-~]{1,32}"
_VALUE = rb'[^"\\\]]*(?:\\["\\\]][^"\\\]]*)*'
_PARAM = re.compile(rb" (" + _NAME + rb')="(' + _VALUE + rb')"')
_ELEMENT = re.compile(rb"\[(" + _NAME + rb")((?: " + _NAME + rb'="' + _VALUE + rb'")*)\]')
_ESCAPED = re.compile(r'\\(["\\\]])')
_PRIVATE_ID = re.compile(r"[^@]+@[0-9]+(?:\.[0-9]+)*")
_REGISTERED = frozenset({"timeQuality", "origin", "meta"})
_BOM = b"\xef\xbb\xbf"
_HEADER_FIELDS = (("HOSTNAME", 255), ("APP-NAME", 48), ("PROCID", 128), ("MSGID", 32))

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_STAMP_3164 = re.compile(rb"([A-Z][a-z]{2}) ( [1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]) ")
_HOST_3164 = re.compile(rb"([!-~]+) ")
_TAG_3164 = re.compile(rb"([!-9;-Z\\-~]+)(?:\[([!-Z\\^-~]*)\])?: ?")
_STRICT_TAG_3164 = re.compile(rb"([A-Za-z0-9]{1,32})(?:\[([!-Z\\^-~]*)\])?: ?")

Element = tuple[str, tuple[tuple[str, str], ...]]
"""SD-ID and its parameters, unescaped, in order."""


class SyslogFormatError(ValueError):
    """The frame breaks the RFC; the message says where."""


class SyslogMessage(NamedTuple):
    """The fields of one message; header fields as sent, so that an absent one is "-".

    Args:
        rfc: 5424 or 3164.
        facility: 0 to 23.
        severity: 0 to 7.
        timestamp: as sent.
        hostname: HOSTNAME.
        app_name: APP-NAME; of RFC 3164 the TAG.
        procid: PROCID; of RFC 3164 what stands in brackets behind the TAG, "-" when nothing does.
        msgid: MSGID; "-" for RFC 3164.
        structured_data: empty for "-".
        msg: the message's bytes without BOM; b"" when there is none.
        bom: whether MSG began with one.
    """

    rfc: int
    facility: int
    severity: int
    timestamp: str
    hostname: str
    app_name: str
    procid: str
    msgid: str
    structured_data: tuple[Element, ...]
    msg: bytes
    bom: bool = False

    def param(self, name: str, sd_id: str = "") -> str:
        """Find a parameter's value, in any element unless `sd_id` names one; "" when there is none."""
        for element, params in self.structured_data:
            if sd_id in ("", element):
                for key, value in params:
                    if key == name:
                        return value
        return ""


def parse(frame: bytes, rfc: str = "auto", *, strict_tag: bool = False) -> SyslogMessage:
    """Parse a frame without its framing.

    Args:
        frame: from `<` on.
        rfc: "5424", "3164", or "auto": 5424 when a version follows the PRI.
        strict_tag: see `parse_rfc3164`.

    Raises:
        SyslogFormatError: it breaks the RFC.
    """
    if rfc == "5424" or (rfc == "auto" and re.match(rb"<[0-9]{1,3}>[0-9]+ ", frame)):
        return parse_rfc5424(frame)
    return parse_rfc3164(frame, strict_tag=strict_tag)


def parse_rfc5424(frame: bytes) -> SyslogMessage:
    """Parse a frame of RFC 5424.

    Raises:
        SyslogFormatError: it breaks the RFC.
    """
    words = frame.split(b" ", 6)
    if len(words) < 7:
        raise SyslogFormatError(f"{len(words)} header fields, 7 expected: {frame[:100]!r}")
    facility, severity, timestamp, hostname, app_name, procid, msgid = _header(*words[:6])
    data, msg = _structured_data(words[6])
    bom = msg.startswith(_BOM)
    if bom:
        _text(msg, "MSG with BOM")
    return SyslogMessage(
        rfc=5424,
        facility=facility,
        severity=severity,
        timestamp=timestamp,
        hostname=hostname,
        app_name=app_name,
        procid=procid,
        msgid=msgid,
        structured_data=data,
        msg=msg[len(_BOM) :] if bom else msg,
        bom=bom,
    )


@functools.lru_cache(
    maxsize=4096
)  # headers repeat from frame to frame; a receiver in a test should not be the slow part
def _header(start: bytes, timestamp: bytes, *fields: bytes) -> tuple[int, int, str, str, str, str, str]:
    """Check everything before the structured data; `start` is PRI and VERSION."""
    facility, severity, version = _priority(start)
    if version != b"1":
        raise SyslogFormatError(f"VERSION is {version[:20]!r}, not 1")
    _check_timestamp(timestamp)
    for (name, longest), word in zip(_HEADER_FIELDS, fields):
        _check_field(name, word, longest)
    hostname, app_name, procid, msgid = (word.decode("ascii") for word in fields)
    return facility, severity, timestamp.decode("ascii"), hostname, app_name, procid, msgid


def parse_rfc3164(frame: bytes, *, strict_tag: bool = False, longest: int = 0) -> SyslogMessage:
    """Parse a frame of RFC 3164.

    Args:
        frame: from `<` on.
        strict_tag: TAG is at most 32 letters and digits, as the RFC says and few senders heed.
        longest: octets allowed, 1024 by the RFC; 0 for no limit.

    Raises:
        SyslogFormatError: it breaks the RFC.
    """
    if longest and len(frame) > longest:
        raise SyslogFormatError(f"{len(frame)} octets, {longest} allowed")
    facility, severity, rest = _priority(frame)
    stamp = _STAMP_3164.match(rest)
    if stamp is None or stamp[1] not in _MONTHS or int(stamp[2]) > _DAYS[_MONTHS.index(stamp[1])]:
        raise SyslogFormatError(f"TIMESTAMP is {rest[:16]!r}")
    host = _HOST_3164.match(rest, stamp.end())
    if host is None:
        raise SyslogFormatError(f"HOSTNAME is {rest[stamp.end() : stamp.end() + 50]!r}")
    tag = (_STRICT_TAG_3164 if strict_tag else _TAG_3164).match(rest, host.end())
    if tag is None:
        raise SyslogFormatError(f"TAG is {rest[host.end() : host.end() + 50]!r}")
    return SyslogMessage(
        rfc=3164,
        facility=facility,
        severity=severity,
        timestamp=stamp[0][:-1].decode("ascii"),
        hostname=host[1].decode("ascii"),
        app_name=tag[1].decode("ascii"),
        procid="-" if tag[2] is None else tag[2].decode("ascii"),
        msgid="-",
        structured_data=(),
        msg=rest[tag.end() :],
    )


def _priority(frame: bytes) -> tuple[int, int, bytes]:
    match = _PRI.match(frame)
    if match is None or int(match[1]) > 191:
        raise SyslogFormatError(f"PRI is {frame[:6]!r}")
    facility, severity = divmod(int(match[1]), 8)
    return facility, severity, frame[match.end() :]


def _check_timestamp(word: bytes) -> None:
    if word == b"-":
        return
    match = _TIMESTAMP.fullmatch(word)
    if match is None or int(match[8] or 0) > 23 or int(match[9] or 0) > 59:
        raise SyslogFormatError(f"TIMESTAMP is {word[:40]!r}")
    try:
        # A 60th second is refused here too, as the RFC wants.
        dt.date(int(match[1]), int(match[2]), int(match[3]))
        dt.time(int(match[4]), int(match[5]), int(match[6]))
    except ValueError as exc:
        raise SyslogFormatError(f"TIMESTAMP is {word[:40]!r}: {exc}") from exc


def _check_field(name: str, word: bytes, longest: int) -> None:
    if not word or len(word) > longest:
        raise SyslogFormatError(f"{name} has {len(word)} octets, 1 to {longest} allowed")
    if min(word) < 33 or max(word) > 126:
        raise SyslogFormatError(f"{name} is not printable ASCII: {word[:60]!r}")


def _structured_data(rest: bytes) -> tuple[tuple[Element, ...], bytes]:
    if rest == b"-" or rest.startswith(b"- "):
        return (), rest[2:]
    elements: list[Element] = []
    place = 0
    while (match := _ELEMENT.match(rest, place)) is not None:
        sd_id = match[1].decode("ascii")
        _check_sd_id(sd_id, [element for element, _ in elements])
        elements.append((sd_id, tuple(_param(param[1], param[2]) for param in _PARAM.finditer(match[2]))))
        place = match.end()
    if not elements or rest[place : place + 1] not in (b"", b" "):
        raise SyslogFormatError(f"STRUCTURED-DATA breaks at {rest[place : place + 60]!r}")
    return tuple(elements), rest[place + 1 :]


def _check_sd_id(sd_id: str, before: list[str]) -> None:
    if sd_id in before:
        raise SyslogFormatError(f"SD-ID {sd_id!r} twice")
    if sd_id not in _REGISTERED and _PRIVATE_ID.fullmatch(sd_id) is None:
        raise SyslogFormatError(f"SD-ID {sd_id!r} is neither registered nor name@number")


def _param(name: bytes, value: bytes) -> tuple[str, str]:
    text = _text(value, "PARAM-VALUE")
    return name.decode("ascii"), _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SyslogFormatError(f"{what} is not UTF-8: {exc}") from exc


# -- event ids ------------------------------------------------------------------------------------------------------

_CEF_ID = re.compile(rb"(?:^|[| ])externalId=(\S+)")
_LEEF_ID = re.compile(rb"(?:^|[\t|^])sls_id=([^\t^]+)")
_KV_ID = re.compile(rb"(?:^|\|\|)sls_id=([^|]*)")


def event_id(message: SyslogMessage) -> str:
    """Find an event's id: parameter `id` of the structured data, else what the message itself carries (`sls_id` of
    JSON, kv and LEEF, `externalId` of CEF), else "". A part of a split event is `<id>#<part>`, such as `0-17-3#2/3`.
    """
    name = message.param("id") or id_in(message.msg)
    part = message.param("part")
    return f"{name}#{part}" if part else name


def id_in(msg: bytes) -> str:
    """Find the id in a message without structured data; "" when there is none."""
    if msg.startswith(b"{"):
        try:
            value = json.loads(msg)
        except (ValueError, RecursionError):
            return ""
        found = value.get("sls_id") if isinstance(value, dict) else None
        return found if isinstance(found, str) else ""
    pattern = _CEF_ID if msg.startswith(b"CEF:") else _LEEF_ID if msg.startswith(b"LEEF:") else _KV_ID
    match = pattern.search(msg)
    return match[1].decode("utf-8", "replace") if match else ""
