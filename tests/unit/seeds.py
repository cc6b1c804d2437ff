"""Runs the seeds of a simulation."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator


def wrong_in(seeds: Iterable[int], run_seed: Callable[[int], list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Give each seed of which something is wrong, with that; what it raises is wrong too.

    Args:
        seeds: to run.
        run_seed: returns what is wrong with one.
    """
    for seed in seeds:
        try:
            wrong = run_seed(seed)
        except Exception:  # noqa: BLE001 - whatever it is, the seed has to be named
            wrong = [traceback.format_exc()]
        if wrong:
            yield seed, wrong
