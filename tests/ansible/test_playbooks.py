"""What the playbooks make of what they find, with the newest ansible-core and with the oldest that is supported."""

from __future__ import annotations

from pathlib import Path

from tests.ansible.pretended import play, survey


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
