"""How the demo speaks: a line of progress while it runs, a table in the end."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from sls_siem.cli.demo_verdict import Verdict

EVERY_S = 5.0
"""Between two lines of progress where there is no terminal."""
_COLUMNS = 79


@dataclass(frozen=True)
class Result:
    """What the table shows.

    Args:
        output: hec or syslog.
        verdict: what was compared.
        raw_bytes: of all logs, as they were pulled, decompressed.
        seconds: from the first log to the last arrival.
        cpu_s: CPU time of the agent in that time.
        peak_bytes: most memory the agent had resident.
    """

    output: str
    verdict: Verdict
    raw_bytes: int
    seconds: float
    cpu_s: float
    peak_bytes: int


class Progress:
    """Shows how far it is: on a terminal one line that changes, else a line every few seconds."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._next_at = 0.0
        self._dirty = False

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._stream.write(f"{self._clean()}{text}\n")
        self._stream.flush()

    def show(self, text: str) -> None:
        """Write how far it is, or leave it out when it is not time."""
        if self._live:
            self._stream.write(f"\r{text[:_COLUMNS]:<{_COLUMNS}}")
            self._dirty = True
        elif time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def _clean(self) -> str:
        dirty, self._dirty = self._dirty, False
        return f"\r{'':<{_COLUMNS}}\r" if dirty else ""


def table(result: Result) -> str:
    """Lay the result out."""
    megabytes = result.raw_bytes / 1e6
    verdict = result.verdict
    rows = [
        ("logs in", f"{verdict.expected:,}", ""),
        ("delivered", f"{verdict.arrived - len(verdict.unknown):,}", f"to {result.output}"),
        *((kind, f"{len(ids):,}", "") for kind, ids in verdict.flaws()),
        ("raw data", f"{megabytes:,.1f}", f"MB in {result.seconds:.1f} s"),
        ("speed", f"{megabytes / max(result.seconds, 1e-9):,.1f}", "MB/s"),
        ("CPU", f"{100 * result.cpu_s / max(result.seconds, 1e-9):,.1f}", f"% of one core, {_efficiency(result)}"),
        ("memory", f"{result.peak_bytes / 1e6:,.1f}", "MB resident at most"),
    ]
    lines = [f"{name:<12}{value:>12} {unit}".rstrip() for name, value, unit in rows]
    return "\n".join([*lines, "", _sentence(verdict)])


def _efficiency(result: Result) -> str:
    # The kernel counts CPU time in hundredths of a second.
    return f"{result.raw_bytes / 1e6 / max(result.cpu_s, 0.01):,.1f} raw MB per CPU-second"


def _sentence(verdict: Verdict) -> str:
    compared = "Compared on both sides: every id, and the bytes of every event."
    return f"{compared} Nothing is missing, doubled or changed." if verdict.flawless else f"{compared} NOT flawless."
