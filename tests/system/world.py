"""One booted host between an SLS and a HEC on this machine: what is stored there, what arrived, how its units are."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sls_siem.emulator.certificates import Authority, KeyPair, server_context
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from tests.system.nspawn import ROOT, Host

SHARDS = 10
INSTANCES = range(1, 11)
LOGS_A_GROUP = 500
PROJECT, LOGSTORE = "p", "ls"
UNITS = "sls-siem@{1..10}"


class World:
    """The host, the emulators, and the ids of every log that was ever stored.

    Args:
        host: a booted one.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sls = SlsEmulator(project=PROJECT, logstore=LOGSTORE, shards=SHARDS)
        self._certificates = host.folder / "certificates"
        self._authority = Authority(self._certificates, "ca-one")
        self._client_authority = self._authority
        self._client = _client(self._authority, "client-one")
        self.hec = HecEmulator(tls=_context(self._authority, self._authority.ca_file))
        self.key = ("", "")
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._stored = 0
        self._positions = dict.fromkeys(range(SHARDS), 0)

    def __enter__(self) -> World:
        self._stack.enter_context(self.sls)
        self._stack.enter_context(self.hec)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    # --- the package ---

    def add_repository(self, name: str, folder: Path) -> None:
        """Copy a repository to the host, for file:, without telling apt."""
        shutil.copytree(folder, self.host.root / "srv" / name)
        for path in [self.host.root / "srv" / name, *(self.host.root / "srv" / name).rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    def serve_repository(self, name: str, folder: Path) -> None:
        """Serve a repository by http:, and copy the two files that a user gets beside it to the host."""
        port = self._stack.enter_context(serve_folder(folder))
        (self.host.root / "srv" / name).mkdir()
        for path in folder.glob("sls-siem-agent.*"):
            shutil.copyfile(path, self.host.root / "srv" / name / path.name)
        sources = self.host.root / "srv" / name / "sls-siem-agent.sources"
        sources.write_text(sources.read_text().replace("127.0.0.1:80", f"127.0.0.1:{port}"))

    def install_as_in_the_readme(self, name: str) -> str:
        """Run what stands in README.md below "Install", word for word, where the repository's files are."""
        lines = re.search(r"(?ms)^## Install$.*?^```\n(.*?)^```$", (ROOT / "README.md").read_text())
        assert lines is not None
        assert 3 == len(lines[1].splitlines())
        self.host.sh("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        return self.host.sh(f"set -e; cd /srv/{name}\n{lines[1]}", timeout=300)

    def upgrade_to(self, name: str) -> str:
        """Take another repository and upgrade from it."""
        return self.host.sh(
            f"""set -e; cd /srv/{name}
            install -m 644 sls-siem-agent.gpg /usr/share/keyrings/
            install -m 644 sls-siem-agent.sources /etc/apt/sources.list.d/
            apt-get -q update && apt-get -q -y upgrade""",
            timeout=300,
        )

    # --- configuration ---

    def configure(self, *, secrets: bool = True) -> None:
        """Write agent.toml and the certificates, and the secrets; without them the agent has no certificate either."""
        self.host.write(
            "/etc/sls-siem/agent.toml",
            f"""[sls]
endpoint = "{self.sls.url}"
project = "{PROJECT}"
logstore = "{LOGSTORE}"
consumer_group = "siem"
region = "cn-test"
start = "begin"
heartbeat_s = 2
group_timeout_s = 20
[siem]
output = "hec"
[hec]
urls = ["{self.hec.url}"]
[tls]
ca_file = "/etc/sls-siem/siem-ca.pem"
{'cert_file = "/etc/sls-siem/client.pem"' if secrets else ""}
[delivery]
checkpoint_s = 0.5
[log]
level = "debug"
""",
            mode=0o640,
            group="sls-siem",
        )
        self._write_certificates()
        if secrets:
            self.write_secret("tls-client-key", self._client.key_file.read_text().strip())
            self.rotate_key("key-one", "secret-of-key-one-7f3a")
            self.write_secret("hec-token", self.hec.token)

    def rotate_key(self, key_id: str, secret: str) -> None:
        """Make a new access key known to SLS and write it; the old one stays valid until `forget_key`."""
        self.sls.add_key(key_id, secret)
        self.key = (key_id, secret)
        self.write_secret("sls-access-key-id", key_id)
        self.write_secret("sls-access-key-secret", secret)

    def write_secret(self, name: str, value: str) -> None:
        self.host.write(f"/etc/sls-siem/credentials/{name}", value + "\n", mode=0o600)

    def rotate_token(self, token: str) -> None:
        """Make a new token known to the HEC and write it; the old one stays valid."""
        self.hec.set_token(type(self.hec.settings.tokens[0])(token))
        self.write_secret("hec-token", token)

    def rotate_certificate(self) -> None:
        """Give the agent a certificate of another authority; the HEC takes the old one as well until it is told."""
        self._client_authority = Authority(self._certificates, "ca-two")
        self._client = _client(self._client_authority, "client-two")
        both = self._certificates / "both.pem"
        both.write_text(self._authority.ca_file.read_text() + self._client_authority.ca_file.read_text())
        self.hec.set_tls(_context(self._authority, both))
        self._write_certificates()
        self.write_secret("tls-client-key", self._client.key_file.read_text().strip())

    def forget_old_certificate(self) -> None:
        """Have the HEC take no new connection with the old certificate."""
        self.hec.set_tls(_context(self._authority, self._client_authority.ca_file))

    def _write_certificates(self) -> None:
        for name, path in (("siem-ca", self._authority.ca_file), ("client", self._client.cert_file)):
            self.host.write(f"/etc/sls-siem/{name}.pem", path.read_text(), mode=0o640, group="sls-siem")

    # --- logs ---

    def store(self, logs: int) -> None:
        """Store at least so many logs on SLS, spread over the shards."""
        groups = -(-logs // LOGS_A_GROUP)
        for number in range(groups):
            self.store_group(number % SHARDS)

    def store_group(self, shard: int) -> None:
        with self._lock:
            first, self._stored = self._stored, self._stored + LOGS_A_GROUP
            self._positions[shard] += 1
        logs = [
            {"seq": str(first + index), "message": "user signed in from the office"} for index in range(LOGS_A_GROUP)
        ]
        self.sls.store.append(shard, [make_group(logs, time=int(time.time()))])

    @contextlib.contextmanager
    def load(self, every_s: float = 0.05) -> Iterator[None]:
        """Store groups without a pause while the block runs."""
        over = threading.Event()

        def store() -> None:
            number = 0
            while not over.wait(every_s):
                self.store_group(number % SHARDS)
                number += 1

        thread = threading.Thread(target=store)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def wait_for_all(self, seconds: float = 200) -> None:
        """Wait until as many ids have arrived as logs were stored."""
        self.host.until(lambda: len(self.hec.store) >= self._stored, seconds, f"{self._stored} logs to arrive")

    def assert_complete(self, *, repeated: bool) -> None:
        """Every log that was stored arrived, and no other; once, unless `repeated` allows more."""
        expected = {
            f"{shard}-{group.position}-{index}"
            for group in self.sls.store.stored()
            for shard in [group.shard]
            for index in range(LOGS_A_GROUP)
        }
        missing = expected - set(self.hec.store.ids())

        assert not missing, f"{len(missing)} of {len(expected)} lost, such as {sorted(missing)[:3]}"
        assert len(self.hec.store) == len(expected) == self._stored
        if not repeated:
            assert {} == self.hec.store.duplicates()

    # --- units ---

    def start_all(self) -> None:
        self.host.sh(f"systemctl start {UNITS}")

    def stop_all(self) -> None:
        self.host.sh(f"systemctl stop {UNITS}")

    def active(self) -> int:
        out = self.host.run("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "sls-siem@*")
        return len(out.splitlines())

    def status(self, instance: int) -> dict[str, Any]:
        """Return an instance's status.json; empty while there is none."""
        path = Path(f"/proc/{self.host.leader}/root/run/sls-siem/{instance}/status.json")
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())
        return {}

    def peak_memory(self, instance: int) -> int:
        """Return the most bytes that an instance had in memory."""
        pid = self.host.show(f"sls-siem@{instance}", "MainPID")
        (line,) = re.findall(r"VmHWM:\s+(\d+) kB", self.host.run("cat", f"/proc/{pid}/status"))
        return int(line) << 10

    def held(self) -> dict[int, list[int]]:
        """Return the shards of every instance, as it says itself."""
        return {number: [row["shard"] for row in self.status(number).get("shards", [])] for number in INSTANCES}

    def all_shards_held(self) -> bool:
        return sorted(shard for shards in self.held().values() for shard in shards) == list(range(SHARDS))


@contextlib.contextmanager
def serve_folder(folder: Path, address: str = "127.0.0.1") -> Iterator[int]:
    """Serve a folder by http while the block runs; gives the port."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _client(authority: Authority, name: str) -> KeyPair:
    return authority.issue(name, client=True, names=(f"{name}.example.com",), addresses=())


def _context(authority: Authority, client_ca: Path) -> ssl.SSLContext:
    return server_context(authority.issue("server"), client_ca=client_ca, client="required")
