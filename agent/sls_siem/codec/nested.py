"""Find fields of a log also inside those whose value is a JSON object or array: `event.userIdentity.type`.

SLS ships whole events of other products as JSON in one field. A name is first looked up as it is (`fields.of_log`);
only when the log has no such field and the name has dots, the part before a dot names a field, the shorter one first,
and the rest the way through its JSON: names of members, and numbers from 0 for places in an array.

What is found comes as text: a string as it is, an object or array as compact JSON, `true`, `false`; `null` counts as
missing. It knows no format.
"""

from __future__ import annotations

import json
from typing import Any, Optional

from sls_siem.codec.fields import of_log
from sls_siem.codec.jsonvalue import parse_container
from sls_siem.codec.wire import GroupMeta, Log


class NestedFields:
    """Finds the fields of one log after another; not shared between threads.

    Args:
        meta: what the logs share.
    """

    def __init__(self, meta: GroupMeta) -> None:
        self._meta = meta
        self._log = Log(0, None, (), ())
        self._parsed: dict[bytes, Any] = {}

    def turn_to(self, log: Log) -> None:
        """Go on with another log."""
        self._log = log
        self._parsed = {}

    def find(self, name: bytes) -> Optional[bytes]:
        """Look a field up; None when there is none of this name."""
        found = of_log(self._meta, self._log, name)
        if found is not None or b"." not in name:
            return found
        dot = name.find(b".")
        while dot > 0 and found is None:
            container = self._container(name[:dot])
            if container is not None:
                found = _as_text(_walk(container, name[dot + 1 :].decode("utf-8", "replace")))
            dot = name.find(b".", dot + 1)
        return found

    def _container(self, name: bytes) -> Any:
        if name not in self._parsed:
            value = of_log(self._meta, self._log, name)
            self._parsed[name] = None if value is None else parse_container(value)
        return self._parsed[name]


def _walk(value: Any, path: str) -> Any:
    """Follow a path; a member's name may itself have dots."""
    if isinstance(value, dict):
        if path in value:
            return value[path]
        dot = path.find(".")
        while dot > 0:
            if path[:dot] in value:
                return _walk(value[path[:dot]], path[dot + 1 :])
            dot = path.find(".", dot + 1)
    elif isinstance(value, list):
        place, _, rest = path.partition(".")
        if place.isascii() and place.isdigit() and len(place) < 10 and int(place) < len(value):
            return _walk(value[int(place)], rest) if rest else value[int(place)]
    return None


def _as_text(value: Any) -> Optional[bytes]:
    if value is None:
        return None
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate is legal in JSON and no character.
    encoded: bytes = value.encode("utf-8", "backslashreplace")
    return encoded
