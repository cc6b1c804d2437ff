"""Signatures against the SDK's, whose code makes them but for the derived key, which is kept for a day."""

from __future__ import annotations

from datetime import datetime

import pytest

from sls_siem.config.secrets import Secret
from sls_siem.sls import sdk, signing
from sls_siem.sls.keys import Credentials

DAYS = [
    datetime.fromisoformat(text) for text in ("2026-11-26T23:59:59", "2026-11-27", "2026-11-27T12:00", "2026-11-26")
]


def plain(secret: str, region: str) -> signing.Signer:
    """A signer that derives its key for each request."""
    signer = make(secret, region)
    del signer._auth.build_sign_key
    return signer


def make(secret: str, region: str) -> signing.Signer:
    return signing.Signer(Credentials(Secret("key-id"), Secret(secret), Secret("token")), region)


def signed(signer: signing.Signer, moment: datetime, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    class Clock(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return moment

    monkeypatch.setattr(sdk._auth, "datetime", Clock)
    headers = {"Host": "p.example.com", "x-log-apiversion": "0.6.0"}
    signer.sign("GET", "/logstores/ls/shards/3", {"type": "log", "cursor": "MTQ0Nw=="}, headers, b"")
    return headers


@pytest.mark.parametrize("region", ["cn-hangzhou", "eu-central-1"])
def test_a_kept_key_signs_as_the_sdk_does_on_each_day_and_for_each_key(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make("one secret", region), make("another sécret", region)
    for day in DAYS:
        for signer, secret in ((first, "one secret"), (second, "another sécret")):
            assert signed(plain(secret, region), day, monkeypatch) == signed(signer, day, monkeypatch)


def test_the_sdk_asks_for_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the key would be derived for each request again, and only a profile would tell."""
    monkeypatch.setattr(signing.DailyKey, "sign", lambda _self, _secret, _region, date, _text: f"kept for {date}")

    assert signed(make("s", "r"), DAYS[1], monkeypatch)["Authorization"].endswith("Signature=kept for 20261127")
