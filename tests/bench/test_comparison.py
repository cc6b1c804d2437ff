"""The baselines run, deliver, and are compared with the agent in one run."""

from __future__ import annotations

import pytest

from sls_siem.cli.bench_measure import Plan
from tests.bench.comparison import BATCHED, VENDOR, compare, entries, ratios


@pytest.mark.slow
@pytest.mark.e2e
def test_the_agent_ships_more_per_cpu_second_than_the_sdk_consumer() -> None:
    chosen = [entry for entry in entries(("hec",)) if "gzip" not in entry.case.name]
    found = compare(chosen, Plan(runs=1, warmup_s=0.5, seconds=1.0))
    agent = found["results"][-1]

    assert [VENDOR, BATCHED, "HEC"] == [row["case"] for row in found["results"]]
    assert agent["ratio"][VENDOR] > 10
    assert agent["ratio"][BATCHED] > 1
    assert len(ratios(found).splitlines()) == 4
