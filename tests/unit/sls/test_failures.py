from __future__ import annotations

import json

import pytest

from sls_siem.config import Secret
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
from sls_siem.health import Health
from sls_siem.net.http import HttpAnswer
from sls_siem.sls.credentials import Credentials
from sls_siem.sls.failures import error_from
from sls_siem.sls.keys import RELOAD_COMMAND

KEY = Credentials(Secret("AKID123456"), Secret("AKSECRET"))


def error(status, code="", message="the service's words", *, body=None, headers=None, skew_s=None):
    if body is None:
        body = json.dumps({"errorCode": code, "errorMessage": message}).encode()
    answer = HttpAnswer(status, {"x-log-requestid": "REQ1", **(headers or {})}, body)
    return error_from(answer, call="HeartBeat", action="log:ConsumerGroupHeartBeat", credentials=KEY, skew_s=skew_s)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalServerError", TransientSourceError),
        (503, "ServerBusy", TransientSourceError),
        (400, "ServerBusy", TransientSourceError),
        (500, "RequestTimeout", TransientSourceError),
        (502, "SomethingNew", TransientSourceError),
        (429, "SomethingNew", TransientSourceError),
        (408, "SomethingNew", TransientSourceError),
        (403, "ReadQuotaExceed", TransientSourceError),
        (403, "ShardReadQuotaExceed", TransientSourceError),
        (403, "ProjectQpsExceed", TransientSourceError),
        (400, "RequestTimeExpired", TransientSourceError),
        (401, "SignatureNotMatch", CredentialsRefusedError),
        (403, "SignatureNotMatch", CredentialsRefusedError),
        (401, "Unauthorized", CredentialsRefusedError),
        (401, "InvalidAccessKeyId", CredentialsRefusedError),
        (403, "InvalidAccessKeyId.NotFound", CredentialsRefusedError),
        (401, "SecurityTokenExpired", CredentialsRefusedError),
        (401, "SomethingNew", CredentialsRefusedError),
        (403, "SomethingNew", PermissionRefusedError),
        (404, "ProjectNotExist", NotFoundError),
        (404, "LogStoreNotExist", NotFoundError),
        (404, "ConsumerGroupNotExist", NotFoundError),
        (400, "ShardNotExist", NotFoundError),
        (404, "SomethingNew", NotFoundError),
        (400, "ConsumerGroupQuotaExceed", QuotaExceededError),
        (403, "ConsumerGroupQuotaExceed", QuotaExceededError),
        (400, "InvalidCursor", CursorInvalidError),
        (400, "InvalidShardCheckPoint", CursorInvalidError),
        (404, "ConsumerNotExist", NotOwnerError),
        (400, "ConsumerNotMatch", NotOwnerError),
        (400, "NotExistConsumerWithBody", NotOwnerError),
        (400, "ParameterInvalid", SourceError),
        (400, "SomethingNew", SourceError),
    ],
)
def test_the_code_decides_what_is_to_be_done(status, code, kind):
    found = error(status, code)

    assert (type(found), found.code, found.status, found.request_id) == (kind, code, status, "REQ1")


def test_a_refusal_by_ram_is_no_wrong_key_though_it_has_the_same_code():
    found = error(401, "Unauthorized", "denied by sts or ram, action: log:ConsumerGroupHeartBeat, resource: acs:log:x")

    assert (type(found), "Allow log:ConsumerGroupHeartBeat in the RAM policy" in str(found)) == (
        PermissionRefusedError,
        True,
    )


def test_a_message_says_what_failed_the_service_s_words_and_the_request():
    assert str(error(500, "InternalServerError", "try later")) == (
        "HeartBeat: SLS answered 500 InternalServerError: try later (request REQ1)"
    )


def test_a_wrong_key_is_told_with_the_command_that_follows_its_replacement():
    assert "Check the access key; after replacing it: systemctl reload 'sls-siem@*'" in str(
        error(401, "SignatureNotMatch")
    )


@pytest.mark.parametrize("body", [None, b"AKID123456 is not known here"])
def test_no_part_of_the_key_gets_into_a_message(body):
    text = str(error(401, "InvalidAccessKeyId", "AccessKeyId not found: AKID123456", body=body))

    assert ("AKID123456" in text, "***" in text) == (False, True)


@pytest.mark.parametrize(
    ("skew_s", "words"),
    [
        (1200.4, "This host's clock is 1200 s behind the service's: set it (NTP)"),
        (-3600.0, "This host's clock is 3600 s ahead of the service's: set it (NTP)"),
        (None, "Set this host's clock (NTP)"),
    ],
)
def test_an_expired_request_tells_of_the_clock(skew_s, words):
    assert words in str(error(400, "RequestTimeExpired", skew_s=skew_s))


@pytest.mark.parametrize(
    ("code", "headers", "expected"),
    [
        ("ShardReadQuotaExceed", {}, 1.0),
        ("ShardReadQuotaExceed", {"retry-after": "4"}, 4.0),
        ("ServerBusy", {"retry-after": "7"}, 7.0),
        ("ServerBusy", {}, None),
    ],
)
def test_says_when_to_ask_again(code, headers, expected):
    assert error(503, code, headers=headers).retry_after_s == expected


@pytest.mark.parametrize("status", [302, 204, 400, 401, 403, 404, 407, 502])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>Blocked by policy</body></html>", b"[]", b'{"error": 1}', b'{"errorCode": ""}', b"[" * 100_000],
)
def test_an_error_that_is_not_the_service_s_is_worth_another_try(status, body):
    found = error(status, body=body, headers={"retry-after": "3"})

    assert (type(found), found.status, found.retry_after_s) == (TransientSourceError, status, 3.0)
    assert f"answered {status} without an SLS error" in str(found)


def test_what_came_instead_is_shown_in_one_short_line():
    found = str(error(502, body=b"<html>\r\n  <b>Bad Gateway</b>\x1b[31m" + b"x" * 5000))

    assert ("(<html> <b>Bad Gateway</b> [31mxxx" in found.replace("'", ""), len(found) < 400, found.isprintable()) == (
        True,
        True,
        True,
    )


def test_the_service_s_words_are_bounded_and_on_one_line():
    text = str(error(400, "ParameterInvalid", "line one\r\nline two" + "x" * 10_000))

    assert ("line one line two" in text, len(text) < 600) == (True, True)


def test_the_status_has_room_for_the_longest_refusal_with_what_to_do() -> None:
    health, why = Health(), str(error(401, "Unauthorized", "denied by sts or ram, action and resource: " + "x" * 1000))
    health.hold("heartbeat", why)
    health.error(why)

    assert RELOAD_COMMAND in why
    assert {"heartbeat": why} == health.holds()
    assert [why] == health.errors()
