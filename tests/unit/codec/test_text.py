"""Escapes, names and places where a text may be cut."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec.text import (
    Names,
    boundary,
    escape_boundary,
    json_escape,
    json_string,
    kv_escape,
    kv_escape_key,
    to_text,
)
from tests.unit.codec.building import text, unique, values


def unescape_kv(written: str) -> str:
    """Undo the escapes of `kv`, character by character."""
    plain = {"\\": "\\", "|": "|", "r": "\r", "n": "\n", "0": "\0", "=": "="}
    found = []
    place = 0
    while place < len(written):
        if written[place] == "\\":
            found.append(plain[written[place + 1]])
            place += 2
        else:
            assert written[place] not in "|\r\n\0"
            found.append(written[place])
            place += 1
    return "".join(found)


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"plain", b"plain"),
        ("é😀\u2028".encode(), "é😀\u2028".encode()),
        (b"\xff", b"\\xff"),
        (b"a\x80b", b"a\\x80b"),
        (b"\xe2\x82A", b"\\xe2\\x82A"),
        (b"\xed\xa0\x80", b"\\xed\\xa0\\x80"),
        (b"\xc0\xaf", b"\\xc0\\xaf"),
        (b"\xf4\x90\x80\x80", b"\\xf4\\x90\\x80\\x80"),
        (b"\xf0\x9f\x98", b"\\xf0\\x9f\\x98"),
    ],
)
def test_bytes_outside_well_formed_utf_8_are_written_in_hex(raw, written):
    assert to_text(raw) == written


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b'a"b\\c/', b'a\\"b\\\\c/'),
        (b"\b\t\n\f\r", b"\\b\\t\\n\\f\\r"),
        (b"\x00\x01\x0b\x1f", b"\\u0000\\u0001\\u000b\\u001f"),
        ("\x7f\u2028é😀".encode(), "\x7f\u2028é😀".encode()),
        (b"\xff", b"\\\\xff"),
    ],
)
def test_json_escapes_what_it_must_and_nothing_else(raw, written):
    assert json_escape(raw) == written


@given(values)
def test_json_strings_give_the_text_back_on_one_line(raw):
    written = json_string(raw)

    assert json.loads(written) == text(raw)
    assert min(written) >= 0x20


def test_kv_escapes_what_it_must_and_nothing_else():
    assert kv_escape(b"a\\|\r\n\x00=\xff") == b"a\\\\\\|\\r\\n\\0=\\\\xff"
    assert kv_escape_key(b"a=\\|") == b"a\\=\\\\\\|"


@given(values)
def test_kv_escapes_can_be_undone(raw):
    assert unescape_kv(kv_escape(raw).decode()) == text(raw)
    assert unescape_kv(kv_escape_key(raw).decode()) == text(raw)


def test_later_names_take_the_smallest_free_number():
    names = Names()
    given_names = [names.claim(name) for name in (b"x", b"x_2", b"x", b"x", b"x_2", b"", b"", b"x_3")]

    assert given_names == [b"x", b"x_2", b"x_3", b"x_4", b"x_2_2", b"", b"_2", b"x_3_2"]


@given(st.lists(st.sampled_from(["x", "x_2", "x_3", "x_2_2", ""])))
def test_names_follow_the_rule_written_the_slow_way(wanted):
    names = Names()

    assert [names.claim(name.encode()).decode() for name in wanted] == unique(wanted)


def test_a_hundred_thousand_equal_names_take_no_quadratic_time():
    names = Names()
    started = time.process_time()
    for _ in range(100_000):
        names.claim(b"x")

    assert time.process_time() - started < 5


def atoms(written: bytes, *, pipes: bool) -> set[int]:
    """Walk a written text from the left and collect every place where it may be cut."""
    places = {0}
    place = 0
    while place < len(written):
        if written[place] == 0x5C:
            place += 6 if not pipes and written[place + 1 : place + 2] == b"u" else 2
        elif pipes and written[place : place + 2] == b"||":
            place += 2
        else:
            place += 1
            while place < len(written) and 0x80 <= written[place] < 0xC0:
                place += 1
        places.add(place)
    return places


@given(values, st.data())
def test_json_text_is_cut_between_characters_and_escapes(raw, data):
    written = json_escape(raw)
    allowed = sorted(atoms(written, pipes=False))
    start = data.draw(st.sampled_from(allowed))
    wanted = data.draw(st.integers(start, len(written) + 3))

    assert escape_boundary(written, start, wanted) == max(place for place in allowed if place <= wanted)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4), st.data())
def test_kv_text_is_cut_between_characters_escapes_and_separators(pairs, data):
    written = b"||".join(kv_escape_key(key) + b"=" + kv_escape(value) for key, value in pairs)
    allowed = sorted(atoms(written, pipes=True))
    start = data.draw(st.sampled_from(allowed))
    wanted = data.draw(st.integers(start, len(written) + 3))

    found = escape_boundary(written, start, wanted, pipes=True)

    assert found == max(place for place in allowed if place <= wanted)


@given(st.text(), st.data())
def test_plain_text_is_cut_between_characters(plain, data):
    written = plain.encode("utf-8", "replace")
    wanted = data.draw(st.integers(0, len(written) + 3))
    cut = boundary(written, 0, wanted)

    assert written[:cut].decode() == written[:wanted].decode("utf-8", "ignore")
