"""The compiled codec writes what the reference writes, byte for byte, for any settings and any logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, SyslogSettings, wire
from sls_siem.codec.model import Batch
from sls_siem.errors import CodecError
from tests.unit.codec.building import wire as written
from tests.unit.codec_native.compare import assert_same, both, group_lists, library, settings

limits = st.one_of(st.none(), st.integers(0, 9))
HEC = EncoderSettings("hec", "project", "store", batch_bytes=300)
TCP = EncoderSettings("syslog", "project", "store", batch_bytes=300, syslog=SyslogSettings(framing="lf", max_bytes=480))


def batch_of(body: bytes, groups: int, *, regrouped: bool = False, skip: int = 0, limit=None) -> Batch:
    return Batch(7, 1700000000000000000, 1700000000000000000 + groups, groups, body, regrouped, skip, limit)


@pytest.fixture(autouse=True)
def _library():
    library()


@with_settings(max_examples=300)
@given(settings, group_lists, st.booleans(), st.integers(0, 6), limits)
def test_any_batch_with_any_settings(chosen, built, regrouped, skip, limit):
    assert_same(chosen, batch_of(written(built), len(built), regrouped=regrouped, skip=skip, limit=limit))


@given(st.sampled_from([HEC, TCP]), group_lists, st.data())
@with_settings(max_examples=300)
def test_damaged_bytes_end_in_the_same_error_after_the_same_events(chosen, built, data):
    body = bytearray(written(built))
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    announced = data.draw(st.sampled_from([len(built), len(built), len(built) + 1]))

    assert_same(chosen, batch_of(cut, announced, regrouped=data.draw(st.booleans()), limit=data.draw(limits)))


_pieces = st.one_of(
    st.sampled_from(
        [b"\x0a", b"\x12", b"\x08", b"\x1a", b"\x22", b"\x32", b"\x25\x01\x02\x03\x04", b"\x0a\x01k", b"\x80"]
    ),
    st.sampled_from([b"\x13", b"\x14", b"\x0b", b"\x7b\x7c", b"\x79", b"\x2a\x01x", b"\x00", b"\xff" * 9 + b"\x01"]),
    st.binary(max_size=6),
)
_junk = st.lists(_pieces, max_size=8).map(b"".join)


def field(tag: bytes, inside: bytes) -> bytes:
    assert len(inside) < 1 << 14
    size = len(inside)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return tag + length + inside


_contents = st.tuples(_junk, _junk, _junk).map(
    lambda parts: field(b"\x12", field(b"\x0a", parts[0]) + field(b"\x12", parts[1]) + parts[2])
)
_fields = st.one_of(_contents, _contents, _junk, st.just(b"\x08\x05"), st.just(b"\x25\x01\x00\x00\x00"))
_logs = st.lists(_fields, max_size=4).map(lambda parts: field(b"\x0a", b"".join(parts)))
_rest = st.one_of(_junk, st.sampled_from([b"\x1a\x01t", b"\x22\x01s", b"\x32\x05\x0a\x01k\x12\x00"]))
_groups = st.lists(st.one_of(_logs, _logs, _rest), max_size=5).map(
    lambda parts: field(b"\x0a", b"".join(parts)[:16000])
)
_lists = st.lists(st.one_of(_groups, _groups, _junk), max_size=4).map(b"".join)


@with_settings(max_examples=400)
@given(_lists, st.booleans(), limits)
def test_bytes_that_are_almost_a_list_are_read_alike(body, regrouped, limit):
    reference, compiled = both(HEC)
    groups = body.count(b"\x0a") % 4
    assert_same(HEC, batch_of(body, groups, regrouped=True, limit=limit))
    assert_same(HEC, batch_of(body, groups, regrouped=regrouped, limit=limit))

    for ordinal in range(4):
        batch = batch_of(body, groups, regrouped=regrouped)
        assert named(reference, batch, ordinal) == named(compiled, batch, ordinal)


@given(group_lists, st.booleans())
def test_events_have_the_same_names(built, regrouped):
    reference, compiled = both(HEC)
    batch = batch_of(written(built), len(built), regrouped=regrouped)

    for ordinal in range(sum(len(one.logs) for one in built) + 1):
        assert named(reference, batch, ordinal) == named(compiled, batch, ordinal)


def named(encoder, batch, ordinal):
    try:
        return encoder.event_id(batch, ordinal)
    except CodecError as exc:
        return str(exc), exc.group_index
    except IndexError as exc:
        return str(exc)


@given(st.one_of(group_lists.map(written), _lists))
def test_events_are_counted_alike(body):
    for expected, actual in (
        (wire.group_sizes, library().group_sizes),
        (wire.count_events, library().count_events),
    ):
        assert counted(expected, body) == counted(actual, body)


def counted(count, body):
    try:
        return count(body)
    except CodecError as exc:
        return str(exc), exc.group_index


@given(settings, group_lists)
def test_payloads_are_cut_back_alike(chosen, built):
    reference, compiled = both(chosen)
    for found in assert_same(chosen, batch_of(written(built), len(built))):
        data = getattr(found, "data", b"")

        assert reference.split(data) == compiled.split(data)
