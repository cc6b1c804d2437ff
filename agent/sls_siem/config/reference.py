"""Every key with what it takes, its default and what it is for, gathered from the code itself.

Read by what writes the reference page and the man page; the agent has no use for it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sls_siem.config.about import ABOUT, SECRETS_ABOUT, TABLES_ABOUT
from sls_siem.config.fields import Parser, UnfitError, option_of
from sls_siem.config.loader import ENVIRONMENT
from sls_siem.config.model import TABLES
from sls_siem.config.secrets import ENVIRONMENT_NAMES

FOLLOWS: Mapping[str, str] = {
    "sls.region": "what the endpoint's name says",
    "hec.source": '"sls:<project>/<logstore>"',
    "syslog.framing": '"octet-counting" on tls, "lf" on tcp',
    "syslog.app_name": "the logstore's name",
    "syslog.max_bytes": "8192, on udp 1024",
    "syslog.oversize": '"truncate", for kv and raw "split"',
}
"""Defaults that `derived.py` works out from other keys, in words."""


@dataclass(frozen=True)
class Key:
    """One key of the configuration.

    Args:
        table: such as `sls.credentials`.
        name: within its table.
        takes: what its value may be, in the words of `check`.
        default: as TOML or in words; empty: the key has to be given.
        about: what it is for.
        variable: of the environment, which overrides it; empty: none.
    """

    table: str
    name: str
    takes: str
    default: str
    about: str
    variable: str

    @property
    def dotted(self) -> str:
        """Name it with its table."""
        return f"{self.table}.{self.name}"


@dataclass(frozen=True)
class SecretFile:
    """One secret: a file of this name, or a variable of the environment (empty: none)."""

    name: str
    about: str
    variable: str


def all_keys() -> tuple[Key, ...]:
    """List every key in the order of the file."""
    by_key = {key: variable for variable, key in ENVIRONMENT.items()}
    return tuple(
        Key(
            table=table,
            name=field.name,
            takes=_takes(option_of(field).parse),
            default=_default(f"{table}.{field.name}", field),
            about=ABOUT[f"{table}.{field.name}"],
            variable=by_key.get(f"{table}.{field.name}", ""),
        )
        for table in TABLES_ABOUT
        for field in dataclasses.fields(TABLES[table])
        if field.metadata
    )


def secrets() -> tuple[SecretFile, ...]:
    """List every secret."""
    return tuple(SecretFile(name, about, ENVIRONMENT_NAMES.get(name, "")) for name, about in SECRETS_ABOUT.items())


def _default(key: str, field: dataclasses.Field[Any]) -> str:
    if key in FOLLOWS:
        return FOLLOWS[key]
    if field.default is dataclasses.MISSING:
        return ""
    if field.default is None or field.default == ():
        return "not set"
    return json.dumps(list(field.default) if isinstance(field.default, tuple) else field.default, ensure_ascii=False)


def _takes(parse: Parser) -> str:
    """Ask a parser what it wants by giving it what nobody can want."""
    wanted = _refusal(parse, "\0")
    if wanted.startswith("write [...]"):
        return f"a list; each {_clean(_refusal(parse, [object()]))}"
    return _clean(wanted or _refusal(parse, object()))


def _refusal(parse: Parser, unlikely: object) -> str:
    try:
        parse(unlikely)
    except UnfitError as exc:
        return exc.right
    return ""


def _clean(wanted: str) -> str:
    wanted = re.sub(r"^did you mean [^?]*\? ", "", wanted)
    wanted = re.sub(r"^(?:give|write) ", "", wanted).replace(" without quotes", "").replace(" in quotes", "")
    return wanted.replace("one such as", "a host name or an IP address such as")
