"""The SLS emulator believes no request that was not signed, by a key it knows, in time, for exactly what came."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest
from aliyun.log import LogClient
from aliyun.log.auth import AuthV1, AuthV4
from aliyun.log.credentials import StaticCredentialsProvider
from aliyun.log.logexception import LogException

from sls_siem.emulator.sls import SlsEmulator
from tests.contract.sls_support import DOMAIN, KEY_ID, LOGSTORE, PROJECT, SECRET, loopback_names

pytestmark = pytest.mark.contract
PATH = f"/logstores/{LOGSTORE}/consumergroups"
VERSIONS = pytest.mark.parametrize("version", ["v1", "v4"])


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator() as running:
        running.add_key(KEY_ID, SECRET)
        yield running


def signed(version: str, *, key_id: str = KEY_ID, body: bytes = b"") -> dict[str, str]:
    """Have the SDK sign `GET PATH?a=1`."""
    provider = StaticCredentialsProvider(key_id, SECRET)
    auth = AuthV1(provider) if version == "v1" else AuthV4(provider, "cn-hangzhou")
    headers = {"Host": f"{PROJECT}.{DOMAIN}", "x-log-apiversion": "0.6.0", "Content-Type": "application/json"}
    auth.sign_request("GET", PATH, {"a": "1"}, headers, body)
    return headers


def send(emulator: SlsEmulator, headers: dict[str, str], *, body: bytes = b"", a: str = "1") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", emulator.port, timeout=10)
    connection.request("GET", f"{PATH}?{urlencode({'a': a})}", body, headers)
    answer = connection.getresponse()
    status, data = answer.status, json.loads(answer.read())
    connection.close()
    return status, data["errorCode"] if isinstance(data, dict) else ""


@VERSIONS
def test_what_was_signed_passes(emulator: SlsEmulator, version: str) -> None:
    assert send(emulator, signed(version)) == (200, "")
    assert send(emulator, signed(version, body=b"[0, 1]"), body=b"[0, 1]") == (200, "")


def _drop(name: str) -> Callable[[dict[str, str]], None]:
    return lambda headers: headers.pop(name) and None


def _set(name: str, value: str) -> Callable[[dict[str, str]], None]:
    return lambda headers: headers.update({name: value})


@pytest.mark.parametrize(
    ("version", "change", "expected"),
    [
        ("v1", _drop("Authorization"), (401, "Unauthorized")),
        ("v1", _set("Authorization", f"LOG {KEY_ID}"), (401, "Unauthorized")),
        ("v1", _set("Authorization", f"LOG {KEY_ID}:bm9wZQ=="), (401, "SignatureNotMatch")),
        ("v1", _set("x-log-extra", "added"), (401, "SignatureNotMatch")),
        ("v1", _set("Content-Type", "text/plain"), (401, "SignatureNotMatch")),
        ("v1", _set("Date", "yesterday"), (400, "InvalidDateFormat")),
        ("v1", _set("x-log-signaturemethod", "none"), (400, "InvalidSignatureMethod")),
        ("v1", _set("Content-MD5", "0" * 32), (400, "InvalidContentMD5")),
        ("v4", _drop("Authorization"), (401, "Unauthorized")),
        ("v4", _set("x-log-extra", "added"), (401, "SignatureNotMatch")),
        ("v4", _set("Host", f"{PROJECT}.elsewhere.test"), (401, "SignatureNotMatch")),
        ("v4", _set("x-log-date", "20200101T000000"), (400, "InvalidDateFormat")),
        ("v4", _set("x-log-content-sha256", "0" * 64), (401, "SignatureNotMatch")),
    ],
)
def test_a_changed_header_is_noticed(
    emulator: SlsEmulator, version: str, change: Callable[[dict[str, str]], None], expected: tuple[int, str]
) -> None:
    headers = signed(version)
    change(headers)

    assert send(emulator, headers) == expected


@VERSIONS
def test_a_changed_query_or_body_is_noticed(emulator: SlsEmulator, version: str) -> None:
    assert send(emulator, signed(version), a="2") == (401, "SignatureNotMatch")
    assert send(emulator, signed(version, body=b"[0]"), body=b"[1]")[0] in (400, 401)


@pytest.mark.parametrize(("version", "code"), [("v1", "Unauthorized"), ("v4", "InvalidAccessKeyId")])
def test_an_unknown_key_is_refused(emulator: SlsEmulator, version: str, code: str) -> None:
    assert send(emulator, signed(version, key_id="LTAI-unknown")) == (401, code)


@VERSIONS
@pytest.mark.parametrize(("skew_s", "expected"), [(-890, (200, "")), (890, (200, ""))])
def test_a_quarter_of_an_hour_of_skew_passes(
    emulator: SlsEmulator, version: str, skew_s: float, expected: tuple[int, str]
) -> None:
    emulator.settings.skew_s = skew_s

    assert send(emulator, signed(version)) == expected


@VERSIONS
@pytest.mark.parametrize("skew_s", [-910, 910])
def test_more_skew_is_refused(emulator: SlsEmulator, version: str, skew_s: float) -> None:
    emulator.settings.skew_s = skew_s

    assert send(emulator, signed(version)) == (400, "RequestTimeExpired")


def test_a_signature_for_another_region_is_refused(emulator: SlsEmulator) -> None:
    emulator.settings.region = "cn-shanghai"

    assert send(emulator, signed("v4")) == (401, "SignatureNotMatch")


def test_an_expired_token_is_refused(emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    loopback_names(monkeypatch)
    emulator.add_key("STS.id", SECRET, token="token-1", expires=time.time() - 1)

    assert _list_shards(emulator, securityToken="token-1") == "SecurityTokenExpired"


def test_an_action_that_ram_denies_is_named(emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    loopback_names(monkeypatch)
    emulator.add_key("STS.id", SECRET, denied=frozenset({"log:ListShards"}))

    assert _list_shards(emulator) == "Unauthorized"
    emulator.remove_key("STS.id")
    assert _list_shards(emulator) == "InvalidAccessKeyId"


def _list_shards(emulator: SlsEmulator, **options: Any) -> str:
    client = LogClient(
        f"http://{DOMAIN}:{emulator.port}", "STS.id", SECRET, auth_version="v4", region="cn-hangzhou", **options
    )
    try:
        client.list_shards(PROJECT, LOGSTORE)
    except LogException as refused:
        return str(refused.get_error_code())
    finally:
        client._session.close()
    return ""


def test_a_key_does_not_show_its_secret() -> None:
    with SlsEmulator() as emulator:
        assert SECRET not in repr(emulator.add_key(KEY_ID, SECRET, token="token-1"))
