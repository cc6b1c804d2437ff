"""Lines with fields, straight to systemd's journal, so that `journalctl SLS_SHARD=7` finds what is said about a shard.

One datagram a line (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). It knows nothing of log records, and never waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Optional

SOCKET = "/run/systemd/journal/socket"


class Journal:
    """A connected journal.

    Args:
        identifier: SYSLOG_IDENTIFIER of every line.
        path: the journal's socket.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, identifier: str, path: str = SOCKET) -> None:
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, text: str, priority: int, fields: Mapping[str, str]) -> bool:
        """Write one line without line ends; False when the journal does not take it now."""
        every = {"MESSAGE": text, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": self._identifier, **fields}
        datagram = "".join(f"{name}={value}\n" for name, value in every.items())
        try:
            self._socket.send(datagram.encode("utf-8", "replace"))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def journal_behind(descriptor: int, identifier: str, path: str = SOCKET) -> Optional[Journal]:
    """Connect when `descriptor` leads to the journal, which systemd says in `$JOURNAL_STREAM`; else None."""
    try:
        found = os.fstat(descriptor)
        if os.environ.get("JOURNAL_STREAM") != f"{found.st_dev}:{found.st_ino}":
            return None
        return Journal(identifier, path)
    except OSError:
        return None
