"""A temporary key as JSON, in the one form that files, STS and the metadata service share, and when it ends."""

from __future__ import annotations

import calendar
import json
import time
from dataclasses import dataclass, field

from sls_siem.config.secrets import Secret
from sls_siem.sls.keys import Credentials


class NoKeyError(Exception):
    """The text is no such key; the message says why, without any of it."""


@dataclass(frozen=True)
class TemporaryKey:
    """A key that ends.

    Args:
        credentials: the key.
        ends_at: epoch seconds; infinity for one without `Expiration`.
    """

    credentials: Credentials
    ends_at: float = field(default=float("inf"))

    def left_s(self, now: float) -> float:
        """Seconds that it still goes."""
        return self.ends_at - now

    def ended(self, now: float) -> bool:
        """It can sign nothing any more."""
        return now >= self.ends_at


def read_key(text: bytes) -> TemporaryKey:
    """Read `{"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"}`; the last two may be missing.

    Raises:
        NoKeyError: see there.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NoKeyError("it is no JSON") from None
    if not isinstance(document, dict):
        raise NoKeyError("it is no JSON object")
    code = document.get("Code", "Success")
    if code != "Success":
        raise NoKeyError("its Code is not Success")
    missing = [name for name in ("AccessKeyId", "AccessKeySecret") if not _text(document, name)]
    if missing:
        raise NoKeyError(f"{' and '.join(missing)} is missing")
    token = _text(document, "SecurityToken")
    credentials = Credentials(
        Secret(_text(document, "AccessKeyId")),
        Secret(_text(document, "AccessKeySecret")),
        Secret(token) if token else None,
    )
    return TemporaryKey(credentials, _ends_at(document))


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    return value.strip() if isinstance(value, str) else ""


def _ends_at(document: dict[str, object]) -> float:
    text = _text(document, "Expiration")
    if not text:
        return float("inf")
    try:
        # Always in UTC: "2026-01-31T05:20:01Z", in the answers of STS and of the metadata service alike.
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        raise NoKeyError("its Expiration is no time such as 2026-01-31T05:20:01Z") from None
