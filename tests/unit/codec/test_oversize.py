"""Events that are too long for a frame: truncated, split or given up, and what arrives still parses."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings
from sls_siem.codec.model import Oversize, Payload
from sls_siem.codec.syslog_header import LEAST_ROOM
from tests.unit.codec.building import batch, encode, group, log, members, one_piece, pieces, text, unique
from tests.unit.codec.rfc5424 import parse
from tests.unit.codec.test_events import kv_members
from tests.unit.codec.test_syslog import SYSLOG, syslog

sizes = st.integers(480, 700)
long_values = st.one_of(
    st.sampled_from([b"\x00", b"\\", '"é😀'.encode(), b"||", b"\xff", b"x"]).flatmap(
        lambda unit: st.integers(0, 900).map(lambda count: unit * count)
    ),
    st.binary(max_size=40),
)
long_logs = st.lists(
    st.tuples(st.one_of(st.sampled_from([b"a", b"b", b"__truncated__"]), long_values), long_values), max_size=6
)
framings = st.sampled_from(["lf", "octet-counting", "datagram"])
rfcs = st.sampled_from([5424, 3164])


def message_of(frame: bytes, settings: EncoderSettings) -> bytes:
    """Take the message out of a frame."""
    if settings.syslog.framing == "octet-counting":
        count, _, frame = frame.partition(b" ")
        assert int(count) == len(frame)
    assert len(frame) <= settings.syslog.max_bytes
    if settings.syslog.framing == "lf":
        frame = frame[:-1]
    if settings.syslog.rfc == 5424:
        return parse(frame).text
    return re.sub(rb"\A<\d+>.{15} [!-~]+ [!-~]+: ", b"", frame, count=1)


@given(long_logs, sizes, framings, rfcs)
def test_truncated_json_fits_parses_keeps_the_start_and_says_so(contents, size, framing, rfc):
    settings = syslog(max_bytes=size, framing=framing, rfc=rfc, hostname="{a}")
    entry = log(*contents, ns=5)
    one = group(entry, topic=b"topic", source=b"source")
    marks = [("sls_id", "3-1000-0")] if rfc == 3164 else []
    (frame,) = pieces(settings, batch(one))
    found = json.loads(message_of(frame, settings), object_pairs_hook=list)

    if found[-1] != ("__truncated__", True):
        assert json.loads(json.dumps(dict(found))) == dict(members(one, entry, marks=marks))
        return
    whole = members(one, entry, marks=marks)
    names = [name for name, _ in found[:-1]]
    expected = renamed([name for name, _ in whole_names(one, entry, marks)])
    assert names == expected[: len(names)]
    for (_, value), (_, full) in zip(found[:-1], whole):
        assert value == full or (isinstance(value, str) and full.startswith(value))


def whole_names(one, entry, marks):
    """Names before they are made unique."""
    plain = [("__time__", None)] + ([("__time_ns_part__", None)] if entry.ns is not None else [])
    plain += [("__topic__", None)] if one.topic is not None else []
    plain += [("__source__", None)] if one.source is not None else []
    plain += list(marks)
    return plain + [(text(key), None) for key, _ in entry.contents]


def renamed(names):
    return unique(names, taken=["__truncated__"])


@given(long_logs, sizes, framings, rfcs)
def test_truncated_kv_fits_parses_keeps_the_start_and_says_so(contents, size, framing, rfc):
    settings = syslog(replace(SYSLOG, format="kv"), max_bytes=size, framing=framing, rfc=rfc)
    entry = log(*contents)
    one = group(entry)
    marks = [("sls_id", "3-1000-0")] if rfc == 3164 else []
    (frame,) = pieces(settings, batch(one))
    found = kv_members(message_of(frame, settings).decode())
    whole = [(name, str(value)) for name, value in members(one, entry, marks=marks)]

    if found == whole:
        return
    assert found[-1] == ("__truncated__", "true")
    names = renamed([name for name, _ in whole_names(one, entry, marks)])
    assert [name for name, _ in found[:-1]] == names[: len(found) - 1]
    assert all(full.startswith(value) for (_, value), (_, full) in zip(found[:-1], whole))


@pytest.mark.parametrize("form", ["json", "kv"])
def test_a_truncated_event_without_structured_data_keeps_id_and_mark(form):
    settings = syslog(replace(SYSLOG, format=form, replay=True), structured_data="", max_bytes=600)
    entry = log(*((b"key-%03d" % number, b"v" * 20) for number in range(100)), ns=7)
    message = parse(one_piece(settings, group(entry, topic=b"t" * 900))).text
    found = json.loads(message) if form == "json" else dict(kv_members(message.decode()))

    assert list(found)[:6] == ["__time__", "__time_ns_part__", "__topic__", "sls_id", "sls_replay", "key-000"]
    assert (found["sls_id"], found["sls_replay"]) == ("3-1000-0", "1")
    assert str(found["__time_ns_part__"]) == "7"


def test_truncation_shortens_the_longest_values_only():
    entry = log((b"short", b"s" * 50), (b"long", b"l" * 5000), (b"longer", b"m" * 9000), (b"last", b"kept"))
    settings = syslog(max_bytes=1000)
    frame = one_piece(settings, group(entry))
    found = json.loads(parse(frame).text)

    assert len(frame) in (999, 1000)
    assert (found["short"], found["last"], found["__truncated__"]) == ("s" * 50, "kept", True)
    assert len(found["long"]) == len(found["longer"]) > 300


def test_truncation_cuts_between_characters_and_escapes():
    entry = log((b"a", '"😀\x01\n\\é'.encode() * 300), (b"b", b"\xff" * 900))
    for size in range(600, 640):
        found = json.loads(parse(one_piece(syslog(max_bytes=size), group(entry))).text)

        assert ('"😀\x01\n\\é' * 300).startswith(found["a"])
        assert ("\\xff" * 900).startswith(found["b"])


def test_when_the_names_alone_are_too_long_members_are_left_out_from_the_end():
    entry = log(*((b"key-%03d" % number, b"v") for number in range(100)))
    found = json.loads(parse(one_piece(syslog(max_bytes=600), group(entry))).text)

    assert list(found)[:3] == ["__time__", "key-000", "key-001"]
    assert list(found)[-1] == "__truncated__"
    assert 10 < len(found) < 100
    assert next(value for name, value in found.items() if name.startswith("key-")) == ""


def test_an_event_that_just_fits_is_not_truncated_and_one_more_byte_is():
    whole = one_piece(SYSLOG, group(log((b"a", b"x" * 600))))

    assert one_piece(syslog(max_bytes=len(whole)), group(log((b"a", b"x" * 600)))) == whole
    assert b"__truncated__" in one_piece(syslog(max_bytes=len(whole) - 1), group(log((b"a", b"x" * 600))))
    assert one_piece(syslog(max_bytes=len(whole) + 1, framing="lf"), group(log((b"a", b"x" * 600)))) == whole + b"\n"
    assert b"__truncated__" in one_piece(syslog(max_bytes=len(whole), framing="lf"), group(log((b"a", b"x" * 600))))


def test_an_embedded_value_stays_embedded_unless_it_has_to_be_cut():
    settings = syslog(replace(SYSLOG, json_fields=("small", "big")), max_bytes=600)
    entry = log((b"small", b'{"a":"b"}'), (b"big", b'["' + b"x" * 900 + b'"]'))
    found = json.loads(parse(one_piece(settings, group(entry))).text)

    assert found["small"] == {"a": "b"}
    assert found["big"].startswith('["xxx')


@given(st.integers(0, 700), st.integers(0, 700), sizes)
def test_a_truncated_embedded_value_is_whole_or_the_start_of_its_text(first, second, size):
    texts = ['["' + "x" * first + '"]', '{"\\"":[' + "1," * second + "2]}"]
    settings = syslog(replace(SYSLOG, json_fields=("a", "b")), max_bytes=size)
    frame = one_piece(settings, group(log((b"a", texts[0].encode()), (b"b", texts[1].encode()))))
    found = json.loads(parse(frame).text)

    assert len(frame) <= size
    for name, full in zip("ab", texts):
        value = found.get(name, "")
        assert full.startswith(value) if isinstance(value, str) else value == json.loads(full)


def test_truncated_raw_is_cut_between_characters():
    settings = syslog(replace(SYSLOG, format="raw"), max_bytes=500)
    frame = one_piece(settings, group(log((b"content", "é".encode() * 900))))

    assert len(frame) in (499, 500)
    assert parse(frame).text.decode().strip("é") == ""
    assert json.loads(parse(one_piece(settings, group(log((b"other", b"x" * 900))))).text)["__truncated__"] is True


@given(long_logs, sizes, framings, rfcs, st.sampled_from(["json", "kv", "raw"]), st.sampled_from(["", "sls@32473"]))
def test_the_parts_of_a_split_message_are_the_message(contents, size, framing, rfc, form, data):
    settings = syslog(
        replace(SYSLOG, format=form, raw_field="a"),
        max_bytes=size,
        framing=framing,
        rfc=rfc,
        oversize="split",
        structured_data=data,
    )
    one = group(log(*contents))
    whole = message_of(one_piece(syslog(settings, max_bytes=1 << 24), one), syslog(settings, max_bytes=1 << 24))
    frames = pieces(settings, batch(one))
    parts = [message_of(frame, settings) for frame in frames]

    if len(frames) == 1:
        assert parts == [whole]
        return
    expected = [f"{number}/{len(frames)}" for number in range(1, len(frames) + 1)]
    if rfc == 5424 and data:
        found = [parse(bare(frame, framing)).data[0][1] for frame in frames]
        assert [dict(params)["part"] for params in found] == expected
        assert [name for name, _ in found[0]] == ["id", "logstore", "part"]
    else:
        assert [part.partition(b" ")[0] for part in parts] == [b'part="%b"' % word.encode() for word in expected]
        parts = [part.partition(b" ")[2] for part in parts]
    assert b"".join(parts) == whole
    for part in parts:
        part.decode()


def bare(frame: bytes, framing: str) -> bytes:
    if framing == "octet-counting":
        return frame.partition(b" ")[2]
    return frame[:-1] if framing == "lf" else frame


def test_parts_are_numbered_with_as_many_digits_as_it_takes():
    settings = syslog(replace(SYSLOG, format="raw"), max_bytes=500, oversize="split")
    value = bytes(range(97, 123)) * 20_000
    frames = [parse(frame) for frame in pieces(settings, batch(group(log((b"content", value)))))]

    assert len(frames) > 1000
    assert b"".join(frame.text for frame in frames) == value
    assert dict(frames[9].data[0][1])["part"] == f"10/{len(frames)}"


def test_a_split_event_counts_once_and_stays_in_one_payload_except_as_datagrams():
    one = batch(group(log((b"a", b"1")), log((b"a", b"x" * 2000)), log((b"a", b"3"))))
    settings = syslog(max_bytes=600, oversize="split", framing="lf")

    (payload,) = encode(settings, one)
    datagrams = encode(syslog(settings, framing="datagram"), one)

    assert payload.events == 3
    assert [datagram.events for datagram in datagrams] == [1] + [0] * (len(datagrams) - 3) + [1, 1]
    assert len(datagrams) > 5
    assert [datagram.span.skip for datagram in datagrams] == [0] + [1] * (len(datagrams) - 2) + [2]


def test_an_event_for_the_dead_letters_comes_whole_in_its_place():
    settings = syslog(max_bytes=600, oversize="dead-letter", framing="lf")
    one = batch(group(log((b"a", b"1")), log((b"a", b"x" * 2000)), log((b"a", b"3")), source=b"s"))

    first, dead, last = encode(settings, one)

    assert isinstance(dead, Oversize)
    assert isinstance(first, Payload)
    assert json.loads(dead.event)["a"] == "x" * 2000
    assert dead.event_id == "3-1000-1"
    assert (dead.span.start, dead.span.end, dead.span.skip, dead.span.events) == (1000, 1001, 1, 1)
    assert (first.events, last.events, last.span.skip) == (1, 1, 2)


@given(st.lists(st.integers(0, 3000), min_size=4, max_size=4), sizes, rfcs, framings)
def test_a_header_always_leaves_room_for_a_message(lengths, size, rfc, framing):
    contents = tuple((b"h%d" % number, b"x" * length) for number, length in enumerate(lengths))
    settings = syslog(
        rfc=rfc, max_bytes=size, framing=framing, hostname="{h0}", app_name="{h1}", procid="{h2}", msgid="{h3}"
    )
    assume(sum(lengths) > size)
    frame = one_piece(settings, group(log(*contents)))
    message = message_of(frame, settings)

    assert json.loads(message)["__truncated__"] is True
    assert len(bare(frame, framing)) - len(message) <= size - LEAST_ROOM
