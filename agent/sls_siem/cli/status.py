"""`sls-siem status`: reads the status files of the instances of this host; asks nobody."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Optional

from sls_siem.errors import AgentError
from sls_siem.service.places import RUN_TIME, STATUS_NAME, runtime_directory

WATCH_S = 2.0
STALE_S = 15.0
COLUMNS = ("INST", "STATE", "SHARDS", "MB/s", "LAG", "UNSETTLED", "DELIVERED", "DEAD", "HEARTBEAT")
WIDTHS = (4, 9, 6, 7, 8, 9, 12, 6, 9)


def status(instance: Optional[int], *, as_json: bool, watch: bool) -> int:
    """Print a table (or JSON) of the running instances.

    Raises:
        AgentError: no instance has a status file.
    """
    while True:
        documents = read_all(instance)
        if as_json:
            print(json.dumps({"instances": documents}, indent=None if watch else 2))
        else:
            if watch and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            print("\n".join(table(documents)))
        sys.stdout.flush()
        if not watch:
            return 0
        threading.Event().wait(WATCH_S)


def read_all(instance: Optional[int]) -> list[dict[str, object]]:
    """Read the status files; each gets `stale` = whether its process has stopped writing it.

    Raises:
        AgentError: there is none, or it cannot be read.
    """
    found = []
    for path in _paths(instance):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as exc:
            raise AgentError(f"{path} cannot be read: {exc}") from exc
        document["stale"] = time.time() - float(document.get("written", 0)) > STALE_S
        found.append(document)
    if not found:
        where = f"instance {instance}" if instance is not None else "any instance"
        raise AgentError(f"no status of {where}: it does not run here. Start it with `systemctl start sls-siem@1`")
    return found


def _paths(instance: Optional[int]) -> list[Path]:
    if os.environ.get("RUNTIME_DIRECTORY"):
        return [runtime_directory(instance or 1) / STATUS_NAME]
    if instance is not None:
        return [RUN_TIME / str(instance) / STATUS_NAME]
    numbered = [path for path in RUN_TIME.glob(f"*/{STATUS_NAME}") if path.parent.name.isdigit()]
    return sorted(numbered, key=lambda path: int(path.parent.name))


def table(documents: list[dict[str, object]]) -> list[str]:
    """Lay the instances out in at most 80 columns, with what they wait for below."""
    lines = [_row(COLUMNS)]
    for document in documents:
        lines.append(_row(_cells(document)))
        holding = document.get("holding")
        if isinstance(holding, dict):
            lines.extend(f"     {who}: {why}"[:80] for who, why in holding.items())
    return lines


def _row(cells: tuple[str, ...]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS)).rstrip()


def _cells(document: dict[str, object]) -> tuple[str, ...]:
    rows = document.get("shards")
    shards = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    totals = document.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    lags = [row["lag_s"] for row in shards if row.get("lag_s") is not None]
    beat = document.get("last_heartbeat")
    return (
        str(document.get("instance", "?")),
        "stopped" if document.get("stale") else str(document.get("state", "?")),
        str(len(shards)),
        f"{sum(row.get('mb_per_s', 0) for row in shards):.1f}",
        duration(max(lags)) if lags else "-",
        size(sum(row.get("unsettled_bytes", 0) for row in shards)),
        str(totals.get("delivered", 0)),
        str(totals.get("dead_lettered", 0)),
        f"{duration(time.time() - beat)} ago"[:9] if isinstance(beat, (int, float)) else "never",
    )


def duration(seconds: float) -> str:
    """Write a duration in at most six characters."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def size(amount: float) -> str:
    """Write a number of bytes in at most seven characters."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f}{unit}"
        amount /= 1000
    return f"{amount:.1f}TB"
