"""`sls-siem status`: reads the status files of the instances of this host; asks nobody."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn, Optional

from sls_siem.cli.status_table import History, table, watched
from sls_siem.cli.terminal import Screen, bars_for, clip, printable, wants_colour
from sls_siem.errors import AgentError
from sls_siem.service.places import RUN_TIME, STATUS_NAME, runtime_directory

WATCH_S = 2.0
STALE_S = 15.0


def status(instance: Optional[int], *, as_json: bool, watch: bool) -> int:
    """Print a table (or JSON) of the running instances.

    Raises:
        AgentError: no instance has a status file.
    """
    if watch:
        _watch(instance, as_json=as_json)
    documents = read_all(instance)
    if as_json:
        print(json.dumps({"instances": documents}, indent=2))
    else:
        columns = Screen(sys.stdout).size()[0]
        print("\n".join(table(documents, columns=columns, coloured=wants_colour(sys.stdout))))
    return 0


def _watch(instance: Optional[int], *, as_json: bool) -> NoReturn:
    """Show it again and again, until interrupted; instances may come and go meanwhile."""
    pause = threading.Event()
    if as_json:
        while True:
            print(json.dumps({"instances": read_all(instance)}), flush=True)
            pause.wait(WATCH_S)
    history = History()
    bars = bars_for(getattr(sys.stdout, "encoding", None))
    read_all(instance)
    with Screen(sys.stdout) as screen:
        while True:
            screen.draw(_picture(instance, history, screen.size(), bars))
            pause.wait(WATCH_S)


def _picture(instance: Optional[int], history: History, size: tuple[int, int], bars: str) -> list[str]:
    try:
        documents = read_all(instance)
    except AgentError as exc:
        return [clip(printable(exc), size[0])]
    history.note(documents)
    return watched(documents, history, size=size, coloured=wants_colour(sys.stdout), bars=bars)


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
        if not isinstance(document, dict):
            raise AgentError(f"{path} cannot be read: it is no JSON object")
        document["stale"] = time.time() - _when(document) > STALE_S
        found.append(document)
    if not found:
        where = f"instance {instance}" if instance is not None else "any instance"
        raise AgentError(
            f"no status of {where}: it does not run here. Start it with `systemctl start sls-siem@{instance or 1}`"
        )
    return found


def _paths(instance: Optional[int]) -> list[Path]:
    if os.environ.get("RUNTIME_DIRECTORY"):
        return [runtime_directory(instance or 1) / STATUS_NAME]
    if instance is not None:
        return [RUN_TIME / str(instance) / STATUS_NAME]
    numbered = [path for path in RUN_TIME.glob(f"*/{STATUS_NAME}") if path.parent.name.isdigit()]
    return sorted(numbered, key=lambda path: int(path.parent.name))


def _when(document: dict[str, object]) -> float:
    """When it was written; a document that does not say is old."""
    written = document.get("written")
    return float(written) if isinstance(written, (int, float)) else 0.0
