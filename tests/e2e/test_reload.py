"""SIGHUP under load: what can be applied is applied, nothing is lost or sent twice, no restart."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.store import Comparison
from sls_siem.emulator.syslog import SyslogEmulator
from tests.e2e.harness import KEY_SECRET, AgentProcess, Oracle, Trickle, hec_tables, syslog_tables, until

pytestmark = pytest.mark.e2e


def fill(sls, number: int) -> None:
    logs = [{"seq": f"{number}-{index}", "message": "z" * 100} for index in range(10)]
    sls.store.append(None, [make_group(logs, time=1700000000 + number)])


def started(agents, tmp_path, tables, **arguments) -> AgentProcess:
    agent = AgentProcess(tmp_path, tables, **arguments)
    agents.append(agent)
    agent.start()
    until(lambda: sorted(agent.shards()) == [0, 1])
    return agent


def reload(agent: AgentProcess) -> None:
    generation = agent.status()["config_generation"]
    agent.signal(signal.SIGHUP)
    until(lambda: agent.status()["config_generation"] == generation + 1)


def test_another_siem_takes_over_without_loss_or_repetition(sls, hec, token_file, tmp_path, agents) -> None:
    with HecEmulator(tokens=(HecToken(value=hec.token),)) as successor:
        agent = started(agents, tmp_path, hec_tables(sls, [hec.url], token_file))
        with Trickle(lambda number: fill(sls, number), 0.01):
            time.sleep(1.5)
            agent.write_config(hec_tables(sls, [successor.url], token_file))
            reload(agent)
            time.sleep(1.5)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(hec.store) + len(successor.store) >= len(expected), 30)

        assert 0 == agent.stop()
        first, second = set(hec.store.ids()), set(successor.store.ids())
        assert first
        assert second
        assert set() == first & second
        assert set(expected) == first | second
        assert not hec.store.duplicates()
        assert not successor.store.duplicates()


@pytest.mark.parametrize("output", ["hec", "syslog"])
def test_the_right_address_ends_the_attempts_at_the_wrong_one(output, sls, hec, token_file, tmp_path, agents) -> None:
    """As an operator does it at night: every shard is in the middle of a payload that nobody takes."""

    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))  # and never listens

    def tables(url: str | None):
        wrong = f"{'http' if output == 'hec' else 'tcp'}://127.0.0.1:{nobody.getsockname()[1]}"
        return hec_tables(sls, [url or wrong], token_file) if output == "hec" else syslog_tables(sls, url or wrong)

    def holding_everywhere() -> bool:
        status = agent.status()
        return status["state"] == "holding" and all(row["unsettled_bytes"] for row in status["shards"])

    with nobody, SyslogEmulator(framing="lf", rfc="5424") as syslog:
        siem = hec if output == "hec" else syslog
        for number in range(20):
            fill(sls, number)
        agent = started(agents, tmp_path, tables(None))
        until(holding_everywhere)
        agent.write_config(tables(siem.url))
        reload(agent)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 15)

        assert 0 == agent.stop()
        assert Comparison() == siem.store.compare(expected)


def test_quiet_shards_leave_the_old_receiver_at_once(sls, tmp_path, agents) -> None:
    """A shard without logs waits for seconds; what is reloaded must not."""
    with SyslogEmulator(framing="lf", rfc="5424") as first, SyslogEmulator(framing="lf", rfc="5424") as second:
        for number in range(8):
            fill(sls, number)
        agent = started(agents, tmp_path, syslog_tables(sls, first.url))
        until(lambda: 80 == len(first.store))
        until(lambda: not any(row["unsettled_bytes"] for row in agent.status()["shards"]))
        time.sleep(1.0)
        agent.write_config(syslog_tables(sls, second.url))
        reload(agent)
        until(lambda: ["peer-fin"] * 2 == [ended.end for ended in first.connections()], 3)
        fill(sls, 8)
        until(lambda: 10 == len(second.store))

        assert 0 == agent.stop()
        assert not set(first.store.ids()) & set(second.store.ids())


def test_a_rotated_token_and_key_are_taken_under_load(sls, hec, token_file, tmp_path, agents) -> None:
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text("test-key-id")
    secret.write_text(KEY_SECRET)
    tables = hec_tables(sls, [hec.url], token_file)
    tables["sls.credentials"] = {"access_key_id_file": str(key), "access_key_secret_file": str(secret)}
    agent = started(agents, tmp_path, tables, environ={"SLS_AK_ID": "", "SLS_AK_KEY": ""})
    with Trickle(lambda number: fill(sls, number), 0.01):
        time.sleep(1)
        hec.set_token(HecToken(value="11111111-2222-3333-4444-555555555555"))
        token_file.write_text("11111111-2222-3333-4444-555555555555")
        sls.add_key("second-id", "second-secret")
        key.write_text("second-id")
        secret.write_text("second-secret")
        reload(agent)
        hec.remove_token(hec.token)
        sls.remove_key("test-key-id")
        time.sleep(1.5)
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: len(hec.store) >= len(expected), 30)

    assert 0 == agent.stop()
    assert Comparison() == hec.store.compare(expected)


def test_a_renewed_certificate_is_taken_under_load(sls, tmp_path, agents) -> None:
    made = Certificates(tmp_path / "pki")
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(made.ca_file.read_bytes())
    with SyslogEmulator(framing="octet-counting", rfc="5424", tls=server_context(made.server)) as siem:
        tls = {"ca_file": str(trusted), "server_name": "localhost"}
        agent = started(agents, tmp_path, syslog_tables(sls, siem.url, tls=tls))
        with Trickle(lambda number: fill(sls, number), 0.01):
            time.sleep(1)
            trusted.write_bytes(made.other_ca_file.read_bytes())
            siem.set_tls(server_context(made.untrusted))
            reload(agent)
            time.sleep(2)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 30)

        assert 0 == agent.stop()
        assert Comparison() == siem.store.compare(expected)


def test_a_renewed_client_certificate_is_taken_under_load(sls, tmp_path, agents) -> None:
    made = Certificates(tmp_path / "pki")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"

    def install(pair) -> None:
        cert.write_bytes(pair.cert_file.read_bytes())
        key.write_bytes(pair.key_file.read_bytes())

    install(made.client)
    first = server_context(made.server, client_ca=made.ca_file, client="required")
    with SyslogEmulator(framing="octet-counting", rfc="5424", tls=first) as siem:
        tls = {"ca_file": str(made.ca_file), "server_name": "localhost", "cert_file": str(cert), "key_file": str(key)}
        agent = started(agents, tmp_path, syslog_tables(sls, siem.url, tls=tls))
        with Trickle(lambda number: fill(sls, number), 0.01):
            until(lambda: len(siem.store) > 100)
            install(made.untrusted_client)
            siem.set_tls(server_context(made.server, client_ca=made.other_ca_file, client="required"))
            reload(agent)
            seen = len(siem.store)
            until(lambda: len(siem.store) > seen + 100, 30, "logs over connections with the new certificate")
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 30)

        assert 0 == agent.stop()
        assert Comparison() == siem.store.compare(expected)


def test_a_bad_new_file_leaves_the_old_one_running_and_says_so(sls, hec, token_file, tmp_path, agents) -> None:
    agent = started(agents, tmp_path, hec_tables(sls, [hec.url], token_file))
    agent.config_path.write_text("[sls]\nendpoint = 7\n")
    agent.signal(signal.SIGHUP)
    until(lambda: any("not reloaded" in error for error in agent.status()["errors"]))
    fill(sls, 1)
    until(lambda: len(hec.store) == 10)

    assert 1 == agent.status()["config_generation"]
    assert 60 > time.time() - agent.status()["last_error_at"] > 0
    assert "the old configuration stays in force" in agent.log()
    assert 0 == agent.stop()


def test_keys_that_need_a_restart_are_named_and_the_others_applied(sls, hec, token_file, tmp_path, agents) -> None:
    agent = started(agents, tmp_path, hec_tables(sls, [hec.url], token_file))
    changed = hec_tables(sls, [hec.url], token_file, siem={"format": "kv"}, sls={"consumer_group": "another"})
    changed["delivery"]["window_bytes"] = 32 * 1024 * 1024
    agent.write_config(changed)
    reload(agent)
    fill(sls, 1)
    until(lambda: len(hec.store) == 10)

    assert "need a restart: delivery.window_bytes, sls.consumer_group" in agent.log()
    assert ["delivery.window_bytes", "sls.consumer_group"] == agent.status()["needs_restart"]
    assert "changed keys: siem.format" in agent.log()
    assert ["siem-group"] == [group.name for group in sls.store.consumer_groups.values()]
    assert 0 == agent.stop()


def test_the_status_tells_which_files_are_in_force_and_what_still_waits_for_a_restart(
    sls, hec, token_file, tmp_path, agents
) -> None:
    tables = hec_tables(sls, [hec.url], token_file)
    before = time.time()
    agent = started(agents, tmp_path, tables)
    at_start = agent.status()
    changed = hec_tables(sls, [hec.url], token_file, delivery={"checkpoint_s": 0.5})
    agent.write_config(changed)
    reload(agent)
    first = agent.status()
    agent.write_config({**changed, "log": {"level": "debug"}})
    reload(agent)
    second = agent.status()
    agent.write_config(tables)
    reload(agent)
    back = agent.status()

    assert [] == at_start["needs_restart"]
    assert ["delivery.checkpoint_s"] == first["needs_restart"] == second["needs_restart"]
    assert [] == back["needs_restart"]
    assert before <= at_start["config_read"] < first["config_read"] < second["config_read"]
    assert back["config_read"] >= agent.config_path.stat().st_mtime - 0.02
    assert 0 == agent.stop()
