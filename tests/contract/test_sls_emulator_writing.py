"""What the SLS emulator stores is what was put, and it stores nothing that is no log group."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import lz4.block
import pytest
import zstandard
from aliyun.log.proto import LogGroupListRaw
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import (
    Log,
    LogGroup,
    count_logs,
    decode_group,
    encode_group,
    encode_list,
    join_group,
    make_group,
    split_group,
    split_list,
)
from sls_siem.emulator.sls import Settings, SlsEmulator
from tests.contract.sls_support import LOGSTORE, Client

pytestmark = pytest.mark.contract
PUT = f"/logstores/{LOGSTORE}/shards/lb"
GROUP = make_group([{"a": "1"}, {"b": "2"}], time=1)


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator(settings=Settings(verify=False)) as running:
        yield running


def put(emulator: SlsEmulator, body: bytes, *, path: str = PUT, **headers: str) -> tuple[int, str]:
    wire = {"x-log-" + name: value for name, value in headers.items()}
    with Client(emulator.port) as client:
        client._connection.request("POST", path, body, {"Host": "emulated-project.x.test", **wire})
        answer = client._connection.getresponse()
        data = answer.read().decode()
    return answer.status, data.split('"')[3] if data else ""


@pytest.mark.parametrize(
    ("codec", "compress"),
    [
        ("lz4", lambda raw: lz4.block.compress(raw, store_size=False)),
        ("zstd", zstandard.compress),
        ("deflate", zlib.compress),
        ("", bytes),
    ],
)
def test_a_group_is_stored_however_it_was_compressed(emulator: SlsEmulator, codec: str, compress: object) -> None:
    answer = put(emulator, compress(GROUP), bodyrawsize=str(len(GROUP)), compresstype=codec)

    assert answer == (200, "")
    assert [stored.data for stored in emulator.store.stored()] == [GROUP]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (GROUP, {}, (400, "MissingBodyRawSize")),
        (GROUP, {"bodyrawsize": "1"}, (400, "InvalidBodyRawSize")),
        (GROUP, {"bodyrawsize": "9", "compresstype": "rar"}, (400, "InvalidCompressType")),
        (b"\xff" * 9, {"bodyrawsize": "90", "compresstype": "lz4"}, (400, "PostBodyInvalid")),
        (b"\xff" * 9, {"bodyrawsize": "90", "compresstype": "zstd"}, (400, "PostBodyInvalid")),
        (b"\xff" * 9, {"bodyrawsize": "90", "compresstype": "deflate"}, (400, "PostBodyInvalid")),
        (b"\xff" * 9, {"bodyrawsize": "9"}, (400, "PostBodyInvalid")),
        (b"\x0a\x02\x12\x00", {"bodyrawsize": "4"}, (400, "PostBodyInvalid")),  # a log without time
        (b"\x0a\x04\x08\x01\x12\x00", {"bodyrawsize": "6"}, (400, "PostBodyInvalid")),  # a content without key
        (b"\x08\x01", {"bodyrawsize": "2"}, (400, "PostBodyInvalid")),  # a number where a log belongs
        (b"\x0b\x01", {"bodyrawsize": "2"}, (400, "PostBodyInvalid")),  # a wire type that is none
        (b"\x0a\x80", {"bodyrawsize": "2"}, (400, "PostBodyInvalid")),  # a length that does not end
    ],
)
def test_what_is_no_group_is_refused(
    emulator: SlsEmulator, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert put(emulator, body, **headers) == expected
    assert list(emulator.store.stored()) == []


def test_a_hash_key_has_to_be_one(emulator: SlsEmulator) -> None:
    path = f"/logstores/{LOGSTORE}/shards/route?key=nope"

    assert put(emulator, GROUP, path=path, bodyrawsize=str(len(GROUP))) == (400, "ParameterInvalid")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("DELETE", f"/logstores/{LOGSTORE}"),
        ("GET", f"/logstores/{LOGSTORE}/shards/0"),
        ("PUT", "/logstores"),
    ],
)
def test_an_unknown_call_is_named(emulator: SlsEmulator, method: str, path: str) -> None:
    with Client(emulator.port) as client:
        status, refused = client.json(method, path)

    assert (status, refused["errorCode"]) == (404, "NotFound")
    assert path in refused["errorMessage"]


# ------------------------------------------------------------------------------------------------------ wire format

BYTES = st.binary(max_size=200)
WORDS = st.text(max_size=20).map(str.encode)
PAIRS = st.lists(st.tuples(WORDS, BYTES), max_size=4).map(tuple)
LOGS = st.builds(Log, st.integers(0, 2**32 - 1), PAIRS, st.none() | st.integers(0, 2**32 - 1))
TEXT = st.none() | st.text(max_size=300).map(str.encode)
TAGS = st.lists(st.tuples(WORDS, WORDS), max_size=3)
GROUPS = st.builds(LogGroup, st.lists(LOGS, max_size=4).map(tuple), TEXT, TEXT, TAGS.map(tuple), TEXT)


@given(st.lists(GROUPS, max_size=4))
def test_groups_are_read_by_the_sdk_s_protobuf_as_they_were_meant(groups: list[LogGroup]) -> None:
    wire = encode_list(encode_group(group) for group in groups)
    read = LogGroupListRaw.FromString(wire)

    assert [decode_group(data) for data in split_list(wire)] == groups
    assert [_meaning(group) for group in read.LogGroups] == groups


def _meaning(group: Any) -> LogGroup:
    """Turn the SDK's message into ours."""
    logs = tuple(
        Log(
            log.Time,
            tuple((pair.Key.encode(), pair.Value) for pair in log.Contents),
            log.Time_ns if log.HasField("Time_ns") else None,
        )
        for log in group.Logs
    )
    texts = {
        name: getattr(group, name).encode() if group.HasField(name) else None
        for name in ("Topic", "Source", "MachineUUID")
    }
    tags = tuple((tag.Key.encode(), tag.Value.encode()) for tag in group.LogTags)
    return LogGroup(logs, texts["Topic"], texts["Source"], tags, texts["MachineUUID"])


@given(GROUPS)
def test_a_group_cut_into_its_parts_and_joined_is_the_same(group: LogGroup) -> None:
    wire = encode_group(group)
    logs, metadata = split_group(wire)

    assert join_group(logs, metadata) == wire
    assert count_logs(wire) == len(logs) == len(group.logs)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="no profile 'apache', there are actiontrail, hostile, nginx, waf"):
        LogSource("apache")


@pytest.mark.parametrize("profile", ["nginx", "actiontrail", "waf", "hostile"])
def test_logs_follow_from_profile_seed_and_number(profile: str) -> None:
    one, same, other = LogSource(profile, 1), LogSource(profile, 1), LogSource(profile, 2)
    seqs = range(0, 3000, 7)

    assert [one.log(seq, 5) for seq in seqs] == [same.log(seq, 5) for seq in reversed(seqs)][::-1]
    assert [one.log(seq, 5) for seq in seqs] != [other.log(seq, 5) for seq in seqs]
    assert [dict(one.log(seq, 5).contents)[b"seq"] for seq in seqs] == [b"%d" % seq for seq in seqs]


@pytest.mark.parametrize(("profile", "size"), [("nginx", 570), ("actiontrail", 1400), ("waf", 4000)])
def test_logs_have_the_size_that_their_profile_promises(profile: str, size: int) -> None:
    source = LogSource(profile)
    average = sum(len(source.encoded_log(seq, 1_700_000_000)) for seq in range(500)) / 500

    assert average == pytest.approx(size, rel=0.05)
