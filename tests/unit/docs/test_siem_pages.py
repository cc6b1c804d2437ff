"""The pages about SIEMs: every profile has one that says what it sets, and every configuration in them loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sls_siem.config import load
from sls_siem.config.maps import MAPS
from sls_siem.config.profiles import PROFILES
from tests import map_pages

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "siem"
PAGES = sorted(FOLDER.rglob("*.md"))
SLS = """
[sls]
endpoint = "https://cn-hangzhou.log.aliyuncs.com"
project = "my-project"
logstore = "my-logstore"
consumer_group = "my-group"
"""
BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


def _shown(value: object) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_a_page_that_says_what_it_sets(profile: str) -> None:
    page = (FOLDER / f"{profile}.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", page, re.MULTILINE))

    assert profile == "generic" or set(rows) == set(PROFILES[profile])
    for key, value in PROFILES[profile].items():
        assert rows[key].startswith("by the field `level`") if isinstance(value, dict) else rows[key] == _shown(value)
    assert f"]({profile}.md)" in (FOLDER / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_every_configuration_in_the_pages_loads(page: Path, block: str, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(SLS + block, encoding="utf-8")
    config = load(tmp_path / "agent.toml", 1, {})

    assert config.siem.profile in (page.stem, "arcsight", "generic")
    assert config.hec.urls or config.syslog.urls


def test_the_tables_of_the_maps_are_in_step() -> None:
    text = map_pages.PAGE.read_text(encoding="utf-8")

    assert map_pages.page(text) == text
    assert all(f"| `{name}` |" in text for name in MAPS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target
