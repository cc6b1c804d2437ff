"""Talking to systemd: readiness, status, reload, watchdog (sd_notify(3)). Without systemd every call does nothing."""

from __future__ import annotations

import os
import time
from typing import Optional

import sdnotify

STATUS_LENGTH = 400
FEED_S = 0.2


class Notifier:
    """Sends sd_notify datagrams; one datagram a call, ASCII only (the library encodes latin-1 and hides errors)."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        # A service manager that does not read must never hold the main loop; the library hides the refusal.
        if self._notifier.socket is not None:
            self._notifier.socket.setblocking(False)
        self._last_status = ""
        self._fed_at = float("-inf")

    def ready(self, status: str) -> None:
        """The configuration is valid and the threads are up."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """SIGHUP was received (MONOTONIC_USEC is required by Type=notify-reload)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """SIGTERM was received."""
        self._send("STOPPING=1", _status(status))

    def extend_stop(self, seconds: float) -> None:
        """Draining takes up to `seconds` from now: do not kill before."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Every thread has moved; sent at most every `FEED_S`, however often this is called."""
        now = time.monotonic()
        if now - self._fed_at >= FEED_S:
            self._fed_at = now
            self._send("WATCHDOG=1")

    def give_up(self) -> None:
        """Have the watchdog act now, as if it had not been fed for its whole interval (systemd 243 and later)."""
        self._send("WATCHDOG=trigger")

    def status(self, text: str) -> None:
        """Show `text` in `systemctl status`; sent only when it changed."""
        if text != self._last_status:
            self._last_status = text
            self._send(_status(text))

    def _send(self, *lines: str) -> None:
        self._notifier.notify("\n".join(lines))


def _status(text: str) -> str:
    flat = " ".join(text.split())[:STATUS_LENGTH]
    return "STATUS=" + flat.encode("ascii", "replace").decode("ascii")


def watchdog_interval_s() -> Optional[float]:
    """Seconds within which the watchdog wants to be fed (WATCHDOG_USEC); None when it is off."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", ""))
        pid = int(os.environ.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and pid == os.getpid() else None
