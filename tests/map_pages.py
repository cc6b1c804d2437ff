"""Writes the tables of `docs/siem/maps/index.md` from the ready maps, between its two markers.

`python -m tests.map_pages` from the checkout's root writes the page; a test compares it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sls_siem.config.maps import MAPS, read_map

PAGE = Path(__file__).resolve().parents[1] / "docs" / "siem" / "maps" / "index.md"
_OVERVIEW = re.compile(r"(?<=\|---\|---\|---\|---\|\n).*?(?=\n\n)", re.DOTALL)
_DETAILS = "<!-- from here on written by python -m tests.map_pages -->\n"


def page(before: str) -> str:
    """Make the page of what it says outside of the tables."""
    rows = "\n".join(_overview())
    text = _OVERVIEW.sub(lambda _: rows, before.partition(_DETAILS)[0], count=1)
    return text + _DETAILS + "\n".join(_details())


def _overview() -> Iterator[str]:
    for name in MAPS:
        one = read_map(name)
        topics = one["topics"]
        shown = ", ".join(f"`{topic}`" for topic in topics) if isinstance(topics, list) and topics else "any"
        yield f"| `{name}` | {one['title']} | {shown} | `{one['sourcetype']}` |"


def _details() -> Iterator[str]:
    for name in MAPS:
        one = read_map(name)
        yield f"\n## {one['title']}\n\n| field | CEF | LEEF | Splunk |\n|---|---|---|---|"
        names: dict[str, list[str]] = {}
        splunk = one["splunk"]
        assert isinstance(splunk, dict)
        for column, table in enumerate((_fields(one["cef"]), _fields(one["leef"]), splunk["cim"])):
            for key, field in table.items():
                names.setdefault(field, ["", "", ""])[column] += f" `{key}`"
        for field, columns in names.items():
            yield f"| `{field}` |" + "|".join(f"{column} " for column in columns) + "|"
    yield ""


def _fields(table: object) -> dict[str, str]:
    assert isinstance(table, dict)
    fields: dict[str, str] = table["fields"]
    return fields


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
