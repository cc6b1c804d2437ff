"""Which values are embedded as JSON, and what of them is written."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec.jsonvalue import DEEPEST, embeddable

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b' {"a": [1, -0.5e+9, true, null, "\\u00e9\\n"]} ',
        '{"é":"😀"}'.encode(),
        b'{"a":1,"a":2}',
        b'["\\ud83d\\ude00"]',
        b'["\\\\ud800"]',
        b"[1e999999]",
        b"[" + b"9" * 10_000 + b"]",
        b"[" * DEEPEST + b"]" * DEEPEST,
        b'["' + b"[" * 1000 + b'\\"\\\\"]',
    ],
)
def test_one_well_formed_object_or_array_is_embedded_as_it_is(raw):
    assert embeddable(raw) == raw


def test_line_ends_and_tabs_between_tokens_are_left_out_and_spaces_stay():
    raw = b'\r\n{\n\t"a" : [1,\r\n2] ,"b":"x\\ny"}\n'

    assert embeddable(raw) == b'{"a" : [1,2] ,"b":"x\\ny"}'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"1",
        b'"text"',
        b"null",
        b"{",
        b"[1,]",
        b"[01]",
        b"[1.]",
        b"[+1]",
        b"{'a':1}",
        b"{a:1}",
        b"{} {}",
        b"[1 2]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b'["\x01"]',
        b'["\n"]',
        b'["\\x41"]',
        b'["\\u00g0"]',
        b'["\xff"]',
        b"\xef\xbb\xbf{}",
        b"\x0b{}",
        "\u00a0{}".encode(),
        "[\u0661]".encode(),
        b'["\\ud800"]',
        b'["\\uDC00"]',
        b'["\\udc00\\ud800"]',
        b'["\\ud800\\u0041"]',
        b'{"\\ud800":1}',
        b'["\\\\\\ud800"]',
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b"[" * 1_000_000,
    ],
)
def test_anything_else_stays_text(raw):
    assert embeddable(raw) is None


@given(json_values.filter(lambda found: isinstance(found, (dict, list))), st.sampled_from([None, 0, 1, "\t"]))
def test_what_is_embedded_means_the_same_on_one_line(value, indent):
    raw = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = embeddable(raw)

    assert found is not None
    assert json.loads(found) == value
    assert min(found) >= 0x20


@given(st.text(alphabet='{}[]",:\\u d8c0123e.-\n\tntf', max_size=30))
def test_what_is_embedded_is_what_a_json_parser_accepts(raw):
    try:
        accepted = isinstance(json.loads(raw), (dict, list))
        json.dumps(json.loads(raw), ensure_ascii=False).encode()
    except (ValueError, UnicodeError):
        accepted = False

    assert (embeddable(raw.encode()) is not None) == accepted


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 65 + b'"' + b'\\"' * 500_000,
        b"[" * 65 + b'"' * 1_000_000,
        b"[" + b"[]," * 300_000 + b"[]]",
        b'["' + b"\\u0041" * 150_000 + b'"]',
        b"[" + b"1" * 1_000_000 + b"]",
    ],
)
def test_a_megabyte_of_anything_is_decided_in_linear_time(raw):
    started = time.process_time()
    embeddable(raw)

    assert time.process_time() - started < 5
