"""What a person at a terminal meets: man pages that render, and a completion that completes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "man").iterdir())
COMPLETION = ROOT / "packaging" / "bash-completion" / "sls-siem"

pytestmark = pytest.mark.timeout(60)


def rendered(page: Path) -> str:
    """Return a page as text; fails on any warning."""
    if shutil.which("man") is None:
        message = "man is not installed: apt-get install man-db"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "--local-file", page],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFSEQ": "", "PAGER": "cat"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return re.sub(r".\x08", "", done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_man_page_renders_without_a_warning(page) -> None:
    assert "SEE ALSO" in rendered(page)


def test_the_page_on_the_configuration_shows_every_key_of_every_table() -> None:
    from sls_siem.config import reference

    sections = re.split(r"^(?=\S)", rendered(ROOT / "docs/man/sls-siem.toml.5"), flags=re.MULTILINE)
    by_table = {section.split("]")[0].lstrip("["): section for section in sections if section.startswith("[")}
    lacking = [
        key.dotted
        for key in reference.all_keys()
        if not re.search(rf"^ +{re.escape(key.name)}( |$)", by_table[key.table], re.MULTILINE)
    ]

    assert [] == lacking


@pytest.mark.parametrize("page", ["sls-siem.1", "sls-siem@.service.8"])
def test_the_pages_name_every_secret_of_the_unit(page) -> None:
    unit = (ROOT / "systemd" / "sls-siem@.service").read_text()
    text = (ROOT / "docs/man" / page).read_text().replace("\\-", "-")
    secrets = set(re.findall(r"^LoadCredential=([\w-]+):", unit, re.MULTILINE))

    assert "field-hash-key" in secrets
    assert secrets <= set(re.findall(r"\\fI([\w-]+)\\fR", text))


def complete(*words: str) -> list[str]:
    """Return what bash offers for the last of the words."""
    script = (
        f'set -u; source "{COMPLETION}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sls_siem; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", "sls-siem", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["replay"]),
        (["d"], ["dead-letter", "demo"]),
        (["run", "--u"], ["--until-caught-up"]),
        (["dead-letter", "r"], ["retry"]),
        (["dead-letter", "list", "r"], []),
        (["dead-letter", "purge", "--y"], ["--yes"]),
        (["demo", "--output", ""], ["hec", "syslog"]),
        (["bench", "--output", "t"], ["tls"]),
        (["check", "--config", "README"], ["README.md"]),
        (["replay", "--from", ""], []),
        (["no-such-command", "--"], ["--help"]),
    ],
    ids=" ".join,
)
def test_the_completion_offers_what_fits(words, expected) -> None:
    assert expected == complete(*words)
