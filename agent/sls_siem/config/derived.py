"""Defaults that depend on other keys, and values that need this machine's name.

Each entry fills in one key once all keys are parsed. It knows the meaning of keys, not where they came from.
"""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from sls_siem.config.draft import Draft
from sls_siem.config.model import Config, SlsConfig
from sls_siem.config.template import escape_template
from sls_siem.config.urls import region_of

_Values = Mapping[str, Any]

_FRAMING_BY_SCHEME = {"tls": "octet-counting", "tcp": "lf"}
_UDP_MAX_BYTES = 1024  # RFC 3164 section 4.1; what receivers take without fragments on any path (RFC 5426 section 3.2)


def _source(project: str, logstore: str) -> str:
    return escape_template(f"sls:{project}/{logstore}")


def _app_name(logstore: str) -> str:
    return escape_template(logstore)


_DEFAULTS: Mapping[str, Callable[[_Values], object]] = {
    "sls.region": lambda values: region_of(urlsplit(values["sls.endpoint"]).hostname or ""),
    "hec.source": lambda values: _source(values["sls.project"], values["sls.logstore"]),
    "syslog.urls": lambda values: (values["syslog.url"],) if values["syslog.url"] else (),
    "syslog.framing": lambda values: _FRAMING_BY_SCHEME.get(scheme_of(values["syslog.urls"]), "none"),
    "syslog.app_name": lambda values: _app_name(values["sls.logstore"]),
    "syslog.max_bytes": lambda values: _UDP_MAX_BYTES if scheme_of(values["syslog.urls"]) == "udp" else 8192,
    "syslog.oversize": lambda values: "split" if values["siem.format"] in ("kv", "raw") else "truncate",
}
"""In an order in which each finds what it needs."""

DERIVED_KEYS = frozenset(_DEFAULTS)


def scheme_of(urls: tuple[str, ...]) -> str:
    """Name the scheme that the SIEM's addresses share; `tls` when there is none yet."""
    return urls[0].partition("://")[0] if urls else "tls"


def fill_in(draft: Draft, instance: int, *, machine_id_file: Path) -> None:
    """Give every key that nobody set the default that follows from the others, and the consumer its name."""
    for key, work_out in _DEFAULTS.items():
        if key not in draft.given and not (key in draft.presets and _fits(key, draft.values)):
            draft.values[key] = work_out(draft.values)
    name = _consumer_name(draft, instance, machine_id_file)
    if name is not None:
        draft.values["sls.consumer_name"] = name


def with_sls(config: Config, sls: SlsConfig) -> Config:
    """Put another [sls] into a configuration; what names its logstore by default names this one's then."""
    hec, syslog = config.hec, config.syslog
    if hec.source == _source(config.sls.project, config.sls.logstore):
        hec = dataclasses.replace(hec, source=_source(sls.project, sls.logstore))
    if syslog.app_name == _app_name(config.sls.logstore):
        syslog = dataclasses.replace(syslog, app_name=_app_name(sls.logstore))
    return dataclasses.replace(config, sls=sls, hec=hec, syslog=syslog)


def _fits(key: str, values: _Values) -> bool:
    """Tell whether a preset means the transport that was chosen: some frame by themselves, datagrams are short."""
    scheme = scheme_of(values["syslog.urls"])
    if key == "syslog.framing":
        return scheme in _FRAMING_BY_SCHEME
    return key != "syslog.max_bytes" or scheme != "udp"


def _consumer_name(draft: Draft, instance: int, machine_id_file: Path) -> Optional[str]:
    name: str = draft.values["sls.consumer_name"]
    if "{machine_id}" in name:
        machine_id = _machine_id(machine_id_file)
        if machine_id is None:
            wanted = f"make {machine_id_file} readable (systemd-machine-id-setup) or use {{host}}"
            draft.report("sls.consumer_name", "needs a machine id, and this machine tells none", wanted)
            return None
        name = name.replace("{machine_id}", machine_id)
    # The service takes letters, digits and a few signs; a host's name should hold nothing else, but may.
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    return name.replace("{host}", host).replace("{instance}", str(instance))


def _machine_id(path: Path) -> Optional[str]:
    try:
        found = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else None
