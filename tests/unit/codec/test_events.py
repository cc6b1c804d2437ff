"""What an event looks like in each format, whatever the log holds (interface.md, "What an event looks like")."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given

from sls_siem.codec import EncoderSettings, SyslogSettings, make_encoder
from tests.unit.codec.building import batch, group, groups, log, members, one_piece, pieces, text, unique
from tests.unit.codec.test_text import unescape_kv

HEC = EncoderSettings("hec", "project", "store", json_fields=())
NO_DATA = EncoderSettings(
    "syslog",
    "project",
    "store",
    json_fields=(),
    syslog=SyslogSettings(structured_data="", max_bytes=1 << 24, hostname="h"),
)


def kv_members(written: str) -> list[tuple[str, str]]:
    """Read a `kv` message back."""
    found: list[tuple[str, str]] = []
    for part in split_unescaped(written, "||"):
        key, value = split_unescaped(part, "=", most=1)
        found.append((unescape_kv(key), unescape_kv(value)))
    return found


def split_unescaped(written: str, separator: str, most: int = -1) -> list[str]:
    parts = [""]
    place = 0
    while place < len(written):
        if written[place] == "\\":
            parts[-1] += written[place : place + 2]
            place += 2
        elif written.startswith(separator, place) and most != 0:
            parts.append("")
            place += len(separator)
            most -= 1
        else:
            parts[-1] += written[place]
            place += 1
    return parts


def events(settings: EncoderSettings, one) -> list[str]:
    """Encode a group and take the events out of what is around them."""
    found = pieces(settings, batch(one))
    if settings.output == "hec":
        return [json.dumps(json.loads(piece)["event"]) for piece in found]
    return [piece.split(b" h - - - - ", 1)[1].decode() for piece in found]


@given(groups)
def test_json_holds_every_member_once_and_in_order(one):
    found = [json.loads(piece, object_pairs_hook=lambda pairs: pairs)[-2][1] for piece in pieces(HEC, batch(one))]

    assert found == [members(one, entry) for entry in one.logs]


@given(groups)
def test_kv_holds_every_member_once_and_in_order(one):
    found = [json.loads(piece)["event"] for piece in pieces(replace(HEC, format="kv"), batch(one))]

    assert [kv_members(event) for event in found] == [
        [(name, str(value)) for name, value in members(one, entry)] for entry in one.logs
    ]


@given(groups)
def test_raw_is_the_value_of_the_first_such_field_or_else_json(one):
    raw = [json.loads(piece)["event"] for piece in pieces(replace(HEC, format="raw"), batch(one))]
    as_json = [json.loads(piece)["event"] for piece in pieces(HEC, batch(one))]

    for entry, found, otherwise in zip(one.logs, raw, as_json):
        first = next((value for key, value in entry.contents if key == b"content"), b"")

        assert found == (text(first) if first else otherwise)


@given(groups)
def test_without_structured_data_the_event_carries_its_id_before_the_contents(one):
    ids = [f"3-1000-{index}" for index in range(len(one.logs))]
    as_json = events(NO_DATA, one)
    as_kv = events(replace(NO_DATA, format="kv", replay=True), one)

    assert [json.loads(event, object_pairs_hook=lambda pairs: pairs) for event in as_json] == [
        members(one, entry, marks=[("sls_id", ident)]) for entry, ident in zip(one.logs, ids)
    ]
    assert [kv_members(event) for event in as_kv] == [
        [(name, str(value)) for name, value in members(one, entry, marks=[("sls_id", ident), ("sls_replay", "1")])]
        for entry, ident in zip(one.logs, ids)
    ]


def test_absent_topic_and_source_are_left_out_and_empty_ones_are_not():
    absent = json.loads(one_piece(HEC, group(log())))
    empty = json.loads(one_piece(HEC, group(log(), topic=b"", source=b"")))

    assert absent["event"] == {"__time__": 1433188255}
    assert empty["event"] == {"__time__": 1433188255, "__topic__": "", "__source__": ""}


def test_logs_of_one_group_with_and_without_nanoseconds_and_with_other_keys_do_not_mix():
    one = group(
        log((b"a", b"1"), ns=5), log((b"a", b"1")), log((b"b", b"%")), log((b"a", b"2"), ns=6), log(), log(ns=1)
    )

    assert [json.loads(event) for event in events(HEC, one)] == [dict(members(one, entry)) for entry in one.logs]
    assert [kv_members(event) for event in events(replace(NO_DATA, format="kv", event_id_field=""), one)] == [
        [(name, str(value)) for name, value in members(one, entry)] for entry in one.logs
    ]


def test_a_replay_without_ids_is_still_marked():
    plain = replace(NO_DATA, event_id_field="", replay=True)

    assert events(plain, group(log((b"a", b"b")))) == ['{"__time__":1433188255,"sls_replay":"1","a":"b"}']
    assert events(replace(plain, format="kv"), group(log((b"a", b"b")))) == ["__time__=1433188255||sls_replay=1||a=b"]


def test_the_field_of_the_event_id_can_have_any_name():
    named = replace(NO_DATA, event_id_field='a"=|%')
    one = group(log((b'a"=|%', b"theirs")))

    assert json.loads(events(named, one)[0])['a"=|%_2'] == "theirs"
    assert kv_members(events(replace(named, format="kv"), one)[0]) == [
        ("__time__", "1433188255"),
        ('a"=|%', "3-1000-0"),
        ('a"=|%_2', "theirs"),
    ]


def test_json_fields_are_embedded_wherever_the_name_stands_on_the_wire():
    settings = replace(HEC, json_fields=("event", "__tag__:k", "__topic__", "\\xff"))
    one = group(
        log((b"event", b'{"a":\n1}'), (b"event", b"[]"), (b"other", b"{}"), (b"\xff", b"[1]"), (b"event_2", b"x")),
        topic=b"{}",
        tags=[(b"k", b"[2]"), (b"l", b"[3]")],
    )

    assert one_piece(settings, one).split(b'"event":', 1)[1] == (
        b'{"__time__":1433188255,"__topic__":{},"__tag__:k":[2],"__tag__:l":"[3]","event":{"a":1},"event_2":[],'
        b'"other":"{}","\\\\xff":[1],"event_2_2":"x"},"fields":{"sls_id":"3-1000-0"}}'
    )


def test_a_json_field_that_is_no_json_stays_text():
    one = group(log((b"event", b'{"a":"\\ud800"}'), (b"event", b'q"\n'), (b"event", b"")))

    assert json.loads(one_piece(replace(HEC, json_fields=("event",)), one))["event"] == {
        "__time__": 1433188255,
        "event": '{"a":"\\ud800"}',
        "event_2": 'q"\n',
        "event_3": "",
    }


def test_raw_in_a_hec_envelope_never_is_an_empty_event():
    settings = replace(HEC, format="raw", raw_field="m")
    one = group(log((b"m", b""), (b"a", b"1")))

    assert json.loads(one_piece(settings, one))["event"] == {"__time__": 1433188255, "m": "", "a": "1"}


def test_raw_finds_its_field_by_the_name_as_written_out():
    one = group(log((b"\xff", b"yes"), (b"\\xff", b"no")), log((b"a", b"1")))
    settings = replace(HEC, format="raw", raw_field="\\xff")

    assert [json.loads(event) for event in events(settings, one)] == ["yes", {"__time__": 1433188255, "a": "1"}]


@pytest.mark.parametrize("value", [b"\x01" * 1_000_000, b"\xff" * 1_000_000, b'"' * 1_000_000, b"\x12" * 1_000_000])
def test_a_megabyte_of_hostile_bytes_arrives_whole(value):
    one = group(log((b"a", value), (b"a", b"after")))

    assert json.loads(one_piece(HEC, one))["event"] == {"__time__": 1433188255, "a": text(value), "a_2": "after"}


def test_ten_thousand_keys_of_one_name_are_all_kept():
    one = group(log(*((b"k", b"%d" % number) for number in range(10_000))))
    names = unique(["k"] * 10)

    found = json.loads(one_piece(HEC, one))["event"]

    assert [found[name] for name in names] == [str(number) for number in range(10)]
    assert len(found) == 10_001


def test_very_many_kinds_of_logs_are_not_all_remembered(monkeypatch):
    monkeypatch.setattr("sls_siem.codec.layout._MOST", 3)
    encoder = make_encoder(HEC)
    one = group(*(log((b"k%d" % (number % 7), b"v")) for number in range(50)))
    (payload,) = encoder.encode(batch(one))

    found = [json.loads(event)["event"] for event in encoder.split(payload.data)]

    assert found == [dict(members(one, entry)) for entry in one.logs]


def test_threads_share_an_encoder():
    encoder = make_encoder(HEC)
    shared = [
        batch(group(*(log((b"k%d" % (number % kind), b"v" * number)) for number in range(200)), topic=b"%d" % kind))
        for kind in range(1, 9)
    ]
    alone = [[payload.data for payload in make_encoder(HEC).encode(one)] for one in shared]

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            together = list(threads.map(lambda one: [payload.data for payload in encoder.encode(one)], shared))

            assert together == alone
