"""The examples of several logstores and several SIEMs, as they stand, but for the addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.syslog import SyslogEmulator
from tests.e2e.harness import KEY_ID, KEY_SECRET, AgentProcess, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
QUICK = "[delivery]\ncheckpoint_s = 0.3\n"


class Site:
    """One host with an example in its /etc/sls-siem."""

    def __init__(self, folder: Path, example: str, addresses: dict[str, str], agents: list[AgentProcess]) -> None:
        self.folder = folder / "etc"
        self._agents = agents
        shutil.copytree(EXAMPLES / example, self.folder)
        for path in self.folder.rglob("*.toml"):
            text = path.read_text()
            for old, new in addresses.items():
                text = text.replace(old, new)
            text = text.replace("endpoint = ", 'start = "begin"\nregion = "cn-test"\nendpoint = ')
            path.write_text(text.replace("[metrics]\nport = 9700\n", QUICK))

    def start(self, instance: int, environ: dict[str, str]) -> AgentProcess:
        agent = AgentProcess(self.folder.parent, {}, instance=instance, environ=environ)
        agent.config_path = self.folder / "agent.toml"
        self._agents.append(agent)
        return agent.start()


def credentials(folder: Path, token: str, *, key: bool = False) -> dict[str, str]:
    (folder / "credentials").mkdir()
    (folder / "credentials" / "hec-token").write_text(token)
    if key:
        (folder / "credentials" / "sls-access-key-id").write_text(KEY_ID)
        (folder / "credentials" / "sls-access-key-secret").write_text(KEY_SECRET + "\n")
    environ = {"SLS_AK_ID": "", "SLS_AK_KEY": ""} if key else {}
    return {"CREDENTIALS_DIRECTORY": str(folder / "credentials"), **environ}


def fill(store, groups: int, **contents: str) -> None:
    for number in range(groups):
        logs = [{"n": str(number * 10 + n), **contents} for n in range(10)]
        store.append(number % 2, [make_group(logs, time=1700000000)])


def test_the_five_minute_start_ships_logs(sls, tmp_path, agents) -> None:
    """Its configuration and its secrets, as the page has them; `check --connect` first."""
    page = (EXAMPLES.parent / "index.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "examples").mkdir()
    store = sls.create_logstore("my-project", "my-logstore", shards=2)
    with HecEmulator() as hec:
        (tmp_path / "examples" / "agent.toml").write_text(textwrap.dedent(toml))
        addresses = {"https://cn-hangzhou.log.aliyuncs.com": sls.url, "https://splunk-1.example.com:8088": hec.url}
        site = Site(tmp_path, tmp_path / "examples", addresses, agents)
        environ = credentials(tmp_path, hec.token, key=True)
        fill(store, 4, user="ann")
        agent = site.start(1, environ)
        command = [sys.executable, "-m", "sls_siem", "check", "--connect", "--config", str(agent.config_path)]
        asked = subprocess.run(command, env=agent.environ(), capture_output=True, text=True, check=False, timeout=100)

        assert 0 == asked.returncode, asked.stdout + asked.stderr
        until(lambda: len(hec.store) == 40, 80, "the arrival of 40 logs")
        assert 0 == agent.stop()


@pytest.fixture
def project(sls):
    """The logstores of the examples."""
    return {name: sls.create_logstore("my-project", name, shards=2) for name in ("audit", "web")}


def test_one_host_ships_several_logstores(sls, project, tmp_path, agents) -> None:
    with HecEmulator(tokens=(HecToken(indexes=("audit", "web")),), keep_bytes=True) as hec:
        addresses = {"https://cn-hangzhou.log.aliyuncs.com": sls.url, "https://splunk-1.example.com:8088": hec.url}
        site = Site(tmp_path, "several-logstores", addresses, agents)
        fill(project["audit"], 6, user="ann")
        fill(project["web"], 4, request_uri="/")
        fill(project["web"], 4, request_uri="/healthz?x")
        environ = credentials(tmp_path, hec.token)
        running = [site.start(number, environ) for number in (1, 2, 3)]
        until(lambda: len(hec.store) == 100, 80, "the arrival of 60 audit logs and 40 web logs")

        assert [0, 0, 0] == [agent.stop() for agent in running]
        kept = [hec.store.data(ident) or b"" for ident in hec.store.ids()]
        assert [60, 40, 0] == [sum(part in one for one in kept) for part in (b'"user":"ann"', b'"/"', b"healthz")]


def test_one_logstore_goes_to_two_siems_each_at_its_own_pace(sls, project, tmp_path, agents) -> None:
    pki = Certificates(tmp_path / "pki")
    with HecEmulator() as hec, SyslogEmulator(framing="lf", rfc="3164", tls=server_context(pki.server)) as qradar:
        tls = f'[tls]\nca_file = "{pki.ca_file}"\nserver_name = "localhost"'
        addresses = {
            "https://cn-hangzhou.log.aliyuncs.com": sls.url,
            "https://splunk-1.example.com:8088": hec.url,
            '"tls://qradar.example.com:6514"': f'"{qradar.url}"\n{tls}',
        }
        site = Site(tmp_path, "two-siems", addresses, agents)
        fill(project["audit"], 10, user="ann")
        hec.stop_listening()
        environ = credentials(tmp_path, hec.token)
        running = [site.start(number, environ) for number in (1, 2, 11, 12)]
        until(lambda: qradar.store.total == 100, 80, "QRadar's copy while Splunk is down")

        assert 0 == len(hec.store)
        hec.listen_again()
        until(lambda: len(hec.store) == 100, 80, "Splunk's copy")
        assert [0] * 4 == [agent.stop() for agent in running]
        assert 100 == len({one.digest for one in qradar.store.all_arrivals()})
        assert {"to-splunk", "to-qradar"} == {group.name for group in project["audit"].consumer_groups.values()}
