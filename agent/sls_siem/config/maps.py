"""Ready tables of fields for the security logs of Alibaba Cloud: which field becomes which CEF, LEEF or Splunk name.

Each is a file in `maps/`, named as in `siem.map`. A map says what the keys of `[cef]`, `[leef]`, `siem.json_fields` and
`hec.sourcetype` are when nobody gives them; it says nothing about outputs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAPS = ("actiontrail", "alb", "cloud-firewall", "k8s-audit", "oss", "security-center", "slb", "vpc-flow", "waf")
"""What `siem.map` may name; each is a file in `FOLDER`."""

FOLDER = Path(__file__).parent / "maps"


def read_map(name: str) -> Mapping[str, Any]:
    """Read one of `MAPS` as it stands in its file."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def keys_of_map(name: str) -> dict[str, object]:
    """List the dotted keys that a map sets, with values as a configuration file would give them."""
    document = read_map(name)
    keys: dict[str, object] = {"hec.sourcetype": document["sourcetype"]}
    if "json_fields" in document:
        keys["siem.json_fields"] = document["json_fields"]
    for table in ("cef", "leef"):
        keys.update({f"{table}.{key}": value for key, value in document[table].items()})
    return keys
