"""Filters and masks end to end: what is left out is settled and counted, what is hidden never leaves, ids stay."""

from __future__ import annotations

import json
import signal
import urllib.request

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.store import Comparison
from tests.e2e.harness import AgentProcess, Oracle, hec_tables, until
from tests.monitoring.prometheus import free_ports

pytestmark = pytest.mark.e2e
PORT = 1


@pytest.fixture
def hec():
    with HecEmulator(tokens=(HecToken(),), keep_bytes=True) as emulator:
        yield emulator


def fill(sls, groups: int, *, level: str = "") -> None:
    for number in range(groups):
        logs = [
            {
                "n": f"{number}-{n}",
                "level": level or ("DEBUG" if n % 3 else "INFO"),
                "user": "ann",
                "password": "geheim",
            }
            for n in range(9)
        ]
        sls.store.append(number % 2, [make_group(logs, time=1700000000 + number, topic="t", source="10.0.0.1")])


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def at_the_end(sls, agent: AgentProcess) -> bool:
    rows = agent.status().get("shards", [])
    return len(rows) == 2 and all(row["saved"] == sls.store.shard(row["shard"]).end for row in rows)


@pytest.mark.parametrize("codec", ["reference", "compiled"])
def test_filters_and_masks_hold_while_everything_is_settled(sls, hec, token_file, tmp_path, agents, codec) -> None:
    if codec == "compiled":
        pytest.importorskip("sls_siem_codec")
    key = tmp_path / "hash-key"
    key.write_text("a-key-for-this-test-only\n")
    base = free_ports(2)
    tables = hec_tables(sls, [hec.url], token_file, metrics={"port": base})
    tables["filter"] = {"drop": {"level": ["DEBUG"]}}
    tables["fields"] = {"drop": ["password"], "hash": ["user"], "hash_key_file": str(key)}
    hec.poison(f"0-{sls.store.shard(0).end}-3")
    agent = AgentProcess(tmp_path, tables, environ={"SLS_SIEM_CODEC": codec})
    agents.append(agent)
    fill(sls, 20)
    agent.start()
    until(lambda: at_the_end(sls, agent), 30, "the saving of the end of both shards")
    until(lambda: len(hec.store) >= 20 * 3, 20, "60 logs less the refused one, and its notice")
    fill(sls, 4, level="DEBUG")
    until(lambda: at_the_end(sls, agent), 30, "the settling of log groups of which nothing is sent")

    assert [24 * 9, 20 * 6 + 4 * 9] == [
        metric(base + PORT, f"sls_siem_{name}_logs_total") for name in ("pulled", "filtered")
    ]
    # All but the one that the SIEM refuses.
    assert 20 * 3 - 1 == metric(base + PORT, "sls_siem_delivered_events_total")
    letters = (tmp_path / "agent-1" / "state" / "dead-letters.jsonl").read_text()
    assert '"n\\":\\"0-3\\"' in letters.replace("\\\\", "\\")
    for hidden in ("geheim", "password", "ann"):
        assert hidden not in letters
    assert 0 == agent.stop()


def test_a_reload_puts_other_filters_in_force(sls, hec, token_file, tmp_path, agents) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent)
    agent.start()
    fill(sls, 2)
    until(lambda: len(hec.store) == 18)
    tables = hec_tables(sls, [hec.url], token_file)
    tables["filter"] = {"keep": {"level": ["INFO"]}}
    agent.write_config(tables)
    agent.signal(signal.SIGHUP)
    until(lambda: agent.status()["config_generation"] == 2)
    fill(sls, 2)
    until(lambda: len(hec.store) == 18 + 6)
    until(lambda: at_the_end(sls, agent), 20)

    assert "changed keys: filter.keep" in agent.log()
    assert 0 == agent.stop()


def test_without_its_key_the_agent_does_not_start(sls, hec, token_file, tmp_path, agents) -> None:
    tables = hec_tables(sls, [hec.url], token_file)
    tables["fields"] = {"hash": ["user"]}
    agent = AgentProcess(tmp_path, tables)
    agents.append(agent)
    agent.start()

    assert 78 == agent.wait()
    assert "fields.hash: the secret field-hash-key is missing" in agent.log()


def test_what_arrives_is_what_the_reference_makes_of_it(sls, hec, token_file, tmp_path, agents) -> None:
    tables = hec_tables(sls, [hec.url], token_file)
    tables["filter"] = {"drop": {"level": ["DEBUG"]}}
    tables["fields"] = {"redact": ["user"], "rename": {"n": "number"}}
    agent = AgentProcess(tmp_path, tables)
    agents.append(agent)
    fill(sls, 10)
    plain = Oracle(sls, AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), name="plain").config_path).ids()
    expected = Oracle(sls, agent.config_path).expected()
    agent.start()
    until(lambda: len(hec.store) >= len(expected), 20)

    assert Comparison() == hec.store.compare(expected)
    assert 30 == len(expected)
    assert set(expected) <= plain
    assert json.dumps(agent.status())
    assert 0 == agent.stop()
