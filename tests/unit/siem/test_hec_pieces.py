from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.siem.hec_pieces import Piece, whole
from tests.unit.siem.support import hec_events, payload_of

EVENTS = hec_events(0, 5)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_runs_hold_exactly_their_events(end: bytes) -> None:
    data = b"\n".join(EVENTS) + end
    piece = Piece(data, 10, 5)

    assert piece.run(1, 3) == [Piece(EVENTS[1] + b"\n" + EVENTS[2] + b"\n", 11, 2)]
    assert piece.run(3, 9) == [Piece(EVENTS[3] + b"\n" + EVENTS[4] + b"\n", 13, 2)]
    assert piece.run(-1, 1) == [Piece(EVENTS[0] + b"\n", 10, 1)]
    assert piece.run(5, 6) == []
    assert piece.run(-1, 0) == []


def test_halves_hold_everything() -> None:
    first, second = whole(payload_of(EVENTS)).halves()

    assert (first.first, first.events, second.first, second.events) == (0, 2, 2, 3)
    assert first.data + second.data == b"".join(event + b"\n" for event in EVENTS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"time":1.50,"event":"x","fields":{"a":"1"}}', b'{"time":1.50,"event":"x"}'),
        (b'{"fields":{"a":[1,2]},"event":{"fields":1}}', b'{"event":{"fields":1}}'),
        (b'{"event":1e3, "fields" : {} ,"host":"\\u00e9"}', b'{"event":1e3 ,"host":"\\u00e9"}'),
        (b'{"fields":{}}', b"{}"),
        (b'{"event":",\\"fields\\":{}","fields":{"a":"}"}}\n', b'{"event":",\\"fields\\":{}"}\n'),
    ],
)
def test_fields_are_cut_out_and_nothing_else(before: bytes, after: bytes) -> None:
    (piece,) = Piece(before, 0, 1).without_fields()

    assert piece.data == after.replace(b'1e3 ,"host"', b'1e3,"host"')
    assert piece.stripped
    json.loads(piece.data)


@pytest.mark.parametrize(
    "data", [b'{"event":{"fields":1}}', b"{}", b"", b"x", b"[1]", b'{"event"', b'{"event" 1}', b"{" * 5000]
)
def test_without_fields_there_is_nothing_to_cut(data: bytes) -> None:
    assert Piece(data, 0, 1).without_fields() == []


VALUES = st.recursive(st.none() | st.text() | st.floats(allow_nan=False), st.lists)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_remains_is_what_json_says(members: dict[str, object]) -> None:
    document = {**members, "fields": {"sls_id": "1"}}
    found = Piece(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"), 0, 1).without_fields()
    del document["fields"]

    assert [json.loads(piece.data) for piece in found] == [document]
