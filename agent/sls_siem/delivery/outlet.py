"""The way out in force: it can be replaced while shards are being shipped (SIGHUP).

Each sender looks at the generation between two batches and in every pause between two attempts; with a new one it
settles what it can on its old lane, reads the rest again, and goes on through a lane of the new output.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Optional

from sls_siem.codec.model import Encoder
from sls_siem.dead_letter import DeadLetters
from sls_siem.delivery.limits import RateLimit
from sls_siem.siem.output import Output


@dataclass(frozen=True)
class Way:
    """What a change of the configuration may replace.

    Args:
        output: the SIEM.
        encoder: turns batches into payloads.
        reference: the plain Python encoder.
        notices: the encoder of announcements; None: `encoder`.
        letters: the dead letters; None means `on_reject = "hold"`.
        limits: events a second, bytes a second.
    """

    output: Output
    encoder: Encoder
    reference: Encoder
    letters: Optional[DeadLetters]
    limits: tuple[RateLimit, RateLimit]
    notices: Optional[Encoder] = None


class Outlet:
    """Holds the way in force; thread-safe."""

    def __init__(self, way: Way) -> None:
        self._lock = threading.Lock()
        self._way = way
        self._generation = 1

    @property
    def generation(self) -> int:
        """Counts the ways so far."""
        return self._generation

    def current(self) -> tuple[int, Way]:
        """Give the generation and the way that belongs to it."""
        with self._lock:
            return self._generation, self._way

    def replace(self, way: Way) -> None:
        """Put another way in force."""
        with self._lock:
            self._way.output.close()
            self._way = way
            self._generation += 1
