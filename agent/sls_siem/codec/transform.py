"""Leave logs out and change fields before anything is written: filters, then drop, redact, hash, truncate, rename.

A log goes out when each field of `keep` has a value that fits one of its patterns, and no field of `drop_logs` does.
There, a field is looked up as in templates: a missing one is empty. In a pattern `*` stands for any run of bytes.

What is done to a field is done to every field that is written out under that name: contents, tags (`__tag__:name`),
`__topic__`, `__source__`. Of a value that is dropped nothing is left, not even its name. A redacted value is `***`; a
hashed one is the HMAC-SHA256 of its bytes (RFC 2104), in lower case hex; a truncated one has at most so many bytes and
no character that does not fit whole. Only contents are renamed, and last, so that everything here goes by the names
that SLS has; everything after it sees the result only.

It knows no format, and changes no event id: that is made from the log as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import digest
from typing import NamedTuple, Optional

from sls_siem.codec.fields import SOURCE, TAG, TOPIC, of_log
from sls_siem.codec.layout import LayoutCache
from sls_siem.codec.settings import TransformSettings
from sls_siem.codec.text import to_text
from sls_siem.codec.wire import GroupMeta, Log

REDACTED = b"***"

Change = Callable[[bytes], bytes]
Condition = tuple[bytes, Callable[[bytes], bool]]


class _Column(NamedTuple):
    """One content of logs with the same keys: where it is, its name, and what is done to its value."""

    place: int
    key: bytes
    change: Optional[Change]


class Transform:
    """Filters and changes as configured; thread-safe.

    Args:
        settings: as in the configuration.
    """

    def __init__(self, settings: TransformSettings) -> None:
        self._keep = _conditions(settings.keep)
        self._drop_logs = _conditions(settings.drop_logs)
        self._dropped = frozenset(name.encode() for name in settings.drop)
        self._changes = {name: _change(settings, name.decode()) for name in _changed_names(settings)}
        self._renamed = {name.encode(): new.encode() for name, new in settings.rename}
        self._plans: LayoutCache[Optional[tuple[_Column, ...]]] = LayoutCache(self._plan)

    def keeps(self, meta: GroupMeta, log: Log) -> bool:
        """Tell whether the log goes out; both are as they came."""

        def fits(condition: Condition) -> bool:
            name, matches = condition
            return matches(of_log(meta, log, name) or b"")

        return all(map(fits, self._keep)) and not any(map(fits, self._drop_logs))

    def group(self, meta: GroupMeta) -> GroupMeta:
        """Change what the logs of a group share."""
        tags = ((key, self._value(TAG + to_text(key), value)) for key, value in meta.tags)
        return GroupMeta(
            self._value(TOPIC, meta.topic),
            self._value(SOURCE, meta.source),
            tuple((key, value) for key, value in tags if value is not None),
        )

    def log(self, log: Log) -> Log:
        """Change a log that goes out."""
        plan = self._plans.get((), log.keys)
        if plan is None:
            return log
        values = (
            log.values[column.place] if column.change is None else column.change(log.values[column.place])
            for column in plan
        )
        return Log(log.time, log.ns, tuple(column.key for column in plan), tuple(values))

    def _value(self, name: bytes, value: Optional[bytes]) -> Optional[bytes]:
        if value is None or name in self._dropped:
            return None
        change = self._changes.get(name)
        return value if change is None else change(value)

    def _plan(self, _before: tuple[bytes, ...], keys: tuple[bytes, ...]) -> Optional[tuple[_Column, ...]]:
        """Work out what becomes of logs with these keys; None when they stay as they are."""
        names = [to_text(key) for key in keys]
        columns = tuple(
            _Column(place, self._renamed.get(name, key), self._changes.get(name))
            for place, (name, key) in enumerate(zip(names, keys))
            if name not in self._dropped
        )
        same = len(columns) == len(keys) and all(
            column.change is None and column.key is key for column, key in zip(columns, keys)
        )
        return None if same else columns


def _conditions(wanted: Sequence[tuple[str, tuple[str, ...]]]) -> list[Condition]:
    return [(name.encode(), _matcher(patterns)) for name, patterns in wanted]


def _matcher(patterns: Sequence[str]) -> Callable[[bytes], bool]:
    """Try the patterns in turn. No regular expression: one with several `*` takes for ever on the wrong value."""
    cut = [pattern.encode().split(b"*") for pattern in patterns]

    def matches(value: bytes) -> bool:
        return any(_fits(parts, value) for parts in cut)

    return matches


def _fits(parts: Sequence[bytes], value: bytes) -> bool:
    """Find what stands between the `*`, each as far to the left as it goes."""
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    end = len(value) - len(last)
    if end < len(first) or not (value.startswith(first) and value.endswith(last)):
        return False
    at = len(first)
    for part in middle:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _changed_names(settings: TransformSettings) -> set[bytes]:
    names = {*settings.redact, *settings.hash, *(name for name, _ in settings.truncate)}
    return {name.encode() for name in names}


def _change(settings: TransformSettings, name: str) -> Change:
    redacted, hashed, most = name in settings.redact, name in settings.hash, dict(settings.truncate).get(name)

    def change(value: bytes) -> bytes:
        if redacted:
            value = REDACTED
        if hashed:
            value = digest(settings.hash_key, value, "sha256").hex().encode()
        return value if most is None else _cut(value, most)

    return change


def _cut(value: bytes, most: int) -> bytes:
    if len(value) <= most:
        return value
    for end in range(most, max(-1, most - 4), -1):
        if value[end] & 0xC0 != 0x80:
            return value[:end]
    return value[:most]
