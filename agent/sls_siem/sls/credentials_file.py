"""`source = "file"`: a key that another program keeps fresh in a JSON file, such as one that asks STS for it.

The file is looked at before each call, which costs a system call, and read again when it has changed. A file that is
just being written, or is gone for a moment, leaves the key in force until that ends.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from sls_siem.errors import CredentialsRefusedError
from sls_siem.sls.keys import Credentials
from sls_siem.sls.temporary import NoKeyError, TemporaryKey, read_key

LOG = logging.getLogger(__name__)
MOST_BYTES = 65536
AHEAD_S = 300.0
"""So long before its end the file is read again even if it looks unchanged."""
AGAIN_S = 5.0

_Mark = tuple[int, int, int]


class FileSource:
    """Implements `CredentialSource` over a file.

    Args:
        path: JSON with AccessKeyId, AccessKeySecret, SecurityToken and Expiration.
        wall: epoch seconds.
    """

    def __init__(self, path: str, *, wall: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._wall = wall
        self._lock = threading.Lock()
        self._key: Optional[TemporaryKey] = None
        self._mark: Optional[_Mark] = None
        self._read_at = float("-inf")
        self._trouble = ""

    def current(self) -> Credentials:
        """See `CredentialSource`."""
        with self._lock:
            if self._due():
                self._read()
            key = self._key
            if key is None:
                raise CredentialsRefusedError(f"no access key for SLS: sls.credentials.file {self._trouble}")
            if key.ended(self._wall()):
                why = f", and {self._trouble}" if self._trouble else ""
                raise CredentialsRefusedError(
                    f"the access key in sls.credentials.file {self._path} has expired{why}: "
                    "see to what keeps the file fresh, and to this host's clock"
                )
            return key.credentials

    def refused(self, credentials: Credentials) -> bool:
        """See `CredentialSource`."""
        self.reload()
        try:
            return self.current() != credentials
        except CredentialsRefusedError:
            return False

    def reload(self) -> None:
        """See `CredentialSource`."""
        with self._lock:
            self._mark = None

    def _due(self) -> bool:
        if self._key is None or self._mark is None:
            return True
        now = self._wall()
        if self._key.left_s(now) < AHEAD_S and not 0 <= now - self._read_at < AGAIN_S:
            return True
        return self._look() != self._mark

    def _look(self) -> Optional[_Mark]:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> None:
        """Read the file; the key in force stays when that fails."""
        self._read_at = self._wall()
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise NoKeyError("it is no regular file")  # opening a named pipe would block
            with self._path.open("rb") as stream:
                found = os.fstat(stream.fileno())
                self._key = read_key(stream.read(MOST_BYTES))
            self._mark = (found.st_ino, found.st_mtime_ns, found.st_size)
            self._trouble = ""
        except OSError as exc:
            self._fail(f"{self._path} cannot be read ({exc.strerror or exc})")
        except NoKeyError as exc:
            self._fail(f"{self._path} holds no key: {exc}")

    def _fail(self, trouble: str) -> None:
        if trouble != self._trouble:
            LOG.warning("%s%s", trouble, "" if self._key is None else "; the key in force is used until it expires")
        self._trouble = trouble
