"""The processes of `demo` and `bench`: an SLS service and the agent, each on its own, so that each can be measured.

Every process finds the package and its libraries where this one found them, is deaf to the Ctrl-C of the terminal
(this process ends it), and writes only below the rig's folder. What flows through them is not known here.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Optional, final

from sls_siem.cli.demo_usage import Usage, usage_of
from sls_siem.emulator.sls import SlsControl
from sls_siem.errors import AgentError
from sls_siem.service.wake import Wake

Tables = Mapping[str, Mapping[str, object]]

PROJECT = "demo-project"
LOGSTORE = "demo-logstore"
EXIT_INTERRUPTED = 130
"""As a shell says it of a command that SIGINT ended."""
_END_S = 10.0
_OURS = ("SLS_", "NOTIFY_SOCKET", "WATCHDOG", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY")
_LOOK_S = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ASKED = Wake()
"""A process has one set of signal handlers."""


class RigError(AgentError):
    """A process of the rig did not start or ended before its time."""


@contextlib.contextmanager
def ended_cleanly() -> Iterator[contextlib.ExitStack]:
    """Give a stack that is unwound to its end whatever signal asks this process to end.

    SIGINT, SIGTERM and SIGHUP become KeyboardInterrupt at the next `pause`, and not where they strike: an exception
    out of the middle of `Popen.poll` leaves its lock taken, out of a finaliser it is dropped. A second one does not
    wait for a pause. None of them disturbs the unwinding.
    """
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        _ASKED.set()

    stack = contextlib.ExitStack()
    _ASKED.wait(0)
    before = {number: signal.signal(number, note) for number in _ENDING}
    try:
        yield stack
        pause(0)
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        try:
            stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def pause(seconds: float) -> None:
    """Let time pass.

    Raises:
        KeyboardInterrupt: a signal has asked this process to end, now or since the last pause.
    """
    if _ASKED.wait(seconds):
        raise KeyboardInterrupt


@contextlib.contextmanager
def starting_children() -> Iterator[None]:
    """Let processes that are started meanwhile import what this one imports, and not hear the terminal's signals.

    Blocks may be nested.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)
    # A blocked signal stays blocked in the children; SIGTERM must not, they are ended by it.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def scratch(stack: contextlib.ExitStack) -> Path:
    """Make a folder that is gone when the stack is unwound."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sls-siem-")))


@final
class SlsProcess:
    """The embedded SLS service in a process of its own.

    Args:
        shards: of its one logstore.

    Raises:
        RigError: it did not start.
    """

    def __init__(self, shards: int) -> None:
        command = [sys.executable, "-m", "sls_siem.emulator.sls", "--project", PROJECT, "--logstore", LOGSTORE]
        with starting_children():
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, "--shards", str(shards)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            address = _first_line(self._process)
        self.pid = self._process.pid
        self.url = str(address["url"])
        self.control = SlsControl(self.url)
        self.key_id, self.key_secret = f"demo-{secrets.token_hex(6)}", secrets.token_hex(16)
        self.control.post("key", key_id=self.key_id, secret=self.key_secret)

    def __enter__(self) -> SlsProcess:
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        _end(self._process)

    def tables(self, group: str) -> dict[str, object]:
        """Table [sls] of an agent that reads it from the begin."""
        return {
            "endpoint": self.url,
            "project": PROJECT,
            "logstore": LOGSTORE,
            "consumer_group": group,
            "region": "cn-demo",
            "start": "begin",
        }


@final
class AgentProcess:
    """One `sls-siem run`.

    Args:
        folder: an empty one, for its configuration, state, run-time files and log.
        tables: the configuration, by table and key.
        sls: whose access key it gets.
        codec: the one it has to use; empty for what the environment says.
    """

    def __init__(self, folder: Path, tables: Tables, sls: SlsProcess, *, codec: str = "") -> None:
        folder.mkdir()
        self.config_path = folder / "agent.toml"
        self.config_path.write_text(_toml(tables), encoding="utf-8")
        self._log_path = folder / "log.txt"
        self._last = Usage()
        environ = {name: value for name, value in os.environ.items() if not _is_configuration(name)}
        environ.update(RUNTIME_DIRECTORY=str(folder / "run"), STATE_DIRECTORY=str(folder / "state"))
        environ.update(SLS_AK_ID=sls.key_id, SLS_AK_KEY=sls.key_secret)
        if codec:
            environ["SLS_SIEM_CODEC"] = codec
        self._process = self._start(environ, folder)
        self.pid = self._process.pid

    def _start(self, environ: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sls_siem", "run", "--config", str(self.config_path)]
        with starting_children(), self._log_path.open("ab") as log:
            environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
            return subprocess.Popen(  # noqa: S603 - our own module
                command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            RigError: it has ended; the message holds its last words.
        """
        status = self._process.poll()
        if status is not None:
            raise RigError(f"the agent ended with status {status}; its last words:\n{self.last_words()}")

    def usage(self) -> Usage:
        """CPU time and memory so far; of a process that has ended, what was last seen."""
        self._last = usage_of(self.pid) or self._last
        return self._last

    def stop(self, seconds: float) -> int:
        """Let it drain and end; returns its exit status.

        Raises:
            RigError: it takes longer than `seconds`.
        """
        self._process.terminate()
        deadline = time.monotonic() + seconds
        while (status := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise RigError(f"the agent has not ended {seconds:g} s after SIGTERM:\n{self.last_words()}")
            pause(_LOOK_S)
        return status

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])


def _is_configuration(name: str) -> bool:
    """Whether a variable of this process would configure the agent; which codec it uses may be chosen from outside."""
    return name.startswith(_OURS) and not name.startswith("SLS_SIEM_")


def _toml(tables: Tables) -> str:
    # A JSON string, number, array of them, true and false are written the same in TOML.
    lines = []
    for table, keys in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join([*lines, ""])


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    stdout: Optional[IO[bytes]] = process.stdout
    assert stdout is not None
    line = stdout.readline()
    if not line:
        _end(process)
        raise RigError("the embedded SLS service did not start")
    found: dict[str, Any] = json.loads(line)
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
