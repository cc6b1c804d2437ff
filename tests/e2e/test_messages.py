"""What an operator reads when something is wrong: one clear line that says what to do, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.store import Comparison
from sls_siem.emulator.syslog import SyslogEmulator
from tests.e2e.harness import KEY_ID, KEY_SECRET, AgentProcess, Oracle, hec_tables, syslog_tables, until

pytestmark = pytest.mark.e2e


def fill(sls, groups: int = 6) -> None:
    for number in range(groups):
        sls.store.append(None, [make_group([{"seq": str(number)}, {"seq": f"{number}b"}], time=1700000000)])


def lines_with(agent: AgentProcess, *words: str) -> list[str]:
    return [line for line in agent.log().splitlines() if all(word in line for word in words)]


def arrives_after_all(agent: AgentProcess, sls, store) -> None:
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: len(store) >= len(expected), 60, "the arrival of every log")

    assert 0 == agent.stop()
    assert Comparison() == store.compare(expected)


def test_a_wrong_key_is_named_and_a_rotated_one_is_taken_with_a_reload(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls)
    secret = tmp_path / "secret"
    secret.write_text("not-the-right-secret-9x")
    key = tmp_path / "key"
    key.write_text(KEY_ID)
    tables = hec_tables(sls, [hec.url], token_file)
    tables["sls.credentials"] = {"access_key_id_file": str(key), "access_key_secret_file": str(secret)}
    agent = AgentProcess(tmp_path, tables, environ={"SLS_AK_ID": "", "SLS_AK_KEY": ""})
    agents.append(agent)
    agent.start()
    until(lambda: agent.status().get("state") == "holding")
    found = lines_with(agent, "WARNING", "SignatureNotMatch")

    assert 1 == len(found), found
    assert "systemctl reload 'sls-siem@*'" in found[0]
    assert "not-the-right-secret-9x" not in agent.log()
    secret.write_text(KEY_SECRET)
    agent.signal(signal.SIGHUP)
    arrives_after_all(agent, sls, hec.store)


def test_a_missing_key_says_where_it_was_looked_for(sls, hec, token_file, tmp_path, agents) -> None:
    tables = hec_tables(sls, [hec.url], token_file)
    tables["sls.credentials"] = {"access_key_secret_file": str(tmp_path / "absent")}
    agent = AgentProcess(tmp_path, tables, environ={"SLS_AK_KEY": ""})
    agents.append(agent)
    agent.start()
    until(lambda: lines_with(agent, "no access key for SLS"))

    assert str(tmp_path / "absent") in agent.log()
    assert 0 == agent.stop()


def test_a_wrong_token_holds_and_a_rotated_one_is_taken_by_itself(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls)
    token_file.write_text("00000000-dead-beef-0000-000000000000")
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent)
    agent.start()
    until(lambda: agent.status().get("state") == "holding")
    found = lines_with(agent, "systemctl reload 'sls-siem@*'")

    assert found
    assert len(found) <= 2, "one line a shard at most"
    assert "dead-beef" not in agent.log()
    token_file.write_text(hec.token)
    arrives_after_all(agent, sls, hec.store)


def test_an_unknown_host_is_named(sls, tmp_path, agents) -> None:
    fill(sls)
    agent = AgentProcess(tmp_path, syslog_tables(sls, "tcp://no-such-host.invalid:6514"))
    agents.append(agent)
    agent.start()
    until(lambda: agent.status().get("state") == "holding")
    found = lines_with(agent, "WARNING", "no-such-host.invalid", "cannot resolve")

    assert 1 == len(found), found
    assert 1 == len(lines_with(agent, "WARNING", "no-such-host.invalid", "logs travel unencrypted")), agent.log()
    assert 0 == agent.stop()
    assert all(save.new == save.old or save.forced for save in sls.history.saves)


def test_an_expired_certificate_is_named_and_a_renewed_one_accepted(sls, tmp_path, agents) -> None:
    fill(sls)
    made = Certificates(tmp_path / "pki")
    with SyslogEmulator(framing="octet-counting", rfc="5424", tls=server_context(made.expired)) as siem:
        tls = {"ca_file": str(made.ca_file), "server_name": "localhost"}
        agent = AgentProcess(tmp_path, syslog_tables(sls, siem.url, tls=tls))
        agents.append(agent)
        agent.start()
        until(lambda: agent.status().get("state") == "holding")
        found = lines_with(agent, "WARNING", "expired")

        assert 1 == len(found), found
        siem.set_tls(server_context(made.server))
        arrives_after_all(agent, sls, siem.store)


def test_a_malformed_file_ends_with_78_and_names_line_and_column(sls, hec, token_file, tmp_path, agents) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent)
    agent.config_path.write_text("[sls]\nendpoint = https://x\n")
    agent.start()

    assert 78 == agent.wait(20)
    assert f"{agent.config_path}:2:" in agent.log()
    assert 1 == len(agent.log().splitlines())


def test_every_problem_of_the_configuration_is_named_in_one_run(sls, hec, token_file, tmp_path, agents) -> None:
    tables = hec_tables(sls, [hec.url], token_file, sls={"heartbeat_s": 1000, "logstor": "x"}, hec={"gzip": "yes"})
    agent = AgentProcess(tmp_path, tables)
    agents.append(agent)
    agent.start()

    assert 78 == agent.wait(20)
    for word in ("sls.heartbeat_s", "sls.logstor", "logstore", "hec.gzip"):
        assert word in agent.log()


def test_a_second_process_of_the_same_instance_ends_with_78(sls, hec, token_file, tmp_path, agents) -> None:
    first = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(first)
    first.start()
    until(first.status)
    second = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    second.log_path = tmp_path / "second.txt"
    agents.append(second)
    second.start()

    assert 78 == second.wait(20)
    assert first.process is not None
    assert f"already runs as process {first.process.pid}" in second.log()


def test_the_signature_is_refused_when_this_hosts_clock_is_wrong_and_the_line_says_so(
    sls, hec, token_file, tmp_path, agents
) -> None:
    sls.settings.skew_s = 3600
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent)
    agent.start()
    until(lambda: lines_with(agent, "RequestTimeExpired"))

    assert "clock" in lines_with(agent, "RequestTimeExpired")[0]


# --- check ---


def check(agent: AgentProcess, *arguments: str) -> tuple[int, str, str]:
    found = subprocess.run(
        [sys.executable, "-m", "sls_siem", "check", "--config", str(agent.config_path), *arguments],
        env=agent.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


def test_check_is_content_with_a_right_configuration(sls, hec, token_file, tmp_path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    status, out, err = check(agent)

    assert (0, "") == (status, out)
    assert "valid" in err
    assert "unencrypted" in err


def test_check_connect_reports_shards_group_clock_and_siem(sls, hec, token_file, tmp_path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    status, out, err = check(agent, "--connect", "--json")
    document = json.loads(out)

    assert 0 == status, err
    assert "" == err
    assert 2 == document["shards"]
    assert document["ok"] is True
    assert document["consumer_group_exists"] is False
    assert abs(document["clock_skew_s"]) < 60
    assert "at least once" in document["guarantee"]
    assert 0 == len(sls.store.consumer_groups)
    assert 0 == len(hec.store)


@pytest.mark.parametrize("what", ["token", "key", "logstore", "down", "quota", "permission"])
def test_check_connect_names_what_is_wrong_with_its_fix_and_ends_with_69(sls, hec, token_file, tmp_path, what) -> None:
    tables = hec_tables(sls, [hec.url], token_file)
    environ = {}
    expected = {
        "token": "token",
        "key": "SignatureNotMatch",
        "logstore": "nowhere",
        "down": hec.url.split("//")[1],
        "quota": "limit is 30",
        "permission": "log:ListShards",
    }[what]
    if what == "token":
        token_file.write_text("wrong")
    elif what == "key":
        environ = {"SLS_AK_KEY": "wrong"}
    elif what == "logstore":
        tables["sls"]["logstore"] = "nowhere"
    elif what == "down":
        hec.stop_listening()
    elif what == "quota":
        for number in range(30):
            sls.store.create_group(f"g{number}", timeout_s=40, in_order=False, quota=100)
    else:
        sls.add_key("restricted", "restricted-secret", denied=frozenset({"log:ListShards"}))
        environ = {"SLS_AK_ID": "restricted", "SLS_AK_KEY": "restricted-secret"}
    agent = AgentProcess(tmp_path, tables, environ=environ)
    status, out, err = check(agent, "--connect")

    assert (69, "") == (status, out), err
    assert expected in err
    assert "FAIL" in err


def test_check_prints_one_json_document_for_a_broken_configuration(tmp_path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[sls]\nproject = 1\n")
    found = subprocess.run(
        [sys.executable, "-m", "sls_siem", "check", "--config", str(path), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )

    assert 78 == found.returncode
    assert json.loads(found.stdout)["ok"] is False
    assert any("sls.project" in problem for problem in json.loads(found.stdout)["problems"])


# --- status, version, usage ---


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sls_siem", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_status_shows_what_a_held_shard_waits_for(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls)
    hec.stop_listening()
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent)
    agent.start()
    until(lambda: agent.status().get("state") == "holding")
    shown = command("status", RUNTIME_DIRECTORY=str(agent.folder / "run"))

    assert 0 == shown.returncode
    assert "holding" in shown.stdout
    assert "shards 0-1: " in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    document = json.loads(command("status", "--json", RUNTIME_DIRECTORY=str(agent.folder / "run")).stdout)
    assert 1 == document["instances"][0]["instance"]


def test_status_without_any_instance_says_how_to_start_one(tmp_path: Path) -> None:
    shown = command("status", RUNTIME_DIRECTORY=str(tmp_path))

    assert 69 == shown.returncode
    assert "systemctl start" in shown.stderr


def test_version_names_the_codec() -> None:
    shown = command("version")

    assert 0 == shown.returncode
    assert "codec:" in shown.stdout


@pytest.mark.parametrize("arguments", [[], ["fly"], ["check", "--wrong"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert 2 == command(*arguments).returncode


def test_an_instance_number_out_of_range_ends_with_78() -> None:
    shown = command("check", "--instance", "100")

    assert 78 == shown.returncode
    assert "1 to 99" in shown.stderr


def test_the_emulators_never_enter_the_process_of_run() -> None:
    code = (
        "import sys, sls_siem.cli.main, sls_siem.service.run;"
        "print([name for name in sys.modules if name.startswith('sls_siem.emulator')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert "[]\n" == found.stdout


def test_a_hec_that_wants_acknowledgement_off_is_not_silently_degraded(sls, tmp_path, agents) -> None:
    """acknowledge = true, but the token does not acknowledge: hold and say so."""
    with HecEmulator() as hec:
        token = tmp_path / "token"
        token.write_text(hec.token)
        fill(sls)
        agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token, hec={"acknowledge": True}))
        agents.append(agent)
        agent.start()
        until(lambda: agent.status().get("state") == "holding")

        assert "acknowledge" in " ".join(agent.status()["holding"].values()).lower()
        assert 0 == agent.stop()
        assert not [save for save in sls.history.saves if not save.forced and save.new != save.old]
