"""Keys that end and are replaced while logs are shipped: nothing lost, nothing twice, no restart."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.store import Comparison
from tests.e2e.harness import AgentProcess, Oracle, Trickle, assert_saves_are_honest, hec_tables, until
from tests.metadata_server import MetadataServer, document

pytestmark = pytest.mark.e2e


@pytest.fixture
def sls():
    """A service that knows no key yet."""
    with SlsEmulator(project="p", logstore="ls", shards=2) as emulator:
        yield emulator


def admit(sls: SlsEmulator, name: str, *, for_s: float) -> None:
    key = document(name, for_s=for_s)
    sls.add_key(key["AccessKeyId"], key["AccessKeySecret"], token=key["SecurityToken"], expires=time.time() + for_s)


def ships_through_three_keys(sls, hec, agent: AgentProcess, give) -> None:
    """Each key goes for 4 s at the service, the next one is there 2 s before."""

    def append(number: int) -> None:
        sls.store.append(number % 2, [make_group([{"seq": str(number)}], time=1700000000)])

    admit(sls, "one", for_s=4)
    give("one", 4)
    agent.start()
    with Trickle(append, 0.02):
        for name in ("two", "three"):
            time.sleep(2)
            admit(sls, name, for_s=4 if name == "two" else 3600)
            give(name, 4 if name == "two" else 3600)
        time.sleep(3.5)
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: len(hec.store) >= len(expected), 20, "the arrival of every log")

    assert 0 == agent.stop()
    assert Comparison() == hec.store.compare(expected)
    assert_saves_are_honest(sls, first_positions=2)
    for secret in ("secret-of", "token-of", "STS."):
        assert secret not in agent.log()
        assert secret not in json.dumps(agent.status())


def test_the_keys_of_a_ram_role_change_unnoticed(sls, hec, token_file, tmp_path, agents) -> None:
    with MetadataServer() as metadata:
        tables = hec_tables(sls, [hec.url], token_file)
        tables["sls.credentials"] = {"source": "ecs-ram-role", "ram_role": "log-reader"}
        environ = {"SLS_SIEM_TEST_METADATA_URL": metadata.url, "SLS_AK_ID": "", "SLS_AK_KEY": ""}
        agent = AgentProcess(tmp_path, tables, environ=environ)
        agents.append(agent)
        ships_through_three_keys(sls, hec, agent, lambda name, seconds: metadata.give(name, for_s=seconds))


def test_the_keys_in_a_file_change_unnoticed(sls, hec, token_file, tmp_path: Path, agents) -> None:
    path = tmp_path / "sts.json"
    tables = hec_tables(sls, [hec.url], token_file)
    tables["sls.credentials"] = {"source": "file", "file": str(path)}
    agent = AgentProcess(tmp_path, tables, environ={"SLS_AK_ID": "", "SLS_AK_KEY": ""})
    agents.append(agent)

    def give(name: str, seconds: float) -> None:
        path.write_text(json.dumps(document(name, for_s=seconds)))

    ships_through_three_keys(sls, hec, agent, give)
