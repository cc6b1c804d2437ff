"""Events as CEF: what a strict parser reads back, whatever the log holds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import CefSettings, EncoderSettings, SeverityBy, SyslogSettings
from tests.unit.codec.building import batch, group, groups, log, members, one_piece, pieces, text, values
from tests.unit.codec.rfc5424 import parse
from tests.unit.codec.vendor_formats import Event, parse_cef

CEF = EncoderSettings("hec", "project", "store", format="cef", json_fields=())
SYSLOG = replace(CEF, output="syslog", syslog=SyslogSettings(framing="lf", hostname="h", max_bytes=1 << 24))


def event_of(piece: bytes) -> Event:
    return parse_cef(json.loads(piece)["event"].encode())


def one_event(settings: EncoderSettings, *contents: tuple[bytes, bytes], **kwargs) -> Event:
    return event_of(one_piece(settings, group(log(*contents), **kwargs)))


def with_fields(settings: EncoderSettings, **fields: str) -> EncoderSettings:
    return replace(settings, cef=replace(settings.cef, fields=tuple(fields.items())))


@given(groups)
def test_without_a_table_the_event_travels_as_json_in_msg(one):
    found = [event_of(piece) for piece in pieces(CEF, batch(one))]

    for index, (entry, event) in enumerate(zip(one.logs, found)):
        ns = entry.ns if entry.ns is not None and entry.ns < 10**9 else 0

        assert list(event.fields) == ["rt", "externalId", "msg"]
        assert event.fields["rt"] == str(entry.time * 1000 + ns // 10**6)
        assert event.fields["externalId"] == f"3-1000-{index}"
        assert json.loads(event.fields["msg"], object_pairs_hook=list) == members(one, entry)


@given(st.lists(values, min_size=4, max_size=4), st.sampled_from(["hec", "lf", "octet-counting"]))
def test_mapped_values_come_back_as_they_were(found, where):
    settings = with_fields(CEF if where == "hec" else SYSLOG, src="a", request="b", cs1="c", cn2="d")
    settings = replace(settings, syslog=replace(settings.syslog, framing="lf" if where == "hec" else where))
    (piece,) = pieces(settings, batch(group(log(*zip((b"a", b"b", b"c", b"d"), found)))))
    if where == "hec":
        event = event_of(piece)
    else:
        event = parse_cef(parse(piece[:-1] if where == "lf" else piece.partition(b" ")[2]).text)
    expected = {"rt": "1433188255000", "externalId": "3-1000-0"}
    for (key, label), value in zip((("src", ""), ("request", ""), ("cs1", "c"), ("cn2", "d")), found):
        if value not in (b"", b"-"):
            expected[key] = text(value) if where == "hec" else text(value).replace("\0", " ")
            expected.update({f"{key}Label": label} if label else {})

    assert {key: value.rstrip(" ") for key, value in event.pairs} == {
        key: value.rstrip(" ") for key, value in expected.items()
    }
    assert [key for key, _ in event.pairs] == list(expected)


@given(values, values)
def test_header_fields_come_back_but_for_their_line_ends(topic, source):
    cef = CefSettings(event_id="{__topic__}", name="x{__source__}{a}", product="{b}")
    event = one_event(replace(CEF, cef=cef), (b"a", b"|\\"), topic=topic, source=source)
    one_line = str.maketrans("\r\n\0", "   ")

    assert event.header[1] == "-"
    assert event.header[3] == (text(topic).translate(one_line) or "-")
    assert event.header[4] == f"x{text(source)}|\\".translate(one_line)


def test_golden_bytes():
    entry = log((b"user", b"a=b|c\\d\ne"), (b"addr", b"192.0.2.1"), ns=7_654_321)
    one = group(entry, topic=b"au|dit")
    settings = replace(SYSLOG, cef=CefSettings(vendor="V\\", fields=(("src", "addr"), ("cs2", "user"))))

    assert one_piece(settings, one) == (
        b'<14>1 2015-06-01T19:50:55.007654Z h - - - [sls@32473 id="3-1000-0" logstore="store"] '
        b"CEF:0|V\\\\|SLS|1|au\\|dit|au\\|dit|5|rt=1433188255007 externalId=3-1000-0 src=192.0.2.1 "
        b"cs2=a\\=b|c\\\\d\\ne cs2Label=user\n"
    )
    assert one_piece(SYSLOG, group(log((b"q", b'"=')))) == (
        b'<14>1 2015-06-01T19:50:55Z h - - - [sls@32473 id="3-1000-0" logstore="store"] '
        b"CEF:0|Alibaba Cloud|SLS|1|-|-|5|rt=1433188255000 externalId=3-1000-0 "
        b'msg={"__time__":1433188255,"q":"\\\\"\\="}\n'
    )


def test_rfc_3164_has_no_tag_where_cef_stands_for_it():
    old = replace(SYSLOG, syslog=replace(SYSLOG.syslog, rfc=3164, app_name="-"))

    assert one_piece(old, group(log())).startswith(b"<14>Jun  1 19:50:55 h CEF:0|Alibaba Cloud|")
    assert one_piece(replace(old, syslog=replace(old.syslog, app_name="a")), group(log())).startswith(
        b"<14>Jun  1 19:50:55 h a: CEF:0|"
    )


def test_fields_inside_json_are_found_by_their_path():
    event = b'{"name":"Create","who":{"id":12345678901234567890,"a.b":"dot"},"ips":["192.0.2.1",{"x":true}],"no":null}'
    settings = with_fields(
        CEF, suser="event.who.id", src="event.ips.0", cs1="event.ips.1", cs2="event.who.a.b", cs3="event.no", cs4="e.x"
    )
    settings = replace(settings, cef=replace(settings.cef, name="{event.name}", event_id="{event.nothing}"))
    found = one_event(settings, (b"event", event), (b"e.x", b"itself"), (b"e", b'{"x":"inside"}'))

    assert found.header[3:5] == ("-", "Create")
    assert {key: value for key, value in found.pairs[2:] if not key.endswith("Label")} == {
        "suser": "12345678901234567890",
        "src": "192.0.2.1",
        "cs1": '{"x":true}',
        "cs2": "dot",
        "cs4": "itself",
    }


@pytest.mark.parametrize("value", [b"", b"x", b"[1", b'{"a":' * 100 + b"1" + b"}" * 100, b'{"a":' + b"1" * 5000 + b"}"])
def test_a_path_into_what_is_no_json_finds_nothing(value):
    found = one_event(with_fields(CEF, src="event.a", cs1="event.0", cs2="event.a.9999999999"), (b"event", value))

    assert [key for key, _ in found.pairs][:2] == ["rt", "externalId"]
    assert all("Label" in key or len(value) < 5001 for key, value in found.pairs)


def test_paths_go_through_names_with_dots_and_stop_at_what_is_not_there():
    event = b'{"x.y":{"z":1.5},"list":[1,[2,3]],"text":"t"}'
    paths = ["event.x.y.z", "event.list.1.0", "event.list.2", "event.list.x", "event.text.a", "event.a.b.c", "a.b", "."]
    settings = with_fields(CEF, **{f"k{number}": path for number, path in enumerate(paths)})

    assert dict(one_event(settings, (b"event", event)).pairs[2:]) == {"k0": "1.5", "k1": "2"}


def test_a_label_of_the_table_wins():
    settings = with_fields(CEF, cs1="a", cs1Label="b")

    assert one_event(settings, (b"a", b"1"), (b"b", b"mine")).pairs[2:] == (("cs1", "1"), ("cs1Label", "mine"))


@pytest.mark.parametrize(
    ("severity", "level", "expected"),
    [
        ("{level}", b"10", "10"),
        ("{level}", b"Very-High", "Very-High"),
        ("{level}", b"11", "5"),
        ("{level}", b"1|", "5"),
        ("{none}", b"1", "5"),
        (SeverityBy("level", {"ERROR": "8", "\\xff": "1"}, "3"), b"ERROR", "8"),
        (SeverityBy("level", {"ERROR": "8", "\\xff": "1"}, "3"), b"\xff", "1"),
        (SeverityBy("level", {"ERROR": "8"}, "3"), b"WARN", "3"),
    ],
)
def test_the_severity_is_one_that_cef_knows(severity, level, expected):
    assert one_event(replace(CEF, cef=CefSettings(severity=severity)), (b"level", level)).header[5] == expected


def test_long_header_fields_are_cut_to_the_lengths_of_the_standard():
    cef = CefSettings(vendor="é" * 99, product="|" * 99, version="\\" * 99, event_id="{a}", name="{a}")
    event = one_event(replace(CEF, cef=cef), (b"a", "😀".encode() * 2000))

    assert [len(field) for field in event.header[:5]] == [63, 63, 31, 1023, 512]


def test_the_id_can_be_turned_off_and_a_replay_is_marked():
    plain = replace(SYSLOG, event_id_field="", replay=True)
    bare = replace(plain, syslog=replace(plain.syslog, structured_data=""))

    assert b"externalId" not in one_piece(plain, group(log()))
    assert b'replay="1"' in one_piece(plain, group(log()))
    assert b"sls_replay" not in one_piece(plain, group(log()))
    assert dict(parse_cef(parse(one_piece(bare, group(log()))[:-1]).text).pairs)["sls_replay"] == "1"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"__truncated__"]),
            st.sampled_from([b"=", b"\\", b'"', b"\n", b"|", "é".encode(), b"\xff", b"x "]).flatmap(
                lambda unit: st.integers(0, 900).map(lambda n: unit * n)
            ),
        ),
        max_size=4,
    ),
    st.integers(480, 900),
    st.booleans(),
    st.sampled_from([b"", b"topic", b"|\\" * 600]),
)
def test_what_is_truncated_still_parses_and_says_so(contents, size, table, topic):
    settings = with_fields(SYSLOG, cs1="a", request="b") if table else SYSLOG
    settings = replace(settings, syslog=replace(settings.syslog, max_bytes=size))
    one = group(log(*contents, ns=5), topic=topic)
    frame = one_piece(settings, one)
    event = parse_cef(parse(frame[:-1]).text)
    whole = parse_cef(
        parse(one_piece(replace(settings, syslog=replace(settings.syslog, max_bytes=1 << 24)), one)[:-1]).text
    )

    assert len(frame) <= size
    if event == whole:
        return
    assert event.pairs[-1] == ("__truncated__", "true")
    assert event.fields["rt"] == whole.fields["rt"]
    for key, value in event.pairs[2:-1]:
        if key == "msg":
            assert json.loads(value)["__truncated__"] is True
        else:
            assert whole.fields[key].startswith(value)


def test_truncation_uses_the_room_that_there_is():
    settings = replace(SYSLOG, syslog=replace(SYSLOG.syslog, max_bytes=4096))
    for value in (b"x" * 9000, b'"' * 9000, b"=" * 9000, b"\\" * 5000 + b"x" * 5000):
        frame = one_piece(settings, group(log((b"a", value))))

        assert 3900 < len(frame) <= 4096


def test_an_oversized_event_can_be_split_between_escapes():
    settings = replace(SYSLOG, syslog=replace(SYSLOG.syslog, max_bytes=500, oversize="split"))
    one = group(log((b"a", b"=\\" * 600)))
    parts = [parse(frame[:-1]).text for frame in pieces(settings, batch(one))]

    assert b"".join(parts) == parse(one_piece(SYSLOG, one)[:-1]).text
    assert len(parts) > 5
