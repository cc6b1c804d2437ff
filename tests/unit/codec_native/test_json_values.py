r"""Strings of embedded JSON are looked at in blocks of 64 bytes: wherever something stands, both codecs judge it alike.

To see it fail, let a block forget that its last byte was a backslash: `self.escapes = false` at the end of
`take_escapes` in `agent/native/src/jsonvalue.rs`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings
from sls_siem.codec.jsonvalue import embeddable
from tests.unit.codec.building import batch, group, log
from tests.unit.codec_native.compare import assert_same, library

HEC = EncoderSettings("hec", "project", "store")
PIECES = [
    *(rb"\"", rb"\\", rb"\/", rb"\b", rb"\f", rb"\n", rb"\r", rb"\t", rb"\u00e9", rb"\uD83D\uDE00", rb"\\\"", rb"\\\\"),
    *(rb"\u", rb"\u12", rb"\u12G4", rb"\ud83d", rb"\ud83d\n", rb"\ud83d\u0041", rb"\ude00", rb"\x41", rb"\U0041"),
    *(b"\\", rb"\\\ ", b"\\\x00", b"\x00", b"\n", b"\x1f", b"\x7f", b"\\\xc3\xa9", "é€😀".encode(), b"\xc3", b"\xff"),
    *(b'"', b'","', b'":"', b'"],["', b'\\"', b'\\\\"', b"u", b""),
]
STRINGS = st.lists(st.one_of(st.sampled_from(PIECES), st.integers(0, 70).map(lambda size: b"x" * size)), max_size=12)
TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b"1"]
WORDS = [
    *(b"1", b"-0", b"01", b"1.", b"0.5e+3", b"1e", b"1e-", b"-", b"+1", b".5", b"9" * 70, b"0x1", b"1 2", b""),
    *(b"true", b"t", b"truee", b"false", b"f", b"null", b"nil", b"NaN", b"Infinity", b"'a'", b"\\", b"x", b"/**/"),
    *(b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x00", b"\xa0", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b",", b":", b"{}", b"[]"),
]
AROUND = [(b'["', b'"]'), (b'{"', b'":1}'), (b'[ "', b'"\n]'), (b'[["', b'"]]'), (b'{"a":"', b'"}')]


@pytest.fixture(autouse=True)
def _library():
    library()


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_a_piece_is_judged_alike_wherever_it_stands_in_a_string(piece):
    texts = [b'["%b%b%b"]' % (b"x" * before, piece, b"y" * after) for before in range(150) for after in (0, 1, 70)]
    for first in range(0, len(texts), 50):
        one = batch(group(*(log((b"event", text)) for text in texts[first : first + 50])))
        payloads = assert_same(HEC, one)
        written = b"\n".join(payload.data for payload in payloads)

        for text in texts[first : first + 50]:
            assert (b'"event":%b' % text in written) == (embeddable(text) is not None)


@with_settings(max_examples=500)
@given(st.lists(STRINGS.map(b"".join), min_size=1, max_size=6), st.sampled_from(AROUND))
def test_strings_of_any_pieces_are_judged_alike(strings, around):
    text = b'", "'.join(strings).join(around)

    assert_same(HEC, batch(group(log((b"event", text), (b"next", b"\\" * 70)))))


@pytest.mark.parametrize("opening", [b"{", b"["])
def test_every_short_order_of_tokens_is_judged_alike(opening):
    texts = [opening + b"".join(order) for length in range(6) for order in product(TOKENS, repeat=length)]
    for first in range(0, len(texts), 1000):
        assert_same(HEC, batch(group(*(log((b"event", text)) for text in texts[first : first + 1000]))))

    assert any(embeddable(text) is not None for text in texts)


@pytest.mark.parametrize("token", WORDS, ids=ascii)
def test_words_and_numbers_are_judged_alike(token):
    around = [
        (b"[", b"]"),
        (b'{"a":', b"}"),
        (b"[1,", b",2]"),
        (b'[ "a" ,', b" ]"),
        (b"{", b":1}"),
        (b"", b"[]"),
        (b"[]", b""),
    ]

    assert_same(HEC, batch(group(*(log((b"event", token.join(pair))) for pair in around))))


@pytest.mark.parametrize("inside", [b"", b"1", b" ", b'"a"', b'"a":1', b"[]", b"{}", b"[ ]", b" {\n}"], ids=ascii)
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[ {"a" : ', b" } ]")])
def test_depth_is_counted_alike(opening, closing, inside):
    texts = [opening * depth + inside + closing * depth for depth in (*range(1, 4), *range(30, 35), *range(62, 67))]

    assert_same(HEC, batch(group(*(log((b"event", text)) for text in texts))))


@given(st.integers(0, 140), st.integers(1, 140))
def test_a_run_of_backslashes_escapes_every_second_byte(before, run):
    text = b'["%b%b","z"]' % (b"x" * before, b"\\" * run)
    one = batch(group(log((b"event", text))))

    payloads = assert_same(HEC, one)

    assert (b'"event":%b' % text in payloads[0].data) == (run % 2 == 0)
    assert_same(replace(HEC, json_fields=()), one)
