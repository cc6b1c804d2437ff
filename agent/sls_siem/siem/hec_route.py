"""A lane's own way to one address of the collector: connection, cookies, headers, one exchange at a time.

It knows how to ask, not what to do about the answer.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional
from urllib.parse import urlsplit

from sls_siem.config.secrets import HEC_TOKEN, Secret, redact, where_to_store, why_absent
from sls_siem.net.http import HttpAnswer, HttpConnectError, HttpConnection, HttpError
from sls_siem.siem.compression import gzip_body
from sls_siem.siem.dialer import Dialer
from sls_siem.siem.hec_answers import RELOAD_COMMAND, Answer, Meaning, read_answer, read_object
from sls_siem.siem.rotation import Rotation

EVENT_PATH = "/services/collector/event"
ACK_PATH = "/services/collector/ack"
HEALTH_PATH = "/services/collector/health"
MOST_ANSWER_BYTES = 65536
MOST_ACK_BYTES = 1 << 20
_COOKIE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|\"[^\",;\\]*\")")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class TokenSource:
    """The HEC token, read anew on demand; thread-safe.

    Args:
        find: looks the secret up.
        named_file: `hec.token_file`, when set.
    """

    def __init__(self, find: Callable[[], Optional[Secret]], named_file: Optional[str] = None) -> None:
        self._find = find
        self._named_file = named_file
        self.file = where_to_store(HEC_TOKEN, named_file)
        self._lock = threading.Lock()
        self._secret = find()
        self._refused = False

    def last(self) -> Optional[Secret]:
        """The token as last read; None when there was none."""
        return self._secret

    def current(self) -> Optional[Secret]:
        """The token to send now, looked up again when it was refused or missing; None when there is none."""
        if self._refused or self._secret is None:
            with self._lock:
                self._refused = False
                self._secret = self._find()
        return self._secret

    def refused(self) -> None:
        """The collector did not take it."""
        self._refused = True

    def why_absent(self) -> str:
        """Say that there is none, and what is wrong with the file that was named for it."""
        if self._named_file is None:
            return "there is no HEC token"
        return f"there is no HEC token, {why_absent(HEC_TOKEN, file=self._named_file, environ=os.environ)}"


class TokenMissingError(Exception):
    """There is no token, or it cannot stand in a header; the message says which, without it, and what to do."""


class Route:
    """The way to one address; used by one thread.

    Args:
        dialer: to the collector's base URL; explains what fails.
        connection: to its host.
        tokens: where the token comes from.
        timeout_s: for a whole exchange.
        compress: send bodies as gzip.
    """

    def __init__(
        self, dialer: Dialer, connection: HttpConnection, tokens: TokenSource, *, timeout_s: float, compress: bool
    ) -> None:
        self._dialer = dialer
        self._base = urlsplit(dialer.url).path.rstrip("/")
        self._connection = connection
        self._tokens = tokens
        self._compress = compress
        self._cookies: dict[str, str] = {}
        self.timeout_s = timeout_s

    def connect(self) -> float:
        """Open the connection unless it stands; returns the seconds that it took.

        Raises:
            HttpError: it cannot be opened.
        """
        began = time.monotonic()
        self._connection.open(timeout_s=self.timeout_s)
        return time.monotonic() - began

    def body(self, data: bytes) -> bytes:
        """Make the bytes that `post_events` sends of them."""
        return gzip_body(data) if self._compress else data

    def post_events(self, body: bytes, channel: str, *, spent_s: float) -> Answer:
        """Send a request with events, over the connection that `connect` opened in `spent_s` seconds.

        Raises:
            HttpError: there is no answer.
            TokenMissingError: there is no token to send.
        """
        headers = self._headers(channel)
        if self._compress:
            headers["Content-Encoding"] = "gzip"
        left_s = max(0.1, self.timeout_s - spent_s)
        return self._read(self._exchange("POST", EVENT_PATH, headers, body, timeout_s=left_s))

    def ask_acks(self, ack_ids: Sequence[int], channel: str, *, timeout_s: float) -> tuple[Answer, Optional[set[int]]]:
        """Ask which ids are acknowledged; None instead of a set when the answer does not say.

        Raises:
            HttpError, TokenMissingError: as `post_events`.
        """
        body = json.dumps({"acks": list(ack_ids)}).encode()
        target = f"{ACK_PATH}?channel={channel}"
        http = self._exchange("POST", target, self._headers(channel), body, timeout_s=timeout_s, most=MOST_ACK_BYTES)
        return self._read(http), _told(http)

    def health(self, *, timeout_s: float) -> Answer:
        """Ask for the collector's health.

        Raises:
            HttpError: there is no answer.
        """
        return self._read(self._exchange("GET", HEALTH_PATH, self._cookie_header(), b"", timeout_s=timeout_s))

    def explain(self, exc: HttpError) -> str:
        """Say why there was no answer, and what to do about it."""
        cause = exc.__cause__
        if isinstance(exc, HttpConnectError) and isinstance(cause, OSError):
            return self._dialer.explain(cause)
        return self.clean(str(exc))

    def advice(self, meaning: Meaning) -> str:
        """Say what the operator can do about an answer; empty when nothing."""
        return meaning.advice_for(self._tokens.file)

    def clean(self, text: str) -> str:
        """Take the token out of a text from outside."""
        return redact(text, [self._tokens.last()])

    def close(self) -> None:
        self._connection.close()

    def _headers(self, channel: str) -> dict[str, str]:
        secret = self._tokens.current()
        if secret is None:
            raise TokenMissingError(self._put_it_right(self._tokens.why_absent()))
        token = secret.reveal()
        if not _TOKEN.fullmatch(token):
            raise TokenMissingError(self._put_it_right("the HEC token holds a character that no token has"))
        return {
            "Authorization": f"Splunk {token}",
            "X-Splunk-Request-Channel": channel,
            "Content-Type": "application/json",
            **self._cookie_header(),
        }

    def _put_it_right(self, wrong: str) -> str:
        return f"{wrong}: put it into {self._tokens.file}, then: {RELOAD_COMMAND}"

    def _cookie_header(self) -> dict[str, str]:
        if not self._cookies:
            return {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    def _exchange(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        *,
        timeout_s: float,
        most: int = MOST_ANSWER_BYTES,
    ) -> HttpAnswer:
        answer = self._connection.exchange(
            method, self._base + target, headers, body, timeout_s=timeout_s, max_body=most
        )
        self._keep_cookies(answer.headers.get("set-cookie", ""))
        return answer

    def _read(self, http: HttpAnswer) -> Answer:
        return read_answer(http.status, http.headers, http.body, time.time())

    def _keep_cookies(self, text: str) -> None:
        """Keep what a load balancer sets to recognise us (RFC 6265), for this connection's address only."""
        # Several headers arrive joined by commas, and a date holds one too; a cookie begins with its name.
        for cookie in re.split(r",\s*(?=[^;,=\s]+=)", text) if text else ():
            pair, *attributes = cookie.split(";")
            match = _COOKIE.fullmatch(pair.strip())
            if match is None:
                continue
            gone = any(re.fullmatch(r"max-age=(0|-\d+)", each.strip().lower()) for each in attributes)
            if gone or not match[2]:
                self._cookies.pop(match[1], None)
            elif match[1] in self._cookies or len(self._cookies) < 20:
                self._cookies[match[1]] = match[2][:4096]


def _told(http: HttpAnswer) -> Optional[set[int]]:
    acks = read_object(http.body).get("acks") if http.status == 200 else None
    if not isinstance(acks, dict):
        return None
    return {int(key) for key, told in acks.items() if told is True and re.fullmatch(r"[0-9]{1,18}", key)}


@dataclass(frozen=True)
class HecShared:
    """What all lanes of the output share.

    Args:
        rotation: health of the addresses.
        tokens: the HEC token.
        templated_index: each event names its own index, so a wrong one is that event's fault.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1.
    """

    rotation: Rotation
    tokens: TokenSource
    templated_index: bool
    clock: Callable[[], float]
    random: Callable[[], float]
