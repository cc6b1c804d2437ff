"""A sign of life that remembers what was announced."""

from __future__ import annotations

from sls_siem.health import Pulse


class Announced(Pulse):
    """Keeps every announced wait: seconds, why."""

    def __init__(self) -> None:
        super().__init__("a thread")
        self.waits: list[tuple[float, str]] = []

    def waiting(self, seconds: float, why: str) -> None:
        super().waiting(seconds, why)
        self.waits.append((seconds, why))
