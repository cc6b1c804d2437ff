from __future__ import annotations

import json

import pytest

from sls_siem.siem.hec_answers import CODES, STATUSES, Action, meaning_of, read_answer

TABLE = [
    (0, 200, Action.ACCEPT),
    (1, 403, Action.HOLD_TOKEN),
    (2, 401, Action.HOLD_TOKEN),
    (3, 401, Action.HOLD_TOKEN),
    (4, 403, Action.HOLD_TOKEN),
    (5, 400, Action.EMPTY),
    (6, 400, Action.REFUSE_EVENT),
    (7, 400, Action.REFUSE_INDEX),
    (8, 500, Action.RETRY),
    (9, 503, Action.RESUME),
    (10, 400, Action.HOLD_SETUP),
    (11, 400, Action.HOLD_SETUP),
    (12, 400, Action.REFUSE_EVENT),
    (13, 400, Action.REFUSE_EVENT),
    (14, 400, Action.HOLD_SETUP),
    (15, 400, Action.REFUSE_FIELDS),
    (16, 400, Action.HOLD_TOKEN),
    (17, 200, Action.HEALTHY),
    (18, 503, Action.RETRY),
    (19, 503, Action.RETRY),
    (20, 503, Action.RETRY),
    (21, 400, Action.HOLD_TOKEN),
    (22, 400, Action.HOLD_TOKEN),
    (23, 503, Action.RETRY),
    (24, 200, Action.ACCEPT_AND_SLOW_DOWN),
    (25, 200, Action.ACCEPT_AND_SLOW_DOWN),
    (26, 429, Action.RETRY),
    (27, 429, Action.RETRY),
    (28, 400, Action.HOLD_SETUP),
]


@pytest.mark.parametrize(("code", "status", "action"), TABLE)
def test_each_code_has_its_action(code: int, status: int, action: Action) -> None:
    answer = read_answer(status, {}, json.dumps({"text": "words", "code": code}).encode(), 0)

    assert answer.meaning.action is action
    assert answer.text == f"HTTP {status}, code {code}: words"
    assert CODES[code].status == status


def test_the_table_has_no_other_row() -> None:
    assert sorted(CODES) == [code for code, _, _ in TABLE]


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (200, Action.HOLD_SETUP),
        (201, Action.HOLD_SETUP),
        (204, Action.HOLD_SETUP),
        (301, Action.HOLD_SETUP),
        (302, Action.HOLD_SETUP),
        (307, Action.HOLD_SETUP),
        (400, Action.HOLD_SETUP),
        (401, Action.HOLD_TOKEN),
        (403, Action.HOLD_TOKEN),
        (404, Action.HOLD_SETUP),
        (405, Action.HOLD_SETUP),
        (407, Action.HOLD_SETUP),
        (408, Action.RETRY),
        (413, Action.SPLIT),
        (415, Action.HOLD_SETUP),
        (418, Action.HOLD_SETUP),
        (429, Action.RETRY),
        (500, Action.RETRY),
        (502, Action.RETRY),
        (503, Action.RETRY),
        (504, Action.RETRY),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"text":"x"}', b'{"code":true}', b'{"code":"0"}', b"[" * 9999]
)
def test_a_status_without_a_code_has_its_action(status: int, action: Action, body: bytes) -> None:
    assert read_answer(status, {}, body, 0).meaning.action is action


@pytest.mark.parametrize("status", [201, 302, 400, 403, 500, 503])
@pytest.mark.parametrize("code", [0, 17, 24, 25, 29, 404])
def test_only_status_200_accepts(status: int, code: int) -> None:
    action = meaning_of(status, code).action

    assert action not in (Action.ACCEPT, Action.ACCEPT_AND_SLOW_DOWN, Action.HEALTHY)


def test_an_unknown_code_with_status_200_is_an_acceptance() -> None:
    assert meaning_of(200, 29).action is Action.ACCEPT_AND_SLOW_DOWN


def test_a_code_counts_more_than_the_status_of_a_proxy() -> None:
    assert meaning_of(200, 6).action is Action.REFUSE_EVENT
    assert meaning_of(502, 4).action is Action.HOLD_TOKEN


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0), (7, 7), (-1, None), (True, None), ("3", None), (1.0, None), (None, None)]
)
def test_numbers_are_natural_numbers_or_nothing(value: object, number: object) -> None:
    body = json.dumps({"code": 6, "invalid-event-number": value, "ackId": value}).encode()
    answer = read_answer(400, {}, body, 0)

    assert (answer.number, answer.ack_id) == (number, number)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("999999999", 3600.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: object) -> None:
    assert read_answer(503, {"retry-after": text}, b"", 784111770.0).retry_after_s == seconds


def test_the_same_body_again_has_the_retry_after_of_its_own_answer() -> None:
    body = b'{"text":"Server is busy","code":9}'
    found = [read_answer(503, {"retry-after": after} if after else {}, body, 0.0) for after in ("3", "", "5", "")]

    assert [answer.retry_after_s for answer in found] == [3.0, None, 5.0, None]
    assert {answer.code for answer in found} == {9}


def test_the_same_body_means_something_else_with_another_status() -> None:
    body = b'{"text":"Success","code":0}'

    assert [read_answer(status, {}, body, 0.0).meaning.action is CODES[0].action for status in (200, 503, 200)] == [
        True,
        False,
        True,
    ]


def test_the_receivers_words_cannot_forge_a_log_line_or_reach_a_terminal() -> None:
    body = json.dumps({"code": 6, "text": "bad\r\nERROR \x1b[31mforged\u202e" + "x" * 1000}).encode()
    text = read_answer(400, {}, body, 0).text

    assert text.startswith("HTTP 400, code 6: bad ERROR [31mforged xx")
    assert len(text) < 250


def test_every_row_has_a_reason_that_fits_a_metric_label() -> None:
    reasons = [row.reason for table in (CODES, STATUSES) for row in table.values()]

    assert [reason for reason in reasons if not reason.replace("-", "").isalpha()] == []


def test_what_one_answer_asked_for_is_not_asked_by_the_next_of_the_same_words() -> None:
    body = b'{"text":"Server is busy","code":9}'
    waits = [read_answer(503, headers, body, 0.0).retry_after_s for headers in ({"retry-after": "7"}, {})]

    assert waits == [7.0, None]
    assert read_answer(200, {}, body, 0.0).status == 200
