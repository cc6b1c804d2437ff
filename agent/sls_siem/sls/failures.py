"""What an answer that is no success means: the service's error codes sorted into the classes of `errors.py`.

Sources: SLS API reference, "Common error codes" and the tables of each call; `error_code.go` of aliyun-log-go-sdk.
Status and code of the same refusal differ between pages of the reference, so the code decides and the status only
where the code is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

from sls_siem.errors import (
    CredentialsRefusedError,
    CursorInvalidError,
    NotFoundError,
    NotOwnerError,
    PermissionRefusedError,
    QuotaExceededError,
    SourceError,
    TransientSourceError,
)
from sls_siem.net.http import HttpAnswer
from sls_siem.retry import parse_retry_after
from sls_siem.sls.credentials import RELOAD_COMMAND, Credentials

MOST_TEXT = 400
READ_QUOTA_PAUSE_S = 1.0  # read quotas are counted per second

Kind = type[SourceError]

_TRANSIENT = {"internalservererror", "serverbusy", "requesttimeout", "requesttimeexpired", "servicetimeout"}
_BY_CODE: Mapping[str, Kind] = {
    **dict.fromkeys(_TRANSIENT, TransientSourceError),
    "signaturenotmatch": CredentialsRefusedError,
    "unauthorized": CredentialsRefusedError,
    "invalidaccesskeyid": CredentialsRefusedError,
    "invalidaccesskeyid.notfound": CredentialsRefusedError,
    "accesskeydisabled": CredentialsRefusedError,
    "securitytokenexpired": CredentialsRefusedError,
    "securitytoken.expired": CredentialsRefusedError,
    "invalidsecuritytoken": CredentialsRefusedError,
    "invalidsecuritytoken.expired": CredentialsRefusedError,
    "projectnotexist": NotFoundError,
    "logstorenotexist": NotFoundError,
    "shardnotexist": NotFoundError,
    "consumergroupnotexist": NotFoundError,
    "groupnotexist": NotFoundError,
    "consumergroupquotaexceed": QuotaExceededError,
    "invalidcursor": CursorInvalidError,
    "invalidshardcheckpoint": CursorInvalidError,
    "consumernotexist": NotOwnerError,
    "consumernotmatch": NotOwnerError,
    "notexistconsumerwithbody": NotOwnerError,
}
_NAMED: Mapping[str, str] = {
    "projectnotexist": ". Check sls.project, and that sls.endpoint belongs to the region that the project is in",
    "logstorenotexist": ". Check sls.logstore and sls.project",
}
"""What to do about names that the service does not know in the region of the endpoint."""
_BY_STATUS: Mapping[int, Kind] = {
    401: CredentialsRefusedError,
    403: PermissionRefusedError,
    404: NotFoundError,
    408: TransientSourceError,
    429: TransientSourceError,
}


@dataclass(frozen=True)
class Refusal:
    """An error as the service words it."""

    code: str
    message: str


def error_from(
    answer: HttpAnswer, *, call: str, action: str, credentials: Credentials, skew_s: Optional[float]
) -> SourceError:
    """Make the error that an answer with another status than 200 stands for.

    Args:
        answer: what came.
        call: what was asked for, in words for the operator.
        action: the RAM action that the call needs.
        credentials: the key that signed the call; no part of it gets into the message.
        skew_s: how far the service's clock is ahead of ours, when known.
    """
    request_id = answer.headers.get("x-log-requestid", "")[:64]
    refusal = _refusal(answer.body)
    if refusal is None:
        return TransientSourceError(
            f"{call}: answered {answer.status} without an SLS error{_shown(answer.body, credentials)}: "
            "a proxy or gateway on the way, or the service in trouble",
            retry_after_s=_retry_after(answer),
            status=answer.status,
            request_id=request_id,
        )
    code = refusal.code
    kind = _kind(answer.status, refusal)
    said = f"{call}: SLS answered {answer.status} {code}: {_one_line(credentials.hide(refusal.message))}"
    text = f"{said}{_advice(kind, code, action, skew_s)}{f' (request {request_id})' if request_id else ''}"
    if issubclass(kind, TransientSourceError):
        return TransientSourceError(
            text,
            retry_after_s=_pause(answer, code),
            code=code,
            status=answer.status,
            request_id=request_id,
        )
    return kind(text, code=code, status=answer.status, request_id=request_id)


def _refusal(body: bytes) -> Optional[Refusal]:
    """Read an error body, `{"errorCode": ..., "errorMessage": ...}`; None when it is none."""
    try:
        value: Union[object, dict[str, object]] = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    code, message = value.get("errorCode"), value.get("errorMessage")
    return Refusal(_one_line(code)[:80], str(message or "")) if isinstance(code, str) and code else None


def _kind(status: int, refusal: Refusal) -> Kind:
    code = refusal.code.lower()
    if _denied_by_ram(refusal):
        return PermissionRefusedError
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind
    if _over_a_rate(code) or status >= 500:
        return TransientSourceError
    return _BY_STATUS.get(status, SourceError)


def _denied_by_ram(refusal: Refusal) -> bool:
    """RAM's refusals come as 401 Unauthorized, like those of a wrong key; only the message tells."""
    return refusal.code.lower() == "unauthorized" and "denied by" in refusal.message.lower()


def _over_a_rate(code: str) -> bool:
    return "qps" in code or "quotaexceed" in code or "throttl" in code


def _advice(kind: Kind, code: str, action: str, skew_s: Optional[float]) -> str:
    if code.lower() == "requesttimeexpired":
        return f". {_clock(skew_s)}"
    if kind is CredentialsRefusedError:
        return f". Check the access key; after replacing it: {RELOAD_COMMAND}"
    if kind is PermissionRefusedError:
        return f". Allow {action} in the RAM policy, or replace the access key and then: {RELOAD_COMMAND}"
    return _NAMED.get(code.lower(), "")


def _clock(skew_s: Optional[float]) -> str:
    if skew_s is None:
        return "Set this host's clock (NTP)"
    side = "behind" if skew_s > 0 else "ahead of"
    return f"This host's clock is {abs(skew_s):.0f} s {side} the service's: set it (NTP)"


def _pause(answer: HttpAnswer, code: str) -> Optional[float]:
    asked = _retry_after(answer)
    return READ_QUOTA_PAUSE_S if asked is None and _over_a_rate(code.lower()) else asked


def _retry_after(answer: HttpAnswer) -> Optional[float]:
    return parse_retry_after(answer.headers.get("retry-after"))


def _shown(body: bytes, credentials: Credentials) -> str:
    text = _one_line(credentials.hide(body[:2000].decode("utf-8", "replace")))[:120]
    return f" ({text!r})" if text else " (empty)"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MOST_TEXT]).split())[:MOST_TEXT]
