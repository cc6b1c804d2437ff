from __future__ import annotations

import lz4.block
import pytest

from sls_siem.codec import compiled_codec
from sls_siem.net.http import HttpAnswer
from sls_siem.sls.cursors import to_cursor
from sls_siem.sls.pulled import LARGEST_RAW_BYTES, WrongAnswerError, read_pulled
from tests.unit.codec.building import group_list


def answer(raw, groups, **headers):
    body = lz4.block.compress(raw, store_size=False)
    given = {
        "x-log-count": str(groups),
        "x-log-bodyrawsize": str(len(raw)),
        "x-log-cursor": to_cursor(1000 + groups),
        "x-log-compresstype": "lz4",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return HttpAnswer(200, {name: value for name, value in given.items() if value is not None}, body)


def test_an_answer_becomes_positions_groups_and_raw_bytes():
    raw = group_list(10, 200)
    pulled = read_pulled(answer(raw, 2), 1000)

    assert (pulled.asked, pulled.next_position, pulled.groups, bytes(pulled.body)) == (1000, 1002, 2, raw)
    assert (pulled.raw_groups, pulled.raw_bytes, pulled.cursor_time, pulled.end_of_cursor) == (None, None, None, None)


def test_what_the_service_tells_besides_is_kept():
    pulled = read_pulled(
        answer(
            group_list(5),
            1,
            x_log_rawdatacount="7",
            x_log_rawdatasize="700",
            x_log_cursor_time="1700000000",
            x_log_end_of_cursor="1",
        ),
        1000,
    )

    assert (pulled.raw_groups, pulled.raw_bytes, pulled.cursor_time, pulled.end_of_cursor) == (7, 700, 1700000000, True)


@pytest.mark.parametrize(("value", "expected"), [("-1", None), ("x", None), ("", None)])
def test_numbers_that_only_some_answers_have_may_be_anything(value, expected):
    assert read_pulled(answer(group_list(5), 1, x_log_rawdatacount=value), 1000).raw_groups is expected


@pytest.mark.parametrize(("value", "expected"), [("0", False), ("true", True), ("maybe", None)])
def test_the_end_of_a_shard_may_be_told(value, expected):
    assert read_pulled(answer(group_list(5), 1, x_log_end_of_cursor=value), 1000).end_of_cursor is expected


def test_no_data_is_an_answer_whatever_stands_in_its_body():
    pulled = read_pulled(HttpAnswer(200, answer(b"", 0).headers, b"??"), 1000)

    assert (pulled.groups, pulled.body, pulled.next_position) == (0, b"", 1000)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"x_log_count": None}, "header x-log-count is missing"),
        ({"x_log_bodyrawsize": None}, "header x-log-bodyrawsize is missing"),
        ({"x_log_cursor": None}, "header x-log-cursor is missing"),
        ({"x_log_count": "two"}, "x-log-count is 'two', which is no number"),
        ({"x_log_count": "-2"}, "which is no number"),
        ({"x_log_bodyrawsize": "1e3"}, "which is no number"),
        ({"x_log_bodyrawsize": "9" * 30}, "which is no number"),
        ({"x_log_cursor": "end"}, "x-log-cursor is 'end', which is no cursor"),
        ({"x_log_count": "1"}, "x-log-count is 1, the body has 2 log groups"),
        ({"x_log_count": "0"}, "x-log-count is 0, the body has 2 log groups"),
        ({"x_log_bodyrawsize": "0"}, "x-log-count is 2, the body has 0 log groups"),
        ({"x_log_bodyrawsize": "213"}, "cannot be used"),
        ({"x_log_bodyrawsize": "215"}, "x-log-bodyrawsize says 215 bytes"),
        ({"x_log_bodyrawsize": str(LARGEST_RAW_BYTES + 1)}, "more than 67108864 bytes are not taken"),
        ({"x_log_compresstype": "zip"}, "'zip', which was not asked for"),
        ({"x_log_compresstype": "zstd"}, "zstd: "),
        ({"x_log_compresstype": None}, "x-log-bodyrawsize says 214 bytes"),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(headers, words):
    raw = group_list(10, 199)
    assert len(raw) == 214
    with pytest.raises(WrongAnswerError, match=words):
        read_pulled(answer(raw, 2, **headers), 1000)


@pytest.mark.parametrize("whole", [True, False])
def test_groups_are_never_passed_over_unseen(whole):
    """An answer without groups is not encoded, so nobody else would look into it."""
    with pytest.raises(WrongAnswerError, match="x-log-count is 0, the body has 2 log groups"):
        read_pulled(answer(group_list(10, 199), 2, x_log_count="0"), 1000, whole=whole)


def test_a_body_that_is_not_wanted_whole_is_the_same_and_as_long():
    raw = group_list(10, 199)
    pulled = read_pulled(answer(raw, 2), 1000, whole=False)

    assert (len(pulled.body), pulled.groups, bytes(pulled.body)) == (214, 2, raw)


def test_an_answer_tells_whether_its_groups_were_counted():
    raw, packed = group_list(10, 200), compiled_codec() is not None
    plain = answer(raw, 2, x_log_compresstype=None)._replace(body=raw)
    broken = b"\x0a\xff"

    assert [True, not packed, True] == [
        *(read_pulled(answer(raw, 2), 1000, whole=whole).checked for whole in (True, False)),
        read_pulled(plain, 1000, whole=False).checked,
    ]
    assert [True, False] == [read_pulled(answer(broken, 1), 1000, whole=whole).checked for whole in (True, False)]


def test_groups_that_cannot_be_walked_are_left_to_the_codec():
    raw = group_list(10) + b"\x0a\x7fcut off"

    assert bytes(read_pulled(answer(raw, 2), 1000).body) == raw
