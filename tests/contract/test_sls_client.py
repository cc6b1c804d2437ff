"""The SLS client against the emulator, which the SDK from PyPI proves: every call, every refusal, both signatures."""

from __future__ import annotations

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest

from sls_siem.config import CredentialsConfig, SlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Fault, Settings, SlsEmulator
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
from sls_siem.sls import exchange
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import AccessKeySource
from sls_siem.sls.model import Checkpoint, ConsumerGroup

pytestmark = pytest.mark.contract

ENVIRON = {"SLS_AK_ID": "key-id", "SLS_AK_KEY": "key-secret"}


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=2, settings=Settings(region="cn-test")) as emulator:
        emulator.add_key("key-id", "key-secret")
        yield emulator


class Opener:
    def __init__(self):
        self.opened = []

    def __call__(self, sls, *, environ=None, **changes):
        settings = {
            "endpoint": sls.url,
            "project": "p",
            "logstore": "ls",
            "consumer_group": "group",
            "consumer_name": "consumer",
            "region": "cn-test",
            **changes,
        }
        source = AccessKeySource(CredentialsConfig(), environ=ENVIRON if environ is None else environ)
        session = SlsClient(SlsConfig(**settings), source).session()
        self.opened.append(session)
        return session


@pytest.fixture
def open_session():
    opener = Opener()
    yield opener
    for session in opener.opened:
        session.close()


@pytest.fixture
def session(sls, open_session):
    return open_session(sls)


def key_in(folder, secret):
    """Write a key where the agent looks for it; returns the environment that says where."""
    folder.mkdir(exist_ok=True)
    (folder / "sls-access-key-id").write_text("key-id")
    (folder / "sls-access-key-secret").write_text(secret)
    return {"RUNTIME_DIRECTORY": str(folder.parent)}


def groups(*numbers):
    return [make_group([{"n": str(number)}], time=1700000000) for number in numbers]


# -------------------------------------------------------------------------------------------------------- the calls


def test_lists_shards_with_their_state(sls, session):
    sls.store.split(1)
    found = session.list_shards()

    assert [(shard.shard, shard.read_only) for shard in found] == [(0, False), (1, True), (2, False), (3, False)]
    assert (found[0].begin_key, found[1].end_key) == ("0" * 32, "f" * 32)
    assert abs(found[0].create_time - time.time()) < 60


def test_tells_how_long_logs_are_kept(session):
    assert session.logstore_ttl_days() == 30


def test_finds_positions_by_place_and_by_time(sls, session):
    placed = sls.store.append(0, groups(1, 2, 3))
    now = int(time.time())

    assert [session.cursor(0, at) for at in ("begin", now - 60, str(now - 60), "end", now + 60)] == [
        placed.position,
        placed.position,
        placed.position,
        placed.position + 3,
        placed.position + 3,
    ]


def test_tells_when_a_log_group_was_received(sls, session):
    placed = sls.store.append(0, groups(1))

    assert abs(session.cursor_time(0, placed.position) - time.time()) < 60


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_pulls_log_groups_with_their_positions(sls, open_session, compression):
    placed = sls.store.append(0, groups(1, 2, 3))
    pulled = open_session(sls, compression=compression).pull(0, placed.position, count=2)

    assert (pulled.asked, pulled.next_position, pulled.groups) == (placed.position, placed.position + 2, 2)
    assert bytes(pulled.body) == b"".join(b"\x0a" + bytes([len(group)]) + group for group in groups(1, 2))
    assert (pulled.end_of_cursor, abs(pulled.cursor_time - time.time()) < 60) == (False, True)


def test_pulls_up_to_a_position(sls, session):
    placed = sls.store.append(0, groups(1, 2, 3))
    pulled = session.pull(0, placed.position, end_position=placed.position + 1)

    assert (pulled.groups, pulled.next_position) == (1, placed.position + 1)


def test_an_empty_pull_stays_where_it_is(session):
    end = session.cursor(0, "end")
    pulled = session.pull(0, end)

    assert (pulled.next_position, pulled.groups, bytes(pulled.body), pulled.end_of_cursor) == (end, 0, b"", True)


@pytest.mark.parametrize("how", ["query", "processor"])
def test_the_service_filters(sls, open_session, how):
    sls.store.processors["keep-2"] = "* | where n = '2'"
    placed = sls.store.append(0, groups(1, 2, 3))
    session = open_session(sls, **{how: {"query": "* | where n = '2'", "processor": "keep-2"}[how]})
    pulled = session.pull(0, placed.position)
    body = bytes(pulled.body)

    assert (pulled.next_position, b"\x0a\x01n\x12\x012" in body, b"\x12\x011" in body) == (
        placed.position + 3,
        True,
        False,
    )
    assert (pulled.raw_groups, pulled.raw_bytes) == (3, sum(2 + len(group) for group in groups(1, 2, 3)))


def test_makes_a_consumer_group_once(sls, session, open_session):
    made = session.create_consumer_group(40, in_order=True)
    again = open_session(sls, consumer_name="other").create_consumer_group(50, in_order=False)

    assert (made, again) == (True, False)
    assert session.list_consumer_groups() == (ConsumerGroup("group", 40, in_order=True),)


def test_heartbeats_share_the_shards(sls, session, open_session):
    session.create_consumer_group(40, in_order=False)
    other = open_session(sls, consumer_name="other")

    assert sorted(session.heartbeat([])) == [0, 1]
    assert other.heartbeat([]) == ()
    kept = session.heartbeat([0, 1])
    assert len(kept) == 1
    session.heartbeat(kept)
    assert set(other.heartbeat([])) == {0, 1} - set(kept)


def test_saves_and_reads_checkpoints(session):
    session.create_consumer_group(40, in_order=False)
    session.heartbeat([])
    end = session.cursor(0, "end")
    before = session.checkpoint(0)
    session.save_checkpoint(0, end)
    after = session.checkpoint(0)

    assert (before, after.position, after.consumer) == (Checkpoint(None), end, "consumer")
    assert abs(after.update_time / 1e6 - time.time()) < 60
    assert {shard: found.position for shard, found in session.checkpoints().items()} == {0: end, 1: None}


def test_only_a_forced_save_passes_the_owner(sls, session, open_session):
    session.create_consumer_group(40, in_order=False)
    session.heartbeat([])
    other = open_session(sls, consumer_name="other")
    end = session.cursor(0, "end")
    with pytest.raises(NotOwnerError) as unknown:
        other.save_checkpoint(0, end)
    other.heartbeat([])
    with pytest.raises(NotOwnerError) as stranger:
        other.save_checkpoint(0, end)
    other.save_checkpoint(0, end, force=True, consumer="somebody")

    assert (unknown.value.code, stranger.value.code) == ("ConsumerNotExist", "ConsumerNotMatch")
    assert session.checkpoint(0).consumer == "somebody"


def test_a_checkpoint_that_somebody_spoilt_is_told(sls, session):
    session.create_consumer_group(40, in_order=False)
    sls.store.set_checkpoint("group", 0, "begin")

    assert (session.checkpoint(0).position, session.checkpoint(0).unreadable) == (None, "begin")


# ------------------------------------------------------------------------------------------------------ signatures


NAMES = ["plain", "with space", "sp&ci=l/?#%+~", "日志-消费者", "a%20b", "e\u0301*'()"]


@pytest.mark.parametrize("region", ["cn-test", None])
@pytest.mark.parametrize("name", NAMES)
def test_signatures_hold_for_any_consumer_name(sls, open_session, region, name):
    session = open_session(sls, consumer_name=name, region=region)
    session.create_consumer_group(40, in_order=False)
    session.heartbeat([])

    assert sls.store.group("group").consumers() == {name: [0, 1]}


@pytest.mark.parametrize("region", ["cn-test", None])
@pytest.mark.parametrize("query", ["* | where n = '2'", "* | where n = '日志 & ~+%'", "* | where n = '\\'"])
def test_signatures_hold_for_any_query(sls, open_session, region, query):
    placed = sls.store.append(0, groups(1))
    pulled = open_session(sls, query=query, region=region).pull(0, placed.position)

    assert pulled.next_position == placed.position + 1


@pytest.mark.parametrize("region", ["cn-test", None])
@pytest.mark.parametrize("name", ["store-1", "日志库", "a b"])
def test_signatures_hold_for_any_path(sls, open_session, region, name):
    sls.create_logstore("p", name, shards=3)

    assert len(open_session(sls, logstore=name, region=region).list_shards()) == 3


@pytest.mark.parametrize("region", ["cn-test", None])
def test_signatures_hold_for_a_temporary_key(sls, open_session, region):
    sls.add_key("sts-id", "sts-secret", token="sts-token/+=")
    environ = {"SLS_AK_ID": "sts-id", "SLS_AK_KEY": "sts-secret", "SLS_SECURITY_TOKEN": "sts-token/+="}

    assert len(open_session(sls, environ=environ, region=region).list_shards()) == 2


def test_sessions_of_many_threads_sign_with_version_1_at_the_same_time(sls, open_session):
    failures = []

    def work():
        session = open_session(sls, region=None)
        try:
            for _ in range(20):
                session.list_shards()
        except SourceError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []


@pytest.fixture
def signatures(monkeypatch):
    made = []
    sign = exchange.Signer.sign

    def counted(signer, method, path, *rest):
        made.append(path)
        sign(signer, method, path, *rest)

    monkeypatch.setattr(exchange.Signer, "sign", counted)
    return made


@pytest.mark.parametrize("region", ["cn-test", None])
def test_the_same_pull_is_signed_once(sls, open_session, signatures, region):
    session = open_session(sls, region=region)
    end = sls.store.shard(0).end
    for _ in range(3):
        assert session.pull(0, end).groups == 0
    assert len(signatures) == 1

    placed = sls.store.append(0, groups(1, 2, 3))
    assert [session.pull(0, end).groups, session.pull(0, end + 3).groups] == [3, 0]
    assert [session.pull(0, end, end_position=end + 2).groups, session.pull(0, end, count=1).groups] == [2, 1]
    assert (placed.position, len(signatures)) == (end, 4)


def test_a_signature_is_not_used_for_ever(sls, session, signatures, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    end = sls.store.shard(0).end
    made = []
    for seconds in (0.0, exchange.SIGNED_S - 0.1, 0.1, 1.0):
        now[0] += seconds
        session.pull(0, end)
        made.append(len(signatures))

    assert made == [1, 1, 2, 2]


def test_what_was_refused_is_signed_anew(sls, session, signatures):
    end = sls.store.shard(0).end
    session.pull(0, end)
    sls.settings.skew_s = 3600.0
    with pytest.raises(TransientSourceError, match="RequestTimeExpired"):
        session.pull(0, end)
    sls.settings.skew_s = 0.0
    session.pull(0, end)

    assert len(signatures) == 2


def test_a_rotated_key_signs_a_pull_anew(sls, tmp_path, open_session, signatures):
    session = open_session(sls, environ=key_in(tmp_path / "credentials", "key-secret"))
    end = sls.store.shard(0).end
    session.pull(0, end)
    sls.add_key("key-id", "rotated")
    key_in(tmp_path / "credentials", "rotated")
    session.pull(0, end)

    assert len(signatures) == 2


def test_speaks_tls_with_an_authority_of_its_own(tmp_path, open_session):
    certificates = Certificates(tmp_path)
    tls = server_context(certificates.server)
    with SlsEmulator(project="p", logstore="ls", shards=1, tls=tls) as sls:
        sls.add_key("key-id", "key-secret")

        assert len(open_session(sls, ca_file=str(certificates.ca_file)).list_shards()) == 1
        with pytest.raises(TransientSourceError, match="its certificate is not accepted"):
            open_session(sls, ca_file=str(certificates.other_ca_file)).list_shards()


def test_goes_through_a_proxy(sls, open_session):
    session = open_session(sls, endpoint="http://cn-test.log.example.com", proxy=sls.url)

    assert len(session.list_shards()) == 2


def test_reaches_an_ipv6_address(open_session):
    with SlsEmulator(project="p", logstore="ls", shards=1, host="::1") as sls:
        sls.add_key("key-id", "key-secret")

        assert len(open_session(sls).list_shards()) == 1


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"SLS_AK_ID": "nobody", "SLS_AK_KEY": "key-secret"}, "InvalidAccessKeyId"),
        ({"SLS_AK_ID": "key-id", "SLS_AK_KEY": "wrong"}, "SignatureNotMatch"),
        ({**ENVIRON, "SLS_SECURITY_TOKEN": "x"}, "InvalidSecurityToken"),
    ],
)
def test_a_wrong_key_is_told_without_showing_it(sls, open_session, environ, code):
    with pytest.raises(CredentialsRefusedError, match=r"systemctl reload 'sls-siem@\*'") as caught:
        open_session(sls, environ=environ).list_shards()

    assert (caught.value.code, "nobody" in str(caught.value)) == (code, False)


def test_a_rotated_key_is_found_without_a_failed_call(sls, tmp_path, open_session):
    session = open_session(sls, environ=key_in(tmp_path / "credentials", "key-secret"))
    session.list_shards()
    sls.add_key("key-id", "rotated")
    key_in(tmp_path / "credentials", "rotated")

    assert len(session.list_shards()) == 2


def test_what_ram_denies_is_told_by_its_action(sls, open_session):
    sls.add_key("key-id", "key-secret", denied=frozenset({"log:GetLogStore"}))
    with pytest.raises(PermissionRefusedError, match="Allow log:GetLogStore in the RAM policy"):
        open_session(sls).logstore_ttl_days()


def test_a_missing_group_is_told_apart_from_a_missing_project(sls, session, open_session):
    with pytest.raises(NotFoundError) as group:
        session.heartbeat([])
    with pytest.raises(NotFoundError) as logstore:
        open_session(sls, logstore="none").list_shards()
    with pytest.raises(NotFoundError) as project:
        open_session(sls, project="none").list_shards()
    with pytest.raises(NotFoundError) as shard:
        session.cursor(9, "end")

    assert [found.value.code for found in (group, logstore, project, shard)] == [
        "ConsumerGroupNotExist",
        "LogStoreNotExist",
        "ProjectNotExist",
        "ShardNotExist",
    ]


def test_no_room_for_another_group_is_told(sls, session):
    sls.settings.max_consumer_groups = 0
    with pytest.raises(QuotaExceededError):
        session.create_consumer_group(40, in_order=False)


def test_a_position_that_retention_removed_is_invalid(sls, session):
    placed = sls.store.append(0, groups(1, 2))
    sls.store.trim(0, before=placed.position + 1)
    with pytest.raises(CursorInvalidError):
        session.pull(0, placed.position)


def test_a_checkpoint_of_another_shard_is_invalid(session):
    session.create_consumer_group(40, in_order=False)
    session.heartbeat([])
    with pytest.raises(CursorInvalidError):
        session.save_checkpoint(0, session.cursor(1, "end"))


def test_an_evicted_consumer_owns_nothing(sls, session):
    session.create_consumer_group(40, in_order=False)
    session.heartbeat([])
    sls.store.group("group").evict("consumer")
    with pytest.raises(NotOwnerError) as caught:
        session.heartbeat([0, 1])

    assert caught.value.code == "NotExistConsumerWithBody"


def test_reading_too_fast_asks_to_wait(sls, session):
    sls.settings.reads_per_s = 1
    end = session.cursor(0, "end")
    with pytest.raises(TransientSourceError, match="ReadQuotaExceed") as caught:
        for _ in range(50):
            session.pull(0, end)

    assert caught.value.retry_after_s == 1.0


def test_a_wrong_clock_is_measured(sls, session):
    sls.settings.skew_s = 3600
    with pytest.raises(TransientSourceError, match=r"This host's clock is 3[56].. s behind the service's") as caught:
        session.list_shards()

    assert (caught.value.code, 3590 < session.server_time_skew_s < 3610) == ("RequestTimeExpired", True)


# ----------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=500), "answered 500 InternalServerError"),
        (Fault("status", status=503, code="ServerBusy", header="Retry-After", value="2"), "answered 503 ServerBusy"),
        (Fault("status", status=502, body="<html>Bad Gateway</html>"), "answered 502 without an SLS error"),
        (Fault("status", status=403, body="<html>Blocked</html>"), "answered 403 without an SLS error"),
        (Fault("status", status=204, body=""), "answered 204 without an SLS error"),
        (Fault("reset"), "lost|closed"),
        (Fault("lost_answer"), "lost|closed"),
        (Fault("reset_mid_body"), "lost|closed"),
        (Fault("truncate"), "the peer closed the connection"),
        (Fault("black_hole"), "has not answered within"),
        (Fault("shorten"), "cannot be used"),
        (Fault("rawsize"), "x-log-bodyrawsize says"),
        (Fault("rawsize", amount=10**9), "more than 67108864 bytes are not taken"),
        (Fault("count"), "x-log-count is 4, the body has 3 log groups"),
        (Fault("count", amount=-3), "x-log-count is 0, the body has 3 log groups"),
        (Fault("drop_header", header="x-log-count"), "header x-log-count is missing"),
        (Fault("drop_header", header="x-log-cursor"), "header x-log-cursor is missing"),
        (Fault("drop_header", header="x-log-bodyrawsize"), "header x-log-bodyrawsize is missing"),
        (Fault("drop_header", header="x-log-compresstype"), "x-log-bodyrawsize says"),
        (Fault("set_header", header="x-log-cursor", value="??"), "which is no cursor"),
        (Fault("set_header", header="x-log-compresstype", value="snappy"), "which was not asked for"),
    ],
    ids=lambda value: value.action if isinstance(value, Fault) else "",
)
def test_a_pull_that_goes_wrong_is_worth_another_try_and_the_next_one_works(sls, session, fault, words):
    placed = sls.store.append(0, groups(1, 2, 3))
    struck = sls.faults.add(dataclasses.replace(fault, call="pull", times=1, struck=[], struck_calls=[]))
    with pytest.raises(TransientSourceError, match=words):
        session.pull(0, placed.position, timeout_s=0.5)

    assert (len(struck.struck), session.pull(0, placed.position).groups) == (1, 3)


def test_a_retry_after_is_handed_on(sls, session):
    sls.faults.add(Fault("status", call="pull", status=503, code="ServerBusy", header="Retry-After", value="2"))
    with pytest.raises(TransientSourceError) as caught:
        session.pull(0, session.cursor(0, "end"))

    assert caught.value.retry_after_s == 2.0


def test_a_service_that_restarts_costs_a_kept_connection_nothing(sls, session):
    session.list_shards()
    sls.stop_listening()
    sls.start_listening()

    assert len(session.list_shards()) == 2


def test_a_service_that_is_away_is_worth_another_try(sls, session):
    session.list_shards()
    sls.stop_listening()
    with pytest.raises(TransientSourceError, match="connection refused"):
        session.list_shards()
    sls.start_listening()

    assert len(session.list_shards()) == 2
