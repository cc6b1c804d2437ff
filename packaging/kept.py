"""What builds keep between runs, for every checkout on this machine: `~/.cache/sls-siem-agent` or `$SLS_SIEM_CACHE`."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("SLS_SIEM_CACHE") or Path.home() / ".cache" / "sls-siem-agent")


def folder(place: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; the first who wants it fills it, whole or not at all, while the others wait.

    Args:
        place: the folder.
        fill: fills the empty folder that it is given, which then becomes `place`.
    """
    with _alone(place):
        if not place.is_dir():
            partial = place.with_name(f"{place.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            fill(partial)
            partial.rename(place)
    return place


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
