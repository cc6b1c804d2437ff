"""The operator's pages, followed word for word on a fresh Debian 12 host with the package just built.

Every block of shell in `docs/`, and the README's commands in brief, are typed as they stand, at a terminal, in the
order of their page. The names in the pages (`cn-hangzhou.log.aliyuncs.com`, `splunk-1.example.com`) lead to an SLS and
a HEC on this machine, by https with the certificate of an authority that the host trusts. What a page leaves to the
reader is done by the test: a file that is to be written, secrets that are asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sls_siem.emulator.certificates import Authority, server_context
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.store import Logstore
from tests.system.conftest import Packages
from tests.system.nspawn import ROOT, Host
from tests.system.terminal import at_a_terminal
from tests.system.world import serve_folder

DOCS = ROOT / "docs"
# What is followed elsewhere, by its page and first line.
ELSEWHERE = {("index.md", "make demo"): "tests/e2e/test_demo.py"}
SLS_NAME = "cn-hangzhou.log.aliyuncs.com"
SIEM_NAME = "splunk-1.example.com"
KEY_ID, KEY_SECRET = "an-access-key-id", "its-secret-91d2"
TOKEN = "7e1f0a52-0000-4000-8000-1d3c9b6f2a44"
ANSWERS = {"sls-access-key-id: ": KEY_ID, "sls-access-key-secret: ": KEY_SECRET, "hec-token: ": TOKEN}
STORES = {
    ("my-project", "my-logstore"): 2,
    ("my-project", "audit"): 2,
    ("my-project", "web"): 2,
    ("my-sls-project-one", "my-sls-logstore-a1"): 10,
}
LOGS_A_GROUP = 10


def blocks(language: str) -> list[tuple[str, str]]:
    """Find the blocks of a language in all pages for operators: page, and text."""
    found: list[tuple[str, str]] = []
    for path in sorted(path for path in DOCS.rglob("*.md") if "evidence" not in path.parts):
        text = path.read_text(encoding="utf-8")
        matches = re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
        found += [(str(path.relative_to(DOCS)), textwrap.dedent(match[2])) for match in matches]
    return found


class Site:
    """A fresh host, SLS and Splunk under the names of the pages.

    Args:
        host: a booted one; shares this machine's network.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        # An address of loopback that nobody else has taken, since the ports are those of the pages.
        self.address = f"127.77.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
        authority = Authority(host.folder / "certificates", "ca")
        names = (f"*.{SLS_NAME}", SLS_NAME, SIEM_NAME)
        tls = server_context(authority.issue("server", names=names))
        self.sls = SlsEmulator(host=self.address, port=443, tls=tls, settings=Settings(region="cn-hangzhou"))
        self.sls.add_key(KEY_ID, KEY_SECRET)
        self.stores = {
            (project, name): self.sls.create_logstore(project, name, shards=shards)
            for (project, name), shards in STORES.items()
        }
        self.hec = HecEmulator(host=self.address, port=8088, tls=tls, tokens=(HecToken(TOKEN),))
        projects = " ".join(sorted({f"{project}.{SLS_NAME}" for project, _ in STORES}))
        host.sh(f"echo '{self.address} {projects} {SLS_NAME} {SIEM_NAME}' >> /etc/hosts")
        host.write("/usr/local/share/ca-certificates/site.crt", authority.ca_file.read_text())
        host.run("update-ca-certificates")
        # Nothing is fetched from anywhere.
        host.sh("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        self.followed: set[tuple[str, str]] = set()

    def follow(
        self, page: str, first: str, *, folder: str = "/", leave_at: str = "", answers: dict[str, str] = ANSWERS
    ) -> str:
        """Type the block of a page that begins with `first`, and return what the terminal showed."""
        (code,) = [code for path, code in blocks("sh") if path == page and code.startswith(first)]
        self.followed.add((page, code))
        return at_a_terminal(self.host, code, folder=folder, answers=answers, leave_at=leave_at)

    def fill(self, store: Logstore, groups: int, **contents: str) -> None:
        for number in range(groups):
            logs = [{"n": str(number * LOGS_A_GROUP + place), **contents} for place in range(LOGS_A_GROUP)]
            store.append(None, [make_group(logs, time=1_700_000_000)])

    def arrived(self, count: int, *instances: int) -> int:
        """Wait for so many logs in all, stop the instances, so that they settle what is in hand, and count."""
        self.host.until(lambda: len(self.hec.store) >= count, 100, f"{count} logs to arrive")
        self.host.run("systemctl", "stop", *(f"sls-siem@{instance}" for instance in instances))
        assert {} == self.hec.store.duplicates()
        return len(self.hec.store)

    def shards(self, *instances: int) -> list[int]:
        """List the shards that these instances hold."""
        held = []
        for instance in instances:
            with contextlib.suppress(OSError, ValueError):
                text = Path(f"/proc/{self.host.leader}/root/run/sls-siem/{instance}/status.json").read_text()
                held += [row["shard"] for row in json.loads(text).get("shards", [])]
        return sorted(held)

    def until_held(self, shards: int, *instances: int) -> None:
        wanted = list(range(shards))
        self.host.until(lambda: self.shards(*instances) == wanted, 100, f"{shards} shards to be held")


@pytest.fixture(scope="module")
def site(packages: Packages) -> Iterator[Site]:
    with Host("bookworm", name="pages") as host:
        made = Site(host)
        with made.sls, made.hec, serve_folder(packages.new) as port:
            deb = max((packages.new / "pool" / "main").glob("*.deb"))
            shutil.copy(deb, host.root / "root")
            (host.root / "srv" / "new").mkdir()
            for path in packages.new.glob("sls-siem-agent.*"):
                text = path.read_bytes().replace(b"127.0.0.1:80", f"127.0.0.1:{port}".encode())
                (host.root / "srv" / "new" / path.name).write_bytes(text)
            yield made


def test_the_five_minute_start_ships_logs(site: Site) -> None:
    """Installation, configuration, secrets, question and start: as the page has them."""
    site.follow("index.md", "apt install", folder="/root")
    (toml,) = [code for page, code in blocks("toml") if page == "index.md"]
    site.host.write("/etc/sls-siem/agent.toml", toml)
    site.follow("index.md", "for name in")
    answer = site.follow("index.md", "sls-siem check --connect")
    shown = site.follow("index.md", "systemctl enable --now", leave_at=r"4 instances, 2 shards")

    assert KEY_SECRET not in shown + answer
    assert TOKEN not in shown + answer
    site.until_held(2, 1, 2, 3, 4)
    site.fill(site.stores["my-project", "my-logstore"], 20, user="ann")

    assert 200 == site.arrived(200, 1, 2, 3, 4)
    site.host.sh("systemctl start sls-siem@{1..4}")
    site.until_held(2, 1, 2, 3, 4)


def test_splunk_and_troubleshooting_ask_how_it_is(site: Site) -> None:
    assert site.follow("siem/splunk.md", "sls-siem check --connect")
    shown = site.follow("troubleshooting.md", "sls-siem status")

    assert ["1", "2", "3", "4"] == re.findall(r"^ +(\d) +running", re.sub(r"\x1b\[\d*m", "", shown), re.MULTILINE)


def test_security_prints_a_policy_and_reloads(site: Site) -> None:
    policy = json.loads(site.follow("security.md", "sls-siem check --print-ram-policy"))
    pids = [site.host.show(f"sls-siem@{instance}", "MainPID") for instance in (1, 2, 3, 4)]
    site.follow("security.md", "systemctl reload")

    assert any("log:GetCursorOrData" in statement["Action"] for statement in policy["Statement"])
    assert pids == [site.host.show(f"sls-siem@{instance}", "MainPID") for instance in (1, 2, 3, 4)]


def test_fields_makes_a_key_that_the_agent_takes(site: Site) -> None:
    site.follow("fields.md", "(umask 077; openssl rand")
    path = "/etc/sls-siem/credentials/field-hash-key"

    assert "600 root" == site.host.run("stat", "-c", "%a %U", path).strip()
    assert re.fullmatch(r"[0-9a-f]{64}\n", site.host.run("cat", path))
    site.host.sh("printf '[fields]\\nhash = [\"user\"]\\n' >/etc/sls-siem/instances/4.toml")
    site.host.run("sls-siem", "check", "--instance", "4")
    site.host.sh("rm /etc/sls-siem/instances/4.toml")


def test_migration_sends_the_last_hours_again(site: Site) -> None:
    site.follow("migration.md", "systemctl enable --now")
    before = len(site.hec.store)
    shown = site.follow("migration.md", "sls-siem replay", answers={"[y/N] ": "y"})

    # Nothing was received in the hours that the page names, long before this host was made.
    assert "0 log groups" in shown
    assert before == len(site.hec.store)


def test_several_logstores_start_as_the_page_says(site: Site) -> None:
    site.host.sh("systemctl disable --now sls-siem@{1..4}; rm /etc/sls-siem/agent.toml")
    for path in (DOCS / "examples" / "several-logstores").rglob("*.toml"):
        name = path.relative_to(DOCS / "examples" / "several-logstores")
        site.host.write(f"/etc/sls-siem/{name}", path.read_text())
    before = len(site.hec.store)
    site.follow("several.md", "for n in 1 2 3")
    site.until_held(2, 1, 2)
    site.until_held(2, 3)
    site.fill(site.stores["my-project", "audit"], 6, user="ann")
    # In this order, so that whoever has read the last has read what the page's filter leaves out.
    site.fill(site.stores["my-project", "web"], 4, request_uri="/healthz?x")
    site.fill(site.stores["my-project", "web"], 4, request_uri="/")

    assert before + 60 + 40 == site.arrived(before + 60 + 40, 1, 2, 3)


def test_installation_by_its_own_page(site: Site) -> None:
    """From the repository and with the example, on a host that the package was purged from."""
    site.host.run("apt-get", "-q", "-y", "purge", "sls-siem-agent")
    # The example as it is packaged suits the names of this site: there is nothing to be edited.
    site.host.write("/usr/bin/editor", '#!/bin/sh\nexec test -w "$1"\n', mode=0o755)
    before = len(site.hec.store)
    site.follow("install.md", "install -m 644", folder="/srv/new")
    site.follow("install.md", "cp /usr/share/doc")
    site.until_held(10, *range(1, 11))
    site.fill(site.stores["my-sls-project-one", "my-sls-logstore-a1"], 20, user="bob")

    assert before + 200 == site.arrived(before + 200, *range(1, 11))


def test_the_readme_in_brief(site: Site) -> None:
    """Its smallest configuration and its four commands; the third runs until it is told to end."""
    brief = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Configuration in brief\n")[2]
    toml, commands = re.findall(r"^```(?:toml)?\n(.*?)^```$", brief.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    check, connect, run, status = commands.splitlines()
    site.host.run("systemctl", "disable", *(f"sls-siem@{instance}" for instance in range(1, 11)))
    site.host.write("/root/agent.toml", toml)
    before = len(site.hec.store)
    at_a_terminal(site.host, check, folder="/root")
    at_a_terminal(site.host, connect, folder="/root")
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(at_a_terminal, site.host, run, folder="/root")
        site.until_held(10, 1)
        site.fill(site.stores["my-sls-project-one", "my-sls-logstore-a1"], 20, user="eve")
        site.host.until(lambda: len(site.hec.store) >= before + 200, 100, "200 logs to arrive")
        shown = at_a_terminal(site.host, status, folder="/root")
        site.host.run("pkill", "-INT", "-f", "sls-siem run")
        log = running.result(60)

    assert before + 200 == len(site.hec.store)
    assert re.search(r"^ +1 +running", re.sub(r"\x1b\[\d*m", "", shown), re.MULTILINE)
    assert "drained: everything" in log


def test_no_block_of_shell_was_left_out(site: Site) -> None:
    left = [(page, code) for page, code in blocks("sh") if (page, code) not in site.followed]

    assert [] == [one for one in left if (one[0], one[1].splitlines()[0]) not in ELSEWHERE]
