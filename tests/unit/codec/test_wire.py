"""The walk gives what protobuf's own library was given, and refuses what it cannot walk."""

from __future__ import annotations

import pytest
from aliyun.log.log_logs_raw_pb2 import LogGroupListRaw
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, count_events, group_sizes, make_encoder
from sls_siem.codec import wire as wire_of_the_reference
from sls_siem.codec.fastwalk import LogReader
from sls_siem.codec.model import Batch
from sls_siem.codec.wire import Log, WireError, walk_group, walk_list, walk_log
from sls_siem.errors import CodecError
from tests.unit.codec.building import G, L, batches, group, group_list, log, wire
from tests.unit.codec.schema import LogGroupList
from tests.unit.codec_native.compare import library

HEC = EncoderSettings("hec", "project", "store")


def read(body: bytes, reader=walk_log) -> list[G]:
    found = []
    for start, end in walk_list(body):
        meta, bounds = walk_group(body, start, end)
        places = iter(bounds)
        walked = [reader(body, first, last) for first, last in zip(places, places)]
        logs = tuple(L(one.time, one.ns, tuple(zip(one.keys, one.values))) for one in walked)
        found.append(G(logs, meta.topic, meta.source, meta.tags))
    return found


@given(batches)
def test_walk_finds_what_protobuf_wrote(built):
    found = read(wire(built))

    assert found == built


def test_walk_finds_what_the_sdk_wrote():
    sent = LogGroupListRaw()
    built = sent.LogGroups.add(Topic="topic", Source="source", Reserved="r", MachineUUID="m")
    built.LogTags.add(Key="k", Value="v")
    entry = built.Logs.add(Time=5, Time_ns=6)
    entry.Contents.add(Key="a", Value=b"\xff")

    assert read(sent.SerializeToString()) == [
        group(log((b"a", b"\xff"), time=5, ns=6), topic=b"topic", source=b"source", tags=[(b"k", b"v")])
    ]


@given(batches)
def test_counts_are_those_of_the_groups(built):
    body = wire(built)

    assert group_sizes(body) == [len(one.logs) for one in built]
    assert count_events(body) == sum(len(one.logs) for one in built)


@given(batches, st.data())
def test_walk_of_damaged_bytes_ends_in_a_typed_error_or_agrees_with_protobuf(built, data):
    body = bytearray(wire(built))
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body[: data.draw(st.integers(0, len(body)))])

    try:
        found = read(damaged)
    except (CodecError, WireError):
        return

    oracle = LogGroupList()
    try:
        oracle.ParseFromString(damaged)
    except DecodeError:
        return  # A required field is missing, which the walk forgives; nothing to compare with.
    assert [
        ([(entry.Time, [(c.Key, c.Value) for c in entry.Contents]) for entry in one.Logs], one.Topic, one.Source)
        for one in oracle.LogGroups
    ] == [
        ([(entry.time, list(entry.contents)) for entry in one.logs], one.topic or b"", one.source or b"")
        for one in found
    ]


@given(st.binary(max_size=60))
def test_arbitrary_bytes_never_end_in_an_untyped_error(junk):
    for body in (junk, bytes([0x0A, len(junk)]) + junk, b"\x0a" + bytes([len(junk) + 2, 0x0A, len(junk)]) + junk):
        try:
            logs = [one for found in read(body) for one in found.logs]
            list(make_encoder(HEC).encode(Batch(0, 0, 1, 1, body, regrouped=True)))
        except (CodecError, WireError):
            continue
        assert count_events(body) == len(logs)


def as_list(inside_group: bytes) -> bytes:
    return b"\x0a" + bytes([len(inside_group)]) + inside_group


GOOD = as_list(b"\x0a\x02\x08\x01")

MALFORMED_LOGS = {
    "time cut off": b"\x08\x80",
    "time of more than 64 bits": b"\x08" + b"\xff" * 9 + b"\x02",
    "time of eleven bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "time with wire type 5": b"\x0d\x00\x00\x00\x00",
    "nanoseconds with wire type 0": b"\x20\x01",
    "nanoseconds cut off": b"\x25\x00\x00",
    "content with wire type 0": b"\x10\x01",
    "content beyond the end": b"\x12\x05\x0a\x01",
    "key beyond its content": b"\x12\x02\x0a\x05",
    "key with wire type 0": b"\x12\x02\x08\x01",
    "value with wire type 1": b"\x12\x09\x11" + b"\x00" * 8,
    "unknown field cut off": b"\x79\x00",
    "field number 0": b"\x00\x00",
    "wire type 6": b"\x7e",
    "wire type 7": b"\x7f",
    "group not closed": b"\x7b\x08\x01",
    "group closed as another": b"\x7b\x84\x01",
    "group closed that is not open": b"\x7c",
    "groups nested without end": b"\x7b" * 110,
}


@pytest.mark.parametrize("inside", MALFORMED_LOGS.values(), ids=MALFORMED_LOGS)
def test_a_malformed_log_is_an_error_of_its_group_after_the_groups_before_it(inside):
    bad = as_list(b"\x0a" + bytes([len(inside)]) + inside)
    whole = as_list(b"\x0a\x02\x08\x02" + b"\x0a\x02\x08\x03")
    encoded = []

    with pytest.raises(CodecError) as caught:
        for payload in make_encoder(HEC).encode(Batch(0, 7, 10, 3, GOOD + bad + whole)):
            encoded.append(payload)

    assert caught.value.group_index == 1
    assert [payload.data for payload in encoded] == [
        b'{"time":1,"sourcetype":"aliyun:sls","event":{"__time__":1},"fields":{"sls_id":"0-7-0"}}'
    ]


MALFORMED_GROUPS = {
    "log with wire type 0": b"\x08\x01",
    "topic with wire type 0": b"\x18\x01",
    "source with wire type 5": b"\x25\x00\x00\x00\x00",
    "tag with wire type 0": b"\x30\x01",
    "topic beyond the end": b"\x1a\x7f",
    "log beyond the end": b"\x0a\x05\x08\x01",
    "tag whose key is beyond its end": b"\x32\x02\x0a\x09",
    "length cut off": b"\x0a\x80",
    "tag of more than 32 bits": b"\xff\xff\xff\xff\xff\xff\x01\x00",
}


@pytest.mark.parametrize("inside", MALFORMED_GROUPS.values(), ids=MALFORMED_GROUPS)
def test_a_malformed_group_is_named_by_its_index(inside):
    body = GOOD + GOOD + as_list(inside)

    with pytest.raises(CodecError) as counted:
        count_events(body)
    with pytest.raises(CodecError) as encoded:
        list(make_encoder(HEC).encode(Batch(0, 0, 3, 3, body)))
    with pytest.raises(CodecError) as named:
        make_encoder(HEC).event_id(Batch(0, 0, 3, 3, body), 2)

    assert [error.value.group_index for error in (counted, encoded, named)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("tail", "index"),
    [(b"\x0a\x7f\x0a", 1), (b"\x0a", 1), (b"\x08\x01", -1), (b"\x80", -1), (b"\x12\x7f", -1), (b"\x00", -1)],
)
def test_a_broken_list_is_reported_after_its_whole_groups(tail, index):
    encoded = []

    with pytest.raises(CodecError) as caught:
        for payload in make_encoder(HEC).encode(Batch(0, 0, 2, 2, GOOD + tail)):
            encoded.append(payload)

    assert caught.value.group_index == index
    assert sum(payload.events for payload in encoded) == 1


def test_a_batch_with_other_groups_than_announced_yields_nothing():
    encoder = make_encoder(HEC)

    with pytest.raises(CodecError, match="holds 2 log groups, not 3"):
        next(encoder.encode(Batch(0, 0, 3, 3, GOOD + GOOD)))


def test_groups_are_not_counted_where_the_service_regroups():
    encoded = list(make_encoder(HEC).encode(Batch(0, 0, 30, 30, GOOD + GOOD, regrouped=True)))

    assert sum(payload.events for payload in encoded) == 2


def test_a_bad_log_at_the_end_of_a_big_group_keeps_the_whole_group_back():
    big = wire([group(*(log((b"k", b"v" * 1000), time=n) for n in range(4000)))])
    inside = big[4:] + b"\x0a\x01\x08"
    size = len(inside)
    body = GOOD + b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    body += inside
    encoded = []

    assert big[:1] == b"\x0a"
    with pytest.raises(CodecError) as caught:
        for payload in make_encoder(HEC).encode(Batch(0, 0, 2, 2, body)):
            encoded.append(payload)

    assert caught.value.group_index == 1
    assert sum(payload.events for payload in encoded) == 1


def test_unknown_fields_are_skipped_wherever_they_are():
    unknown = b"\x78\x01" + b"\x79" + b"\x00" * 8 + b"\x7a\x01x" + b"\x7d" + b"\x00" * 4 + b"\x7b\x78\x01\x7b\x7c\x7c"
    content = b"\x0a\x01k" + unknown + b"\x12\x01v"
    entry = unknown + b"\x08\x05" + unknown + b"\x12" + bytes([len(content)]) + content + unknown
    inside = unknown + b"\x0a" + bytes([len(entry)]) + entry + b"\x12\x01r" + b"\x2a\x01m" + unknown
    body = unknown + b"\x0a" + bytes([len(inside) & 0x7F | 0x80, len(inside) >> 7]) + inside + unknown

    assert read(body) == [group(log((b"k", b"v"), time=5))]


def test_an_absent_time_is_zero_and_an_absent_key_or_value_is_empty():
    entry = b"\x12\x00" + b"\x12\x02\x0a\x00" + b"\x12\x03\x0a\x01k" + b"\x12\x03\x12\x01v"

    assert walk_log(entry, 0, len(entry)) == Log(0, None, (b"", b"", b"k", b""), (b"", b"", b"", b"v"))


def test_the_last_of_a_singular_field_counts():
    entry = b"\x08\x01\x25\x01\x00\x00\x00\x08\x02\x25\x02\x00\x00\x00\x12\x0a\x0a\x01a\x0a\x01b\x12\x00\x12\x00"

    assert walk_log(entry, 0, len(entry)) == Log(2, 2, (b"b",), (b"",))


def test_time_keeps_its_low_32_bits_and_needless_continuation_is_legal():
    entry = b"\x88\x00" + b"\xff" * 9 + b"\x01"

    assert walk_log(entry, 0, len(entry)).time == 2**32 - 1


# --------------------------------------------------------------------------------------------------- the fast walk


@given(batches)
def test_the_fast_walk_reads_the_same(built):
    body = wire(built)
    reader = LogReader()
    for _ in range(4):
        read(body, reader.read)

    assert read(body, reader.read) == built


@given(batches, st.data())
def test_the_fast_walk_treats_damaged_bytes_the_same(built, data):
    body = wire(built)
    reader = LogReader()
    for _ in range(4):
        read(body, reader.read)
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    def outcome(one):
        try:
            return read(bytes(damaged), one)
        except (CodecError, WireError) as exc:
            return str(exc)

    assert outcome(reader.read) == outcome(walk_log)


@pytest.mark.parametrize("size", [0, 1, 100, 120, 127, 128, 16_000, 16_383, 16_384, 300_000, 2_097_152])
def test_the_fast_walk_reads_values_of_any_size(size):
    built = [group(*(log((b"a", b"x" * size), (b"b", b"y"), ns=2**32 - 1) for _ in range(5)))]

    assert read(wire(built), LogReader().read) == built


@pytest.mark.parametrize("size", [0, 127, 128, 4000, 5000, 20_000])
def test_the_fast_walk_reads_keys_of_any_size(size):
    built = [group(*(log((b"a" * size, b"x"), (b"(?%.*", b"y")) for _ in range(5)))]

    assert read(wire(built), LogReader().read) == built


def test_the_fast_walk_reads_logs_of_very_many_keys():
    built = [group(*(log(*((b"%d" % number, b"v") for number in range(300))) for _ in range(5)))]

    assert read(wire(built), LogReader().read) == built


def test_the_fast_walk_follows_logs_that_take_turns():
    kinds = [log((b"a", b"1")), log((b"b", b"2"), (b"c", b"3")), log((b"a", b"1"), ns=5), log()]
    built = [group(*(kinds[n % len(kinds)] for n in range(50)))]

    assert read(wire(built), LogReader().read) == built


def test_the_fast_walk_forgets_shapes_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr("sls_siem.codec.fastwalk._MOST_SHAPES", 3)
    monkeypatch.setattr("sls_siem.codec.fastwalk._MANY", 3)
    reader = LogReader()
    built = [group(*(log((b"k%d" % (n // 20), b"v" * n), time=n) for n in range(400)))]

    assert read(wire(built), reader.read) == built
    assert len(reader._shapes) <= 3
    assert len(reader._seen) <= 5


def test_a_hundred_thousand_tiny_logs_in_a_group_are_walked_and_counted():
    built = [group(*(log(time=1),) * 100_000)]
    body = wire(built)

    assert count_events(body) == 100_000
    assert sum(payload.events for payload in make_encoder(HEC).encode(Batch(0, 0, 1, 1, body))) == 100_000


@pytest.fixture(scope="module", params=["reference", "compiled"])
def count_groups(request):
    """Count as either codec does."""
    return wire_of_the_reference.count_groups if request.param == "reference" else library().count_groups


@given(st.lists(st.sampled_from([0, 1, 2, 3, 5, 127, 128, 16383, 16384, 100_000]), max_size=20))
def test_counts_groups_of_any_size(count_groups, sizes):
    assert count_groups(group_list(*sizes)) == len(sizes)


@pytest.mark.parametrize("size", [2097151, 2097152, 5_000_000])
def test_counts_great_groups(count_groups, size):
    assert count_groups(group_list(3, size, 3)) == 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x10\x05" + group_list(9, 9), 2),  # an unknown field
        (b"\x0a\x89\x80\x80\x80\x00" + bytes(9) + group_list(9), 2),  # needless continuation bytes
        (b"\x0a\xff\xff\xff\xff\x7f" + bytes(9), None),
        (b"\x0a\x09123", None),
        (group_list(9) + b"\x0a", None),
        (b"\xff" * 20, None),
        (b"\x0d1234", None),
    ],
)
def test_counts_what_is_legal_and_nothing_else(count_groups, body, expected):
    assert count_groups(body) == expected
