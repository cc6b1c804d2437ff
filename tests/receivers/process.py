"""Runs a receiver in the foreground on loopback: its own folder, a port the kernel chose, ended by its own pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Optional, TypeVar

from tests.receivers.install import Installed
from tests.receivers.model import Received, ReceiverSettings

Self = TypeVar("Self", bound="Receiver")

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0
_PORTS_TO_TRY = 5


class ReceiverError(Exception):
    """The receiver did not start or stop, or did not write what it should have; the message holds its own words."""


def wait_for(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Look every few milliseconds until the condition holds; False when it does not in time."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause.wait(0.01)
    return True


class Receiver(ABC):
    """A receiver process and what it wrote.

    Args:
        installed: the program to run.
        settings: how it listens.
        folder: an empty folder for its configuration, state and output.
    """

    address = "127.0.0.1"

    def __init__(self, installed: Installed, settings: ReceiverSettings, folder: Path) -> None:
        self.installed = installed
        self.settings = settings
        self.folder = folder
        self.output = folder / "messages"
        self.port = 0
        self._process: Optional[subprocess.Popen[bytes]] = None

    @abstractmethod
    def configuration(self) -> str:
        """Write the program's configuration file."""

    @abstractmethod
    def command(self) -> list[str]:
        """Tell how to run the program in the foreground with `self.config_file`."""

    @abstractmethod
    def parse(self, line: bytes) -> Received:
        """Read one line of the output."""

    @property
    def config_file(self) -> Path:
        return self.folder / "receiver.conf"

    @property
    def url(self) -> str:
        return f"{'tls' if self.settings.tls else 'tcp'}://{self.address}:{self.port}"

    def __enter__(self: Self) -> Self:  # noqa: PYI019 - typing has Self from 3.11 on
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start and wait until it accepts connections; after the first time, on the same port.

        Raises:
            ReceiverError: it ended or did not listen in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self.port else _PORTS_TO_TRY):
            port = self.port or _free_port(self.address)
            if self._start_on(port):
                return
            self.kill()
            self.port = 0
        raise ReceiverError(f"{self.installed.name} does not listen: {self.words()}")

    def stop(self) -> None:
        """End it in order (SIGTERM) so that it writes everything it has read.

        Raises:
            ReceiverError: it did not end in time (it was killed then).
        """
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL); does nothing when it has ended."""
        self._end(signal.SIGKILL)

    def received(self, at_least: int = 0, *, timeout_s: float = 30.0) -> list[Received]:
        """Wait for so many messages, then return all that were written, in order.

        Raises:
            ReceiverError: fewer came in time.
        """
        counter = _LineCounter(self.output)
        if not wait_for(lambda: counter.count() >= at_least, timeout_s=timeout_s):
            raise ReceiverError(f"{counter.count()} of {at_least} messages after {timeout_s} s: {self.words()}")
        return [self.parse(line) for line in self.lines()]

    def lines(self) -> list[bytes]:
        """Return the whole lines of the output; a line cut by SIGKILL is no message."""
        if not self.output.exists():
            return []
        return self.output.read_bytes().split(b"\n")[:-1]

    def words(self) -> str:
        """Return the end of what it printed."""
        printed = self.folder / "printed"
        return printed.read_text(errors="backslashreplace")[-2000:] if printed.exists() else ""

    def _start_on(self, port: int) -> bool:
        self.port = port
        self.config_file.write_text(self.configuration())
        with (self.folder / "printed").open("ab") as printed:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**self.installed.environment(), "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )
        process = self._process
        wait_for(lambda: process.poll() is not None or self._accepts(), timeout_s=START_TIMEOUT_S)
        return process.poll() is None and self._accepts() and "Address already in use" not in self.words()

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            process.wait()
            raise ReceiverError(f"{self.installed.name} did not end within {STOP_TIMEOUT_S} s of {how.name}") from exc


class _LineCounter:
    """Counts lines of a growing file without reading what it has read before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self._lines = 0

    def count(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._place)
                fresh = file.read()
            self._place += len(fresh)
            self._lines += fresh.count(b"\n")
        return self._lines


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
