"""Writes the Splunk add-on from the ready maps, so that both always name the same fields.

`python -m tests.splunk_addon` from the checkout's root writes the files; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sls_siem.config.maps import MAPS, read_map

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "siem" / "splunk" / "TA-aliyun-sls"

_EVENT = """\
SHOULD_LINEMERGE = false
LINE_BREAKER = ([\\r\\n]+)
TRUNCATE = 0
KV_MODE = json
TIME_PREFIX = "__time__":
TIME_FORMAT = %s
MAX_TIMESTAMP_LOOKAHEAD = 10
"""
_APP = """\
[install]
is_configured = false

[package]
id = TA-aliyun-sls

[ui]
is_visible = false
label = Alibaba Cloud logs from sls-siem-agent

[launcher]
author = The sls-siem-agent authors
description = Sourcetypes, field names and tags for Alibaba Cloud logs that sls-siem-agent ships from SLS
version = 1.0.0
"""
_META = """\
[]
access = read : [ * ], write : [ admin ]
export = system
"""


def files() -> dict[str, str]:
    """Make every file of the add-on, by its path in the add-on's folder."""
    maps = {name: read_map(name) for name in MAPS}
    return {
        "default/app.conf": _APP,
        "default/props.conf": _joined(_props(maps)),
        "default/transforms.conf": _joined(_transforms(maps)),
        "default/eventtypes.conf": _joined(_event_types(maps)),
        "default/tags.conf": _joined(_tags(maps)),
        "metadata/default.meta": _META,
    }


def _joined(stanzas: Iterator[str]) -> str:
    return "\n".join(stanzas)


def _id(name: str) -> str:
    return "aliyun_" + name.replace("-", "_")


def _props(maps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    routes = ", ".join(f"{_id(name)}_sourcetype" for name, one in maps.items() if one["topics"])
    yield f"[aliyun:sls]\n{_EVENT}TRANSFORMS-aliyun_sourcetype = {routes}\n"
    for one in maps.values():
        lines = [f"[{one['sourcetype']}]\n{_EVENT}".rstrip()]
        for alias, field in one["splunk"]["cim"].items():
            if alias != field:
                quoted = field if re.fullmatch(r"\w+", field) else f'"{field}"'
                lines.append(f"FIELDALIAS-{alias} = {quoted} AS {alias}")
        lines += [f"EVAL-{field} = {text}" for field, text in one["splunk"]["eval"].items()]
        yield "\n".join(lines) + "\n"


def _transforms(maps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, one in maps.items():
        if one["topics"]:
            topics = "|".join(map(re.escape, one["topics"])).replace("\\-", "-")
            yield (
                f"[{_id(name)}_sourcetype]\n"
                f'REGEX = "__topic__":"(?:{topics})"\n'
                f"FORMAT = sourcetype::{one['sourcetype']}\n"
                "DEST_KEY = MetaData:Sourcetype\n"
            )


def _event_types(maps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, one in maps.items():
        more = f" {one['splunk']['search']}" if "search" in one["splunk"] else ""
        yield f'[{_id(name)}]\nsearch = sourcetype="{one["sourcetype"]}"{more}\n'


def _tags(maps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, one in maps.items():
        tags = "".join(f"{tag} = enabled\n" for tag in one["splunk"]["tags"])
        yield f"[eventtype={_id(name)}]\n{tags}"


def main() -> None:
    for name, text in files().items():
        place = FOLDER / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
