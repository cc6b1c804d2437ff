"""What the gates go by: the templates that judge `sls-siem status --json`, and those that count."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.test_role import ROLE, run, tool

NOW = 1_800_000_000.0


def document(**changes: Any) -> dict[str, Any]:
    return {
        "instance": 1,
        "version": "2",
        "state": "running",
        "stale": False,
        "written": NOW,
        "last_heartbeat": NOW - 3,
        "config_read": NOW - 60,
        "needs_restart": [],
        "holding": {},
        "errors": [],
        "shards": [{"lag_s": 2.0}, {"lag_s": None}],
        **changes,
    }


# What is wanted beside the document, and what is said; an empty text means healthy.
CASES: dict[str, tuple[dict[str, Any] | None, dict[str, Any], str]] = {
    "healthy": (document(), {}, ""),
    "absent": (None, {}, "instance 1: does not run"),
    "stale": (document(stale=True), {}, "instance 1: does not run"),
    "never-heard": (document(last_heartbeat=None), {}, "instance 1: no heartbeat was answered yet"),
    "silent": (document(last_heartbeat=NOW - 13), {}, "instance 1: no heartbeat was answered for 13 s"),
    "holding": (
        document(state="holding", holding={"shard 3": "the SIEM refuses"}),
        {},
        "instance 1: is holding, shard 3: the SIEM refuses",
    ),
    "held-before-without-force": (
        document(state="holding"),
        {"__sls_siem_before": {"1": {"state": "holding", "lag_s": 0}}},
        "instance 1: is holding",
    ),
    "held-before-and-forced": (
        document(state="holding"),
        {"__sls_siem_before": {"1": {"state": "holding", "lag_s": 0}}, "sls_siem_force": True},
        "",
    ),
    "behind": (
        document(shards=[{"lag_s": 100.0}]),
        {},
        "instance 1: its lag is 100 s, more than before and more than 60 s",
    ),
    "as-far-behind-as-before": (
        document(shards=[{"lag_s": 100.0}]),
        {"__sls_siem_before": {"1": {"state": "running", "lag_s": 120.0}}},
        "",
    ),
    "another-version": (document(version="1"), {}, "instance 1: runs version 1, not 2"),
    "old-configuration": (
        document(errors=["not reloaded: sls.endpoint: is wrong"]),
        {"__sls_siem_files_at": NOW - 10},
        "instance 1: has not read its new configuration: not reloaded: sls.endpoint: is wrong",
    ),
    "waits-for-a-restart": (
        document(needs_restart=["sls.heartbeat_s"]),
        {"__sls_siem_want_applied": True},
        "instance 1: still waits for a restart because of sls.heartbeat_s",
    ),
    "waits-and-may": (document(needs_restart=["sls.heartbeat_s"]), {}, ""),
}
WANTED: dict[str, Any] = {
    "__sls_siem_gate": [1],
    "__sls_siem_before": {},
    "__sls_siem_heartbeat_s": 5.0,
    "__sls_siem_want_version": "2",
    "__sls_siem_want_applied": False,
    "__sls_siem_files_at": 0,
    "sls_siem_force": False,
    "sls_siem_gate_lag_s": 60,
}


EVERY = (
    "{% set ns = namespace(found={}) %}{% for name, case in cases.items() %}"
    "{% set text = lookup('ansible.builtin.template', template, template_vars=case) %}"
    "{% set ns.found = ns.found | combine({name: ('' if text is none else text) | string | trim}) %}"
    "{% endfor %}{{ ns.found | to_json }}"
)


def rendered(folder: Path, template: str, cases: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Render a template of the role on this machine, once for each case with variables of its own."""
    target = folder / "rendered.json"
    task = {
        "ansible.builtin.copy": {"content": EVERY, "dest": str(target), "mode": "0600"},
        "vars": {"template": str(ROLE / "templates" / template), "cases": cases},
    }
    hosts = {"sls_siem": {"hosts": {"a": None, "b": None, "c": None, "d": None}}}
    (folder / "hosts.json").write_text(json.dumps(hosts))
    play = {"hosts": "a", "connection": "local", "gather_facts": False, "tasks": [task]}
    (folder / "play.yml").write_text(json.dumps([play]))
    python = f"ansible_python_interpreter={sys.executable}"
    run(tool("ansible-playbook"), "-i", folder / "hosts.json", "-e", python, folder / "play.yml", home=folder)
    found: dict[str, str] = json.loads(target.read_text())
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    def variables(found: dict[str, Any] | None, changes: dict[str, Any]) -> dict[str, Any]:
        stdout = json.dumps({"instances": [found]}) if found else ""
        return {**WANTED, **changes, "__sls_siem_status": {"stdout": stdout}}

    cases = {name: variables(found, changes) for name, (found, changes, _) in CASES.items()}
    return rendered(tmp_path_factory.mktemp("gate"), "sick.txt.j2", cases)


@pytest.mark.parametrize("name", CASES)
def test_the_gate_says_what_is_wrong_with_an_instance(said, name: str) -> None:
    assert CASES[name][2] == said[name]


def test_auto_gives_each_shard_a_consumer_even_with_one_host_of_four_gone(tmp_path: Path) -> None:
    def variables(instances: object, shards: int, most: int = 10) -> dict[str, Any]:
        return {
            "sls_siem_instances": instances,
            "__sls_siem_known_shards": shards,
            "sls_siem_instances_max": most,
        }

    asked = {
        "twelve": variables("auto", 12),
        "thirteen": variables("auto", 13),
        "none": variables("auto", 0),
        "many": variables("auto", 256),
        "given": variables(7, 256),
        "out": variables(0, 256),
    }
    counted = rendered(tmp_path, "count.j2", asked)

    assert counted == {"twelve": "4", "thirteen": "5", "none": "1", "many": "10", "given": "7", "out": "0"}
