"""What systemd itself wrote down about its units: when each went down, and when it was back. It knows no host."""

from __future__ import annotations

import json
from typing import NamedTuple

# systemd.journal-fields(7), `journalctl --message-id`: "Stopping", "Started", as catalogued by systemd.
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
STARTED = "39f53479d3a045ac8e11786248231fbf"


class Downtime(NamedTuple):
    """One unit, from the begin of its stop until it was ready again, in seconds of the host's monotonic clock."""

    start_s: float
    end_s: float
    unit: str


def downtimes(lines: str) -> list[Downtime]:
    """Find every time a unit was down and came back, in the order of their begin.

    Args:
        lines: of the journal as `-o json` prints them.
    """
    found, down = [], {}
    for line in lines.splitlines():
        entry = json.loads(line)
        unit, at_s = entry.get("UNIT", ""), int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
        if entry.get("MESSAGE_ID") == STOPPING:
            down[unit] = at_s
        elif entry.get("MESSAGE_ID") == STARTED and unit in down:
            found.append(Downtime(down.pop(unit), at_s, unit))
    return sorted([*found, *(Downtime(start_s, float("inf"), unit) for unit, start_s in down.items())])
