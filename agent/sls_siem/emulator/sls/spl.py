"""The part of SPL that the emulator runs: `*`, `* | where f = 'x'`, `* | where f in ('x', 'y')`, joined by `and`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from sls_siem.emulator.loggroups import LogGroup, decode_group, join_group, split_group
from sls_siem.emulator.sls.refusal import RefusalError, parameter_invalid

_NAME = r"""(?:[A-Za-z_][\w.:]*|"[^"]+")"""
_TEXT = r"'(?:[^']|'')*'"
_CONDITION = re.compile(
    rf"\s*({_NAME})\s*(?:(=)\s*({_TEXT})|in\s*\(\s*({_TEXT}(?:\s*,\s*{_TEXT})*)\s*\))\s*", re.IGNORECASE
)
_WHERE = re.compile(r"\s*\*\s*(?:\|\s*where\b(.*))?", re.IGNORECASE | re.DOTALL)
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True)
class Filter:
    """A parsed query: every condition names a field and the values it may have."""

    conditions: tuple[tuple[bytes, frozenset[bytes]], ...]


@dataclass(frozen=True)
class Filtered:
    """What a query made of log groups: bodies of new LogGroups, and how many logs were read and are left."""

    groups: list[bytes]
    read_logs: int
    kept_logs: int


def parse(query: str) -> Filter:
    """Read a query.

    Raises:
        RefusalError: `ParameterInvalid`, because it is not in the subset.
    """
    found = _WHERE.fullmatch(query)
    if not found:
        raise _not_understood(query)
    rest: Optional[str] = found.group(1)
    conditions = []
    while rest is not None:
        condition = _CONDITION.match(rest)
        if not condition:
            raise _not_understood(query)
        name, _, single, several = condition.groups()
        values = re.findall(_TEXT, single or several)
        conditions.append((name.strip('"').encode(), frozenset(_unquote(value) for value in values)))
        rest = rest[condition.end() :]
        more = _AND.match(rest)
        if rest and not more:
            raise _not_understood(query)
        rest = rest[more.end() :] if more else None
    return Filter(tuple(conditions))


def _unquote(text: str) -> bytes:
    return text[1:-1].replace("''", "'").encode()


def _not_understood(query: str) -> RefusalError:
    return parameter_invalid(f"the query is not understood: {query}")


def apply(query: Filter, groups: Sequence[bytes]) -> Filtered:
    """Filter log groups; neighbours with the same metadata become one group, as the service regroups them."""
    made: list[tuple[bytes, list[bytes]]] = []
    read = 0
    for data in groups:
        logs, metadata = split_group(data)
        read += len(logs)
        decoded = decode_group(data)
        kept = [log for place, log in enumerate(logs) if _matches(query, decoded, place)]
        if kept and made and made[-1][0] == metadata:
            made[-1][1].extend(kept)
        elif kept:
            made.append((metadata, kept))
    bodies = [join_group(kept, metadata) for metadata, kept in made]
    return Filtered(bodies, read, sum(len(kept) for _, kept in made))


def _matches(query: Filter, group: LogGroup, place: int) -> bool:
    return all(_value(group, place, name) in values for name, values in query.conditions)


def _value(group: LogGroup, place: int, name: bytes) -> Optional[bytes]:
    if name == b"__topic__":
        return group.topic
    if name == b"__source__":
        return group.source
    if name.startswith(b"__tag__:"):
        return dict(group.tags).get(name[len(b"__tag__:") :])
    return next((value for key, value in group.logs[place].contents if key == name), None)
