from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.siem.relp_frames import MOST_TXNR, RelpAnswer, RelpBrokenError, RelpReader, next_txnr, relp_frame


def test_frames_as_librelp_lays_them_out() -> None:
    assert relp_frame(7, b"syslog", b"abc") == b"7 syslog 3 abc\n"
    assert relp_frame(8, b"close") == b"8 close 0\n"


def test_transaction_numbers_start_again_at_one() -> None:
    assert [next_txnr(0), next_txnr(1), next_txnr(MOST_TXNR)] == [1, 2, 1]


@given(
    st.lists(st.tuples(st.integers(0, MOST_TXNR), st.sampled_from([b"rsp", b"serverclose"]), st.binary(max_size=40))),
    st.integers(1, 30),
)
def test_answers_are_found_however_they_are_cut(frames: list[tuple[int, bytes, bytes]], size: int) -> None:
    reader, found = RelpReader(), []
    wire = b"".join(relp_frame(*frame) for frame in frames)
    for place in range(0, len(wire), size):
        found += reader.feed(wire[place : place + size])

    assert found == [RelpAnswer(*frame) for frame in frames]


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_one_kind_of_error(data: bytes) -> None:
    reader = RelpReader()
    try:
        answers = reader.feed(data)
    except RelpBrokenError:
        return

    assert all(isinstance(answer, RelpAnswer) for answer in answers)


@pytest.mark.parametrize(
    "wire",
    [b"HTTP/1.1 400\r\n", b"1 rsp 6 200 OKx", b"1 rsp 0 \n", b"1 rsp 6\n", b"1 rsp 99999999 x", b"x" * 60, b"1  r 0\n"],
)
def test_what_is_no_relp_is_refused(wire: bytes) -> None:
    with pytest.raises(RelpBrokenError):
        RelpReader().feed(wire)


@pytest.mark.parametrize(
    ("data", "status"), [(b"200 OK", 200), (b"200", 200), (b"500 no", 500), (b"", 0), (b"2000", 0), (b"OK", 0)]
)
def test_the_status_of_an_answer(data: bytes, status: int) -> None:
    assert RelpAnswer(1, b"rsp", data).status == status
