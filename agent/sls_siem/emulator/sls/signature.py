"""Checks request signatures, versions 1 and 4, as the service does: written from the description, not from the SDK.

Source: SLS API reference, request signatures; what the SDK signs (`aliyun.log.auth`). Version 1 is an HMAC-SHA1 over
method, Content-MD5, Content-Type, Date, the `x-log-` and `x-acs-` headers and the resource; version 4 an HMAC-SHA256
over a canonical request with a key derived from date and region.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Optional
from urllib.parse import quote

from sls_siem.emulator.sls.http1 import Request
from sls_siem.emulator.sls.refusal import RefusalError

MAX_SKEW_S = 15 * 60
_V4 = re.compile(
    r"SLS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/sls/aliyun_v4_request,\s*Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class AccessKey:
    """A key that the service knows.

    Args:
        key_id: its id.
        secret: its secret.
        token: the STS token that has to come with it; None for a long-lived key.
        expires: epoch seconds after which the token is refused.
        denied: RAM actions it may not do, such as `log:ListShards`.
    """

    key_id: str
    secret: str
    token: Optional[str] = None
    expires: Optional[float] = None
    denied: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"AccessKey({self.key_id!r}, ***)"


def verify(request: Request, keys: Mapping[str, AccessKey], *, now: float, region: Optional[str] = None) -> AccessKey:
    """Check a request's signature and return the key that signed it.

    Args:
        request: what came.
        keys: the known keys by id.
        now: the service's time, epoch seconds.
        region: the only region a version 4 signature may name; None accepts any.

    Raises:
        RefusalError: as the service words it.
    """
    authorization = request.headers.get("authorization", "")
    v4 = _V4.fullmatch(authorization)
    if v4:
        return _verify_v4(request, keys, v4, now=now, region=region)
    scheme, _, rest = authorization.partition(" ")
    key_id, colon, signature = rest.partition(":")
    if scheme != "LOG" or not colon:
        raise RefusalError(401, "Unauthorized", "the Authorization header is missing or not understood")
    return _verify_v1(request, keys, key_id, signature, now=now)


def _verify_v1(
    request: Request, keys: Mapping[str, AccessKey], key_id: str, signature: str, *, now: float
) -> AccessKey:
    key = _known(keys, key_id, "Unauthorized")
    date = request.headers.get("date") or request.headers.get("x-log-date", "")
    _check_time(_rfc1123(date), date, now)
    if request.headers.get("x-log-signaturemethod") != "hmac-sha1":
        raise RefusalError(400, "InvalidSignatureMethod", "x-log-signaturemethod is not hmac-sha1")
    md5 = request.headers.get("content-md5", "")
    if md5 and md5 != hashlib.md5(request.body, usedforsecurity=False).hexdigest().upper():
        raise RefusalError(400, "InvalidContentMD5", "Content-MD5 is not that of the body")
    for path in dict.fromkeys((request.raw_path, request.path)):
        text = string_to_sign_v1(request, path, date, md5)
        digest = hmac.new(key.secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()
        if hmac.compare_digest(base64.b64encode(digest), signature.encode("utf-8", "surrogateescape")):
            return _check_token(request, key, now)
    raise RefusalError(401, "SignatureNotMatch", f"signature {signature} not match")


def string_to_sign_v1(request: Request, path: str, date: str, md5: str) -> str:
    signed = sorted((name, value) for name, value in request.headers.items() if _is_signed(name))
    lines = [request.method, md5, request.headers.get("content-type", ""), date]
    lines += [f"{name}:{value}" for name, value in signed if name != "x-log-date"]
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query.items()))
    lines.append(f"{path}?{query}" if query else path)
    return "\n".join(lines)


def _verify_v4(
    request: Request, keys: Mapping[str, AccessKey], found: re.Match[str], *, now: float, region: Optional[str]
) -> AccessKey:
    key_id, day, named, signature = found.groups()
    key = _known(keys, key_id, "InvalidAccessKeyId")
    date = request.headers.get("x-log-date", "")
    _check_time(_iso_basic(date), date, now)
    if region is not None and named != region:
        raise RefusalError(401, "SignatureNotMatch", f"region {named} is not this endpoint's, {region}")
    digest = hashlib.sha256(request.body).hexdigest()
    if request.headers.get("x-log-content-sha256") != digest:
        raise RefusalError(401, "SignatureNotMatch", "x-log-content-sha256 is not that of the body")
    if date[:8] == day:
        for path in dict.fromkeys((request.raw_path, request.path)):
            expected = signature_v4(canonical_request_v4(request, path, digest), key.secret, date, named)
            if hmac.compare_digest(expected, signature):
                return _check_token(request, key, now)
    raise RefusalError(401, "SignatureNotMatch", f"signature {signature} not match")


def canonical_request_v4(request: Request, path: str, digest: str) -> str:
    signed = sorted(
        (name, value) for name, value in request.headers.items() if name in ("content-type", "host") or _is_signed(name)
    )
    lines = [request.method, path, "&".join(_canonical_query(request.query))]
    lines += [f"{name}:{value.strip()}" for name, value in signed]
    lines += ["", ";".join(name for name, _ in signed), digest]
    return "\n".join(lines)


def _canonical_query(query: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(query.items()):
        yield f"{name}={quote(value, safe='~')}" if value else name


def signature_v4(canonical: str, secret: str, date: str, region: str) -> str:
    """Sign a canonical request; `date` is `yyyymmddThhmmssZ`."""
    scope = f"{date[:8]}/{region}/sls/aliyun_v4_request"
    hashed = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    key = f"aliyun_v4{secret}".encode()
    for part in (date[:8], region, "sls", "aliyun_v4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"SLS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _is_signed(name: str) -> bool:
    return name.startswith("x-acs-") or (name.startswith("x-log-") and not name.startswith("x-log-meta-"))


def _known(keys: Mapping[str, AccessKey], key_id: str, code: str) -> AccessKey:
    if key_id not in keys:
        raise RefusalError(401, code, f"AccessKeyId not found: {key_id}")
    return keys[key_id]


def _check_token(request: Request, key: AccessKey, now: float) -> AccessKey:
    if request.headers.get("x-acs-security-token") != key.token:
        raise RefusalError(401, "InvalidSecurityToken", "the security token does not belong to the access key")
    if key.expires is not None and now > key.expires:
        raise RefusalError(401, "SecurityTokenExpired", "the security token you provided has expired")
    return key


def _check_time(moment: Optional[float], text: str, now: float) -> None:
    if moment is None:
        raise RefusalError(400, "InvalidDateFormat", f"date {text!r} is missing or not in the expected form")
    if abs(now - moment) > MAX_SKEW_S:
        here = datetime.fromtimestamp(now, timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        raise RefusalError(
            400, "RequestTimeExpired", f"request time {text} has been expired while server time is {here}"
        )


def _rfc1123(text: str) -> Optional[float]:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _iso_basic(text: str) -> Optional[float]:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
