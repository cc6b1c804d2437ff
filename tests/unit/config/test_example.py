"""docs/examples/agent.toml is in step with the keys that there are."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from sls_siem.config import load
from sls_siem.config.fields import option_of
from sls_siem.config.model import TABLES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "agent.toml"

# Their value in the file is an example, as it says there: their default is "not set", or follows from other keys.
EXAMPLES = {
    "sls.endpoint",
    "sls.project",
    "sls.logstore",
    "sls.consumer_group",
    "hec.urls",
    "hec.source",
    "syslog.app_name",
}


def _lines() -> list[str]:
    return EXAMPLE.read_text(encoding="utf-8").splitlines()


def _all_keys() -> dict[str, Any]:
    """Read the file with every key, commented or not; the first of a key given twice."""
    seen: set[str] = set()
    kept = []
    table = ""
    for line in _lines():
        match = re.match(r"(?:# )?(?P<key>[a-z_]+) = (?P<value>[^=].*)", line)
        header = re.match(r"\[(.+)\]", line)
        if header:
            table = header[1]
            kept.append(line)
        elif match and f"{table}.{match['key']}" not in seen and not match["value"].startswith("false is refused"):
            seen.add(f"{table}.{match['key']}")
            kept.append(f"{match['key']} = {match['value']}")
    return tomllib.loads("\n".join(kept))


def _of(document: dict[str, Any], table: str) -> dict[str, Any]:
    for name in table.split("."):
        document = document[name]
    return document


def test_the_example_is_right_as_it_stands() -> None:
    config = load(EXAMPLE, 1, {})

    assert config.sls.consumer_group == "sync_data"


@pytest.mark.parametrize("table", TABLES)
def test_the_example_has_every_key_and_no_other(table: str) -> None:
    keys = {name for name, value in _of(_all_keys(), table).items() if f"{table}.{name}" not in TABLES}

    assert keys == {field.name for field in dataclasses.fields(TABLES[table]) if field.metadata}


@pytest.mark.parametrize("table", TABLES)
def test_the_example_shows_the_defaults(table: str) -> None:
    shown = _of(_all_keys(), table)
    defaults = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field in dataclasses.fields(TABLES[table])
        if f"{table}.{field.name}" not in EXAMPLES and field.default not in (None, (), dataclasses.MISSING)
    }
    if table == "syslog":  # shown as a table first
        assert f'# severity = "{defaults.pop("severity")}"' in _lines()

    assert {name: shown[name] for name in defaults} == defaults


@pytest.mark.parametrize("table", TABLES)
def test_every_value_of_the_example_can_be_used(table: str) -> None:
    shown = _of(_all_keys(), table)

    for field in dataclasses.fields(TABLES[table]):
        if field.metadata:
            assert option_of(field).parse(shown[field.name]) is not None
