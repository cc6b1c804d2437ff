"""What a process has used so far, read from the kernel without disturbing it (proc(5): stat, status)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12
"""Places in /proc/PID/stat behind the name in parentheses: user and system time of all threads, ended ones too."""


@dataclass(frozen=True)
class Usage:
    """CPU seconds (user and system, all threads), resident bytes now and at most."""

    cpu_s: float = 0.0
    resident_bytes: int = 0
    peak_bytes: int = 0


def usage_of(pid: int) -> Optional[Usage]:
    """Read the usage of a process; None when there is no such process any more."""
    folder = Path(f"/proc/{pid}")
    try:
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        status = (folder / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    resident, peak = _kilobytes(status, "VmRSS"), _kilobytes(status, "VmHWM")
    if peak == 0:
        return None
    return Usage((int(stat[_UTIME]) + int(stat[_STIME])) / _TICKS_PER_S, resident, peak)


def _kilobytes(status: str, name: str) -> int:
    """Find a size; 0 when the process is a zombie and has none."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
