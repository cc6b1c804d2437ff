"""`source = "ecs-ram-role"`: the key of the instance's RAM role, from the metadata service of an ECS instance.

A thread of its own fetches the key and renews it ahead of its end, so that no call and no heartbeat ever waits for the
metadata service; only the very first call waits, for a moment. While a renewal fails, the key in force goes on until
it ends. Source: ECS user guide, "Instance RAM roles" and "View instance metadata": the security-hardened mode wants a
token that is fetched by PUT; an instance in normal mode takes requests with and without.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Optional
from urllib.parse import quote

from sls_siem.errors import CredentialsRefusedError
from sls_siem.net.deadline import DeadlineExceeded
from sls_siem.net.http import HttpConnection, HttpError
from sls_siem.retry import Backoff
from sls_siem.sls.keys import Credentials
from sls_siem.sls.temporary import NoKeyError, TemporaryKey, read_key

LOG = logging.getLogger(__name__)
METADATA_URL = "http://100.100.100.200"
TOKEN_S = 21600
"""The longest life that the service gives a token."""
ROLES = "/latest/meta-data/ram/security-credentials/"
EXCHANGE_S = 5.0
CONNECT_S = 2.0
MOST_BYTES = 65536
FIRST_S = 8.0
"""So long the first call waits for the first key."""
AHEAD_S = 1800.0
"""So long before its end a key is renewed; the service offers the next one that early."""
LOOK_S = 60.0
"""Longest sleep, so that a clock that was set and a host that slept are noticed."""


class MetadataError(Exception):
    """The metadata service gave no key; the message says why and what to do."""


class MetadataClient:
    """Asks the metadata service; used by one thread.

    Args:
        url: its address; another one than the real one is for tests.
        role: name of the RAM role; None for the one that is attached to the instance.
    """

    def __init__(self, url: str, role: Optional[str]) -> None:
        self._url = url
        self._role = role

    def fetch(self) -> TemporaryKey:
        """Get the key of the role.

        Raises:
            MetadataError: see there.
        """
        # A connection for each visit: they are hours apart.
        connection = HttpConnection(self._url, connect_timeout_s=CONNECT_S)
        try:
            headers = self._token(connection)
            role = self._role or self._attached_role(connection, headers)
            answer = self._get(connection, ROLES + quote(role, safe=""), headers, f"RAM role {role!r}")
            return read_key(answer)
        except (HttpError, DeadlineExceeded) as exc:
            raise MetadataError(f"the metadata service does not answer, is this an ECS instance? {exc}") from exc
        except NoKeyError as exc:
            raise MetadataError(f"what the metadata service says for the RAM role is no key: {exc}") from exc
        finally:
            connection.close()

    def _token(self, connection: HttpConnection) -> dict[str, str]:
        """Get the token of the hardened mode; none from a service that knows no such thing."""
        wanted = {"X-aliyun-ecs-metadata-token-ttl-seconds": str(TOKEN_S), "Content-Length": "0"}
        answer = connection.exchange("PUT", "/latest/api/token", wanted, timeout_s=EXCHANGE_S, max_body=MOST_BYTES)
        if answer.status in (403, 404, 405):
            return {}
        token = answer.body.decode("ascii", "replace").strip()
        if answer.status != 200 or not token.isprintable() or not token.isascii():
            raise MetadataError(f"the metadata service answered {answer.status} when asked for its token")
        return {"X-aliyun-ecs-metadata-token": token}

    def _attached_role(self, connection: HttpConnection, headers: dict[str, str]) -> str:
        names = self._get(connection, ROLES, headers, "the list of RAM roles").decode("utf-8", "replace").split()
        if not names:
            raise MetadataError("no RAM role is attached to this instance: attach one in the ECS console")
        return names[0].strip("/")

    def _get(self, connection: HttpConnection, target: str, headers: dict[str, str], what: str) -> bytes:
        answer = connection.exchange("GET", target, headers, timeout_s=EXCHANGE_S, max_body=MOST_BYTES)
        if answer.status == 404:
            raise MetadataError(
                f"{what} is not there: attach the RAM role to this instance in the ECS console, and name the same one, "
                "or none, in sls.credentials.ram_role"
            )
        if answer.status != 200:
            raise MetadataError(f"the metadata service answered {answer.status} when asked for {what}")
        return answer.body


class RamRoleSource:
    """Implements `CredentialSource` over the metadata service; its thread starts with the first call.

    Args:
        role: name of the RAM role; None for the one that is attached to the instance.
        url: of the metadata service; another one than the real one is for tests.
        wall: epoch seconds.
        first_s: so long the first call waits for the first key.
        backoff: pauses after failures.
    """

    def __init__(
        self,
        role: Optional[str],
        *,
        url: str = METADATA_URL,
        wall: Callable[[], float] = time.time,
        first_s: float = FIRST_S,
        backoff: Optional[Backoff] = None,
    ) -> None:
        self._client = MetadataClient(url, role)
        self._wall = wall
        self._first_s = first_s
        self._backoff = backoff or Backoff(1.0, LOOK_S)
        self._random = Random()
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._key: Optional[TemporaryKey] = None
        self._trouble = ""
        self._bug: Optional[BaseException] = None
        self._tries = 0
        self._wanted = False
        self._closed = False

    def current(self) -> Credentials:
        """See `CredentialSource`."""
        with self._changed:
            self._start()
            if not self._tries:
                self._changed.wait_for(lambda: self._tries or self._bug, self._first_s)
            if self._bug is not None:
                raise RuntimeError("the thread that renews the RAM role's key has died") from self._bug
            if self._key is None:
                raise CredentialsRefusedError(f"no access key for SLS: {self._trouble or 'no answer yet'}")
            if self._key.ended(self._wall()):
                raise CredentialsRefusedError(
                    f"the RAM role's access key has expired and was not renewed: {self._trouble or 'no answer yet'}"
                )
            return self._key.credentials

    def refused(self, credentials: Credentials) -> bool:
        """See `CredentialSource`."""
        with self._changed:
            if self._key is not None and self._key.credentials != credentials:
                return True
        self.reload()
        return False

    def reload(self) -> None:
        """See `CredentialSource`."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(EXCHANGE_S)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ram-role", daemon=True)
            self._thread.start()

    # --- the thread ---

    def _run(self) -> None:
        try:
            failures = 0
            while not self._closed:
                failures = 0 if self._renew() else failures + 1
                self._sleep(failures)
        except BaseException as exc:  # noqa: BLE001 - top of a thread: the next call takes the process down
            with self._changed:
                self._bug = exc
                self._changed.notify_all()

    def _renew(self) -> bool:
        with self._changed:
            self._wanted = False
        try:
            key = self._client.fetch()
            if key.ended(self._wall()):
                raise MetadataError("the key that it gives has expired: is this host's clock right?")
        except MetadataError as exc:
            self._note(None, str(exc))
            return False
        self._note(key, "")
        return True

    def _note(self, key: Optional[TemporaryKey], trouble: str) -> None:
        with self._changed:
            if trouble and trouble != self._trouble:
                LOG.warning("the RAM role's key was not renewed: %s", trouble)
            elif self._trouble and not trouble:
                LOG.info("the RAM role's key was renewed")
            self._key, self._trouble = key or self._key, trouble
            self._tries += 1
            self._changed.notify_all()

    def _sleep(self, failures: int) -> None:
        """Sleep until the key is to be renewed, somebody wants that now, or the pause after a failure is over."""
        if failures:
            pause = self._backoff.delay(failures - 1, self._random)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause)
            return
        began = time.monotonic()
        with self._changed:
            while not (self._closed or self._wanted):
                left = AHEAD_S if self._key is None else self._key.left_s(self._wall())
                # Within the last half hour the next key may not be there yet: ask once a minute.
                if left <= AHEAD_S and time.monotonic() - began >= min(LOOK_S, max(1.0, left / 4)):
                    return
                self._changed.wait(min(LOOK_S, max(1.0, left / 4)))
            # A refusal by the service asks for a renewal at once, but a row of them not for a row of visits.
            self._changed.wait_for(lambda: self._closed, max(0.0, 1.0 - (time.monotonic() - began)))
