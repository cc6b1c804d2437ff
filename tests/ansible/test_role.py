"""What can be said of role, playbooks and collection without a host: names, defaults, modules, rendered files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "ansible"
ROLE = HERE / "roles" / "sls_siem"
PLAYBOOKS = ("site", "upgrade", "rollback", "restart", "drain", "remove", "status")
KEYWORDS = {"block", "rescue", "always", "include_tasks", "import_tasks"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options() -> dict[str, dict[str, Any]]:
    return read(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def lacking(what: str) -> NoReturn:
    """Skip on a developer's machine, and fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    """Find one of Ansible's commands, or skip (in CI: fail)."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or lacking(f"{name} is not installed (make venv does it)")


def run(*command: object, home: Path, expected: int = 0) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=HERE,
        env={**os.environ, "HOME": str(home), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == expected, done.stdout
    return done.stdout


def test_every_variable_is_described_and_has_the_default_that_is_described() -> None:
    described = {name: option["default"] for name, option in options().items() if not option.get("required")}

    assert described == read(ROLE / "defaults" / "main.yml")


def test_every_variable_that_is_used_is_described() -> None:
    known = set(options()) | {
        # Of playbooks, which have no argument specs: said in their heads and in docs/fleet.md.
        *("sls_siem_serial", "sls_siem_purge", "sls_siem_drain_all", "sls_siem_remove_all"),
        # The group, the role, tags.
        *("sls_siem", "sls_siem_install", "sls_siem_configure", "sls_siem_run"),
    }
    folders = [HERE / "playbooks", ROLE / "tasks", ROLE / "templates", ROLE / "vars"]
    texts = {path: path.read_text() for folder in folders for path in folder.iterdir()}
    used = {(path.name, name) for path, text in texts.items() for name in re.findall(r"(?<![\w.])sls_siem\w*", text)}

    assert [] == sorted((file, name) for file, name in used if name not in known)
    assert set(options()) <= {name for _, name in used}


@pytest.mark.parametrize(
    "path", sorted([*ROLE.glob("tasks/*.yml"), *HERE.glob("playbooks/*.yml")]), ids=lambda p: p.stem
)
def test_only_builtin_modules_are_used(path: Path) -> None:
    def modules(tasks: list[dict[str, Any]]) -> set[str]:
        found: set[str] = set()
        for task in tasks:
            for name, value in task.items():
                if "." in name:
                    found.add(name)
                elif name in {"block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"}:
                    found |= modules(value)
        return found

    names = modules(read(path))

    assert names or path.stem == "site"
    assert [] == [name for name in names if not name.startswith("ansible.builtin.")]


def test_every_task_that_handles_a_secret_shows_neither_result_nor_difference() -> None:
    def tasks(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        inner = [task for item in items for part in ("block", "rescue", "always") for task in tasks(item.get(part, []))]
        return [*items, *inner]

    everything = [task for path in ROLE.glob("tasks/*.yml") for task in tasks(read(path))]
    handling = [
        task
        for task in everything
        if "item.value" in str(task) and "sls_siem_credentials" in str(task) and "block" not in task
    ]

    assert 1 == len(handling)
    assert handling[0]["diff"] is False
    assert handling[0]["no_log"] == "{{ sls_siem_no_log | bool }}"
    assert [False] == [task["diff"] for task in everything if "sls_siem_tls_files" in str(task.get("loop"))]


def test_no_package_restarts_instances_while_it_is_changed_and_may_again_afterwards_also_after_a_failure() -> None:
    block = read(ROLE / "tasks" / "package.yml")[-1]
    before = next(task for task in block["block"] if "ansible.builtin.copy" in task)["ansible.builtin.copy"]
    after = block["always"][0]["ansible.builtin.file"]

    assert "/run/sls-siem-agent.no-restart" == read(ROLE / "vars" / "main.yml")["__sls_siem_no_restart"]
    assert "{{ __sls_siem_no_restart }}" == before["dest"] == after["path"]
    assert "absent" == after["state"]
    assert {"apt", "dnf"} <= {name.rpartition(".")[2] for task in block["block"][1:] for name in task}


def test_nothing_is_written_under_a_name_that_a_user_of_the_host_could_take_before() -> None:
    texts = {path: path.read_text() for folder in ("tasks", "vars", "files") for path in (ROLE / folder).iterdir()}
    block = read(ROLE / "tasks" / "package.yml")[-1]

    assert [] == [path.name for path, text in texts.items() if re.search(r"(?<![\w.])(/var)?/tmp\b|/dev/shm", text)]
    assert any(task.get("ansible.builtin.tempfile", {}).get("state") == "directory" for task in block["block"])
    assert "{{ __sls_siem_folder.path }}" in [task["ansible.builtin.file"]["path"] for task in block["always"]]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_the_playbooks_are_there_and_can_be_read(name: str, tmp_path: Path) -> None:
    answer = run(tool("ansible-playbook"), "--syntax-check", f"playbooks/{name}.yml", home=tmp_path)

    assert f"playbook: playbooks/{name}.yml" in answer


def test_the_example_inventory_has_two_sites_and_no_secret_outside_its_vault(tmp_path: Path) -> None:
    listing = json.loads(run(tool("ansible-inventory"), "--list", home=tmp_path))
    hosts = listing["_meta"]["hostvars"]

    assert {"a", "b"} == {values["sls_siem_site"] for values in hosts.values()}
    assert set(options()) >= {name for values in hosts.values() for name in values if name.startswith("sls_siem")}
    for values in hosts.values():
        assert all(re.fullmatch(r"\{\{ vault_\w+ \}\}", secret) for secret in values["sls_siem_credentials"].values())


HARD: dict[str, dict[str, Any]] = {
    "sls": {"endpoint": "http://x:1", "heartbeat_s": 2.5, "in_order": False, "query": "* | where a = 'b\\d' and \"c\""},
    "siem": {"output": "hec", "json_fields": ["event", "näm\u00e9 \U0001f600"]},
    "hec": {"urls": ["https://a", "https://b"], "gzip": True, "batch_bytes": 65536},
    "syslog": {"severity": {"field": "level", "map": {"ERROR x": "err", "W": "warning"}, "default": "info"}},
    "cef": {"fields": {"src": "remote_addr", "a.b": "c"}},
}


def test_a_dictionary_becomes_the_toml_that_means_the_same(tmp_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib")
    (tmp_path / "variables.json").write_text(json.dumps({"__sls_siem_tables": HARD}))
    source, target = ROLE / "templates" / "agent.toml.j2", tmp_path / "agent.toml"
    run(
        *(tool("ansible"), "localhost", "-c", "local", "-m", "ansible.builtin.template"),
        *("-e", f"@{tmp_path / 'variables.json'}", "-e", f"ansible_python_interpreter={sys.executable}"),
        *("-a", f"src={source} dest={target} mode=0600"),
        home=tmp_path,
    )

    assert tomllib.loads(target.read_text(encoding="utf-8")) == HARD


def test_the_collection_can_be_built_and_used_by_its_name(tmp_path: Path) -> None:
    run(tool("ansible-galaxy"), "collection", "build", "--output-path", tmp_path, home=tmp_path)
    (package,) = tmp_path.glob("*.tar.gz")
    run(tool("ansible-galaxy"), "collection", "install", "--offline", "-p", tmp_path / "c", package, home=tmp_path)
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {tmp_path / 'c'}\n")
    answer = run(
        *("env", f"ANSIBLE_CONFIG={tmp_path / 'ansible.cfg'}", tool("ansible-playbook"), "--syntax-check"),
        *("-i", "localhost,", "sls_siem.agent.site"),
        home=tmp_path,
    )

    assert "playbook: " in answer
    assert not list((tmp_path / "c").rglob("vault.yml"))
