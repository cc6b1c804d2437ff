"""The baselines run, deliver, and are compared with the agent in one run; only ratios are judged."""

from __future__ import annotations

import os
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from sls_siem.cli.bench_case import CASES
from sls_siem.cli.bench_measure import Plan
from sls_siem.codec import compiled_codec
from tests.bench import hold
from tests.bench.comparison import BATCHED, REFERENCE, VENDOR, agent_entry, compare, entries, ratios
from tests.bench.plot import svg

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.alone]


def test_the_agent_ships_more_per_cpu_second_than_the_sdk_consumer() -> None:
    chosen = [entry for entry in entries(("hec",)) if entry.case.name in {VENDOR, BATCHED, "HEC"}]
    found = compare(chosen, Plan(runs=1, warmup_s=0.5, seconds=1.0))
    agent = found["results"][-1]
    drawn = ET.fromstring(svg(found))

    assert [VENDOR, BATCHED, "HEC"] == [row["case"] for row in found["results"]]
    assert agent["ratio"][VENDOR] > 10
    assert agent["ratio"][BATCHED] > 1
    assert len(ratios(found).splitlines()) == 4
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 4


def test_the_compiled_codec_ships_four_times_as_much_and_acknowledgements_cost_little() -> None:
    if compiled_codec() is None:
        assert os.environ.get("CI") != "true", "the compiled codec is not installed"
        pytest.skip("the compiled codec is not installed")
    plain = CASES["hec"][0]
    acknowledged = next(case for case in CASES["hec"] if case.acknowledge)
    chosen = [replace(plain, name=REFERENCE, codec="reference"), replace(plain, codec="compiled"), acknowledged]
    found = compare([agent_entry(case) for case in chosen], Plan(runs=3, warmup_s=1.0, seconds=1.5))
    reference, compiled, with_acks = (row["raw_mb_per_cpu_s"] for row in found["results"])

    assert compiled["median"] > 4 * reference["median"]
    # The best of its runs against the worst: a machine that is busy elsewhere may spoil one, not all.
    assert with_acks["highest"] > 0.9 * compiled["lowest"]


def test_a_pace_is_held_and_nothing_is_late() -> None:
    plan = replace(hold.HOLDS[3], mb_per_s=2.0, seconds=3.0, warmup_s=1.0)
    found = hold.hold(plan)

    assert found["behind_s"] < hold.BEHIND_S
    assert found["late_s"]["median"] < 2.0
    assert found["cores"] < 1.0
    assert len(hold.table([found]).splitlines()) == 2


def test_a_single_log_is_seen_on_its_way() -> None:
    plan = replace(hold.HOLDS[4], every_s=0.5, seconds=4.0, warmup_s=0.0)
    found = hold.hold(plan)

    assert found["late_s"]["median"] < 3.0
    assert found["sls_calls_per_s"] > 0
