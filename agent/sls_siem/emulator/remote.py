"""Start an emulator as its own process and drive it through its control API, from a test, the demo or a benchmark.

Usage::

    with EmulatorProcess("hec", {"mode": "sink"}) as hec:
        hec.addresses["url"], hec.addresses["token"]
        hec.call("inject", kind="answer", code=9, count=3)
        hec.ask("summary")["counters"]["events"]
        hec.wait_for(1000, timeout_s=30)
        hec.digests()                        # id → (digest, copies)
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, final

_ANSWER_S = 120.0


class EmulatorError(RuntimeError):
    """The emulator did not start, or refused a command."""


@final
class EmulatorProcess:
    """One emulator in a process of its own.

    Args:
        name: module under `sls_siem.emulator`: "hec", "syslog" or "relp".
        settings: its settings, as JSON values.
        options: further command-line options, such as `["--tls-cert", path, "--tls-key", path]`.
    """

    def __init__(self, name: str, settings: Optional[Mapping[str, object]] = None, options: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", f"sls_siem.emulator.{name}", "--settings", json.dumps(settings or {})]
        self._command += options
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.addresses: dict[str, Any] = {}

    def __enter__(self) -> EmulatorProcess:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self.addresses["pid"])

    def start(self) -> EmulatorProcess:
        """Start it and read its addresses.

        Raises:
            EmulatorError: it ended before it told them; its stderr says why.
        """
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise EmulatorError(f"{' '.join(self._command[:3])} did not start")
        self.addresses = json.loads(line)
        return self

    def stop(self) -> int:
        """Close its stdin and wait; returns its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)
        process.stdout.close()
        return process.returncode

    def kill(self) -> None:
        """SIGKILL: what it stored is gone with it."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def call(self, command: str, **arguments: object) -> Any:
        """Give a command.

        Raises:
            EmulatorError: it refused, in its own words.
        """
        return json.loads(self._exchange("POST", command, json.dumps(arguments).encode()))

    def ask(self, query: str) -> Any:
        """Ask for a JSON document.

        Raises:
            EmulatorError: there is no such query.
        """
        return json.loads(self._exchange("GET", query, b""))

    def wait_for(self, ids: int, *, timeout_s: float) -> bool:
        """Wait until so many different ids are stored, at most 100 s."""
        return bool(self.call("store/wait", ids=ids, timeout_s=min(timeout_s, _ANSWER_S - 20)))

    def ids(self) -> list[str]:
        """List the stored ids, by first arrival."""
        return self._exchange("GET", "store/ids", b"").decode().splitlines()

    def digests(self) -> dict[str, tuple[bytes, int]]:
        """Tell (digest of the first copy, number of copies) by id."""
        rows = (line.split("\t") for line in self._exchange("GET", "store/digests", b"").decode().splitlines())
        return {event_id: (bytes.fromhex(digest), int(copies)) for event_id, digest, copies in rows}

    def missing(self, expected: Iterable[str]) -> list[str]:
        """List those of `expected` that never arrived."""
        answer: list[str] = json.loads(self._exchange("POST", "store/missing", "\n".join(expected).encode()))
        return answer

    def _exchange(self, method: str, name: str, body: bytes) -> bytes:
        url = urllib.parse.urlsplit(self.addresses["control"])
        connection = http.client.HTTPConnection(url.netloc, timeout=_ANSWER_S)
        try:
            connection.request(method, f"{url.path}/{name}", body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise EmulatorError(f"{method} {name}: {answer.status} {content[:500].decode(errors='replace')}")
        return content
