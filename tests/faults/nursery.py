"""Agents without the cost of starting Python: forked from a process that has imported the agent and started nothing.

Each is a process of its own, with its own environment, log and signals, that calls what `sls-siem run` calls; only the
interpreter and the modules were loaded before. One schedule in `EXECUTED` starts its agents the long way instead, and
so do all other tests.

The nursery is a process without threads that forks on request and tells of ends; this module is both sides of it.
Signals go through it, so that none can reach a process that has taken the number of one that ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

EXECUTED = 40
ANSWER_S = 150.0


class Nursery:
    """The asking side: one for each process that runs schedules."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        command = [sys.executable, "-m", "tests.faults.nursery", str(there.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[there.fileno()], cwd=Path(__file__).resolve().parents[2])
        there.close()
        self._socket = here
        self._changed = threading.Condition()
        self._pids: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._ticket = 0
        self._gone = False
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines, contextlib.suppress(OSError):
            for line in lines:
                told = json.loads(line)
                with self._changed:
                    if "ticket" in told:
                        self._pids[told["ticket"]] = told["pid"]
                        self._ends.pop(told["pid"], None)  # of an earlier process with this number
                    else:
                        self._ends[told["pid"]] = told["status"]
                    self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _send(self, order: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(order).encode() + b"\n")

    def start(self, arguments: list[str], environ: dict[str, str], log_path: Path) -> Child:
        """Fork a process that runs `sls-siem` with these arguments."""
        with self._changed:
            self._ticket += 1
            ticket = self._ticket
            self._send({"start": ticket, "arguments": arguments, "environ": environ, "log": str(log_path)})
            assert self._changed.wait_for(lambda: ticket in self._pids or self._gone, ANSWER_S), "the nursery is stuck"
            return Child(self, self._pids.pop(ticket))

    def signal(self, pid: int, number: int) -> None:
        """Send a signal, unless the process has ended."""
        self._send({"signal": number, "pid": pid})

    def end_of(self, pid: int, seconds: float) -> Optional[int]:
        """Wait for an end; None when it did not come in time."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._ends or self._gone, seconds)
            return self._ends.get(pid, -signal.SIGKILL if self._gone else None)

    def close(self) -> None:
        """End it, and with it whatever still runs."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(ANSWER_S)
        self._socket.close()


class Child:
    """A forked agent, with what is used of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: Optional[int] = None

    def poll(self) -> Optional[int]:
        return self._end(0)

    def _end(self, seconds: float) -> Optional[int]:
        if self.returncode is None:
            self.returncode = self._nursery.end_of(self.pid, seconds)
        return self.returncode

    def wait(self, timeout: float) -> int:
        status = self._end(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(["sls-siem"], timeout)
        return status

    def send_signal(self, number: int) -> None:
        self._nursery.signal(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


# --- the nursery itself ---


class _Server:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: set[int] = set()
        self._waker, waker = socket.socketpair()
        self._waker.setblocking(False)
        waker.setblocking(False)
        self._keep = waker
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._channel, self._waker], [], [], 5.0)
            if self._waker in ready:
                with contextlib.suppress(BlockingIOError):
                    self._waker.recv(4096)
            self._reap()
            if self._channel in ready:
                data = self._channel.recv(65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _tell(self, **told: int) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(told).encode() + b"\n")

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                self._tell(pid=pid, status=os.waitstatus_to_exitcode(status))

    def _obey(self, order: dict[str, Any]) -> None:
        if "signal" in order:
            if order["pid"] in self._children:
                os.kill(order["pid"], order["signal"])
            return
        pid = os.fork()
        if pid == 0:
            _be_an_agent(order, [self._channel, self._waker, self._keep])
        self._children.add(pid)
        self._tell(ticket=order["start"], pid=pid)


def _be_an_agent(order: dict[str, Any], inherited: list[socket.socket]) -> None:
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.default_int_handler)
        for one in inherited:
            one.close()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for number in (1, 2):
            os.dup2(log, number)
        os.environ.clear()
        os.environ.update(order["environ"])
        random.seed()
        time.tzset()
        from sls_siem.cli import main

        status = main(order["arguments"])
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001 - what the interpreter would do at the top
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _main() -> None:
    import gc
    import importlib

    for name in ("sls_siem.cli", "sls_siem.service.run", "sls_siem.codec"):
        importlib.import_module(name)
    with contextlib.suppress(ImportError):
        importlib.import_module("sls_siem_codec")
    gc.freeze()
    _Server(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    _main()
