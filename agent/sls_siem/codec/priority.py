"""Find the PRI of a syslog message: facility × 8 + severity (RFC 5424, section 6.2.1).

Names are those of `config.syslog_names`, in any case, or the number itself. What a template gives that is neither is
facility `user`, severity `info`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional, Union

from sls_siem.codec.fields import Template, of_log
from sls_siem.codec.settings import SeverityBy, SyslogSettings
from sls_siem.codec.text import to_text
from sls_siem.codec.wire import GroupMeta, Log
from sls_siem.config.syslog_names import FACILITIES, SEVERITIES

_USER = 1
_INFO = 6


def _number(name: bytes, names: Mapping[str, int]) -> Optional[int]:
    word = to_text(name).decode().lower()
    if word in names:
        return names[word]
    # isdigit() alone accepts digits of other scripts.
    if word.isascii() and word.isdigit() and len(word) <= 2 and int(word) in names.values():
        return int(word)
    return None


class _Named:
    """A name, a number or a template."""

    def __init__(self, text: str, names: Mapping[str, int], default: int) -> None:
        self._names = names
        self._default = default
        self._template = Template(text)
        self.constant = _number(text.encode(), names)

    def of(self, meta: GroupMeta, log: Log) -> int:
        if self.constant is not None:
            return self.constant
        found = _number(self._template.fill(meta, log), self._names)
        return self._default if found is None else found


class _ByField:
    """A severity by the value of a field."""

    constant = None

    def __init__(self, by: SeverityBy) -> None:
        self._field = by.field.encode()
        default = _number(by.default.encode(), SEVERITIES)
        self._default = _INFO if default is None else default
        numbers = {value.encode(): _number(name.encode(), SEVERITIES) for value, name in by.names.items()}
        self._numbers = {value: number for value, number in numbers.items() if number is not None}

    def of(self, meta: GroupMeta, log: Log) -> int:
        value = of_log(meta, log, self._field)
        return self._default if value is None else self._numbers.get(to_text(value), self._default)


class Priority:
    """The PRI of each log; `constant` when it is the same for all."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._facility = _Named(settings.facility, FACILITIES, _USER)
        severity = settings.severity
        self._severity: Union[_Named, _ByField] = (
            _ByField(severity) if isinstance(severity, SeverityBy) else _Named(severity, SEVERITIES, _INFO)
        )
        facility_number, severity_number = self._facility.constant, self._severity.constant
        self.constant: Optional[int] = None
        if facility_number is not None and severity_number is not None:
            self.constant = facility_number * 8 + severity_number

    def of(self, meta: GroupMeta, log: Log) -> int:
        return self._facility.of(meta, log) * 8 + self._severity.of(meta, log)
