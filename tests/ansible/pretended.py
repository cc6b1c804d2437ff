"""Hosts that only seem to be there: playbooks run on this machine, and what the role surveys is made up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.ansible.test_role import HERE, tool

CONFIG: dict[str, Any] = {
    "sls": {"endpoint": "http://x:1", "consumer_name": "{{ inventory_hostname }}-{instance}"},
    "siem": {"output": "hec"},
    "hec": {"urls": ["https://a"]},
}
VARIABLES: dict[str, Any] = {
    "sls_siem_version": "0.3.0",
    "sls_siem_config": CONFIG,
    "sls_siem_instances": 1,
    "sls_siem_shards": 1,
    "ansible_become": False,
    "ansible_connection": "local",
}
INSTANCE: dict[str, Any] = {
    "instance": 1,
    "version": "0.3.0",
    "state": "running",
    "stale": False,
    "written": 1_800_000_000.0,
    "last_heartbeat": 1_800_000_000.0,
    "shards": [{"lag_s": 2.0}],
    "errors": ['it\'s "quoted" {{ and }} näm\u00e9'],
}


class Played(NamedTuple):
    """One run of a playbook: exit status and output."""

    status: int
    output: str

    def found(self, pattern: str) -> list[str]:
        """What a pattern's group finds in the output, each once."""
        return sorted(set(re.findall(pattern, self.output)))


def survey(version: str = "0.3.0", *, state: str = "ii", noted: str = "", **changes: Any) -> str:
    """Make up a host that runs one instance.

    Args:
        version: of the package.
        state: of the package, as dpkg abbreviates it.
        noted: what was noted for a rollback.
        changes: members of the instance's status that differ from INSTANCE.
    """
    document = {"instances": [{**INSTANCE, "version": version, **changes}]}
    lines = [
        f"installed {state} {version}",
        *(f"there {path}" for path in ("/lib/systemd/system/sls-siem@.service", "/etc/sls-siem", "/usr/bin/sls-siem")),
        *([f"noted {noted}"] if noted else []),
        "enabled sls-siem@1.service",
        "active sls-siem@1.service",
        json.dumps(document),
    ]
    return "\n".join(lines)


def play(
    folder: Path,
    playbook: str,
    hosts: dict[str, str],
    *arguments: str,
    variables: dict[str, Any] | None = None,
    command: str | None = None,
) -> Played:
    """Run a playbook of the repository in check mode.

    Args:
        folder: for everything that is written.
        playbook: its name.
        hosts: what the survey finds, by host; nothing on a bare host.
        arguments: more of them for ansible-playbook.
        variables: of the inventory, beside VARIABLES.
        command: the ansible-playbook to run; the one beside this Python when it is None.
    """
    command = command or tool("ansible-playbook")
    # An old Ansible need not know the Python that runs the tests, which would be its host's.
    beside = Path(command).with_name("python")
    interpreter = beside if beside.exists() else sys.executable
    ansible, inventory = folder / "ansible", folder / "inventory.json"
    shutil.copytree(HERE, ansible, ignore=shutil.ignore_patterns(".ansible"), dirs_exist_ok=True)
    (ansible / "roles" / "sls_siem" / "files" / "survey.sh").write_text('cat "$SURVEY"')
    for host, text in hosts.items():
        (folder / f"{host}.txt").write_text(text)
        python = folder / f"python-{host}"
        python.write_text(f'#!/bin/sh\nSURVEY={folder}/{host}.txt exec {interpreter} "$@"\n')
        python.chmod(0o755)
    listed = {host: {"ansible_python_interpreter": str(folder / f"python-{host}")} for host in hosts}
    inventory.write_text(json.dumps({"sls_siem": {"hosts": listed, "vars": {**VARIABLES, **(variables or {})}}}))
    done = subprocess.run(
        [command, "-i", inventory, "--check", f"playbooks/{playbook}.yml", *arguments],
        cwd=ansible,
        env={**os.environ, "HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ansible / "ansible.cfg")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return Played(done.returncode, done.stdout)
