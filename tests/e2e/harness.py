"""The agent as a process of its own between the emulators, and the oracle that owns every log id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sls_siem.codec import make_reference_encoder, settings_from
from sls_siem.codec.model import Batch, Payload
from sls_siem.config import load
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.store import event_digest

GROUP = "siem-group"
KEY_ID = "test-key-id"
KEY_SECRET = "test-key-secret-5uqp"
CODEC = "SLS_SIEM_CODEC"
CLEAN = ("SLS_", "NOTIFY_SOCKET", "WATCHDOG", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY")


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "the condition") -> Any:
    """Wait for a condition with a deadline; returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds:g} s"
        time.sleep(0.02)
    return found


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)


class AgentProcess:
    """One `sls-siem run`; ended with the test, whatever happens.

    Args:
        folder: for its configuration, state, run-time files and log.
        tables: the configuration, by table and key.
        instance: its number.
        environ: added to the environment; the access key is given this way unless it says otherwise.
        arguments: further ones for `run`.
    """

    def __init__(
        self,
        folder: Path,
        tables: dict[str, dict[str, object]],
        *,
        instance: int = 1,
        environ: dict[str, str] | None = None,
        arguments: Iterable[str] = (),
        name: str = "",
    ) -> None:
        self.folder = folder / (name or f"agent-{instance}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.instance = instance
        self.config_path = self.folder / "agent.toml"
        self.log_path = self.folder / "log.txt"
        self._environ = {"SLS_AK_ID": KEY_ID, "SLS_AK_KEY": KEY_SECRET} | (environ or {})
        self._arguments = list(arguments)
        self.write_config(tables)
        self.process: Any = None

    def write_config(self, tables: dict[str, dict[str, object]]) -> None:
        lines = []
        for table, keys in tables.items():
            lines.append(f"[{table}]")
            lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
        self.config_path.write_text("\n".join(lines) + "\n")

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEAN) or name == CODEC}
        return kept | {
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "STATE_DIRECTORY": str(self.folder / "state"),
            **self._environ,
        }

    def arguments(self) -> list[str]:
        return ["run", "--config", str(self.config_path), "--instance", str(self.instance), *self._arguments]

    def start(self) -> AgentProcess:
        command = [sys.executable, "-m", "sls_siem", *self.arguments()]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environ(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __enter__(self) -> AgentProcess:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, seconds: float = 40.0) -> int:
        """SIGTERM, then the exit status; not before the agent catches it, since Python's own start is ended by it."""
        until(lambda: self._catches(signal.SIGTERM) or not self.running(), 40, "a handler for SIGTERM")
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 40.0) -> int:
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            log = self.log()[-3000:]
            raise AssertionError(f"the agent did not end within {seconds:g} s; its log:\n{log}") from None

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "run" / "status.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def shards(self) -> list[int]:
        return [row["shard"] for row in self.status().get("shards", [])]

    def resident_bytes(self) -> int:
        return int(self._process_status("VmRSS").split()[0]) * 1024

    def peak_bytes(self) -> int:
        """The most that was resident so far."""
        return int(self._process_status("VmHWM").split()[0]) * 1024

    def _catches(self, number: signal.Signals) -> bool:
        """Say if a handler is set up for a signal: mask SigCgt of proc_pid_status(5)."""
        return bool(int(self._process_status("SigCgt"), 16) >> (number - 1) & 1)

    def _process_status(self, name: str) -> str:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
        raise AssertionError(f"no {name}")


def sls_tables(sls: SlsEmulator, **changes: object) -> dict[str, object]:
    """Table [sls] towards an emulator."""
    return {
        "endpoint": sls.url,
        "project": "p",
        "logstore": "ls",
        "consumer_group": GROUP,
        "consumer_name": "consumer-{instance}",
        "region": "cn-test",
        "start": "begin",
        "heartbeat_s": 1,
        "group_timeout_s": 5,
        **changes,
    }


def hec_tables(
    sls: SlsEmulator, urls: list[str], token_file: Path, /, **changes: dict[str, object]
) -> dict[str, dict[str, object]]:
    """A configuration from the SLS emulator to a HEC."""
    tables: dict[str, dict[str, object]] = {
        "sls": sls_tables(sls),
        "siem": {"output": "hec"},
        "hec": {"urls": urls, "token_file": str(token_file)},
        "delivery": {"checkpoint_s": 0.3, "drain_s": 15},
        "log": {"level": "debug"},
    }
    return merged(tables, changes)


def syslog_tables(sls: SlsEmulator, url: str, /, **changes: dict[str, object]) -> dict[str, dict[str, object]]:
    """A configuration from the SLS emulator to a syslog receiver."""
    tables: dict[str, dict[str, object]] = {
        "sls": sls_tables(sls),
        "siem": {"output": "syslog"},
        "syslog": {"url": url, "settle_s": 0.5},
        "delivery": {"checkpoint_s": 0.3, "drain_s": 15},
        "log": {"level": "debug"},
    }
    return merged(tables, changes)


def merged(tables: dict[str, dict[str, object]], changes: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    names = [*tables, *(name for name in changes if name not in tables)]
    return {name: {**tables.get(name, {}), **changes.get(name, {})} for name in names}


class Oracle:
    """Knows every log that was ever stored on the emulator, and what the encoder makes of it."""

    def __init__(self, sls: SlsEmulator, config_path: Path) -> None:
        self._sls = sls
        config = load(config_path, 1, {})
        self._encoder = make_reference_encoder(settings_from(config))
        self._bare = _BARE[config.syslog.framing if config.siem.output == "syslog" else "none"]

    def expected(self) -> dict[str, bytes]:
        """Digest of every event as the receiver stores it, by event id."""
        found: dict[str, bytes] = {}
        for group in self._sls.store.stored():
            body = b"\x0a" + _varint(len(group.data)) + group.data
            batch = Batch(group.shard, group.position, group.position + 1, 1, body)
            ordinal = 0
            for encoded in self._encoder.encode(batch):
                assert isinstance(encoded, Payload)
                for index, event in enumerate(self._encoder.split(encoded.data)):
                    place = ordinal + encoded.place_of(index)
                    found[f"{group.shard}-{group.position}-{place}"] = event_digest(self._bare(event))
                ordinal += encoded.span.events
        return found

    def ids(self) -> set[str]:
        return set(self.expected())


_BARE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda event: event,
    "lf": lambda event: event[:-1],
    "octet-counting": lambda event: event.split(b" ", 1)[1],
}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def assert_saves_are_honest(sls: SlsEmulator, first_positions: int) -> None:
    """No save was forced except the first positions, none went backwards, none came from a non-owner."""
    forced = Counter(save.shard for save in sls.history.saves if save.forced)

    assert all(count == 1 for count in forced.values()), forced
    assert sum(forced.values()) <= first_positions
    for save in sls.history.saves:
        if not save.forced:
            assert save.owner == save.consumer, save
            assert save.old is None or save.new >= save.old, save


class Trickle:
    """Appends one group after another from a thread until stopped."""

    def __init__(self, append: Callable[[int], None], every_s: float) -> None:
        self._append = append
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._append(self.count)
            self.count += 1

    def __enter__(self) -> Trickle:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()
