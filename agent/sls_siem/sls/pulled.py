"""The answer of PullLogs, checked before anybody relies on it: headers, sizes, number of groups.

Where the codec is to decompress it, the last two are compared when it has come to the end.

Source: SLS API reference, PullLogs; `PullLogResponse` of the SDKs. The Python SDK believes the headers, so that a
wrong `x-log-count` skips logs; the Java SDK compares, and so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from sls_siem.codec import count_groups
from sls_siem.codec.model import Body
from sls_siem.net.http import HttpAnswer
from sls_siem.sls.cursors import to_position
from sls_siem.sls.decompress import DecompressError, decompress
from sls_siem.sls.model import Pulled

LARGEST_RAW_BYTES = 64 << 20
"""Most that an answer may hold, decompressed. The service aims at 10 MiB, but a single log group may have 30 MB."""
LARGEST_WIRE_BYTES = LARGEST_RAW_BYTES + (1 << 20)
"""Compression makes what cannot be compressed a little greater."""


class WrongAnswerError(Exception):
    """The answer contradicts itself or lacks something; the message says what."""


def read_pulled(answer: HttpAnswer, asked: int, *, whole: bool = True) -> Pulled:
    """Check and decompress an answer of PullLogs.

    A body whose groups cannot be walked at all is handed on: what becomes of such logs is decided where the codec's
    errors are.

    Args:
        answer: with status 200.
        asked: the position that was asked for.
        whole: decompress the body and count its log groups now; otherwise the codec may do both while it encodes, and
            is the one to find what is wrong with it.

    Raises:
        WrongAnswerError: see there.
    """
    headers = answer.headers
    groups = _number(headers, "x-log-count")
    raw_size = _number(headers, "x-log-bodyrawsize")
    next_position = to_position(_needed(headers, "x-log-cursor"))
    if next_position is None:
        raise WrongAnswerError(f"x-log-cursor is {headers['x-log-cursor'][:40]!r}, which is no cursor")
    if raw_size > LARGEST_RAW_BYTES:
        raise WrongAnswerError(f"x-log-bodyrawsize is {raw_size}, more than {LARGEST_RAW_BYTES} bytes are not taken")
    body = _body(answer, raw_size, whole or groups == 0)
    found = count_groups(body)
    if found is not None and found != groups:
        raise WrongAnswerError(f"x-log-count is {groups}, the body has {found} log groups")
    return Pulled(
        asked=asked,
        next_position=next_position,
        groups=groups,
        body=body,
        wire_bytes=len(answer.body),
        raw_groups=_optional(headers, "x-log-rawdatacount"),
        raw_bytes=_optional(headers, "x-log-rawdatasize"),
        cursor_time=_optional(headers, "x-log-cursor-time"),
        end_of_cursor=_flag(headers, "x-log-end-of-cursor"),
        checked=whole or found is not None,
    )


def _body(answer: HttpAnswer, raw_size: int, whole: bool) -> Body:
    if raw_size == 0:
        return b""
    codec = answer.headers.get("x-log-compresstype", "")
    try:
        return decompress(answer.body, codec=codec, raw_size=raw_size, whole=whole)
    except DecompressError as exc:
        raise WrongAnswerError(f"its body of {len(answer.body)} bytes cannot be used: {exc}") from exc


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise WrongAnswerError(f"header {name} is missing")
    return value


def _number(headers: Mapping[str, str], name: str) -> int:
    value = _parse(_needed(headers, name))
    if value is None:
        raise WrongAnswerError(f"{name} is {headers[name][:40]!r}, which is no number")
    return value


def _optional(headers: Mapping[str, str], name: str) -> Optional[int]:
    """Read a header that only some calls or versions have; -1 and anything else that is no number count as absent."""
    return _parse(headers.get(name, ""))


def _flag(headers: Mapping[str, str], name: str) -> Optional[bool]:
    value = headers.get(name, "").lower()
    return {"1": True, "true": True, "0": False, "false": False}.get(value)


def _parse(text: str) -> Optional[int]:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
