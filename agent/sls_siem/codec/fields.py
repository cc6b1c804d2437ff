"""Find a field of a log by name, and fill templates in.

A name is compared with names as they are written out (`text.to_text`). Metadata come before contents: `__time__`,
`__time_ns_part__`, `__topic__`, `__source__`, `__tag__:<key>`; of duplicates the first counts. A missing field is
empty. Values go in as bytes from the wire; what becomes of invalid UTF-8 is for whoever writes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional, Union

from sls_siem.codec.text import to_text
from sls_siem.codec.wire import GroupMeta, Log
from sls_siem.config.template import Field, parse_template

TIME = b"__time__"
TIME_NS = b"__time_ns_part__"
TOPIC = b"__topic__"
SOURCE = b"__source__"
TAG = b"__tag__:"


def index_of(keys: tuple[bytes, ...], name: bytes) -> int:
    """Find the first of `keys` that is written out as `name`; -1 when there is none."""
    if b"\\x" in name:
        return next((index for index, key in enumerate(keys) if to_text(key) == name), -1)
    return keys.index(name) if name in keys else -1


def of_group(meta: GroupMeta, name: bytes) -> Optional[bytes]:
    """Look up a field that all logs of a group share; None when the group has no such field."""
    if name == TOPIC:
        return meta.topic
    if name == SOURCE:
        return meta.source
    if name.startswith(TAG):
        wanted = name[len(TAG) :]
        return next((value for key, value in meta.tags if to_text(key) == wanted), None)
    return None


def of_log(meta: GroupMeta, log: Log, name: bytes) -> Optional[bytes]:
    """Look up any field; None when there is none of this name."""
    if name == TIME:
        return b"%d" % log.time
    if name == TIME_NS and log.ns is not None:
        return b"%d" % log.ns
    shared = of_group(meta, name)
    if shared is not None:
        return shared
    index = index_of(log.keys, name)
    return log.values[index] if index >= 0 else None


def shared_fields(meta: GroupMeta) -> list[tuple[bytes, bytes]]:
    """List what the logs of a group share, by the names as written out, in order."""
    fields = [(TOPIC, meta.topic), (SOURCE, meta.source)]
    fields += [(TAG + to_text(key), value) for key, value in meta.tags]
    return [(name, value) for name, value in fields if value is not None]


class Template:
    """A template such as `sls:{__topic__}`, ready to be filled in.

    Attributes:
        constant: what it always comes to; None when it has fields.

    Args:
        text: as in the configuration.

    Raises:
        TemplateError: the text is not a template.
    """

    def __init__(self, text: str) -> None:
        self._parts: tuple[Union[bytes, Field], ...] = tuple(
            part if isinstance(part, Field) else part.text.encode() for part in parse_template(text)
        )
        texts = [part for part in self._parts if isinstance(part, bytes)]
        self.constant = b"".join(texts) if len(texts) == len(self._parts) else None

    def shared(self, meta: GroupMeta) -> Optional[bytes]:
        """Fill in for all logs of a group at once; None when it takes the log itself."""
        if self.constant is not None:
            return self.constant
        found = [part if isinstance(part, bytes) else of_group(meta, part.name.encode()) for part in self._parts]
        known = [part for part in found if part is not None]
        return b"".join(known) if len(known) == len(found) else None

    def fill(self, meta: GroupMeta, log: Log) -> bytes:
        """Fill in for one log."""
        return self.fill_by(lambda name: of_log(meta, log, name))

    def fill_by(self, find: Callable[[bytes], Optional[bytes]]) -> bytes:
        """Fill in with what `find` gives for the names of the fields."""
        return b"".join(part if isinstance(part, bytes) else find(part.name.encode()) or b"" for part in self._parts)
