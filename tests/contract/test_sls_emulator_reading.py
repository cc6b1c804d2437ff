"""Reading a shard of the SLS emulator: limits, cursors, retention, quotas, compression, queries."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import lz4.block
import pytest
import zstandard

from sls_siem.emulator.loggroups import LogGroup, decode_group, encode_list, make_group, split_list
from sls_siem.emulator.sls import Settings, SlsEmulator
from tests.contract.sls_support import LOGSTORE, Client, cursor, wait_for

pytestmark = pytest.mark.contract
SHARD = f"/logstores/{LOGSTORE}/shards/0"


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator(shards=2, settings=Settings(verify=False)) as running:
        yield running


@pytest.fixture
def client(emulator: SlsEmulator) -> Iterator[Client]:
    with Client(emulator.port) as made:
        yield made


def groups(count: int, size: int = 10) -> list[bytes]:
    return [make_group([{"n": str(number), "pad": "x" * size}], time=1) for number in range(count)]


def unpack(headers: dict[str, str], body: bytes) -> list[bytes]:
    return split_list(lz4.block.decompress(body, uncompressed_size=int(headers["x-log-bodyrawsize"])))


def test_an_answer_holds_at_most_ten_mebibytes_and_a_thousand_groups(client: Client, emulator: SlsEmulator) -> None:
    large = emulator.store.append(0, groups(12, 1_000_000)).position
    small = emulator.store.append(1, groups(1500)).position
    by_size = client.pull(0, large)[1]
    by_count = client.pull(1, small)[1]

    assert (by_size["x-log-count"], by_size["x-log-cursor"]) == ("10", cursor(large + 10))
    assert int(by_size["x-log-bodyrawsize"]) <= 10 * 1024 * 1024
    assert (by_count["x-log-count"], by_count["x-log-cursor"]) == ("1000", cursor(small + 1000))


def test_a_group_larger_than_an_answer_comes_alone(client: Client, emulator: SlsEmulator) -> None:
    first = emulator.store.append(0, groups(2, 11 * 1024 * 1024)).position
    status, headers, body = client.pull(0, first)

    assert (status, headers["x-log-count"]) == (200, "1")
    assert len(unpack(headers, body)) == 1


def test_the_headers_tell_the_last_group_and_the_end(client: Client, emulator: SlsEmulator) -> None:
    first = emulator.store.append(0, groups(3), received=1_700_000_000.9).position
    part, rest = client.pull(0, first, count=2)[1], client.pull(0, first + 2)[1]

    assert part["x-log-read-last-cursor"] == cursor(first + 1)
    assert (part["x-log-end-of-cursor"], rest["x-log-end-of-cursor"]) == ("0", "1")
    assert part["x-log-cursor-time"] == "1700000000"
    assert len(part["x-log-requestid"]) == 24


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "deflate", "", "gzip, deflate", "br, lz4;q=0.5"])
def test_the_body_is_compressed_as_the_client_accepts(client: Client, emulator: SlsEmulator, encoding: str) -> None:
    first = emulator.store.append(0, groups(5, 500)).position
    query = {"type": "log", "cursor": cursor(first), "count": 9}
    _, headers, body = client.ask("GET", SHARD, query=query, headers={"Accept-Encoding": encoding})
    size = int(headers["x-log-bodyrawsize"])
    expand = {
        "lz4": lambda data: lz4.block.decompress(data, uncompressed_size=size),
        "zstd": zstandard.decompress,
        "deflate": zlib.decompress,
        "": bytes,
    }[headers.get("x-log-compresstype", "")]

    assert split_list(expand(body)) == groups(5, 500)
    assert len(expand(body)) == size


def test_a_compression_that_it_lacks_is_refused(client: Client) -> None:
    status, refused = client.json("GET", SHARD, query={"type": "log"}, headers={"Accept-Encoding": "br"})

    assert (status, refused["errorCode"]) == (400, "InvalidCompressType")


# ---------------------------------------------------------------------------------------------------------- cursors


@pytest.mark.parametrize("text", ["", "x", "MTIz", "YWJj", "MTQ0NzI5OTYwNjg5NjYzMjM1Ng", cursor(2**63 - 1)])
def test_what_is_no_cursor_of_the_shard_is_refused(client: Client, text: str) -> None:
    for query in ({"type": "log", "cursor": text}, {"type": "cursor_time", "cursor": text}):
        status, refused = client.json("GET", SHARD, query=query, headers={"Accept-Encoding": "lz4"})

        assert (status, refused["errorCode"]) == (400, "InvalidCursor")


def test_a_cursor_of_another_shard_or_of_the_logstore_before_is_refused(client: Client, emulator: SlsEmulator) -> None:
    other = client.pull(0, emulator.store.shard(1).base)
    before = emulator.store.shard(0).base
    emulator.create_logstore(emulator.store.project, emulator.store.name, shards=2)
    recreated = client.pull(0, before)

    assert (other[0], recreated[0]) == (400, 400)
    assert b"InvalidCursor" in other[2]
    assert b"InvalidCursor" in recreated[2]


def test_a_child_starts_at_a_begin_of_its_own(client: Client, emulator: SlsEmulator) -> None:
    emulator.store.append(0, groups(7))
    children = emulator.store.split(0)
    bases = [emulator.store.shard(number).base for number in (0, 1, *children)]

    assert len(set(bases)) == 4
    assert all(base > 2**53 for base in bases)
    assert [client.pull(child, emulator.store.shard(child).begin)[1]["x-log-count"] for child in children] == ["0", "0"]


# -------------------------------------------------------------------------------------------------------- retention


def test_a_cursor_that_retention_passed_is_invalid_or_served_from_the_begin(
    client: Client, emulator: SlsEmulator
) -> None:
    first = emulator.store.append(0, groups(10)).position
    removed = emulator.store.trim(0, before=first + 4)
    refused = client.pull(0, first + 3)
    emulator.settings.expired_cursor = "begin"
    _, headers, body = client.pull(0, first + 3)
    begin = client.json("GET", SHARD, query={"type": "cursor", "from": "begin"})

    assert removed == 4
    assert (refused[0], b"InvalidCursor" in refused[2]) == (400, True)
    assert (headers["x-log-count"], headers["x-log-cursor"]) == ("6", cursor(first + 10))
    assert unpack(headers, body) == groups(10)[4:]
    assert begin == (200, {"cursor": cursor(first + 4)})


def test_retention_removes_what_is_older_than_the_logstore_keeps(emulator: SlsEmulator) -> None:
    first = emulator.store.append(0, groups(3)).position
    emulator.clock.advance(29 * 86_400)
    emulator.store.append(0, groups(2))
    early = emulator.store.apply_retention()
    emulator.clock.advance(2 * 86_400)
    late = emulator.store.apply_retention()
    stored = [(group.position - first, group.trimmed) for group in emulator.store.stored(0)]

    assert (early, late) == (0, 3)
    assert stored == [(0, True), (1, True), (2, True), (3, False), (4, False)]


def test_a_store_that_forgets_what_was_trimmed_still_tells_where_it_was(emulator: SlsEmulator) -> None:
    store = emulator.create_logstore("p", "forgetful", keep_trimmed=False)
    first = store.append(0, groups(3)).position
    store.trim(0, before=first + 2)

    assert [(group.trimmed, group.data) for group in store.stored()] == [
        (True, b""),
        (True, b""),
        (False, groups(3)[2]),
    ]


# ----------------------------------------------------------------------------------------------------------- quotas


def test_pulls_beyond_the_shard_s_reads_per_second_are_refused(client: Client, emulator: SlsEmulator) -> None:
    emulator.settings.reads_per_s = 3
    begin = emulator.store.shard(0).begin
    answers = [client.pull(0, begin) for _ in range(5)]
    elsewhere = client.pull(1, emulator.store.shard(1).begin)
    emulator.clock.advance(1)

    assert [status for status, _, _ in answers] == [200, 200, 200, 403, 403]
    assert b"ReadQuotaExceed" in answers[-1][2]
    assert (elsewhere[0], client.pull(0, begin)[0]) == (200, 200)


def test_pulls_beyond_the_shard_s_bytes_per_second_are_refused(client: Client, emulator: SlsEmulator) -> None:
    emulator.settings.read_bytes_per_s = 1_000_000
    first = emulator.store.append(0, groups(3, 1_500_000)).position
    answers = [client.pull(0, first, count=1) for _ in range(2)]
    emulator.clock.advance(0.6)

    assert [status for status, _, _ in answers] == [200, 403]
    assert b"ShardReadQuotaExceed" in answers[1][2]
    assert client.pull(0, first, count=1)[0] == 200


# ---------------------------------------------------------------------------------------------------------- queries


def filtered(client: Client, first: int, query: str) -> tuple[dict[str, str], list[LogGroup]]:
    status, headers, body = client.pull(0, first, query=query, pullMode="scan_on_stream")
    assert status == 200, body
    return headers, [decode_group(data) for data in unpack(headers, body)] if body else []


def test_a_query_regroups_neighbours_with_the_same_metadata(client: Client, emulator: SlsEmulator) -> None:
    topics = ["a", "a", "b", "a"]
    made = [make_group([{"n": str(n)}, {"n": "no"}], time=1, topic=topic) for n, topic in enumerate(topics)]
    first = emulator.store.append(0, made).position
    headers, kept = filtered(client, first, "* | where n in ('0', '1', '2', '3')")

    assert [(group.topic, [dict(log.contents)[b"n"] for log in group.logs]) for group in kept] == [
        (b"a", [b"0", b"1"]),
        (b"b", [b"2"]),
        (b"a", [b"3"]),
    ]
    assert {name: headers[f"x-log-{name}"] for name in ("count", "rawdatacount", "rawdatalines", "resultlines")} == {
        "count": "3",
        "rawdatacount": "4",
        "rawdatalines": "8",
        "resultlines": "4",
    }
    assert headers["x-log-cursor"] == cursor(first + 4)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("*", ["0", "1", "2"]),
        ("  * | WHERE \"n\" = '1'  ", ["1"]),
        ("* | where quote = 'it''s'", ["2"]),
        ("* | where __source__ = '10.0.0.1' and __tag__:env in ('prod')", ["0", "1", "2"]),
        ("* | where missing = ''", []),
    ],
)
def test_the_subset_of_spl(client: Client, emulator: SlsEmulator, query: str, expected: list[str]) -> None:
    logs = [{"n": str(number), "quote": "it's" if number == 2 else ""} for number in range(3)]
    first = emulator.store.append(0, [make_group(logs, time=1, tags={"env": "prod"})]).position
    _, kept = filtered(client, first, query)

    assert [dict(log.contents)[b"n"].decode() for group in kept for log in group.logs] == expected


@pytest.mark.parametrize(
    "query",
    [
        {"query": "level = 'x'", "pullMode": "scan_on_stream"},
        {"query": "* | where a = 1", "pullMode": "scan_on_stream"},
        {"query": "* | where a = 'x' or b = 'y'", "pullMode": "scan_on_stream"},
        {"query": "* | project a", "pullMode": "scan_on_stream"},
        {"query": "* | where", "pullMode": "scan_on_stream"},
        {"query": "*"},
        {"processor": "unknown"},
        {"processor": "x", "query": "*", "pullMode": "scan_on_stream"},
        {"count": "0"},
        {"count": "1001"},
        {"count": "many"},
    ],
)
def test_what_the_service_does_not_know_is_refused(
    client: Client, emulator: SlsEmulator, query: dict[str, str]
) -> None:
    status, _, body = client.pull(0, emulator.store.shard(0).begin, **query)

    assert status == 400
    assert b"ParameterInvalid" in body


def test_preloaded_groups_repeat_with_rising_positions(client: Client, emulator: SlsEmulator) -> None:
    first = emulator.store.preload(0, groups(4), repeat=3).position
    position, seen = first, []
    while True:
        _, headers, body = client.pull(0, position, count=3)
        if headers["x-log-count"] == "0":
            break
        seen += unpack(headers, body)
        position += int(headers["x-log-count"])

    assert seen == groups(4) * 3
    assert position == emulator.store.shard(0).end == first + 12
    with pytest.raises(ValueError, match="repeats"):
        emulator.store.append(0, groups(1))


def test_an_answer_of_groups_that_appear_at_a_pace_goes_on_where_they_begin_again(
    client: Client, emulator: SlsEmulator
) -> None:
    first = emulator.store.preload(0, groups(4), repeat=3, mb_per_s=1000.0).position
    shard = emulator.store.shard(0)
    wait_for(lambda: shard.end == first + 12, what="the last group")
    _, headers, body = client.pull(0, first + 3)

    assert groups(4)[3:] + groups(4) == unpack(headers, body)
    _, headers, body = client.pull(0, first + 7, count=3)
    assert groups(4)[3:] + groups(4)[:2] == unpack(headers, body)
    assert shard.raw_bytes == 3 * len(encode_list(groups(4)))


def test_every_pull_is_on_record(client: Client, emulator: SlsEmulator) -> None:
    first = emulator.store.append(0, groups(4)).position
    client.pull(0, first, count=3)
    pull = emulator.history.pulls[-1]

    assert (pull.shard, pull.position, pull.next_position, pull.groups) == (0, first, first + 3, 3)
