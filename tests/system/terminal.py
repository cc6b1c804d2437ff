"""Somebody at a terminal, of a host or of this machine: runs a script there, answers what it asks, and ends what does
not end by itself.

Some commands ask only where a terminal is, and show more there; a script with a pipe would not see that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Optional, Union

from tests.system.nspawn import ENVIRONMENT, Host

LINES, COLUMNS = 40, 100
SIZE = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
NOTHING: Mapping[str, str] = MappingProxyType({})


def at_a_terminal(
    host: Host,
    script: str,
    *,
    folder: str = "/",
    answers: Mapping[str, str] = NOTHING,
    leave_at: str = "",
    timeout: float = 200,
) -> str:
    """Run a bash script on a host as root and return what the terminal showed; each of its commands has to succeed.

    Args:
        host: a booted one.
        script: its text.
        folder: on the host, where it runs.
        answers: what is typed, and Return, when the terminal shows a line that ends with the key.
        leave_at: pattern at which Ctrl-C is typed; the last command is one that shows something until then.
        timeout: seconds.
    """
    environ = [f"{name}={value}" for name, value in {**ENVIRONMENT, "TERM": "xterm"}.items()]
    command = ["nsenter", "-t", str(host.leader), "-a", "env", "-i", *environ]
    command += ["bash", "-ec", f"cd {folder}\n{script}"]
    status, shown = converse(command, answers=answers, leave_at=leave_at, timeout=timeout)
    assert status in ((130, -2) if leave_at else (0,)), f"{script}on {host.name}: {status}\n{shown}"
    return shown


def converse(
    command: Sequence[str],
    *,
    answers: Mapping[str, str],
    leave_at: str = "",
    timeout: float,
    cwd: Union[str, Path] = "/",
    environ: Optional[Mapping[str, str]] = None,
) -> tuple[int, str]:
    """Run a command of this machine at a terminal; returns its status and what was shown. As `at_a_terminal`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
    process = subprocess.Popen(
        # A session of its own, whose terminal ours is: so that Ctrl-C reaches what runs in it, and is not ignored there
        # when it is here, as in what a shell runs in the background.
        ["env", "--default-signal=INT", "setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environ,
    )
    os.close(theirs)
    try:
        shown = _converse(ours, answers, leave_at, time.monotonic() + timeout)
        return process.wait(20), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _converse(terminal: int, answers: Mapping[str, str], leave_at: str, deadline: float) -> str:
    shown, answered = "", 0
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # EIO: nobody has it open any more
            return shown
        if not chunk:
            return shown
        shown += chunk.decode(errors="replace")
        for asked, answer in answers.items():
            if shown[answered:].endswith(asked):
                os.write(terminal, answer.encode() + b"\n")
                answered = len(shown)
        if leave_at and re.search(leave_at, shown):
            with contextlib.suppress(OSError):
                os.write(terminal, b"\x03")
            leave_at = ""
    raise AssertionError(f"the terminal did not come to an end:\n{shown}")
