"""One signed call: sign, send, read, and turn everything that can go wrong into `SourceError`.

It knows how calls travel, not what they mean. Nothing is retried here, but for two cases in which asking again at
once is certain to be right: a kept connection that the service had closed meanwhile, and a key that was replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Optional
from urllib.parse import quote

from sls_siem.errors import CredentialsRefusedError, SourceError, TransientSourceError
from sls_siem.net.deadline import Deadline, DeadlineExceeded
from sls_siem.net.http import HttpAnswer, HttpConnection, HttpError, HttpProtocolError
from sls_siem.sls.credentials import RELOAD_COMMAND, Credentials, CredentialSource
from sls_siem.sls.failures import error_from
from sls_siem.sls.signing import Signer

API_VERSION = "0.6.0"
JSON_BYTES = 8 << 20
SIGNED_S = 30.0
"""How long a signed request is sent again when the same is asked: the service takes a signature for 15 minutes, by its
date (SLS API reference, "Common error codes", RequestTimeExpired); nowhere does it say that it takes it only once."""


@dataclass(frozen=True)
class Call:
    """What is asked of the service.

    Args:
        text: the call in words for the operator, such as "PullLogs of shard 3".
        action: the RAM action that it needs.
        method: HTTP method.
        path: not percent-encoded.
        query: not percent-encoded.
        headers: beyond those that every call has.
        body: JSON, empty for none.
        repeatable: asking twice does what asking once does.
    """

    text: str
    action: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    repeatable: bool = True


@dataclass(frozen=True)
class _Signed:
    """A signed request, to be sent until `until_s` of the monotonic clock."""

    call: Call
    credentials: Credentials
    target: str
    headers: Mapping[str, str]
    until_s: float


class Exchanger:
    """Makes calls over one connection; used by one thread.

    Args:
        connection: to the service.
        host: value of the Host header.
        region: for signature version 4; None for version 1.
        credentials: whose key signs.
        user_agent: how the calls name us.
        before_call: told of each call that starts, before anything that takes time.
    """

    def __init__(
        self,
        connection: HttpConnection,
        *,
        host: str,
        region: Optional[str],
        credentials: CredentialSource,
        user_agent: str,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._host = host
        self._region = region
        self._source = credentials
        self._user_agent = user_agent
        self._before_call = before_call
        self._signed: Optional[_Signed] = None
        self._signer: Optional[Signer] = None
        self._signs_for: Optional[Credentials] = None
        self._date: Optional[str] = None
        self._date_seen_at = 0.0

    @property
    def server_time_skew_s(self) -> Optional[float]:
        """How far the service's clock is ahead of ours by its last answer, to about a second; None when not known."""
        if self._date is None:
            return None
        try:
            return parsedate_to_datetime(self._date).timestamp() - self._date_seen_at
        except (TypeError, ValueError, IndexError, OverflowError):
            return None

    def close(self) -> None:
        self._connection.close()

    def call(self, call: Call, *, timeout_s: float, max_body: int = JSON_BYTES) -> HttpAnswer:
        """Make a call; only an answer with status 200 comes back.

        Args:
            call: what to ask; the very same object again, when nothing changed, saves signing it again.
            timeout_s: for all of it.
            max_body: bytes of the answer's body.

        Raises:
            SourceError: in the class that says what to do.
        """
        self._before_call()
        deadline = Deadline(timeout_s)
        credentials = self._source.current()
        answer = self._ask(call, credentials, deadline, max_body)
        if answer.status == 200:
            return answer
        error = self._error(call, answer, credentials)
        if isinstance(error, CredentialsRefusedError) and self._source.refused(credentials):
            credentials = self._source.current()
            answer = self._ask(call, credentials, deadline, max_body)
            if answer.status == 200:
                return answer
            error = self._error(call, answer, credentials)
        raise error

    def _ask(self, call: Call, credentials: Credentials, deadline: Deadline, max_body: int) -> HttpAnswer:
        try:
            try:
                return self._exchange(call, credentials, deadline, max_body)
            except HttpError as exc:
                if not (exc.stale and call.repeatable):
                    raise
            return self._exchange(call, credentials, deadline, max_body)
        except HttpProtocolError as exc:
            if not exc.sent:
                raise CredentialsRefusedError(
                    f"{call.text}: the access key or token holds a character that no header may hold. "
                    f"Store it anew, then: {RELOAD_COMMAND}"
                ) from exc
            raise TransientSourceError(f"{call.text}: {exc}") from exc
        except (HttpError, DeadlineExceeded) as exc:
            raise TransientSourceError(f"{call.text}: {exc}") from exc

    def _exchange(self, call: Call, credentials: Credentials, deadline: Deadline, max_body: int) -> HttpAnswer:
        signed = self._sign(call, credentials)
        answer = self._connection.exchange(
            call.method, signed.target, signed.headers, call.body, timeout_s=deadline.remaining(), max_body=max_body
        )
        if answer.status != 200:
            self._signed = None
        date = answer.headers.get("date")
        if date is not None:
            self._date, self._date_seen_at = date, time.time()
        return answer

    def _sign(self, call: Call, credentials: Credentials) -> _Signed:
        now = time.monotonic()
        kept = self._signed
        if kept is not None and kept.call is call and kept.credentials is credentials and now < kept.until_s:
            return kept
        headers = {
            "Host": self._host,
            "User-Agent": self._user_agent,
            "x-log-apiversion": API_VERSION,
            "x-log-bodyrawsize": str(len(call.body)),
            **call.headers,
        }
        self._signer_for(credentials).sign(call.method, call.path, dict(call.query), headers, call.body)
        self._signed = _Signed(call, credentials, _target(call.path, call.query), headers, now + SIGNED_S)
        return self._signed

    def _signer_for(self, credentials: Credentials) -> Signer:
        if self._signer is None or self._signs_for is not credentials:
            self._signer, self._signs_for = Signer(credentials, self._region), credentials
        return self._signer

    def _error(self, call: Call, answer: HttpAnswer, credentials: Credentials) -> SourceError:
        return error_from(
            answer,
            call=call.text,
            action=call.action,
            credentials=credentials,
            skew_s=self.server_time_skew_s,
        )


def _target(path: str, query: Mapping[str, str]) -> str:
    encoded = "/".join(map(_quoted, path.split("/")))
    pairs = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items())
    return f"{encoded}?{pairs}" if pairs else encoded


@lru_cache(maxsize=256)  # only positions differ from pull to pull
def _quoted(text: str) -> str:
    return quote(text, safe="~")
