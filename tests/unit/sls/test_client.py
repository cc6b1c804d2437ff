"""Calls against peers that no SLS emulator is: broken ones, strangers, and one whose clock is wrong."""

from __future__ import annotations

import json
import locale
import shutil
import time

import pytest

from sls_siem.config import CredentialsConfig, Secret, SlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.errors import ConfigError, CredentialsRefusedError, SourceError, TransientSourceError
from sls_siem.sls import signing
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import AccessKeySource, Credentials
from sls_siem.sls.cursors import to_cursor
from sls_siem.sls.model import Checkpoint, ConsumerGroup, Shard
from tests.unit.net.peers import answering, ok, peer, read_request

EMPTY_PULL = ok(b"", "x-log-count: 0", "x-log-bodyrawsize: 0", f"x-log-cursor: {to_cursor(7)}")


class Keys:
    """A source of one key after another."""

    def __init__(self, *keys):
        self.keys = [Credentials(Secret(key), Secret(f"{key}-secret")) for key in keys]

    def current(self):
        return self.keys[0]

    def refused(self, credentials):
        if credentials == self.keys[0] and len(self.keys) > 1:
            del self.keys[0]
        return self.keys[0] != credentials

    def reload(self):
        raise AssertionError("nobody sent a signal")


def config(url, **changes):
    settings = {
        "endpoint": url,
        "project": "p",
        "logstore": "ls",
        "consumer_group": "group",
        "consumer_name": "consumer",
        "region": "cn-test",
        **changes,
    }
    return SlsConfig(**settings)


_opened = []


@pytest.fixture(autouse=True)
def _close_what_was_opened():
    yield
    while _opened:
        _opened.pop().close()


def session_to(url, *, keys=None, **changes):
    session = SlsClient(config(url, **changes), keys or Keys("id")).session()
    _opened.append(session)
    return session


def refused(code, message="words", status=401):
    body = json.dumps({"errorCode": code, "errorMessage": message}).encode()
    return ok(body).replace(b"200 OK", f"{status} X".encode())


# ---------------------------------------------------------------------------------------------------- what is sent


def test_names_itself_the_project_and_the_version_of_the_protocol():
    with peer(answering(EMPTY_PULL)) as here:
        session_to(here.url).pull(3, 7)
        request = here.requests[0]
        names = ("Host", "x-log-apiversion", "x-log-bodyrawsize", "Accept", "Accept-Encoding", "User-Agent")

        assert request.line == "GET /logstores/ls/shards/3?type=log&cursor=Nw%3D%3D&count=1000 HTTP/1.1"
        assert [request.headers[name] for name in names] == [
            "p.127.0.0.1",
            "0.6.0",
            "0",
            "application/x-protobuf",
            "lz4",
            "sls-siem-agent/0.1.0 consumergroup-group-consumer",
        ]


def test_may_be_named_otherwise():
    with peer(answering(EMPTY_PULL)) as here:
        session = SlsClient(config(here.url), Keys("id"), user_agent="check").session()
        _opened.append(session)
        session.pull(0, 7)

        assert here.requests[0].headers["User-Agent"] == "check"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"query": "* | where a = 'b'"}, "&pullMode=scan_on_stream&query=%2A%20%7C%20where%20a%20%3D%20%27b%27"),
        ({"processor": "consume-1"}, "&processor=consume-1"),
    ],
)
def test_a_pull_asks_for_what_is_configured(settings, words):
    with peer(answering(EMPTY_PULL)) as here:
        session_to(here.url, **settings).pull(0, 7, end_position=9, count=5)
        line = here.requests[0].line

        assert (words in line, "&count=5&" in line, "&end_cursor=OQ%3D%3D " in line) == (True, True, True)


def test_a_heartbeat_carries_the_shards_and_the_size_of_its_body():
    with peer(answering(ok(b"[1, 2]"))) as here:
        assigned = session_to(here.url).heartbeat({1})
        request = here.requests[0]

        assert (assigned, request.body, request.headers["x-log-bodyrawsize"]) == ((1, 2), b"[1]", "3")
        assert request.line == ("POST /logstores/ls/consumergroups/group?type=heartbeat&consumer=consumer HTTP/1.1")


@pytest.mark.parametrize(("force", "text"), [(False, "false"), (True, "true")])
def test_a_save_is_forced_only_when_asked_to_be(force, text):
    with peer(answering(ok(b""))) as here:
        session_to(here.url).save_checkpoint(4, 1000, force=force)
        request = here.requests[0]

        assert f"consumer=consumer&forceSuccess={text} " in request.line
        assert json.loads(request.body) == {"shard": 4, "checkpoint": "MTAwMA=="}


def test_signature_version_4_needs_a_region_and_version_1_none():
    with peer(answering(EMPTY_PULL)) as here:
        session_to(here.url).pull(0, 7)
        session_to(here.url, region=None).pull(0, 7)
        schemes = [request.headers["Authorization"].split(" ")[0] for request in here.requests]

        assert schemes == ["SLS4-HMAC-SHA256", "LOG"]


def test_a_temporary_key_sends_its_token():
    keys = Keys("id")
    keys.keys = [Credentials(Secret("id"), Secret("secret"), Secret("the-token"))]
    with peer(answering(EMPTY_PULL)) as here:
        session_to(here.url, keys=keys).pull(0, 7)

        assert here.requests[0].headers["x-acs-security-token"] == "the-token"


def test_goes_through_a_proxy_by_absolute_uri():
    with peer(answering(EMPTY_PULL)) as here:
        session_to("http://cn-test.log.example.com", proxy=here.url).pull(0, 7)
        request = here.requests[0]

        assert request.line.startswith("GET http://p.cn-test.log.example.com/logstores/ls/shards/0?")
        assert request.headers["Host"] == "p.cn-test.log.example.com"


# --------------------------------------------------------------------------------------------- answers that make none


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("list_shards", b"<html>"),
        ("list_shards", b""),
        ("list_shards", b"{}"),
        ("list_shards", b"[1]"),
        ("list_shards", b'[{"shardID": "0"}]'),
        ("list_consumer_groups", b"null"),
        ("list_consumer_groups", b'[{"name": "g"}]'),
        ("logstore_ttl_days", b'{"ttl": true}'),
        ("logstore_ttl_days", b"[]"),
        ("checkpoints", b'{"shard": 0}'),
        ("checkpoints", b'[{"checkpoint": ""}]'),
        ("heartbeat", b"null"),
        ("heartbeat", b""),
        ("heartbeat", b'["0"]'),
        ("heartbeat", b"[true]"),
        ("heartbeat", b"[-1]"),
        ("cursor", b'{"cursor": "end"}'),
        ("cursor", b'{"cursor": 5}'),
        ("cursor", b"[" * 100_000),
        ("cursor_time", b'{"cursor_time": "now"}'),
        ("checkpoint", b'[{"shard": 1, "checkpoint": ""}]'),
    ],
)
def test_an_answer_of_another_shape_is_worth_another_try(call, body):
    arguments = {"heartbeat": ([],), "cursor": (0, "end"), "cursor_time": (0, 5), "checkpoint": (0,)}.get(call, ())
    with (
        peer(answering(ok(body, "x-log-requestid: R1"))) as here,
        pytest.raises(TransientSourceError, match="answered"),
    ):
        getattr(session_to(here.url), call)(*arguments)


def test_no_headers_of_the_service_are_worth_another_try():
    with (
        peer(answering(ok(b"", "x-log-requestid: R1"))) as here,
        pytest.raises(TransientSourceError, match=r"answered 200, but header x-log-count is missing \(request R1\)"),
    ):
        session_to(here.url).pull(0, 7)


def test_no_checkpoint_in_the_answer_means_none_is_stored():
    with peer(answering(ok(b"[]"))) as here:
        assert session_to(here.url).checkpoint(0) == Checkpoint(position=None)


def test_a_stored_checkpoint_that_is_no_position_is_told_apart_from_none():
    stored = [{"shard": 0, "checkpoint": "somewhere", "updateTime": 5, "consumer": "x"}]
    with peer(answering(ok(json.dumps(stored).encode()))) as here:
        assert session_to(here.url).checkpoint(0) == Checkpoint(None, "x", 5, unreadable="somewhere")


def test_answers_may_leave_out_what_nobody_needs():
    shards, groups = b'[{"shardID": 0}]', b'[{"name": "g", "timeout": 30}]'
    with peer(answering(ok(shards), ok(groups), ok(b'[{"shard": 0}]'))) as here:
        session = session_to(here.url)

        assert session.list_shards() == (Shard(0, read_only=False),)
        assert session.list_consumer_groups() == (ConsumerGroup("g", 30, in_order=False),)
        assert session.checkpoints() == {0: Checkpoint(None)}


def test_a_body_that_claims_to_be_huge_is_refused_unread():
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    with peer(answering(huge)) as here, pytest.raises(TransientSourceError, match="99999999999"):
        session_to(here.url).pull(0, 7)


# ------------------------------------------------------------------------------------------------------ connections


def test_no_answer_within_the_call_s_time_is_worth_another_try():
    with peer(lambda connection, _here: connection.pause_while_open(20)) as here:
        start = time.monotonic()
        with pytest.raises(TransientSourceError, match=r"HeartBeat: .* has not answered within 0\.[23]"):
            session_to(here.url).heartbeat([], timeout_s=0.3)

        assert time.monotonic() - start < 5


def test_no_connection_is_worth_another_try():
    with peer(answering()) as here:
        url = here.url
    with pytest.raises(TransientSourceError, match=r"ListShards: cannot connect to .*: connection refused"):
        session_to(url).list_shards()


def closing_every_kept_connection(connection, here):
    """Answer the first request, take the second and hang up."""
    here.requests.append(read_request(connection))
    connection.send(ok(b"[]"))
    request = read_request(connection)
    if request is not None:
        here.requests.append(request)


@pytest.mark.parametrize(
    ("call", "arguments"), [("checkpoints", ()), ("heartbeat", ([],)), ("save_checkpoint", (0, 5))]
)
def test_a_kept_connection_that_was_closed_is_made_anew_once(call, arguments):
    with peer(closing_every_kept_connection) as here:
        session = session_to(here.url)
        getattr(session, call)(*arguments)
        getattr(session, call)(*arguments)

        assert (here.listener.accepted, len(here.requests)) == (2, 3)


def test_making_the_group_is_never_asked_twice():
    with peer(closing_every_kept_connection) as here:
        session = session_to(here.url)
        session.checkpoints()
        with pytest.raises(TransientSourceError):
            session.create_consumer_group(40, in_order=False)

        assert (here.listener.accepted, len(here.requests)) == (1, 2)


def test_a_fresh_connection_that_breaks_is_not_tried_again():
    def hang_up(connection, here):
        here.requests.append(read_request(connection))

    with peer(hang_up) as here:
        with pytest.raises(TransientSourceError):
            session_to(here.url).checkpoints()

        assert len(here.requests) == 1


def test_a_closed_session_connects_again_on_the_next_call():
    with peer(answering(ok(b"[]"), ok(b"[]"))) as here:
        session = session_to(here.url)
        session.checkpoints()
        session.close()
        session.checkpoints()

        assert here.listener.accepted == 2


# ------------------------------------------------------------------------------------------------------------- keys


def test_a_key_that_was_replaced_is_used_at_once():
    with peer(answering(refused("InvalidAccessKeyId"), ok(b"[]"))) as here:
        session_to(here.url, keys=Keys("old", "new")).checkpoints()
        used = [request.headers["Authorization"].split("Credential=")[1].split("/")[0] for request in here.requests]

        assert used == ["old", "new"]


def test_a_key_that_is_refused_is_not_tried_again():
    with peer(answering(refused("InvalidAccessKeyId"), ok(b"[]"))) as here:
        with pytest.raises(CredentialsRefusedError):
            session_to(here.url, keys=Keys("only")).checkpoints()

        assert len(here.requests) == 1


def test_a_new_key_that_is_refused_too_is_told():
    with (
        peer(answering(refused("SignatureNotMatch"), refused("SecurityTokenExpired"))) as here,
        pytest.raises(CredentialsRefusedError, match="SecurityTokenExpired"),
    ):
        session_to(here.url, keys=Keys("old", "new")).checkpoints()


def test_no_key_at_all_asks_nobody():
    with peer(answering(ok(b"[]"))) as here:
        session = session_to(here.url, keys=AccessKeySource(CredentialsConfig(), environ={}))
        with pytest.raises(CredentialsRefusedError, match="no access key for SLS"):
            session.checkpoints()

        assert here.listener.accepted == 0


@pytest.mark.parametrize("key", ["id\r\nX-Evil: 1", "ключ"])
def test_a_key_that_fits_no_header_is_named_as_the_fault(key):
    with peer(answering(ok(b"[]"))) as here:
        with pytest.raises(CredentialsRefusedError, match="the access key or token holds a character") as caught:
            session_to(here.url, keys=Keys(key)).checkpoints()

        assert (key in str(caught.value), here.listener.accepted) == (False, 0)


def test_a_host_that_forbids_md5_is_told_to_use_version_4(monkeypatch):
    def forbidden(*_args, **_kwargs):
        raise ValueError("[digital envelope routines] unsupported")

    session = session_to("http://127.0.0.1:1", region=None)
    monkeypatch.setattr(signing.make_auth.__globals__["Util"], "cal_md5", forbidden)
    with pytest.raises(CredentialsRefusedError, match=r"Set sls\.region"):
        session.heartbeat([])


def test_version_1_dates_requests_in_english_whatever_the_locale(monkeypatch):
    monkeypatch.setattr(locale, "setlocale", lambda *_args: None)
    with peer(answering(EMPTY_PULL)) as here:
        session_to(here.url, region=None).pull(0, 7)
        headers = here.requests[0].headers

        assert (headers["Date"].endswith(" GMT"), headers["x-log-date"]) == (True, headers["Date"])


# ------------------------------------------------------------------------------------------------------------ clock


def test_the_service_s_clock_is_known_from_its_last_answer():
    with peer(answering(ok(b"[]", f"Date: {http_date(time.time() + 600)}"))) as here:
        session = session_to(here.url)
        before = session.server_time_skew_s
        session.checkpoints()

        assert (before, 595 < session.server_time_skew_s < 605) == (None, True)


@pytest.mark.parametrize("headers", [(), ("Date: yesterday",)])
def test_the_service_s_clock_stays_unknown_without_a_date(headers):
    with peer(answering(ok(b"[]", *headers))) as here:
        session = session_to(here.url)
        session.checkpoints()

        assert session.server_time_skew_s is None


def test_an_expired_request_tells_how_wrong_the_clock_is():
    answer = refused("RequestTimeExpired", status=400).replace(
        b"\r\n\r\n", f"\r\nDate: {http_date(time.time() + 3600)}\r\n\r\n".encode(), 1
    )
    with peer(answering(answer)) as here:
        with pytest.raises(TransientSourceError, match=r"clock is 3[56]\d\d s behind the service's") as caught:
            session_to(here.url).checkpoints()

        assert caught.value.code == "RequestTimeExpired"


def http_date(epoch_s):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(epoch_s))


# ---------------------------------------------------------------------------------------------------- configuration


def test_a_ca_file_that_is_not_there_is_a_mistake_of_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"sls\.ca_file: .*missing\.pem cannot be read"):
        SlsClient(config("https://sls.example.com", ca_file=str(tmp_path / "missing.pem")), Keys("id"))


def test_a_ca_file_that_was_replaced_counts_after_a_reload_for_sessions_that_are_there_too(tmp_path):
    certificates, ca_file = Certificates(tmp_path), tmp_path / "authorities.pem"
    shutil.copy(certificates.other_ca_file, ca_file)
    with peer(answering(ok(b"[]")), tls=server_context(certificates.server)) as here:
        client = SlsClient(config(here.url, ca_file=str(ca_file)), Keys("id"))
        session = client.session()
        _opened.append(session)
        with pytest.raises(TransientSourceError, match="certificate is not accepted"):
            session.checkpoints()
        shutil.copy(certificates.ca_file, ca_file)
        client.reload()

        assert session.checkpoints() == {}
        ca_file.unlink()
        with pytest.raises(ConfigError, match=r"authorities\.pem cannot be read"):
            client.reload()
        assert session.checkpoints() == {}


def test_a_proxy_that_cannot_be_spoken_to_is_a_mistake_of_the_configuration():
    with pytest.raises(ConfigError, match=r"sls\.proxy"):
        SlsClient(config("https://sls.example.com", proxy="https://proxy.example.com:3128"), Keys("id"))


def test_zstd_without_a_library_is_a_mistake_of_the_configuration(monkeypatch):
    monkeypatch.setattr("sls_siem.sls.client.zstd_available", lambda: False)
    with pytest.raises(ConfigError, match=r"sls\.compression: 'zstd' needs"):
        SlsClient(config("https://sls.example.com", compression="zstd"), Keys("id"))


def test_every_error_is_one_of_the_source():
    with peer(answering(refused("ParameterInvalid", "bad query", status=400))) as here:
        with pytest.raises(SourceError, match="ParameterInvalid: bad query") as caught:
            session_to(here.url).pull(0, 7)

        assert type(caught.value) is SourceError
