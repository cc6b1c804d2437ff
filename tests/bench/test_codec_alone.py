"""The codec alone can be measured, of every kind of log; how fast it is, is not judged."""

from __future__ import annotations

from sls_siem.codec import count_groups
from tests.bench.codec_alone import ANSWER_BYTES, answer, measure, table


def test_an_answer_is_whole_and_of_its_size() -> None:
    body, groups = answer("actiontrail")

    assert count_groups(body) == groups
    assert 0.95 * ANSWER_BYTES < len(body) < 1.05 * ANSWER_BYTES


def test_events_are_encoded_that_are_somewhat_greater_than_the_logs() -> None:
    rates = measure("waf", 1)

    assert 1.0 < rates.grown < 1.2
    assert min(rates.decompressed, rates.encoded, rates.both) > 1


def test_each_kind_of_log_has_its_line() -> None:
    lines = table(1).splitlines()

    assert [line.split()[0] for line in lines[2:]] == ["nginx", "actiontrail", "waf"]
