"""Runs more seeds of a simulation than the tests do: `python -m tests.simulate hec 0 50000`.

What a seed says is wrong is printed with it; the last line sums up, and the exit status is 1 if anything was.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from tests.unit.delivery import test_shard_simulated
from tests.unit.seeds import wrong_in
from tests.unit.siem import test_hec_simulated, test_stream_simulated

SIMULATIONS: dict[str, Callable[[int], list[str]]] = {
    "hec": test_hec_simulated.run_seed,
    "stream": test_stream_simulated.run_seed,
    "relp": test_stream_simulated.run_relp_seed,
    "shard": test_shard_simulated.run_seed,
}


def main(name: str, first: str, count: str) -> int:
    """Run seeds.

    Args:
        name: of the simulation.
        first: seed to begin with.
        count: how many.
    """
    logging.disable(logging.CRITICAL)
    bad = 0
    for seed, wrong in wrong_in(range(int(first), int(first) + int(count)), SIMULATIONS[name]):
        bad += 1
        print(f"{name} {seed}: {'; '.join(wrong[:3])}", flush=True)
    print(f"{name}: {count} seeds from {first} on, {bad} wrong")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
