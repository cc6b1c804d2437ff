"""The documentation as a site: it builds strictly, and every block of code in it is tried.

| block | how |
|---|---|
| `toml` | loaded as `sls-siem check` does, with what a page leaves out filled in |
| `sh` | typed as it stands at a terminal of a fresh host, in the order of its page: `tests/system/test_pages.py` |
| `sh`, none | read by `bash -n`; every `sls-siem …` in it by the command's own parser |
| `yaml` | read as YAML |
| `json`, `text`; snippets of receivers | by the tests of their pages (`tests/contract/test_real_page_snippets.py` …) |

The block of the fleet's page is typed by `tests/fleet/`, of the README the three lines of installation by
`tests/system/life.py`, the four of the configuration by `tests/system/test_pages.py`, `make demo` by
`tests/e2e/test_demo.py`. Not run: what belongs to Splunk, Sentinel or Filebeat; no package
registry has these.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sls_siem.cli.main import make_parser
from sls_siem.config import load

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "evidence" not in path.parts)
FILL_IN = {
    "sls": 'endpoint = "https://cn-hangzhou.log.aliyuncs.com"\nproject = "p"\nlogstore = "l"\nconsumer_group = "g"\n',
    "siem": 'output = "hec"\n',
    "hec": 'urls = ["https://splunk.example.com:8088"]\n',
}
LANGUAGES = {"toml", "sh", "yaml", "json", "text", ""}


def blocks(*languages: str) -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(re.finditer(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)):
            if match[2] in languages:
                code = textwrap.dedent(match[3])
                found.append(pytest.param(code, id=f"{page.relative_to(DOCS)}-{number}"))
    return found


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    mkdocs = shutil.which("mkdocs", path=str(Path(sys.executable).parent))
    if mkdocs is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mkdocs is not installed (make venv does it)")
        pytest.skip("mkdocs is not installed (make venv does it)")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=110,
    )

    assert (0, "") == (done.returncode, done.stdout)
    assert "<title>" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_every_page_can_be_reached() -> None:
    reached = {DOCS / name for name in re.findall(r"([\w./-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))}
    new = reached
    while new:
        links = {(page, link) for page in new for link in re.findall(r"\]\(([^)#:]+\.md)", page.read_text("utf-8"))}
        new = {(page.parent / link).resolve() for page, link in links} - reached
        reached |= new

    assert set() == set(DOCS.rglob("*.md")) - reached


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_block_has_a_language_that_is_tried(page: Path) -> None:
    opened = re.findall(r"^ *```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]

    assert set(opened) <= LANGUAGES


@pytest.mark.parametrize("code", blocks("toml"))
def test_a_configuration_loads(code: str, tmp_path: Path) -> None:
    for table, keys in FILL_IN.items():
        given = re.search(rf"^\[{table}\]\n((?:[^\[].*\n|\n)*)", code, re.MULTILINE)
        if given is None:
            syslog = table == "hec" or (table == "siem" and re.search(r"^profile|^output", code, re.MULTILINE))
            code += "" if syslog and "[syslog]" in code else f"\n[{table}]\n{keys}"
        elif table == "siem" and not re.search(r"^(?:output|profile) = ", given[1], re.MULTILINE):
            code = code.replace("[siem]\n", f"[siem]\n{keys}", 1)
    (tmp_path / "agent.toml").write_text(code, encoding="utf-8")

    assert load(tmp_path / "agent.toml", 1, {}).instance == 1


@pytest.mark.parametrize("code", blocks("yaml"))
def test_yaml_is_yaml(code: str) -> None:
    yaml = pytest.importorskip("yaml")  # comes with mkdocs

    assert yaml.safe_load(code)


@pytest.mark.parametrize("code", blocks("sh", ""))
def test_commands_are_well_formed(code: str) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-n"], input=code, capture_output=True, text=True, check=False, timeout=30)

    assert (0, "") == (done.returncode, done.stderr)
    for line in re.findall(r"(?:^|[;&|] *|\bdo )(sls-siem [^;&|\n#]*)", code, re.MULTILINE):
        words = ["1" if word.startswith("$") else word for word in shlex.split(line)[1:]]
        make_parser().parse_args(words)  # SystemExit, with the message, when it is no command
