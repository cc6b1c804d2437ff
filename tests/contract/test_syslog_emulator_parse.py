"""The parser and the deframers of the syslog and RELP emulators: strict where the RFCs are, whole under any split."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.emulator.relp_frames import RelpFrame, RelpStream
from sls_siem.emulator.syslog_frames import Deframer
from sls_siem.emulator.syslog_parse import (
    SyslogFormatError,
    SyslogMessage,
    event_id,
    id_in,
    parse,
    parse_rfc3164,
    parse_rfc5424,
)

HEAD = b"<14>1 2026-11-23T10:00:00Z host app proc msgid "


def test_every_field_of_rfc_5424_comes_out() -> None:
    message = parse(
        b"<165>1 2003-10-11T22:14:15.003000-07:00 mymachine.example.com evntslog 123 ID47 "
        b'[exampleSDID@32473 iut="3" eventSource="a \\"b\\" \\\\ \\] \xe2\x82\xac" eventID=""][origin ip="192.0.2.1"] '
        b"\xef\xbb\xbf\xc3\xa9 done "
    )

    assert message == SyslogMessage(
        rfc=5424,
        facility=20,
        severity=5,
        timestamp="2003-10-11T22:14:15.003000-07:00",
        hostname="mymachine.example.com",
        app_name="evntslog",
        procid="123",
        msgid="ID47",
        structured_data=(
            ("exampleSDID@32473", (("iut", "3"), ("eventSource", 'a "b" \\ ] €'), ("eventID", ""))),
            ("origin", (("ip", "192.0.2.1"),)),
        ),
        msg="é done ".encode(),
        bom=True,
    )
    assert (message.param("ip"), message.param("ip", "exampleSDID@32473"), message.param("no")) == ("192.0.2.1", "", "")


@pytest.mark.parametrize(
    ("frame", "msg"),
    [
        (b"<0>1 - - - - - -", b""),
        (b"<191>1 - - - - - - ", b""),
        (b"<14>1 - - - - - -  two spaces", b" two spaces"),
        (b"<14>1 - - - - - - any \x00\xff octets\r", b"any \x00\xff octets\r"),
        (b"<14>1 - - - - - [a@1]", b""),
        (b'<14>1 - - - - - [a@1 b=""][meta] m', b"m"),
        (b"<14>1 2024-02-29T23:59:59.1Z - - - - - m", b"m"),
        (b"<14>1 - " + b"h" * 255 + b" " + b"a" * 48 + b" " + b"p" * 128 + b" " + b"m" * 32 + b" - m", b"m"),
        (b"<14>1 - - - - - [" + b"n" * 29 + b"@32 " + b"k" * 32 + b'="v"] m', b"m"),
    ],
)
def test_odd_but_right_frames_of_rfc_5424(frame: bytes, msg: bytes) -> None:
    assert parse_rfc5424(frame).msg == msg


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "header fields"),
        (b"<14>1 - - - - -", "header fields"),
        (b"<192>1 - - - - - - m", "PRI"),
        (b"<014>1 - - - - - - m", "PRI"),
        (b"14>1 - - - - - - m", "PRI"),
        (b"< 14>1 - - - - - - m", "PRI"),
        (b"<-1>1 - - - - - - m", "PRI"),
        (b"<14>2 - - - - - - m", "VERSION"),
        (b"<14> - - - - - - m", "VERSION"),
        (b"<14>01 - - - - - - m", "VERSION"),
        (b"<14>1 2026-11-23T10:00:00.1234567Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23t10:00:00Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:00z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:60Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-02-29T10:00:00Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T24:00:00Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:00+24:00 - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:00+01:60 - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:00 - - - - - m", "TIMESTAMP"),
        (b"<14>1 2026-11-23T10:00:00.Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 0000-11-23T10:00:00Z - - - - - m", "TIMESTAMP"),
        (b"<14>1 -  - - - - m", "HOSTNAME"),
        (b"<14>1 - " + b"h" * 256 + b" - - - - m", "HOSTNAME"),
        (b"<14>1 - h\xc3\xa9 - - - - m", "HOSTNAME"),
        (b"<14>1 - - " + b"a" * 49 + b" - - - m", "APP-NAME"),
        (b"<14>1 - - - " + b"p" * 129 + b" - - m", "PROCID"),
        (b"<14>1 - - - p\x7f - - m", "PROCID"),
        (b"<14>1 - - - - " + b"m" * 33 + b" - m", "MSGID"),
        (b"<14>1 - - - - m\n - m", "MSGID"),
        (HEAD + b"m", "STRUCTURED-DATA"),
        (HEAD + b"--", "STRUCTURED-DATA"),
        (HEAD + b"[] m", "STRUCTURED-DATA"),
        (HEAD + b"[a@1] [b@1", "ok"),
        (HEAD + b"[a@1]m", "STRUCTURED-DATA"),
        (HEAD + b"[a@1 ] m", "STRUCTURED-DATA"),
        (HEAD + b'[a@1  b="c"] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c" ] m', "STRUCTURED-DATA"),
        (HEAD + b"[a@1 b=c] m", "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c]d"] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c"d"] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c\\n"] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="c\\"] m', "STRUCTURED-DATA"),
        (HEAD + b'[a@1 b="\xff"] m', "PARAM-VALUE"),
        (HEAD + b'[a@1 b="\xed\xa0\x80"] m', "PARAM-VALUE"),
        (HEAD + b"[" + b"n" * 33 + b"] m", "STRUCTURED-DATA"),
        (HEAD + b"[a@1 " + b"k" * 33 + b'="v"] m', "STRUCTURED-DATA"),
        (HEAD + b"[private] m", "SD-ID"),
        (HEAD + b"[a@] m", "SD-ID"),
        (HEAD + b"[a@x] m", "SD-ID"),
        (HEAD + b"[a@b@1] m", "SD-ID"),
        (HEAD + b"[a@1][a@1] m", "SD-ID"),
        (HEAD + b"- \xef\xbb\xbf\xff", "MSG"),
    ],
)
def test_wrong_frames_of_rfc_5424_are_refused(frame: bytes, reason: str) -> None:
    if reason == "ok":
        # A space ends the structured data, whatever the message looks like.
        assert parse_rfc5424(frame).msg == b"[b@1"
        return
    with pytest.raises(SyslogFormatError, match=reason):
        parse_rfc5424(frame)


@given(value=st.text(max_size=50), msg=st.binary(max_size=50).filter(lambda msg: not msg.startswith(b"\xef\xbb\xbf")))
def test_any_value_that_is_escaped_comes_back(value: str, msg: bytes) -> None:
    encoded = value.encode("utf-8", "replace")
    escaped = encoded.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"]", b"\\]")
    message = parse_rfc5424(HEAD + b'[a@1 v="' + escaped + b'" w="x"] ' + msg)

    assert (message.param("v"), message.param("w")) == (encoded.decode(), "x")
    assert message.msg == msg


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    for frame in (data, HEAD + data, b"<14>Nov 23 10:00:00 " + data):
        try:
            assert parse(frame).rfc in (3164, 5424)
        except SyslogFormatError:
            continue


def test_a_megabyte_of_escapes_is_parsed_at_once() -> None:
    message = parse_rfc5424(HEAD + b'[a@1 v="' + b"\\]" * 500_000 + b'"] m')

    assert message.param("v") == "]" * 500_000


def test_every_field_of_rfc_3164_comes_out() -> None:
    message = parse(b"<34>Oct  1 22:14:15 mymachine su[230]: 'su root' failed: x")

    assert message == SyslogMessage(
        rfc=3164,
        facility=4,
        severity=2,
        timestamp="Oct  1 22:14:15",
        hostname="mymachine",
        app_name="su",
        procid="230",
        msgid="-",
        structured_data=(),
        msg=b"'su root' failed: x",
    )
    assert parse_rfc3164(b"<34>Feb 29 00:00:00 h my-app:msg").procid == "-"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"<34>Oct 01 22:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Oct 1 22:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Okt  1 22:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Apr 31 22:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Oct 32 22:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Oct 10 24:14:15 h t: m", "TIMESTAMP"),
        (b"<34>Oct 10 22:14:60 h t: m", "TIMESTAMP"),
        (b"<34>2026-11-23T10:00:00Z h t: m", "TIMESTAMP"),
        (b"<34>Oct 10 22:14:15  t: m", "HOSTNAME"),
        (b"<34>Oct 10 22:14:15 h\xff t: m", "HOSTNAME"),
        (b"<34>Oct 10 22:14:15 h message without tag", "TAG"),
        (b"<34>Oct 10 22:14:15 h : m", "TAG"),
        (b"<999>Oct 10 22:14:15 h t: m", "PRI"),
    ],
)
def test_wrong_frames_of_rfc_3164_are_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(SyslogFormatError, match=reason):
        parse(frame)


def test_the_letter_of_rfc_3164_can_be_asked_for() -> None:
    frame = b"<34>Oct 10 22:14:15 h my-app: m"

    assert parse_rfc3164(frame).app_name == "my-app"
    with pytest.raises(SyslogFormatError, match="TAG"):
        parse(frame, strict_tag=True)
    with pytest.raises(SyslogFormatError, match="octets"):
        parse_rfc3164(frame, longest=20)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (HEAD + b'[sls@32473 id="0-1-2" logstore="x"] {"sls_id":"no"}', "0-1-2"),
        (HEAD + b'[sls@32473 id="0-1-2" part="2/3"] m', "0-1-2#2/3"),
        (HEAD + b'- {"sls_id":"0-1-2"}', "0-1-2"),
        (HEAD + b'- {"sls_id":7}', ""),
        (HEAD + b"- {broken", ""),
        (HEAD + b"- a=b||sls_id=0-1-2||c=d", "0-1-2"),
        (HEAD + b"- CEF:0|v|p|1|e|n|5|rt=1 externalId=0-1-2 msg=x", "0-1-2"),
        (HEAD + b"- LEEF:2.0|v|p|1|e|^|a=b^sls_id=0-1-2^c=d", "0-1-2"),
        (HEAD + b"- LEEF:1.0|v|p|1|e|sls_id=0-1-2\tc=d", "0-1-2"),
        (HEAD + b"- plain", ""),
    ],
)
def test_event_ids_are_found(frame: bytes, expected: str) -> None:
    assert event_id(parse(frame)) == expected


def test_an_id_in_json_that_is_no_object() -> None:
    assert id_in(json.dumps({"a": {"sls_id": "inner"}}).encode()) == ""


@given(
    st.lists(st.binary(max_size=40), max_size=20),
    st.sampled_from(["lf", "octet-counting", "auto"]),
    st.integers(1, 60),
    st.data(),
)
def test_frames_survive_any_split_of_the_stream(
    contents: list[bytes], framing: str, step: int, data: st.DataObject
) -> None:
    stream, frames = b"", []
    for content in contents:
        counted = framing == "octet-counting" or (framing == "auto" and data.draw(st.booleans()))
        frame = b"<1>" + (content if counted else content.replace(b"\n", b""))
        stream += b"%d %s" % (len(frame), frame) if counted else frame + b"\n"
        frames.append(frame)
    deframer = Deframer(framing)
    found = [frame for place in range(0, len(stream), step) for frame in deframer.feed(stream[place : place + step])]

    assert found == frames
    assert (deframer.partial, deframer.broken) == (b"", "")


@pytest.mark.parametrize(
    ("framing", "stream", "whole"),
    [
        ("octet-counting", b"3 <1>0 ", [b"<1>"]),
        ("octet-counting", b"3 <1><2>x\n", [b"<1>"]),
        ("octet-counting", b"03 <1>", []),
        ("octet-counting", b"3x <1>", []),
        ("octet-counting", b" 3 <1>", []),
        ("octet-counting", b"12345678901 x", []),
        ("octet-counting", b"101 x", []),
        ("auto", b"3 <1>7", [b"<1>"]),
        ("auto", b"<1>\n1x ", [b"<1>"]),
        ("lf", b"a\n" + b"x" * 101 + b"\nb\n", [b"a"]),
        ("auto", b"<1>\n<" + b"x" * 101 + b"\nb\n", [b"<1>"]),
        ("lf", b"x" * 120, []),
    ],
)
def test_a_stream_that_cannot_be_cut_breaks(framing: str, stream: bytes, whole: list[bytes]) -> None:
    deframer = Deframer(framing, max_frame_bytes=100)

    assert deframer.feed(stream) == whole
    if stream == b"3 <1>7":
        assert (deframer.partial, deframer.broken) == (b"7", "")
    else:
        assert deframer.broken
        assert deframer.feed(b"3 <1>") == []


def test_an_unknown_framing_is_refused() -> None:
    with pytest.raises(ValueError, match="no such framing"):
        Deframer("crlf")


@given(st.lists(st.tuples(st.integers(0, 999_999_999), st.binary(max_size=30)), max_size=15), st.integers(1, 50))
def test_relp_frames_survive_any_split(contents: list[tuple[int, bytes]], step: int) -> None:
    frames = [RelpFrame(txnr, "syslog", data) for txnr, data in contents]
    wire = b"".join(frame.encode() for frame in frames)
    stream = RelpStream()
    found = [frame for place in range(0, len(wire), step) for frame in stream.feed(wire[place : place + step])]

    assert found == frames
    assert (stream.partial, stream.broken) == (b"", "")


@pytest.mark.parametrize(
    "wire",
    [
        b"x",
        b"1 syslog\n",
        b"01 syslog 1 x\n",
        b"1 syslog 01 x\n",
        b"1 sys-log 1 x\n" + b" " * 60,
        b"1 syslog 3 xy\nz",
        b"1 syslog 0 \n",
        b"1 syslog 2\nxy\n",
        b"1 syslog 101 x",
        b"1  syslog 1 x\n",
        b"1234567890 syslog 1 x\n",
        b"\n",
    ],
)
def test_what_is_no_relp_breaks_the_stream(wire: bytes) -> None:
    stream = RelpStream(max_data_bytes=100)

    assert stream.feed(wire + b"\n" * 60) == []
    assert stream.broken
    assert stream.feed(b"1 syslog 1 x\n") == []
