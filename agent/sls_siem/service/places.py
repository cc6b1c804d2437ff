"""Where one instance keeps its state and its run-time files, and the lock that makes it the only one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from pathlib import Path
from typing import IO, Optional

from sls_siem.errors import ConfigError

STATE = Path("/var/lib/sls-siem")
RUN_TIME = Path("/run/sls-siem")
STATUS_NAME = "status.json"
LOCK_NAME = "lock"
_NUMBER = re.compile("[1-9][0-9]?")
UNIT_HINT = "start the agent through its unit, or set RUNTIME_DIRECTORY to a directory of its own"


def state_directory(instance: int) -> Path:
    """`$STATE_DIRECTORY`, or `/var/lib/sls-siem/<N>`."""
    return _first(os.environ.get("STATE_DIRECTORY")) or STATE / str(instance)


def state_directories() -> dict[int, Path]:
    """Those of every instance of this host, by its number; `$STATE_DIRECTORY` is one alone, taken for instance 1's."""
    if os.environ.get("STATE_DIRECTORY"):
        return {1: state_directory(1)}
    numbers = sorted(int(path.name) for path in STATE.glob("*") if _NUMBER.fullmatch(path.name))
    return {number: STATE / str(number) for number in numbers}


def runtime_directory(instance: int) -> Path:
    """`$RUNTIME_DIRECTORY`, or `/run/sls-siem/<N>`."""
    return _first(os.environ.get("RUNTIME_DIRECTORY")) or RUN_TIME / str(instance)


def _first(value: Optional[str]) -> Optional[Path]:
    """Systemd joins several directories with a colon; the first is the unit's own."""
    return Path(value.split(":")[0]) if value else None


class InstanceLock:
    """At most one process per instance; released by the kernel when the process ends, however it ends.

    Args:
        instance: its number.

    Raises:
        ConfigError: another process holds it (named), or the directory cannot be used.
    """

    def __init__(self, instance: int) -> None:
        directory = runtime_directory(instance)
        self._path = directory / LOCK_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._path.open("a+", encoding="utf-8")
        except OSError as exc:
            raise ConfigError(
                [f"{self._path}: RUNTIME_DIRECTORY: cannot be written: {exc.strerror or exc}; {UNIT_HINT}"]
            ) from exc
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = self._holder()
            self._file.close()
            raise ConfigError(
                [f"{self._path}: instance {instance} already runs as process {holder}; stop it, or use --instance"]
            ) from exc
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def _holder(self) -> str:
        self._file.seek(0)
        return self._file.read(20).strip() or "(unknown)"

    def release(self) -> None:
        """Let another process have the instance."""
        with contextlib.suppress(OSError):
            self._file.close()


def write_status(directory: Path, status: dict[str, object]) -> None:
    """Replace `status.json` atomically.

    Raises:
        OSError: the directory cannot be written.
    """
    temporary = directory / f"{STATUS_NAME}.tmp"
    temporary.write_text(json.dumps(status, separators=(",", ":")) + "\n", encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(directory / STATUS_NAME)
