"""What `siem.profile` stands for: for each SIEM, the values of keys that nobody gave.

| profile | output, format | RFC, framing | most bytes | what is more |
|---|---|---|---|---|
| `generic` | - | as without a profile | | |
| `splunk` | hec, json | | | sourcetype `aliyun:sls` |
| `qradar` | syslog, leef 2.0 | 3164 without tag, lf | 4096 (udp 1024) | id in `sls_id`; severity by `level` |
| `arcsight` | syslog, cef | 3164 without tag, lf | 8192 (udp 1024) | both severities by `level` |
| `sentinel` | syslog, cef | 3164 without tag, lf | 8192 (udp 1024) | facility local4; both severities by `level` |
| `elastic` | syslog, json | 5424, octet-counting | 262144 (udp 1024) | severity by `level` |

A key that is given in a file or the environment always wins, then `siem.map`, then the profile. What an output of
another kind does not have is not looked at. Framing applies to tls and tcp only, the size not to udp.

Why: ArcSight's and IBM's descriptions of CEF and LEEF put the message right after the host of an RFC 3164 header; the
log's exact time and the event id are in the event itself. Line ends never are, so LF framing is safe. QRadar's largest
payload is a setting of its own; 4096 is the size that is widely quoted as its default for TCP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sls_siem.config.draft import Given
from sls_siem.config.maps import MAPS, keys_of_map


def _by_level(names: Mapping[str, str], default: str) -> dict[str, object]:
    """Make a table of severities by the field `level`, whose values come in upper and in lower case."""
    upper = {word.upper(): name for word, name in names.items()}
    return {"field": "level", "map": {**names, **upper}, "default": default}


_SYSLOG_SEVERITY = _by_level(
    {
        "fatal": "crit",
        "critical": "crit",
        "error": "err",
        "warning": "warning",
        "warn": "warning",
        "notice": "notice",
        "info": "info",
        "debug": "debug",
    },
    "info",
)
_CEF_SEVERITY = _by_level(
    {
        "fatal": "10",
        "critical": "9",
        "error": "7",
        "warning": "5",
        "warn": "5",
        "notice": "4",
        "info": "3",
        "debug": "1",
    },
    "3",
)
_RFC_3164: Mapping[str, object] = {
    "siem.output": "syslog",
    "syslog.rfc": 3164,
    "syslog.app_name": "-",
    "syslog.framing": "lf",
    "syslog.severity": _SYSLOG_SEVERITY,
}

PROFILES: Mapping[str, Mapping[str, object]] = {
    "generic": {},
    "splunk": {"siem.output": "hec", "siem.format": "json", "hec.sourcetype": "aliyun:sls"},
    "qradar": {**_RFC_3164, "siem.format": "leef", "leef.format_version": "2.0", "syslog.max_bytes": 4096},
    "arcsight": {**_RFC_3164, "siem.format": "cef", "cef.severity": _CEF_SEVERITY},
    "sentinel": {
        **_RFC_3164,
        "siem.format": "cef",
        "cef.severity": _CEF_SEVERITY,
        "syslog.facility": "local4",
    },
    "elastic": {
        "siem.output": "syslog",
        "siem.format": "json",
        "syslog.rfc": 5424,
        "syslog.framing": "octet-counting",
        "syslog.severity": _SYSLOG_SEVERITY,
        "syslog.max_bytes": 262144,
    },
}


def presets_of(given: Mapping[str, Given]) -> dict[str, Any]:
    """List the keys that the chosen profile and map set; a choice that is not one is reported elsewhere.

    Args:
        given: what the files and the environment give.
    """
    keys: dict[str, Any] = {}
    profile, name = _value(given, "siem.profile"), _value(given, "siem.map")
    keys.update(PROFILES.get(profile, {}))
    if name in MAPS:
        keys.update(keys_of_map(name))
    return {key: value for key, value in keys.items() if key not in given}


def _value(given: Mapping[str, Given], key: str) -> str:
    value = given[key].value if key in given else ""
    return value if isinstance(value, str) else ""
