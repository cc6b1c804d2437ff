"""Consumer groups of the SLS emulator: who gets which shard, who may save, and what retention and quotas refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Settings, SlsEmulator
from sls_siem.emulator.sls.balance import balance
from tests.contract.sls_support import LOGSTORE, Client, cursor

pytestmark = pytest.mark.contract
LS = f"/logstores/{LOGSTORE}"


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator(shards=4, settings=Settings(verify=False)) as running:
        yield running


@pytest.fixture
def client(emulator: SlsEmulator) -> Iterator[Client]:
    with Client(emulator.port) as made:
        made.create_group()
        yield made


# ------------------------------------------------------------------------------------------------------- assignment

SHARDS = st.lists(st.integers(0, 30), unique=True)
NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(SHARDS, NAMES, st.dictionaries(st.integers(0, 30), st.sampled_from("abcdefgh")))
def test_shards_are_shared_evenly_and_no_more_move_than_must(
    shards: list[int], consumers: list[str], holders: dict[int, str]
) -> None:
    target = balance(shards, consumers, holders)
    loads = [sum(name == consumer for name in target.values()) for consumer in consumers]
    held = [sum(holders.get(shard) == consumer for shard in shards) for consumer in consumers]
    kept = sum(holders.get(shard) == name for shard, name in target.items())
    share, odd = divmod(len(shards), max(1, len(consumers)))
    quotas = [share + (place < odd) for place in range(len(consumers))]

    assert set(target) == (set(shards) if consumers else set())
    assert max(loads, default=0) - min(loads, default=0) <= 1
    assert kept == sum(min(has, quota) for has, quota in zip(sorted(held, reverse=True), quotas))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=60), st.integers(1, 7))
def test_no_shard_is_ever_given_to_two_consumers(beats: list[tuple[str, bool, bool]], shards: int) -> None:
    emulator = SlsEmulator(shards=shards)
    group = emulator.store.create_group("group", timeout_s=40, in_order=False, quota=30)
    works_on: dict[str, set[int]] = {"a": set(), "b": set(), "c": set()}
    wanted: dict[str, set[int]] = {"a": set(), "b": set(), "c": set()}
    for name, finished, forgetful in beats:
        if finished:
            works_on[name] &= wanted[name]
        if forgetful:
            works_on[name] = set()
        wanted[name] = set(group.heartbeat(name, sorted(works_on[name]), emulator.store.shards()))
        works_on[name] |= wanted[name]
        everything = sorted(shard for held in works_on.values() for shard in held)

        assert everything == sorted(set(everything))


@given(st.integers(1, 9), st.lists(st.sampled_from("abcdefghijk"), min_size=1, unique=True))
def test_after_enough_heartbeats_every_shard_has_one_consumer(shards: int, names: list[str]) -> None:
    emulator = SlsEmulator(shards=shards)
    group = emulator.store.create_group("group", timeout_s=40, in_order=False, quota=30)
    held: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(4):
        for name in names:
            held[name] = group.heartbeat(name, held[name], emulator.store.shards())

    assert sorted(shard for shards_held in held.values() for shard in shards_held) == list(range(shards))
    assert max(map(len, held.values())) - min(map(len, held.values())) <= 1


def test_a_shard_stays_with_who_reports_it_until_left_out(client: Client) -> None:
    assert client.heartbeat("a", []) == (200, [0, 1, 2, 3])
    assert client.heartbeat("b", []) == (200, [])
    assert client.heartbeat("a", [0, 1, 2, 3]) == (200, [0, 1])
    assert client.heartbeat("b", []) == (200, [])
    assert client.heartbeat("a", [0, 1, 3]) == (200, [0, 1])
    assert client.heartbeat("b", []) == (200, [2])
    assert client.heartbeat("a", [0, 1]) == (200, [0, 1])
    assert client.heartbeat("b", [2]) == (200, [2, 3])


def test_a_consumer_beyond_the_number_of_shards_gets_none(client: Client) -> None:
    for name in "abcd":
        client.heartbeat(name, [])
    client.heartbeat("a", [0])

    assert client.heartbeat("e", []) == (200, [])


def test_a_silent_consumer_loses_its_shards_and_is_told_so(client: Client, emulator: SlsEmulator) -> None:
    client.heartbeat("a", [])
    emulator.clock.advance(39)
    client.heartbeat("b", [])
    early = client.heartbeat("b", [])
    emulator.clock.advance(2)
    late = client.heartbeat("b", [])
    status, refused = client.heartbeat("a", [0, 1, 2, 3])

    assert early == (200, [])
    assert late == (200, [0, 1, 2, 3])
    assert (status, refused["errorCode"]) == (400, "NotExistConsumerWithBody")
    assert client.heartbeat("a", []) == (200, [])
    assert emulator.history.heartbeats[-2].refused == "NotExistConsumerWithBody"


def test_a_read_only_shard_is_done_when_its_checkpoint_is_at_its_end(client: Client, emulator: SlsEmulator) -> None:
    emulator.store.append(0, [make_group([{}], time=1)] * 3)
    emulator.store.split(0)
    parent = emulator.store.shard(0)
    before = client.heartbeat("a", [])
    client.save("a", 0, cursor(parent.end - 1))
    almost = client.heartbeat("a", [0, 1, 2, 3, 4, 5])
    client.save("a", 0, cursor(parent.end))

    assert before == almost == (200, [0, 1, 2, 3, 4, 5])
    assert client.heartbeat("a", [0, 1, 2, 3, 4, 5]) == (200, [1, 2, 3, 4, 5])


def test_in_order_the_child_of_a_merge_waits_for_both_parents(client: Client, emulator: SlsEmulator) -> None:
    client.create_group("ordered", order=True)
    child = emulator.store.merge(0)
    answers = [client.heartbeat("a", [], "ordered")[1]]
    for parent in (0, 1):
        emulator.store.set_checkpoint("ordered", parent, cursor(emulator.store.shard(parent).end))
        answers.append(client.heartbeat("a", [], "ordered")[1])

    assert answers == [[0, 1, 2, 3], [1, 2, 3], [2, 3, child]]


def test_a_removed_shard_is_nobodys(client: Client, emulator: SlsEmulator) -> None:
    client.heartbeat("a", [])
    emulator.store.remove_shard(2)

    assert client.heartbeat("a", [0, 1, 2, 3]) == (200, [0, 1, 3])
    assert client.save("a", 2, cursor(1))[1]["errorCode"] == "ShardNotExist"


# ------------------------------------------------------------------------------------------------------ checkpoints


def test_only_the_owner_saves_unless_forced(client: Client, emulator: SlsEmulator) -> None:
    client.heartbeat("a", [])
    client.heartbeat("b", [])
    saved = cursor(emulator.store.shard(0).begin)
    answers = [
        client.save("a", 0, saved),
        client.save("a", 0, saved, forced=False),
        client.save("b", 0, saved, forced=False),
        client.save("stranger", 0, saved),
        client.save("stranger", 0, saved, forced=True),
    ]
    codes = [(status, (body or {}).get("errorCode", "")) for status, body in answers]

    assert codes == [(200, ""), (200, ""), (400, "ConsumerNotMatch"), (404, "ConsumerNotExist"), (200, "")]
    assert [(s.consumer, s.owner, s.forced, s.refused) for s in emulator.history.saves] == [
        ("a", "a", False, ""),
        ("a", "a", False, ""),
        ("b", "a", False, "ConsumerNotMatch"),
        ("stranger", "a", False, "ConsumerNotExist"),
        ("stranger", "a", True, ""),
    ]


def test_who_has_left_a_shard_out_may_not_save_it_any_more(client: Client, emulator: SlsEmulator) -> None:
    saved = cursor(emulator.store.shard(3).begin)
    client.heartbeat("a", [])
    client.heartbeat("b", [])
    client.heartbeat("a", [0, 1, 2, 3])
    leaving = client.save("a", 3, saved)
    client.heartbeat("a", [0, 1])
    left = client.save("a", 3, saved)

    assert leaving[0] == 200
    assert left[1]["errorCode"] == "ConsumerNotMatch"


@pytest.mark.parametrize("text", ["", "garbage", "Z2FyYmFnZQ==", cursor(5), cursor(2**62)])
def test_a_checkpoint_that_is_no_cursor_of_the_shard_is_refused(
    client: Client, emulator: SlsEmulator, text: str
) -> None:
    status, refused = client.save("a", 0, text, forced=True)

    assert (status, refused["errorCode"]) == (400, "InvalidShardCheckPoint")
    assert emulator.store.group("group").checkpoint(0).cursor == ""
    assert emulator.history.saves[-1].refused == "InvalidShardCheckPoint"


def test_a_save_records_what_was_there_before(client: Client, emulator: SlsEmulator) -> None:
    emulator.store.append(0, [make_group([{}], time=1)] * 9)
    begin = emulator.store.shard(0).begin
    client.heartbeat("a", [])
    for position in (begin + 3, begin + 2):
        client.save("a", 0, cursor(position))

    assert [(save.old, save.new) for save in emulator.history.saves] == [
        (None, begin + 3),
        (begin + 3, begin + 2),
    ]


def test_a_group_that_does_not_exist_is_named(client: Client) -> None:
    answers = [
        client.heartbeat("a", [], "nobody"),
        client.save("a", 0, cursor(1), group="nobody"),
        client.json("GET", f"{LS}/consumergroups/nobody"),
        client.json("PUT", f"{LS}/consumergroups/nobody", body={"timeout": 3}),
        client.json("DELETE", f"{LS}/consumergroups/nobody"),
    ]

    assert [(status, body["errorCode"]) for status, body in answers] == [(404, "ConsumerGroupNotExist")] * 5


def test_the_quota_of_consumer_groups_is_kept(client: Client, emulator: SlsEmulator) -> None:
    emulator.settings.max_consumer_groups = 3
    answers = [client.create_group(f"more-{number}") for number in range(3)]

    assert [status for status, _ in answers] == [200, 200, 403]
    assert answers[-1][1]["errorCode"] == "ConsumerGroupQuotaExceed"


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("POST", "/consumergroups/group", {"type": "heartbeat", "consumer": "a"}, "text"),
        ("POST", "/consumergroups/group", {"type": "heartbeat", "consumer": "a"}, ["0"]),
        ("POST", "/consumergroups/group", {"type": "heartbeat"}, []),
        ("POST", "/consumergroups", None, {"timeout": 40}),
        ("POST", "/consumergroups", None, {"consumerGroup": "x", "timeout": 0}),
        ("PUT", "/consumergroups/group", None, [1]),
        ("GET", "/shards/0", {"type": "cursor", "from": "yesterday"}, None),
        ("POST", "/shards/0", {"action": "split", "key": "no hex"}, None),
        ("POST", "/shards/3", {"action": "merge"}, None),
    ],
)
def test_a_malformed_call_is_refused(client: Client, method: str, path: str, query: object, body: object) -> None:
    status, refused = client.json(method, LS + path, query=query, body=body)

    assert (status, refused["errorCode"]) == (400, "ParameterInvalid")
