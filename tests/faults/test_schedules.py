"""A fixed set of random fault schedules on every run; `make faults SCHEDULES=n` runs more and writes a report.

To see these fail: let `Ledger.position` return the frontier, or `Sender._hand_over` settle an entry before it sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from tests.faults import campaign
from tests.faults.schedule import OUTPUTS

FIXED = 20
WORKERS = 4
PAIRS = [(seed, OUTPUTS[seed % len(OUTPUTS)]) for seed in range(1, FIXED + 1)]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(360)]


@pytest.fixture(scope="module")
def futures() -> Iterator[dict[tuple[int, str], Future[campaign.Outcome]]]:
    with ProcessPoolExecutor(WORKERS) as pool:
        yield {pair: pool.submit(campaign.run_seed, *pair, executed=True) for pair in PAIRS}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("seed", "output"), PAIRS)
def test_every_log_arrives_whatever_happens(futures, seed: int, output: str) -> None:
    outcome = futures[seed, output].result()

    assert campaign.OK == outcome.verdict, "\n".join(
        [*outcome.reasons, "again: " + campaign.command(seed, output, outcome.attempt) + " --executed"]
    )
