"""Signatures by the SDK's own code (`aliyun.log.auth`), with the faults of its version 1 kept in."""

from __future__ import annotations

import hmac
import threading
from typing import Optional

from sls_siem.errors import CredentialsRefusedError
from sls_siem.sls.credentials import Credentials
from sls_siem.sls.sdk import AUTH_VERSION_1, AUTH_VERSION_4, make_auth

# Version 1 calls locale.setlocale for each signature, which must not run on two threads at a time.
_locale_lock = threading.Lock()


class _Key:
    """A key as the SDK asks for it, both its credentials and their provider."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_credentials(self) -> _Key:
        return self

    def get_access_key_id(self) -> str:
        return self._credentials.access_key_id.reveal()

    def get_access_key_secret(self) -> str:
        return self._credentials.access_key_secret.reveal()

    def get_security_token(self) -> Optional[str]:
        token = self._credentials.token
        return None if token is None else token.reveal()


class DailyKey:
    """The SDK's `AuthV4.build_sign_key`, for one access key, with what it derives from a key and a date kept.

    Four of its five HMACs give the same for every request of a day; they are a third of what a signature costs.
    """

    def __init__(self) -> None:
        self._made_of = ("", "", "")
        self._key = b""

    def sign(self, secret: str, region: str, date: str, text: str) -> str:
        """Sign `text`, in hex (SLS API reference, "Request signatures", V4)."""
        made_of = (secret, region, date)
        if made_of != self._made_of:
            key = f"aliyun_v4{secret}".encode()
            for part in (date, region, "sls", "aliyun_v4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._made_of, self._key = made_of, key
        return hmac.digest(self._key, text.encode(), "sha256").hex()


class Signer:
    """Signs requests with one key; used by one thread.

    Args:
        credentials: the key.
        region: signs with version 4 for this region; None signs with version 1.
    """

    def __init__(self, credentials: Credentials, region: Optional[str]) -> None:
        version = AUTH_VERSION_4 if region else AUTH_VERSION_1
        self._auth = make_auth(_Key(credentials), version, region or "")
        self._v4 = bool(region)
        if self._v4:
            self._auth.build_sign_key = DailyKey().sign

    def sign(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        """Add to `headers` what authenticates the request: signature, date, token.

        Args:
            method: HTTP method.
            path: not percent-encoded.
            query: not percent-encoded.
            headers: all that are sent, `Host` included.
            body: the whole body.

        Raises:
            CredentialsRefusedError: version 1 needs MD5, which this host forbids.
        """
        if self._v4:
            self._auth.sign_request(method, path, query, headers, body)
            return
        try:
            with _locale_lock:
                self._auth.sign_request(method, path, query, headers, body)
        except ValueError as exc:
            raise CredentialsRefusedError(
                f"the request cannot be signed ({exc}): signature version 1 needs MD5, which a host in FIPS mode "
                "forbids. Set sls.region, so that version 4 is used"
            ) from exc
