"""A fixed set of random fault schedules on every run; `SLS_SIEM_TEST_SCHEDULES=n` runs n, and writes a report.

To see these fail: let `Ledger.position` return the frontier, or `Sender._hand_over` settle an entry before it sends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.faults import campaign, report
from tests.faults.schedule import OUTPUTS

FIXED = 20
WORKERS = 4
RESULTS = Path(__file__).resolve().parents[2] / "build" / "faults"
ASKED = os.environ.get("SLS_SIEM_TEST_SCHEDULES")
PAIRS = [(seed, OUTPUTS[seed % len(OUTPUTS)]) for seed in range(1, int(ASKED or FIXED) + 1)]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(0 if ASKED else 360)]


@pytest.fixture(scope="module")
def futures() -> Iterator[dict[tuple[int, str], Future[campaign.Outcome]]]:
    with ProcessPoolExecutor(WORKERS) as pool:
        found = {pair: pool.submit(campaign.run_seed, *pair) for pair in PAIRS}
        yield found
        pool.shutdown(cancel_futures=True)
    outcomes = [future.result() for future in found.values() if future.done() and not future.cancelled()]
    if ASKED:
        RESULTS.mkdir(parents=True, exist_ok=True)
        with (RESULTS / "results.jsonl").open("a") as file:
            file.writelines(outcome.line() + "\n" for outcome in outcomes)
        (RESULTS / "report.md").write_text(report.markdown(report.load([RESULTS / "results.jsonl"])))


@pytest.mark.parametrize(("seed", "output"), PAIRS)
def test_every_log_arrives_whatever_happens(futures, seed: int, output: str) -> None:
    outcome = futures[seed, output].result()

    assert campaign.OK == outcome.verdict, "\n".join(
        [*outcome.reasons, "again: " + campaign.command(seed, output, outcome.attempt)]
    )
