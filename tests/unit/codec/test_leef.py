"""Events as LEEF: what a strict parser reads back, whatever the log holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, LeefSettings, SyslogSettings
from tests.unit.codec.building import batch, group, groups, log, members, one_piece, pieces, text, unique
from tests.unit.codec.rfc5424 import parse
from tests.unit.codec.vendor_formats import Event, parse_leef

LEEF = EncoderSettings("hec", "project", "store", format="leef", json_fields=())
SYSLOG = replace(LEEF, output="syslog", syslog=SyslogSettings(framing="lf", hostname="h", max_bytes=1 << 24))
TIME_KEYS = ["devTime", "devTimeFormat", "calLanguage", "calCountryOrRegion"]


def event_of(piece: bytes) -> Event:
    return parse_leef(json.loads(piece)["event"].encode())


def clean(value: str) -> str:
    return re.sub(r"[\t\r\n]", " ", value)


def clean_key(name: str) -> str:
    return re.sub(r"[=|^\x00-\x1f\x7f]", "_", name) or "_"


def names_before(one, entry) -> list[str]:
    """Names as on the wire, before they are made unique."""
    found = ["__time__"] + (["__time_ns_part__"] if entry.ns is not None else [])
    found += [name for name, value in (("__topic__", one.topic), ("__source__", one.source)) if value is not None]
    found += ["__tag__:" + text(key) for key, _ in one.tags]
    return found + [text(key) for key, _ in entry.contents]


@given(groups, st.sampled_from(["1.0", "2.0"]))
def test_every_field_comes_under_its_own_name(one, version):
    settings = replace(LEEF, leef=LeefSettings(format_version=version))
    found = [event_of(piece) for piece in pieces(settings, batch(one))]

    for entry, event in zip(one.logs, found):
        names = unique([clean_key(name) for name in names_before(one, entry)], taken=TIME_KEYS)

        assert event.header[0] == version
        assert [key for key, _ in event.pairs[:2]] == ["devTime", "devTimeFormat"]
        assert event.pairs[2:] == tuple(zip(names, (clean(str(value)) for _, value in members(one, entry))))


def test_golden_bytes():
    entry = log((b"user", b"a=b|c\\d\te\nf"), (b"a=b", b"1"), (b"devTime", b"x"), ns=7_654_321)
    one = group(entry, topic=b"au|dit^")

    assert one_piece(SYSLOG, one) == (
        b'<14>1 2015-06-01T19:50:55.007654Z h - - - [sls@32473 id="3-1000-0" logstore="store"] '
        b"LEEF:2.0|Alibaba Cloud|SLS|1|au dit |x09|devTime=Jun 01 2015 19:50:55.007 GMT\t"
        b"devTimeFormat=MMM dd yyyy HH:mm:ss.SSS z\t__time__=1433188255\t__time_ns_part__=7654321\t"
        b"__topic__=au|dit^\tuser=a=b|c\\d e f\ta_b=1\tdevTime_2=x\n"
    )
    first = replace(SYSLOG, leef=LeefSettings(format_version="1.0", vendor="V|", fields=(("usrName", "user"),)))
    old = replace(first, syslog=replace(SYSLOG.syslog, rfc=3164, app_name="-", structured_data=""))
    assert one_piece(old, one) == (
        b"<14>Jun  1 19:50:55 h LEEF:1.0|V |SLS|1|au dit |devTime=Jun 01 2015 19:50:55.007 GMT\t"
        b"devTimeFormat=MMM dd yyyy HH:mm:ss.SSS z\tsls_id=3-1000-0\tusrName=a=b|c\\d e f\n"
    )


def test_the_id_is_a_field_only_where_nothing_around_the_event_carries_it():
    bare = replace(SYSLOG, replay=True, syslog=replace(SYSLOG.syslog, structured_data=""))
    one = group(log((b"sls_id", b"theirs"), (b"sls_replay", b"theirs")))
    event = parse_leef(parse(one_piece(bare, one)[:-1]).text).fields

    assert (event["sls_id"], event["sls_replay"]) == ("3-1000-0", "1")
    assert (event["sls_id_2"], event["sls_replay_2"]) == ("theirs", "theirs")
    assert event_of(one_piece(LEEF, one)).fields["sls_id"] == "theirs"


def test_keys_of_the_time_are_not_taken_by_fields_of_the_log():
    event = event_of(one_piece(LEEF, group(log(*((name.encode(), b"x") for name in TIME_KEYS))))).fields

    assert event["devTimeFormat"] == "MMM dd yyyy HH:mm:ss.SSS z"
    assert [event[f"{name}_2"] for name in TIME_KEYS] == ["x"] * 4


def test_mapped_fields_come_in_the_order_of_the_table_and_only_if_there():
    fields = (("src", "event.ip"), ("usrName", "u"), ("url", "empty"), ("proto", "dash"), ("dst", "missing"))
    entry = log((b"u", b"me\tyou"), (b"event", b'{"ip":"192.0.2.1"}'), (b"empty", b""), (b"dash", b"-"))
    event = event_of(one_piece(replace(LEEF, leef=LeefSettings(fields=fields)), group(entry)))

    assert event.pairs[2:] == (("src", "192.0.2.1"), ("usrName", "me you"))


def test_nul_becomes_a_space_on_syslog():
    one = group(log((b"a", b"x\0y")))

    assert event_of(one_piece(LEEF, one)).fields["a"] == "x\0y"
    assert parse_leef(parse(one_piece(SYSLOG, one)[:-1]).text).fields["a"] == "x y"
    counted = replace(SYSLOG, syslog=replace(SYSLOG.syslog, framing="relp"))
    assert parse_leef(parse(one_piece(counted, one)).text).fields["a"] == "x y"


def test_the_event_id_has_at_most_255_characters():
    event = event_of(one_piece(LEEF, group(log(), topic="é".encode() * 400)))

    assert event.header[4] == "é" * 255


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_logs_of_one_group_with_and_without_nanoseconds_do_not_mix(version):
    settings = replace(LEEF, leef=LeefSettings(format_version=version))
    one = group(log((b"a", b"%"), ns=5), log((b"a", b"%d")), log((b"b%b", b"1")), log(), log(ns=2**32 - 1))
    found = [event_of(piece).fields for piece in pieces(settings, batch(one))]

    assert [event.get("__time_ns_part__") for event in found] == ["5", None, None, None, "4294967295"]
    assert [event.get("a") for event in found] == ["%", "%d", None, None, None]
    assert found[2]["b%b"] == "1"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"__truncated__", b"k" * 300]),
            st.sampled_from([b"=", b"\t", "é".encode(), b"\xff"]).flatmap(
                lambda unit: st.integers(0, 900).map(lambda count: unit * count)
            ),
        ),
        max_size=5,
    ),
    st.integers(480, 900),
    st.booleans(),
    st.sampled_from([b"", b"topic", "é|".encode() * 600]),
)
def test_what_is_truncated_still_parses_and_says_so(contents, size, table, topic):
    leef = LeefSettings(fields=(("src", "a"), ("url", "b"))) if table else LeefSettings()
    settings = replace(SYSLOG, leef=leef, syslog=replace(SYSLOG.syslog, max_bytes=size))
    one = group(log(*contents, ns=5), topic=topic)
    frame = one_piece(settings, one)
    event = parse_leef(parse(frame[:-1]).text)
    large = replace(settings, syslog=replace(settings.syslog, max_bytes=1 << 24))
    whole = parse_leef(parse(one_piece(large, one)[:-1]).text)

    assert len(frame) <= size
    if event == whole:
        return
    assert event.pairs[-1] == ("__truncated__", "true")
    assert event.pairs[:2] == whole.pairs[:2]
    values = [value for _, value in whole.pairs]
    assert all(full.startswith(value) for (_, value), full in zip(event.pairs[:-1], values))
