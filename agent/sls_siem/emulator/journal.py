"""A store that outlives its process: what is in it has been written to a file.

Written means handed to the kernel, which keeps it when the process is killed; a power cut is not what is tried here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from sls_siem.emulator.store import EventStore, event_digest


@final
class JournalStore(EventStore):
    """An `EventStore` that appends a line for each event, `ID TAB DIGEST`, before the event counts as stored.

    Args:
        path: the file; what stands in it already stays there and is not read.
        keep_bytes: see `EventStore`.
    """

    def __init__(self, path: str, *, keep_bytes: bool = False) -> None:
        super().__init__(keep_bytes=keep_bytes)
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - as long as the store

    def add(self, events: Sequence[tuple[str, bytes]], *, request: int, at_s: float) -> range:
        """Store events; see `EventStore.add`."""
        lines = b"".join(b"%b\t%b\n" % (name.encode(), event_digest(data).hex().encode()) for name, data in events)
        # A short write only happens on a full disk, and then the next one fails.
        while lines:
            lines = lines[self._file.write(lines) :]
        return super().add(events, request=request, at_s=at_s)
