"""The HEC envelope: members, order, time, templates, ids."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, HecSettings, make_encoder
from sls_siem.errors import ConfigError
from tests.unit.codec.building import batch, batches, encode, group, groups, keys, log, one_piece, pieces, text

HEC = EncoderSettings("hec", "project", "store", hec=HecSettings(source="sls:project/store"))


def test_an_envelope_to_the_byte():
    one = group(
        log((b"status", b"200"), (b"q", b'say "hi"\n'), ns=500_000_000),
        topic=b"nginx",
        source=b"10.0.0.1",
        tags=[(b"__hostname__", b"web-1")],
    )
    settings = replace(HEC, hec=HecSettings(source="sls:project/store", index="main"))

    assert one_piece(settings, one) == (
        b'{"time":1433188255.500000000,"host":"10.0.0.1","source":"sls:project/store","sourcetype":"aliyun:sls",'
        b'"index":"main","event":{"__time__":1433188255,"__time_ns_part__":500000000,"__topic__":"nginx",'
        b'"__source__":"10.0.0.1","__tag__:__hostname__":"web-1","status":"200","q":"say \\"hi\\"\\n"},'
        b'"fields":{"sls_id":"3-1000-0"}}'
    )


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        (HEC, b',"fields":{"sls_id":"3-1000-0"}}'),
        (replace(HEC, replay=True), b',"fields":{"sls_id":"3-1000-0","sls_replay":"1"}}'),
        (replace(HEC, event_id_field=""), b"}"),
        (replace(HEC, event_id_field="", replay=True), b',"fields":{"sls_replay":"1"}}'),
        (replace(HEC, event_id_field='i"d'), b',"fields":{"i\\"d":"3-1000-0"}}'),
    ],
)
def test_fields_carry_the_id_and_the_mark_of_a_replay(settings, written):
    event = b'"event":{"__time__":1433188255}'

    assert one_piece(settings, group(log())).split(event)[1] == written


@given(st.integers(0, 2**32 - 1), st.one_of(st.none(), st.integers(0, 2**32 - 1)))
def test_time_is_exact(seconds, ns):
    envelope = json.loads(one_piece(HEC, group(log(time=seconds, ns=ns))), parse_float=Decimal)
    fraction = ns if ns is not None and ns < 10**9 else 0

    assert Decimal(envelope["time"]) == Decimal(seconds) + Decimal(fraction) / 10**9


def test_times_of_logs_that_follow_each_other_do_not_mix():
    one = group(log(time=1), log(time=1), log(time=1, ns=2), log(time=1), log(time=2), log(time=1))

    times = [piece.split(b",")[0] for piece in pieces(HEC, batch(one))]

    assert times == [b'{"time":%b' % time for time in (b"1", b"1", b"1.000000002", b"1", b"2", b"1")]


@given(groups)
def test_an_envelope_has_no_other_keys_and_none_twice(one):
    for piece in pieces(replace(HEC, replay=True), batch(one)):
        names = [name for name, _ in json.loads(piece, object_pairs_hook=list)]

        allowed = ["time", "host", "source", "sourcetype", "index", "event", "fields"]
        assert names == [name for name in allowed if name in names]


@given(groups, st.sampled_from(["", "{__topic__}", "{{{__source__}}}", "{a}-{__time__}", "{__tag__:k}", "{\\xff}"]))
def test_templates_take_metadata_before_contents_and_the_first_of_duplicates(one, template):
    settings = replace(HEC, hec=HecSettings(host=template))

    for entry, piece in zip(one.logs, pieces(settings, batch(one))):

        def field(name, entry=entry):
            found = [("__time__", b"%d" % entry.time)]
            found += [] if entry.ns is None else [("__time_ns_part__", b"%d" % entry.ns)]
            found += [] if one.topic is None else [("__topic__", one.topic)]
            found += [] if one.source is None else [("__source__", one.source)]
            found += [("__tag__:" + text(key), value) for key, value in one.tags]
            found += [(text(key), value) for key, value in entry.contents]
            return next((value for known, value in found if known == name), b"")

        expected = {
            "": b"",
            "{__topic__}": field("__topic__"),
            "{{{__source__}}}": b"{" + field("__source__") + b"}",
            "{a}-{__time__}": field("a") + b"-" + field("__time__"),
            "{__tag__:k}": field("__tag__:k"),
            "{\\xff}": field("\\xff"),
        }[template]

        assert json.loads(piece).get("host", "") == text(expected)
        assert ("host" in json.loads(piece)) == bool(expected)


def test_a_template_can_be_the_nanoseconds():
    settings = replace(HEC, hec=HecSettings(host="{__time_ns_part__}"))

    found = [json.loads(piece).get("host") for piece in pieces(settings, batch(group(log(ns=7), log())))]

    assert found == ["7", None]


@given(batches)
def test_ids_name_shard_position_and_place(built):
    one = batch(*built, shard=12, position=99)
    encoder = make_encoder(HEC)
    expected = [f"12-{99 + number}-{place}" for number, found in enumerate(built) for place in range(len(found.logs))]

    assert [json.loads(piece)["fields"]["sls_id"] for piece in pieces(HEC, one)] == expected
    assert [encoder.event_id(one, ordinal) for ordinal in range(len(expected))] == expected
    with pytest.raises(IndexError):
        encoder.event_id(one, len(expected))


def hash_of(one, entry) -> str:
    """Follow the words of `event_id`, with other tools."""

    def sized(value):
        return struct.pack(">I", len(value)) + value

    def optional(value):
        return b"\0" if value is None else b"\1" + sized(value)

    told = struct.pack(">I", entry.time)
    told += b"\0" if entry.ns is None else b"\1" + struct.pack(">I", entry.ns)
    told += optional(one.topic) + optional(one.source)
    for pairs in (one.tags, entry.contents):
        told += struct.pack(">I", len(pairs)) + b"".join(sized(key) + sized(value) for key, value in pairs)
    return hashlib.sha256(told).digest()[:16].hex()


@given(batches)
def test_ids_of_regrouped_logs_are_hashes_of_the_log(built):
    one = batch(*built, regrouped=True)
    encoder = make_encoder(HEC)
    expected = [f"3-x{hash_of(found, entry)}" for found in built for entry in found.logs]

    assert [json.loads(piece)["fields"]["sls_id"] for piece in pieces(HEC, one)] == expected
    assert [encoder.event_id(one, ordinal) for ordinal in range(len(expected))] == expected


@given(keys, keys, keys, keys)
def test_other_cuts_of_the_same_bytes_have_other_hashes(a, b, c, d):
    first = group(log((a, b), (c, d)))
    second = group(log((a + b, b""), (c, d)))

    same = hash_of(first, first.logs[0]) == hash_of(second, second.logs[0])

    assert same == (first == second)


@given(batches)
def test_a_payload_is_its_events_joined_by_line_feeds(built):
    encoder = make_encoder(HEC)
    for payload in encode(HEC, batch(*built)):
        events = encoder.split(payload.data)

        assert len(events) == payload.events
        assert b"\n".join(events) == payload.data
        assert all(json.loads(event) for event in events)


def test_nothing_splits_into_nothing():
    assert make_encoder(HEC).split(b"") == []


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (replace(HEC, output="file"), "siem.output"),
        (replace(HEC, format="xml"), "siem.format"),
        (replace(HEC, hec=HecSettings(host="{")), "template"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        make_encoder(settings)
