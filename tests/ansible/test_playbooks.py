"""What the playbooks make of what they find, with the newest ansible-core and with the oldest that is supported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ansible.pretended import play, survey

TWO = {name: survey(noted="0.2.0 0.3.0 1800000000") for name in ("alpha", "beta")}


def test_a_host_with_healthy_instances_is_read_and_may_be_changed(command: str, tmp_path: Path) -> None:
    run = play(tmp_path, "upgrade", {"alpha": survey(), "beta": survey()}, command=command)

    assert 0 == run.status, run.output
    assert "1 instances are enabled and healthy" in run.output


def test_a_host_with_a_sick_instance_is_not_touched(command: str, tmp_path: Path) -> None:
    hosts = {"alpha": survey(version="0.2.0", last_heartbeat=None), "beta": survey()}
    run = play(tmp_path, "upgrade", hosts, command=command)

    assert 2 == run.status
    assert "instance 1: no heartbeat was answered yet" in run.output
    assert "would be installed" not in run.output


@pytest.mark.parametrize("playbook", ["upgrade", "rollback"])
def test_a_size_of_batches_that_would_have_no_effect_is_refused(playbook: str, tmp_path: Path) -> None:
    run = play(tmp_path, playbook, TWO, variables={"sls_siem_serial": [2]})

    assert 2 == run.status
    assert "sls_siem_serial in the inventory has no effect" in run.output
    assert '"sls_siem_serial": [2]' in run.output


def test_a_size_of_batches_from_the_command_line_wins(command: str, tmp_path: Path) -> None:
    asked = ["-e", json.dumps({"sls_siem_serial": [2]})]
    run = play(tmp_path, "upgrade", TWO, *asked, variables={"sls_siem_serial": [1]}, command=command)

    assert 0 == run.status, run.output
    assert 1 == run.output.count("Go on only while no host was lost")


def test_check_mode_waits_for_no_health(tmp_path: Path) -> None:
    role = {"name": "sls_siem", "tasks_from": "gate"}
    gate = {"ansible.builtin.include_role": role, "vars": {"__sls_siem_gate": [1]}}
    playbook = tmp_path / "ansible" / "playbooks" / "gate.yml"
    playbook.parent.mkdir(parents=True)
    playbook.write_text(json.dumps([{"hosts": "sls_siem", "gather_facts": False, "tasks": [gate]}]))
    run = play(tmp_path, "gate", TWO, variables={"sls_siem_gate_s": 2})

    assert 0 == run.status, run.output


def test_a_key_without_a_value_and_a_time_without_quotes_are_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(
        """
        sls_siem_config:
          sls: {endpoint: "http://x:1", start: 2026-01-31T10:00:00Z, in_order: false, heartbeat_s: 5}
          siem: {output: hec, json_fields: [event, ]}
          hec:
            urls: ["https://a", ~]
            index:
          tls:
          log: info
        sls_siem_instance_config:
          1: {cef: {fields: {src: ~, request: 2026-01-31}}}
          2:
        """
    )
    run = play(tmp_path, "upgrade", TWO, "-e", f"@{tmp_path / 'config.yml'}", command=command)

    assert 2 == run.status
    assert run.found(r"(sls_siem_\w*config\.\S+ (?:has|is) .*\w)") == [
        "sls_siem_config.hec.index has no value. Give it one, or take it out",
        "sls_siem_config.hec.urls[1] has no value. Give it one, or take it out",
        "sls_siem_config.log is no table of keys but info",
        "sls_siem_config.sls.start is a time to YAML, 2026-01-31 10:00:00+00:00. Put it into quotes",
        "sls_siem_config.tls has no value. Give it one, or take it out",
        "sls_siem_instance_config.1.cef.fields.request is a time to YAML, 2026-01-31. Put it into quotes",
        "sls_siem_instance_config.1.cef.fields.src has no value. Give it one, or take it out",
        "sls_siem_instance_config.2 has no value. Give it one, or take it out",
    ]


REFUSED = {
    "private-key": {"siem-key.pem": "-----BEGIN RSA PRIVATE KEY-----\nPRIVATE-SECRET\n"},
    "folder": {"../credentials/hec-token": "PRIVATE-SECRET"},
    "line": {"a.pem\n": "PRIVATE-SECRET"},
}


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED)
def test_a_private_key_and_a_name_that_leads_elsewhere_are_no_certificate(files: object, tmp_path: Path) -> None:
    run = play(tmp_path, "upgrade", TWO, "--diff", "-vv", variables={"sls_siem_tls_files": files})

    assert 2 == run.status
    assert "and no private key, which is the credential tls-client-key" in " ".join(run.output.split())
    assert "PRIVATE-SECRET" not in run.output


def test_certificates_are_accepted(tmp_path: Path) -> None:
    files = {"ca.pem": "-----BEGIN CERTIFICATE-----\n", "client_2-b.crt": "-----BEGIN CERTIFICATE-----\n"}
    run = play(tmp_path, "upgrade", TWO, variables={"sls_siem_tls_files": files})

    assert 0 == run.status, run.output


def test_a_package_on_hold_is_seen_and_not_changed(command: str, tmp_path: Path) -> None:
    hosts = {"alpha": survey(state="hi"), "beta": survey("0.2.0", state="hi")}
    run = play(tmp_path, "upgrade", hosts, command=command)

    assert 2 == run.status
    assert ["beta at version 0.2.0, and 0.3.0 is wanted"] == run.found(r"is on hold on (\w+ at .* is wanted)")
    assert [] == run.found(r"(sls-siem-agent .* would be installed)")


@pytest.mark.parametrize(("bare", "asked"), [(["alpha"], ["beta"]), (["alpha", "beta"], [])])
def test_the_number_of_shards_is_asked_where_the_agent_is_installed(bare, asked, tmp_path: Path) -> None:
    run = play(tmp_path, "upgrade", {**TWO, **dict.fromkeys(bare, "")}, variables={"sls_siem_shards": 0})

    assert 0 == run.status, run.output
    assert asked == run.found(r"ok: \[alpha -> (\w+)\]")


@pytest.mark.parametrize(("playbook", "wrong"), [("upgrade", "sls_siem_gate_s"), ("remove", "sls_siem_purge")])
def test_a_variable_of_the_wrong_type_is_refused_by_every_playbook(playbook: str, wrong: str, tmp_path: Path) -> None:
    run = play(tmp_path, playbook, TWO, "--limit", "alpha", variables={wrong: "perhaps"})

    assert 2 == run.status
    assert f"argument '{wrong}' is of type" in run.output
