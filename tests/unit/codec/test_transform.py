"""Filters and changes of fields: what goes out, what does not, and that nothing else is touched."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import CefSettings, EncoderSettings, HecSettings, SyslogSettings, TransformSettings, make_encoder
from sls_siem.codec import make_reference_encoder as reference
from sls_siem.codec.model import Batch, Payload
from tests.unit.codec.building import group, log, wire

KEY = b"0123456789abcdef"
HEC = EncoderSettings("hec", "project", "store", hec=HecSettings(host="{__source__}", source="{user}", sourcetype=""))


def batch(*groups, regrouped: bool = False) -> Batch:
    return Batch(3, 100, 100 + len(groups), len(groups), wire(groups), regrouped)


def payloads(settings: EncoderSettings, *groups, **changes) -> list[Payload]:
    return list(make_encoder(settings).encode(batch(*groups, **changes)))


def events(transform: TransformSettings, *groups) -> list[dict]:
    found = payloads(replace(HEC, transform=transform), *groups)
    return [json.loads(line) for payload in found for line in payload.data.split(b"\n") if line]


def event(transform: TransformSettings, *contents, **meta) -> dict:
    (found,) = events(transform, group(log(*contents), **meta))
    return found["event"]


def test_what_is_hidden_is_hidden_wherever_the_name_stands() -> None:
    transform = TransformSettings(
        drop=("password", "__tag__:ip"), redact=("token", "__topic__"), hash=("user", "__source__"), hash_key=KEY
    )
    contents = [(b"user", b"ann"), (b"password", b"p"), (b"token", b"t"), (b"user", b"bob"), (b"other", b"\xff")]
    (found,) = events(
        transform, group(log(*contents), topic=b"secret", source=b"10.0.0.1", tags=[(b"ip", b"1"), (b"k", b"2")])
    )

    def hashed(value: bytes) -> str:
        return hmac.new(KEY, value, hashlib.sha256).hexdigest()

    assert {
        "__time__": 1433188255,
        "__topic__": "***",
        "__source__": hashed(b"10.0.0.1"),
        "__tag__:k": "2",
        "user": hashed(b"ann"),
        "token": "***",
        "user_2": hashed(b"bob"),
        "other": "\\xff",
    } == found["event"]
    assert [hashed(b"10.0.0.1"), hashed(b"ann")] == [found["host"], found["source"]]


def test_hashes_depend_on_the_key_and_equal_values_stay_equal() -> None:
    one, other = (TransformSettings(hash=("a", "b"), hash_key=key) for key in (KEY, KEY[::-1]))
    contents = [(b"a", b"v"), (b"b", b"v")]

    assert event(one, *contents)["a"] == event(one, *contents)["b"]
    assert event(one, *contents)["a"] != event(other, *contents)["a"]


@pytest.mark.parametrize(
    ("value", "most", "kept"),
    [
        (b"abc", 3, "abc"),
        (b"abcd", 3, "abc"),
        ("äöü".encode(), 3, "ä"),
        ("a😀".encode(), 4, "a"),
        ("a😀b".encode(), 5, "a😀"),
        (b"\x80" * 9, 2, "\\x80\\x80"),
    ],
)
def test_a_truncated_value_has_no_half_of_a_character(value, most, kept) -> None:
    assert kept == event(TransformSettings(truncate=(("a", most),)), (b"a", value))["a"]


def test_a_hash_may_be_shortened_and_a_field_renamed_last() -> None:
    transform = TransformSettings(
        hash=("user",), truncate=(("user", 12),), rename=(("user", "who"), ("x", "y")), hash_key=KEY
    )
    found = event(transform, (b"y", b"1"), (b"user", b"ann"), (b"x", b"2"))

    assert {
        "__time__": 1433188255,
        "y": "1",
        "who": hmac.new(KEY, b"ann", "sha256").hexdigest()[:12],
        "y_2": "2",
    } == found


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("", b"", True),
        ("", b"x", False),
        ("*", b"a\nb", True),
        ("GET /health*", b"GET /healthz", True),
        ("*.log", b"a.logs", False),
        ("a*b*c", b"a-b-b-c", True),
        ("a*a", b"a", False),
        ("ab*b*bc", b"abc", False),
        ("ab*b*bc", b"abbbc", True),
        ("**a**", b"bab", True),
        ("ä", "ä".encode(), True),
        ("a.c", b"abc", False),
        ("*\\xff*", b"1\xff2", False),
    ],
)
def test_patterns(pattern, value, fits) -> None:
    kept = events(TransformSettings(keep=(("a", (pattern,)),)), group(log((b"a", value))))
    dropped = events(TransformSettings(drop_logs=(("a", ("never", pattern)),)), group(log((b"a", value))))

    assert [fits, not fits] == [bool(kept), bool(dropped)]


@pytest.mark.timeout(20)
def test_no_value_makes_a_pattern_slow() -> None:
    """With a regular expression it would take years."""
    value = b"a" * 1_000_000

    assert events(TransformSettings(keep=(("a", ("*a*a*a*a*b",)),)), group(log((b"a", value)))) == []


def test_each_field_of_keep_has_to_fit_and_none_of_drop_may() -> None:
    transform = TransformSettings(
        keep=(("status", ("4*", "5*")), ("__topic__", ("web",))), drop_logs=(("path", ("/x",)), ("bot", ("1",)))
    )
    logs = [
        log((b"status", b"404"), (b"n", b"0")),
        log((b"status", b"200"), (b"n", b"1")),
        log((b"status", b"500"), (b"path", b"/x"), (b"n", b"2")),
        log((b"status", b"500"), (b"bot", b"1"), (b"n", b"3")),
        log((b"n", b"4")),
        log((b"status", b"500"), (b"n", b"5")),
    ]
    found = events(transform, group(*logs, topic=b"web"), group(*logs, topic=b"other"))

    assert ["0", "5"] == [one["event"]["n"] for one in found]
    assert ["3-100-0", "3-100-5"] == [one["fields"]["sls_id"] for one in found]


def test_filters_go_by_the_names_and_values_that_sls_has() -> None:
    transform = TransformSettings(
        keep=(("user", ("ann",)),), hash=("user",), rename=(("user", "who"),), hash_key=KEY, drop=("x",)
    )

    assert "who" in event(transform, (b"user", b"ann"), (b"x", b""))


def test_what_is_left_out_counts_as_part_of_the_payload_around_it() -> None:
    transform = TransformSettings(drop_logs=(("a", ("0",)),))
    logs = [log((b"a", value)) for value in (b"0", b"1", b"0", b"0", b"1", b"0")]
    settings = replace(HEC, transform=transform)
    (found,) = payloads(settings, group(*logs))

    assert (6, 2, (0, 2, 3, 5)) == (found.span.events, found.events, found.omitted)
    assert [1, 4] == [found.place_of(0), found.place_of(1)]
    (empty,) = payloads(settings, group(*[log((b"a", b"0"))] * 3))
    assert (b"", 3, 0) == (empty.data, empty.span.events, empty.events)


def test_every_log_lies_in_one_span_whatever_is_left_out() -> None:
    transform = TransformSettings(drop_logs=(("a", ("0",)),))
    syslog = SyslogSettings(framing="datagram", oversize="split", max_bytes=480)
    logs = [log((b"a", b"01"[n % 2 : n % 2 + 1]), (b"long", b"x" * (900 if n == 5 else 3))) for n in range(9)]
    for settings in (
        replace(HEC, batch_bytes=120),
        EncoderSettings("syslog", "project", "store", format="kv", syslog=syslog),
        EncoderSettings("syslog", "p", "s", syslog=replace(syslog, oversize="dead-letter")),
    ):
        found = payloads(replace(settings, transform=transform), group(*logs))

        assert list(range(9)) == [
            place for one in found for place in range(one.span.skip, one.span.skip + one.span.events)
        ]


@given(st.lists(st.sampled_from([b"0", b"1"]), max_size=8), st.booleans())
def test_ids_are_those_of_the_logs_as_they_came(values, regrouped) -> None:
    transform = TransformSettings(drop_logs=(("a", ("0",)),), redact=("a",), drop=("b",), rename=(("a", "z"),))
    one = batch(group(*(log((b"a", value), (b"b", b"%d" % n)) for n, value in enumerate(values))), regrouped=regrouped)
    plain, changing = reference(HEC), reference(replace(HEC, transform=transform))
    ids = [plain.event_id(one, ordinal) for ordinal in range(len(values))]
    found = [json.loads(line) for payload in changing.encode(one) for line in payload.data.split(b"\n") if line]

    assert [ident for ident, value in zip(ids, values) if value == b"1"] == [one["fields"]["sls_id"] for one in found]
    assert ids == [changing.event_id(one, ordinal) for ordinal in range(len(values))]


def test_cef_sees_the_changed_fields_only() -> None:
    settings = EncoderSettings(
        "syslog",
        "p",
        "s",
        format="cef",
        cef=CefSettings(name="{who}", fields=(("suser", "who"), ("cs1", "user"))),
        transform=TransformSettings(redact=("user",), rename=(("user", "who"),)),
    )
    (found,) = payloads(settings, group(log((b"user", b"ann"))))

    assert b"|***|" in found.data
    assert b"suser=***" in found.data
    assert b"ann" not in found.data
    assert b"cs1" not in found.data


def test_the_key_is_not_shown() -> None:
    assert "0123456789abcdef" not in repr(TransformSettings(hash=("a",), hash_key=KEY))
