"""Three booted hosts, an SLS and a SIEM on a network of their own, and a real Ansible that comes over real ssh.

The receiver tells by the address of each connection which host sent what and when; all clocks are this machine's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from sls_siem.emulator.remote import EmulatorProcess
from sls_siem.emulator.sls.remote import SlsControl
from tests.fleet.network import Network
from tests.system.nspawn import ROOT, Host, root_of
from tests.system.terminal import converse
from tests.system.world import serve_folder

RELEASE = "bookworm"
EXTRA = "openssh-server,python3-apt"
CONTROLLER, SLS, SIEM = "10.99.0.1", "10.99.0.10", "10.99.0.20"
NAMES = {"alpha": "10.99.0.101", "beta": "10.99.0.102", "gamma": "10.99.0.103"}
SITES = {"alpha": "a", "beta": "a", "gamma": "b"}
FULL = os.environ.get("SLS_SIEM_TEST_FLEET") == "full"
INSTANCES = int(os.environ.get("SLS_SIEM_TEST_FLEET_INSTANCES", "10" if FULL else "2"))
SHARDS = 12 if FULL else 6
LOAD_MB_PER_S = float(os.environ.get("SLS_SIEM_TEST_FLEET_MB_PER_S", "20" if FULL else "1"))
LOGS_A_GROUP = 50
SERIAL = [1, 2]
HEARTBEAT_S = 2
GROUP_TIMEOUT_S = 12
PROJECT, LOGSTORE, GROUP = "p", "ls", "siem"
RECAP = re.compile(r"^(\w+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


class Run(NamedTuple):
    """One run of a playbook: exit status, output, and (changed, unreachable, failed) by host."""

    status: int
    output: str
    recap: dict[str, tuple[int, int, int]]
    seconds: float

    def changed(self) -> dict[str, int]:
        return {host: counts[0] for host, counts in self.recap.items()}


class Arrivals(NamedTuple):
    """What the receiver recorded of one host: when its requests with events began, CLOCK_BOOTTIME."""

    times: list[float]

    def between(self, start: float, end: float) -> list[float]:
        return [at for at in self.times if start < at < end]


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fleet:
    """Network, hosts, emulators, repository and Ansible; a context manager."""

    def __init__(self, repository: Path, version: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-", dir="/var/tmp"))
        self.repository = repository
        self.variables: dict[str, Any] = {}
        self.config: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.network = Network([CONTROLLER, SLS, SIEM])
        self.hosts: dict[str, Host] = {}
        self.group = GROUP
        self._version = version
        self._stacks = {name: contextlib.ExitStack() for name in NAMES}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Fleet:
        try:
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._stack.enter_context(self.network)
            with self.network.inside():
                self._serve_repository()
                self._start_emulators()
            root_of(RELEASE, EXTRA)
            self._make_key()
            self._write_inventory()
            self._boot_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for stack in self._stacks.values():
            stack.close()
        with contextlib.suppress(OSError):
            self._end_ssh()
        self._stack.close()

    # --- what is started ---

    def _serve_repository(self) -> None:
        port = self._stack.enter_context(serve_folder(self.repository, CONTROLLER))
        self.repository_url = f"http://{CONTROLLER}:{port}"

    def _start_emulators(self) -> None:
        self.secrets = {
            "sls-access-key-id": "key-id-one-4412",
            "sls-access-key-secret": "key-secret-one-9f31",
            "hec-token": "aaaaaaaa-1111-4222-8333-444444444444",
        }
        key = f"{self.secrets['sls-access-key-id']}:{self.secrets['sls-access-key-secret']}"
        command = [sys.executable, "-m", "sls_siem.emulator.sls", "--host", SLS, "--project", PROJECT]
        command += ["--logstore", LOGSTORE, "--shards", str(SHARDS), "--key", key, "--forget-trimmed"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stack.callback(_end, process)
        assert process.stdout is not None
        self.sls_url = json.loads(process.stdout.readline())["url"]
        self._sls = SlsControl(self.sls_url)
        token = {"value": self.secrets["hec-token"]}
        self._hec = self._stack.enter_context(EmulatorProcess("hec", {"tokens": [token]}, ["--host", SIEM]))
        self.hec_url = self._hec.addresses["url"]

    def _make_key(self) -> None:
        self._key = self.folder / "key"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)]
        subprocess.run(command, check=True, timeout=60)

    def _boot_all(self) -> None:
        for name, address in NAMES.items():
            namespace = self.network.add(name, address)
            self.boot(name, namespace)

    def boot(self, name: str, namespace: str) -> None:
        """Boot a bare host."""
        host = Host(RELEASE, name=name, extra=EXTRA, namespace=namespace, prepare=self._authorize)
        self.hosts[name] = self._stacks[name].enter_context(host)

    def _authorize(self, root: Path) -> None:
        (root / "root" / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (root / "root" / ".ssh" / "authorized_keys").write_text((self._key.with_suffix(".pub")).read_text())
        (root / "etc" / "apt" / "sources.list").write_text("")

    # --- SLS and SIEM ---

    def sls(self, name: str, /, **query: object) -> Any:
        with self.network.inside():
            return self._sls.get(name, **query)

    def change_sls(self, name: str, /, **members: object) -> Any:
        with self.network.inside():
            return self._sls.post(name, **members)

    def siem(self, query: str) -> Any:
        with self.network.inside():
            return self._hec.ask(query)

    def change_siem(self, command: str, **arguments: object) -> Any:
        with self.network.inside():
            return self._hec.call(command, **arguments)

    @contextlib.contextmanager
    def load(self, mb_per_s: float = LOAD_MB_PER_S) -> Iterator[dict[str, float]]:
        """Store logs at this rate while the block runs; the dictionary then holds what came of it."""
        before = self.sls("stats")["raw_bytes"]
        started = time.monotonic()
        feed = self.change_sls("feed", profile="waf", logs_per_group=LOGS_A_GROUP, mb_per_s=mb_per_s)["feed"]
        over = threading.Event()
        trimmer = threading.Thread(target=self._trim, args=(over,))
        trimmer.start()
        measured: dict[str, float] = {}
        try:
            yield measured
        finally:
            told = self.change_sls("stop-feed", feed=feed)
            seconds = time.monotonic() - started
            measured.update(mb_per_s=told["appended_bytes"] / 1e6 / seconds, seconds=seconds, before=before)
            over.set()
            trimmer.join()

    def _trim(self, over: threading.Event) -> None:
        """Let retention take what is long delivered, so that memory holds the last minutes only."""
        while not over.wait(20):
            for number, row in self.sls("consumers", group=self.group)["checkpoints"].items():
                if row["position"] is not None:
                    self.change_sls("trim", shard=int(number), before=max(0, row["position"] - 10))

    def stored(self) -> int:
        """Count the logs ever stored."""
        return sum(row["end"] - row["base"] for row in self.sls("shards")) * LOGS_A_GROUP

    def wait_for_all(self, seconds: float = 120) -> None:
        expected = self.stored()
        self.until(lambda: self.siem("store")["ids"] >= expected, seconds, f"{expected} logs to arrive")

    def lost(self) -> list[str]:
        """Ids that were stored on SLS and never arrived."""
        missing: list[str] = []
        for row in self.sls("shards"):
            ids = [
                f"{row['shard']}-{position}-{index}"
                for position in range(row["base"], row["end"])
                for index in range(LOGS_A_GROUP)
            ]
            with self.network.inside():
                missing += self._hec.missing(ids)
        return missing

    def repeated(self) -> int:
        store = self.siem("store")
        return int(store["total"] - store["ids"])

    def repeated_ids(self) -> set[str]:
        return set(self.siem("store/duplicates"))

    def saved(self, hosts: set[str], until: float) -> dict[int, int]:
        """The newest position that these hosts saved for each shard before a moment (CLOCK_BOOTTIME)."""
        shift = boottime() - time.monotonic()
        rows = self.sls("saves", after=until - shift - 120)
        return {
            row["shard"]: row["new"]
            for row in rows
            if row["at"] + shift <= until and not row["refused"] and row["consumer"].rsplit("-", 1)[0] in hosts
        }

    def not_in_flight(self, repeated: set[str], hosts: set[str], lost_at: float) -> list[str]:
        """Ids that arrived twice although the lost hosts had saved a position behind them, or never read them."""
        saved = self.saved(hosts, lost_at)
        places = {text: tuple(map(int, text.split("-")[:2])) for text in repeated}
        return [text for text, (shard, position) in places.items() if position < saved.get(shard, position + 1)]

    def arrivals(self, host: str) -> Arrivals:
        """When the receiver got events from a host, by its own clock."""
        rows = self.siem("requests")
        return Arrivals([row["at_s"] for row in rows if row["events"] and row["peer"].startswith(NAMES[host] + ":")])

    def taken_over(self, shards: set[int], lost: set[str], after: float) -> dict[int, float]:
        """When each shard was first given to another host, CLOCK_BOOTTIME.

        Args:
            shards: which.
            lost: hosts that they are taken from.
            after: not earlier than that, CLOCK_BOOTTIME.
        """
        shift = boottime() - time.monotonic()
        found: dict[int, float] = {}
        for row in self.sls("heartbeats", after=after - shift):
            if row["consumer"].rsplit("-", 1)[0] not in lost:
                found.update(dict.fromkeys(set(row["answered"]) & shards - set(found), row["at"] + shift))
        return found

    def owners(self) -> dict[str, list[int]]:
        """Shards by host, as the service sees it."""
        found: dict[str, list[int]] = {name: [] for name in NAMES}
        for consumer, shards in self.sls("consumers", group=self.group)["consumers"].items():
            found[consumer.rsplit("-", 1)[0]] += shards
        return found

    def busiest(self) -> str:
        """The host with most shards: where there are more consumers than shards, another may have none."""
        owners = self.owners()
        return max(owners, key=lambda name: len(owners[name]))

    def balanced(self, hosts: Optional[set[str]] = None) -> bool:
        """Every shard has an owner on these hosts, and none of their consumers has two more than another."""
        rows = self.sls("consumers", group=self.group)["consumers"]
        mine = {name: shards for name, shards in rows.items() if name.rsplit("-", 1)[0] in (hosts or set(NAMES))}
        held = sorted(shard for shards in mine.values() for shard in shards)
        sizes = [len(shards) for shards in mine.values()]
        expected = INSTANCES * len(hosts or NAMES)
        return held == list(range(SHARDS)) and len(sizes) == expected and max(sizes) - min(sizes) <= 1

    # --- hosts ---

    def status(self, host: str) -> dict[int, dict[str, Any]]:
        """The status files of a host's instances."""
        found = {}
        for path in Path(f"/proc/{self.hosts[host].leader}/root/run/sls-siem").glob("*/status.json"):
            with contextlib.suppress(OSError, ValueError):
                found[int(path.parent.name)] = json.loads(path.read_text())
        return found

    def shown(self, hosts: set[str]) -> set[int]:
        """The shards that these hosts' status files list; a file is up to 2 s behind its agent."""
        return {row["shard"] for host in hosts for now in self.status(host).values() for row in now["shards"]}

    def active(self, host: str) -> int:
        out = self.hosts[host].run("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "sls-siem@*")
        return len(out.splitlines())

    def pids(self, host: str) -> list[str]:
        return [self.hosts[host].show(f"sls-siem@{number}", "MainPID") for number in range(1, INSTANCES + 1)]

    def versions(self) -> dict[str, set[str]]:
        return {name: {row["version"] for row in self.status(name).values()} for name in self.hosts}

    def power_off(self, host: str) -> float:
        """Take the power from a host: no process ends in order, no connection is closed. Returns when, BOOTTIME."""
        self.network.unplug(host)
        at = boottime()
        self.hosts[host].power_off()
        return at

    def power_on(self, host: str) -> None:
        """Boot it again with the disk it had."""
        self.network.plug(host)
        self.hosts[host].boot()

    def until(self, condition: Any, seconds: float, what: str) -> None:
        next(iter(self.hosts.values())).until(condition, seconds, what)

    # --- Ansible ---

    def _write_inventory(self) -> None:
        self.config = {
            "sls": {
                "endpoint": self.sls_url,
                "project": PROJECT,
                "logstore": LOGSTORE,
                "consumer_group": GROUP,
                "region": "cn-test",
                "start": "begin",
                "heartbeat_s": HEARTBEAT_S,
                "group_timeout_s": GROUP_TIMEOUT_S,
            },
            "siem": {"output": "hec"},
            "hec": {"urls": [self.hec_url]},
            "delivery": {"checkpoint_s": 0.5},
        }
        self.variables = {
            "sls_siem_version": self._version,
            "sls_siem_apt_url": self.repository_url,
            "sls_siem_apt_keyring": str(self.repository / "sls-siem-agent.gpg"),
            "sls_siem_instances": INSTANCES,
            "sls_siem_gate_s": 60,
            "sls_siem_survive_site_loss": True,
        }
        (self.folder / "inventory" / "group_vars" / "sls_siem").mkdir(parents=True)
        hosts = {
            name: {"ansible_host": address, "sls_siem_site": SITES[name], "ansible_user": "root"}
            for name, address in NAMES.items()
        }
        (self.folder / "inventory" / "hosts.yml").write_text(json.dumps({"sls_siem": {"hosts": hosts}}))
        (self.folder / "vault-password").write_text("a password for tests\n")

    def write_variables(self) -> None:
        """Write variables and vault as they are now."""
        folder = self.folder / "inventory" / "group_vars" / "sls_siem"
        named = {name: f"{{{{ vault_{name.replace('-', '_')} }}}}" for name in self.secrets}
        everything = {**self.variables, "sls_siem_config": self.config, "sls_siem_credentials": named}
        (folder / "main.yml").write_text(json.dumps(everything))  # JSON is YAML
        vault = folder / "vault.yml"
        vault.write_text(self._plain_vault())
        self._tool("ansible-vault", "encrypt", "--vault-password-file", self.folder / "vault-password", vault)

    def _plain_vault(self) -> str:
        return json.dumps({f"vault_{name.replace('-', '_')}": value for name, value in self.secrets.items()})

    def follow(self, block: str) -> Run:
        """Type a block of a page in a checkout, at a terminal; what is to be edited becomes what this fleet needs."""
        self.write_variables()
        checkout, ours = self.folder / "checkout", self.folder / "inventory"
        shutil.rmtree(checkout, ignore_errors=True)
        shutil.copytree(ROOT / "ansible", checkout / "ansible", ignore=shutil.ignore_patterns(".ansible"))
        (checkout / "ansible" / "inventory" / "group_vars" / "sls_siem" / "vault.yml").write_text(self._plain_vault())
        editor = self.folder / "bin" / "editor"
        editor.parent.mkdir(exist_ok=True)
        editor.write_text(f'#!/bin/sh -e\nfor file; do cp "$(find {ours} -name "$(basename "$file")")" "$file"; done\n')
        editor.chmod(0o755)
        environ = {**self._environ(), "ANSIBLE_CONFIG": str(checkout / "ansible" / "ansible.cfg"), "TERM": "xterm"}
        environ["PATH"] = f"{editor.parent}:{environ['PATH']}"
        password = {"ault password: ": "a password for this page"}
        with self.network.inside():
            started = time.monotonic()
            command = ["bash", "-ec", block]
            status, shown = converse(command, answers=password, timeout=900, cwd=checkout, environ=environ)
        return _run_of(status, shown, time.monotonic() - started)

    def play(self, playbook: str, *arguments: str, timeout: float = 900) -> Run:
        """Run a playbook of the repository with the present variables."""
        self.write_variables()
        started = time.monotonic()
        status, output = self._tool(
            *("ansible-playbook", "-i", self.folder / "inventory" / "hosts.yml"),
            *("--vault-password-file", self.folder / "vault-password", "-e", json.dumps({"sls_siem_serial": SERIAL})),
            *(f"playbooks/{playbook}.yml", *arguments),
            timeout=timeout,
            check=False,
        )
        return _run_of(status, output, time.monotonic() - started)

    def _environ(self) -> dict[str, str]:
        options = f"-i {self._key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": f"{options} -o ControlMaster=auto -o ControlPersist=30s -o ServerAliveInterval=5",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_TIMEOUT": "20",
        }

    def _tool(self, name: str, *arguments: object, timeout: float = 120, check: bool = True) -> tuple[int, str]:
        command = [str(Path(sys.executable).parent / name), *map(str, arguments)]
        with self.network.inside():
            done = subprocess.run(
                command,
                cwd=ROOT / "ansible",
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout,
                check=False,
            )
        assert not check or done.returncode == 0, done.stdout
        return done.returncode, done.stdout

    def _end_ssh(self) -> None:
        for socket in (self.folder / "cp").glob("*"):
            command = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host"]
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run(command, capture_output=True, timeout=10, check=False)


def _run_of(status: int, output: str, seconds: float) -> Run:
    """Read what Ansible says at the end of each playbook; the last one counts."""
    recap = {row[0]: (int(row[2]), int(row[3]), int(row[4])) for row in RECAP.findall(output)}
    return Run(status, output, recap, seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
