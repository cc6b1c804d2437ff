"""Syslog frames, held to a strict parser of RFC 5424; headers, framing, and events that are too long."""

from __future__ import annotations

import calendar
import json
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, SeverityBy, SyslogSettings, make_encoder
from sls_siem.errors import ConfigError
from tests.unit.codec.building import batch, encode, group, groups, log, members, one_piece, pieces
from tests.unit.codec.rfc5424 import parse

PLAIN = SyslogSettings(framing="datagram", max_bytes=1 << 24)
SYSLOG = EncoderSettings("syslog", "project", "store", json_fields=(), syslog=PLAIN)


def syslog(settings: EncoderSettings = SYSLOG, /, **changes) -> EncoderSettings:
    return replace(settings, syslog=replace(settings.syslog, **changes))


# ------------------------------------------------------------------------------------------------------------ RFC 5424


def test_a_frame_to_the_byte():
    one = group(log((b"a", b"b"), ns=999_999_999), topic=b"t", source=b"10.0.0.1")
    settings = syslog(framing="octet-counting", app_name="store")
    message = (
        b'<14>1 2015-06-01T19:50:55.999999Z 10.0.0.1 store - - [sls@32473 id="3-1000-0" logstore="store"] '
        b'{"__time__":1433188255,"__time_ns_part__":999999999,"__topic__":"t","__source__":"10.0.0.1","a":"b"}'
    )

    assert one_piece(settings, one) == b"%d %b" % (len(message), message)
    assert one_piece(syslog(settings, framing="lf"), one) == message + b"\n"
    assert one_piece(syslog(settings, framing="datagram"), one) == message
    assert one_piece(syslog(settings, framing="relp"), one) == message


@given(groups)
def test_every_frame_parses_and_gives_the_fields_back(one):
    settings = syslog(hostname="{a}", app_name="{x}", procid="{__topic__}", msgid="{__source__}")
    for place, (entry, frame) in enumerate(zip(one.logs, pieces(settings, batch(one)))):
        found = parse(frame)

        assert json.loads(found.text, object_pairs_hook=list) == members(one, entry)
        assert found.data == (("sls@32473", (("id", f"3-1000-{place}"), ("logstore", "store"))),)
        assert calendar.timegm(time.strptime(found.timestamp[:19], "%Y-%m-%dT%H:%M:%S")) == entry.time
        fraction = found.timestamp[19:]
        assert fraction == (f".{entry.ns // 1000:06d}Z" if entry.ns is not None and entry.ns < 10**9 else "Z")
        a = next((value for key, value in entry.contents if key == b"a"), b"")
        x = next((value for key, value in entry.contents if key == b"x"), b"")
        assert (found.hostname, found.app_name, found.procid, found.msgid) == (
            clean(a, 255),
            clean(x, 48),
            clean(field_of(one.topic, entry, b"__topic__"), 128),
            clean(field_of(one.source, entry, b"__source__"), 32),
        )


def field_of(shared, entry, name: bytes) -> bytes:
    if shared is not None:
        return shared
    return next((value for key, value in entry.contents if key == name), b"")


def clean(value: bytes, most: int) -> str:
    return bytes(byte if 33 <= byte <= 126 else 95 for byte in value)[:most].decode() or "-"


def test_structured_data_can_be_left_out_and_can_mark_a_replay():
    one = group(log())
    without = syslog(structured_data="")

    assert parse(one_piece(without, one)).data == ()
    assert parse(one_piece(replace(SYSLOG, replay=True), one)).data == (
        ("sls@32473", (("id", "3-1000-0"), ("logstore", "store"), ("replay", "1"))),
    )
    assert parse(one_piece(replace(SYSLOG, event_id_field=""), one)).data == (("sls@32473", (("logstore", "store"),)),)


def test_the_logstore_is_escaped_in_structured_data():
    settings = replace(SYSLOG, logstore='a"]\\')

    assert dict(parse(one_piece(settings, group(log()))).data[0][1])["logstore"] == 'a"]\\'


@pytest.mark.parametrize(
    ("facility", "severity", "contents", "pri"),
    [
        ("user", "info", (), 14),
        ("local7", "debug", (), 191),
        ("kern", "emerg", (), 0),
        ("4", "2", (), 34),
        ("{f}", "{s}", ((b"f", b"LOCAL0"), (b"s", b"Warning")), 132),
        ("{f}", "{s}", ((b"f", b"16"), (b"s", b"4")), 132),
        ("{f}", "{s}", ((b"f", b"24"), (b"s", b"8")), 14),
        ("{f}", "{s}", ((b"f", "٣".encode()), (b"s", b"\xff")), 14),
        ("{f}", "{s}", ((b"f", b"024"), (b"s", b"-1")), 14),
        ("{f}", "err", (), 11),
        ("user", SeverityBy("level", {"ERROR": "err", "\\xff": "crit"}), ((b"level", b"ERROR"),), 11),
        ("user", SeverityBy("level", {"ERROR": "err", "\\xff": "crit"}), ((b"level", b"\xff"),), 10),
        ("user", SeverityBy("level", {"ERROR": "err"}, "notice"), ((b"level", b"error"),), 13),
        ("user", SeverityBy("level", {"ERROR": "err"}, "notice"), (), 13),
        ("user", SeverityBy("level", {"ERROR": "nonsense"}, "nonsense"), ((b"level", b"ERROR"),), 14),
        ("{f}", SeverityBy("__topic__", {"t": "alert"}), ((b"f", b"mail"),), 17),
    ],
)
def test_the_priority_is_facility_times_eight_plus_severity(facility, severity, contents, pri):
    settings = syslog(facility=facility, severity=severity)

    assert parse(one_piece(settings, group(log(*contents), topic=b"t"))).pri == pri


# ------------------------------------------------------------------------------------------------------------ RFC 3164


@pytest.mark.parametrize(
    ("zone", "seconds", "stamp"),
    [
        ("UTC", 1433188255, b"Jun  1 19:50:55"),
        ("Asia/Shanghai", 1433188255, b"Jun  2 03:50:55"),
        ("Europe/Berlin", 1450000000, b"Dec 13 10:46:40"),
        ("UTC", 0, b"Jan  1 00:00:00"),
        ("UTC", 2**32 - 1, b"Feb  7 06:28:15"),
    ],
)
def test_an_rfc_3164_frame_to_the_byte(zone, seconds, stamp):
    settings = syslog(rfc=3164, timezone=zone, app_name="store", procid="{p}")
    one = group(log((b"p", b"12"), time=seconds), log(time=seconds), source=b"web-1")

    assert pieces(settings, batch(one)) == [
        b'<14>%b web-1 store[12]: {"__time__":%d,"__source__":"web-1","sls_id":"3-1000-0","p":"12"}' % (stamp, seconds),
        b'<14>%b web-1 store: {"__time__":%d,"__source__":"web-1","sls_id":"3-1000-1"}' % (stamp, seconds),
    ]


def test_no_value_can_end_the_tag_of_an_rfc_3164_header():
    settings = syslog(rfc=3164, hostname="{h}", app_name="{t}", procid="{t}")
    frame = one_piece(settings, group(log((b"h", b"a b\n"), (b"t", b"x: <13>[]"), (b"u", b"y"))))

    assert frame.startswith(b"<14>Jun  1 19:50:55 a_b_ x__<13>__[x__<13>__]: {")


def test_fields_of_an_rfc_3164_header_are_not_cut():
    settings = syslog(rfc=3164, hostname="{h}", app_name="{h}")
    frame = one_piece(settings, group(log((b"h", b"x" * 1000))))

    assert frame.startswith(b"<14>Jun  1 19:50:55 %b %b: {" % (b"x" * 1000, b"x" * 1000))


@pytest.mark.parametrize("rfc", [5424, 3164])
def test_many_different_times_are_not_all_remembered(rfc, monkeypatch):
    monkeypatch.setattr("sls_siem.codec.syslog_header._MANY", 3)
    settings = syslog(rfc=rfc)
    one = group(*(log(time=seconds) for seconds in (1, 2, 3, 4, 5, 1)))

    assert [json.loads(frame[frame.index(b"{") :])["__time__"] for frame in pieces(settings, batch(one))] == [
        1,
        2,
        3,
        4,
        5,
        1,
    ]
    assert [frame.count(b"00:00:0%d" % n) for n, frame in zip((1, 2, 3, 4, 5, 1), pieces(settings, batch(one)))] == [
        1
    ] * 6


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ConfigError, match=r"syslog\.timezone.*Mars/Phobos"):
        make_encoder(syslog(rfc=3164, timezone="Mars/Phobos"))


# ------------------------------------------------------------------------------------------------------------- framing


@given(groups, st.sampled_from(["json", "kv", "raw"]), st.sampled_from([5424, 3164]))
def test_nothing_in_a_log_can_end_a_line_frame(one, form, rfc):
    settings = syslog(replace(SYSLOG, format=form, raw_field="a"), framing="lf", rfc=rfc, hostname="{a}")
    (*payloads,) = encode(settings, batch(one))
    lines = b"".join(payload.data for payload in payloads).split(b"\n")

    assert len(lines) == len(one.logs) + 1
    assert lines[-1] == b""
    assert not any(byte in line for line in lines for byte in b"\r\0")


@pytest.mark.parametrize(
    ("framing", "message"),
    [("lf", b"a\\r\\n\\0\\b\\xff"), ("octet-counting", b"a\r\n\0\\b\\xff"), ("datagram", b"a\r\n\0\\b\\xff")],
)
def test_raw_escapes_line_ends_only_where_they_end_a_frame(framing, message):
    settings = syslog(replace(SYSLOG, format="raw"), framing=framing)

    assert one_piece(settings, group(log((b"content", b"a\r\n\0\\b\xff")))).rstrip(b"\n").endswith(b"] " + message)


@given(groups, st.sampled_from(["json", "kv", "raw"]))
def test_octet_counts_are_right_and_pieces_join_to_the_payload(one, form):
    settings = syslog(replace(SYSLOG, format=form), framing="octet-counting")
    encoder = make_encoder(settings)
    for payload in encoder.encode(batch(one)):
        frames = encoder.split(payload.data)

        assert b"".join(frames) == payload.data
        assert len(frames) == payload.events
        for frame in frames:
            count, _, message = frame.partition(b" ")
            assert re.fullmatch(rb"[1-9][0-9]*", count)
            assert int(count) == len(message)
            parse(message)


@pytest.mark.parametrize("framing", ["lf", "octet-counting", "relp", "datagram"])
def test_nothing_splits_into_nothing(framing):
    assert make_encoder(syslog(framing=framing)).split(b"") == []


def test_a_datagram_payload_is_one_frame():
    one = group(log((b"a", b"1")), log((b"a", b"2")), log((b"a", b"3")))

    payloads = encode(SYSLOG, batch(one))

    assert [payload.events for payload in payloads] == [1, 1, 1]
    assert [payload.span.skip for payload in payloads] == [0, 1, 2]
    assert [json.loads(parse(payload.data).text)["a"] for payload in payloads] == ["1", "2", "3"]
