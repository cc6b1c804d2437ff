"""The unmodified SDK from PyPI understands the SLS emulator, and the emulator understands the SDK, call by call."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from aliyun.log import LogClient, LogItem, PutLogsRequest
from aliyun.log.logexception import LogException

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from tests.contract.sls_support import DOMAIN, KEY_ID, LOGSTORE, PROJECT, SECRET, cursor, loopback_names

pytestmark = pytest.mark.contract


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator(shards=2) as running:
        running.add_key(KEY_ID, SECRET)
        yield running


@pytest.fixture(params=["v1", "v4"])
def client(
    emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[LogClient]:
    loopback_names(monkeypatch)
    made = LogClient(
        f"http://{DOMAIN}:{emulator.port}", KEY_ID, SECRET, auth_version=request.param, region="cn-hangzhou"
    )
    yield made
    made._session.close()


def put(client: LogClient, contents: list[tuple[str, str]], hash_key: str | None = None) -> None:
    item = LogItem(1_700_000_000, contents=contents)
    client.put_logs(PutLogsRequest(PROJECT, LOGSTORE, "topic", "10.0.0.9", [item], hashKey=hash_key))


def test_logs_that_the_sdk_puts_come_back_from_the_shard_of_their_hash_key(client: LogClient) -> None:
    put(client, [("message", "grüße, 日志"), ("seq", "1")], hash_key="f" * 32)
    begin = client.get_begin_cursor(PROJECT, LOGSTORE, 1).get_cursor()
    answer = client.pull_logs(PROJECT, LOGSTORE, 1, begin)
    logs = answer.get_flatten_logs_json()

    assert answer.get_loggroup_count() == 1
    assert {key: logs[0][key] for key in ("__topic__", "__source__", "message", "seq")} == {
        "__topic__": "topic",
        "__source__": "10.0.0.9",
        "message": "grüße, 日志",
        "seq": "1",
    }
    assert answer.get_next_cursor() == client.get_end_cursor(PROJECT, LOGSTORE, 1).get_cursor()


def test_logs_without_hash_key_are_spread_over_the_writable_shards(client: LogClient, emulator: SlsEmulator) -> None:
    for number in range(4):
        put(client, [("seq", str(number))])

    assert [shard.end - shard.base for shard in emulator.store.shards()] == [2, 2]


@pytest.mark.parametrize("profile", ["nginx", "actiontrail", "waf", "hostile"])
def test_generated_logs_are_the_protobuf_that_the_sdk_reads(
    client: LogClient, emulator: SlsEmulator, profile: str
) -> None:
    source = LogSource(profile, seed=7)
    emulator.store.append(0, list(source.groups(60, logs_per_group=20, time=1_700_000_000)))
    begin = client.get_begin_cursor(PROJECT, LOGSTORE, 0).get_cursor()
    groups = client.pull_logs(PROJECT, LOGSTORE, 0, begin).get_loggroup_list().LogGroups
    read = [
        (log.Time, [(_bytes(pair.Key), _bytes(pair.Value)) for pair in log.Contents])
        for group in groups
        for log in group.Logs
    ]
    made = [source.log(seq, 1_700_000_000) for seq in range(60)]

    assert read == [(log.time, list(log.contents)) for log in made]
    assert all(dict(log.contents)[b"seq"] == b"%d" % seq for seq, log in enumerate(made))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def test_a_pull_ends_at_its_count_and_at_its_end_cursor(client: LogClient, emulator: SlsEmulator) -> None:
    first = emulator.store.append(0, [make_group([{"n": str(n)}], time=1) for n in range(10)]).position
    by_count = client.pull_logs(PROJECT, LOGSTORE, 0, cursor(first), count=3)
    by_end = client.pull_logs(PROJECT, LOGSTORE, 0, cursor(first + 2), end_cursor=cursor(first + 6))

    assert (by_count.get_loggroup_count(), by_count.get_next_cursor()) == (3, cursor(first + 3))
    assert (by_end.get_loggroup_count(), by_end.get_next_cursor()) == (4, cursor(first + 6))


def test_a_pull_at_the_end_is_empty_and_keeps_its_cursor(client: LogClient, emulator: SlsEmulator) -> None:
    end = cursor(emulator.store.shard(0).end)
    answer = client.pull_logs(PROJECT, LOGSTORE, 0, end)

    assert (answer.get_loggroup_count(), answer.get_raw_size(), answer.get_next_cursor()) == (0, 0, end)


def test_a_cursor_by_time_names_the_first_group_received_then_or_later(
    client: LogClient, emulator: SlsEmulator
) -> None:
    first = emulator.store.append(0, [make_group([{}], time=5)], received=1_700_000_100.0).position
    emulator.store.append(0, [make_group([{}], time=5)], received=1_700_000_200.7)
    asked = {
        moment: client.get_cursor(PROJECT, LOGSTORE, 0, moment).get_cursor()
        for moment in (1_700_000_000, 1_700_000_100, 1_700_000_101, 1_700_000_200, 1_700_000_201)
    }

    assert asked == {
        1_700_000_000: cursor(first),
        1_700_000_100: cursor(first),
        1_700_000_101: cursor(first + 1),
        1_700_000_200: cursor(first + 1),
        1_700_000_201: cursor(first + 2),
    }
    assert client.get_cursor_time(PROJECT, LOGSTORE, 0, cursor(first + 1)).get_cursor_time() == 1_700_000_200
    assert client.get_previous_cursor_time(PROJECT, LOGSTORE, 0, cursor(first + 1)).get_cursor_time() == 1_700_000_100


def test_split_and_merged_shards_are_listed_with_their_key_ranges(client: LogClient) -> None:
    client.split_shard(PROJECT, LOGSTORE, 0, "20000000000000000000000000000000")
    client.merge_shard(PROJECT, LOGSTORE, 3)
    listed = client.list_shards(PROJECT, LOGSTORE).get_shards_info()

    assert [(s["shardID"], s["status"], s["inclusiveBeginKey"][:2], s["exclusiveEndKey"][:2]) for s in listed] == [
        (0, "readonly", "00", "7f"),
        (1, "readonly", "7f", "ff"),
        (2, "readwrite", "00", "20"),
        (3, "readonly", "20", "7f"),
        (4, "readwrite", "20", "ff"),
    ]


def test_the_logstore_tells_its_retention(client: LogClient) -> None:
    answer = client.get_logstore(PROJECT, LOGSTORE)

    assert (answer.ttl, answer.shard_count) == (30, 2)
    assert client.list_logstore(PROJECT).get_logstores() == [LOGSTORE]


def test_consumer_groups_are_made_changed_and_removed(client: LogClient) -> None:
    client.create_consumer_group(PROJECT, LOGSTORE, "grüppe one", 40, in_order=False)
    client.update_consumer_group(PROJECT, LOGSTORE, "grüppe one", timeout=50, in_order=True)
    with pytest.raises(LogException) as again:
        client.create_consumer_group(PROJECT, LOGSTORE, "grüppe one", 40)
    groups = client.list_consumer_group(PROJECT, LOGSTORE).get_consumer_groups()
    client.delete_consumer_group(PROJECT, LOGSTORE, "grüppe one")

    assert [(g.get_consumer_group_name(), g.get_timeout(), g.is_in_order()) for g in groups] == [
        ("grüppe one", 50, True)
    ]
    assert again.value.get_error_code() == "ConsumerGroupAlreadyExist"
    assert client.list_consumer_group(PROJECT, LOGSTORE).get_consumer_groups() == []


def test_heartbeats_give_shards_and_checkpoints_are_kept(client: LogClient, emulator: SlsEmulator) -> None:
    client.create_consumer_group(PROJECT, LOGSTORE, "group", 40)
    answered = client.heart_beat(PROJECT, LOGSTORE, "group", "one", []).get_shards()
    saved = cursor(emulator.store.shard(0).begin)
    client.update_check_point(PROJECT, LOGSTORE, "group", 0, saved, "one", force_success=False)
    stored = client.get_check_point(PROJECT, LOGSTORE, "group").get_consumer_group_check_points()
    one = client.get_check_point(PROJECT, LOGSTORE, "group", 0).get_consumer_group_check_points()

    assert answered == [0, 1]
    assert [(c["shard"], c["checkpoint"], c["consumer"]) for c in stored] == [(0, saved, "one"), (1, "", "")]
    assert one == stored[:1]
    assert abs(stored[0]["updateTime"] / 1e6 - time.time()) < 60


def test_a_query_filters_and_tells_what_it_read(client: LogClient, emulator: SlsEmulator) -> None:
    groups = [make_group([{"level": level, "n": str(n)}], time=1) for n, level in enumerate("abab")]
    first = emulator.store.append(0, groups).position
    answer = client.pull_logs(PROJECT, LOGSTORE, 0, cursor(first), query="* | where level = 'b' and n in ('1', '3')")
    nothing = client.pull_logs(PROJECT, LOGSTORE, 0, cursor(first), query="* | where level = 'z'")

    assert [log["n"] for log in answer.get_flatten_logs_json()] == ["1", "3"]
    assert answer.get_raw_log_group_count_before_query() == 4
    assert (nothing.get_loggroup_count(), nothing.get_next_cursor()) == (0, cursor(first + 4))


def test_a_processor_is_a_query_with_a_name(client: LogClient, emulator: SlsEmulator) -> None:
    emulator.store.processors["consume-processor-1"] = "* | where __topic__ = 'keep'"
    groups = [make_group([{"n": "1"}], time=1, topic="drop"), make_group([{"n": "2"}], time=1, topic="keep")]
    first = emulator.store.append(0, groups).position
    answer = client.pull_logs(PROJECT, LOGSTORE, 0, cursor(first), processor="consume-processor-1")

    assert [log["n"] for log in answer.get_flatten_logs_json()] == ["2"]


@pytest.mark.parametrize(
    ("project", "logstore", "shard", "code"),
    [
        ("no-such-project", LOGSTORE, 0, "ProjectNotExist"),
        (PROJECT, "no-such-logstore", 0, "LogStoreNotExist"),
        (PROJECT, LOGSTORE, 7, "ShardNotExist"),
    ],
)
def test_what_does_not_exist_is_named(client: LogClient, project: str, logstore: str, shard: int, code: str) -> None:
    with pytest.raises(LogException) as refused:
        client.pull_logs(project, logstore, shard, cursor(1))

    assert (refused.value.get_error_code(), refused.value.get_resp_status()) == (code, 404)
    assert refused.value.get_request_id()


@pytest.mark.parametrize("auth_version", ["v1", "v4"])
def test_a_wrong_secret_is_refused(emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch, auth_version: str) -> None:
    loopback_names(monkeypatch)
    client = LogClient(f"http://{DOMAIN}:{emulator.port}", KEY_ID, "wrong", auth_version=auth_version, region="cn-x")
    with pytest.raises(LogException) as refused:
        client.list_shards(PROJECT, LOGSTORE)
    client._session.close()

    assert (refused.value.get_error_code(), refused.value.get_resp_status()) == ("SignatureNotMatch", 401)


def test_an_sts_token_is_checked(emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    loopback_names(monkeypatch)
    emulator.add_key("STS.id", SECRET, token="token-1")
    codes = []
    for token in ("token-1", "token-2", None):
        client = LogClient(
            f"http://{DOMAIN}:{emulator.port}", "STS.id", SECRET, securityToken=token, auth_version="v4", region="cn-x"
        )
        try:
            client.list_shards(PROJECT, LOGSTORE)
            codes.append("")
        except LogException as refused:
            codes.append(refused.get_error_code())
        client._session.close()
    emulator.add_key("STS.id", SECRET, token="token-1", expires=time.time() - 1)

    assert codes == ["", "InvalidSecurityToken", "InvalidSecurityToken"]


def test_the_sdk_reaches_it_through_http_proxy(emulator: SlsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", emulator.url)
    client = LogClient("http://somewhere.test", KEY_ID, SECRET, auth_version="v4", region="cn-hangzhou")
    listed = client.list_shards(PROJECT, LOGSTORE).get_shards_info()
    client._session.close()

    assert [shard["shardID"] for shard in listed] == [0, 1]
