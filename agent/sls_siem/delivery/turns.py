"""Lets the shards of one process take turns: evenly spread, their pulls are seldom in each other's way.

Two pulls at the same moment cost more CPU time than one after the other: their threads wait for one interpreter lock,
and what one has in the processor's cache the other drives out. Nobody is made to wait for a turn: a shard is asked a
little earlier than it would be, never later, so that its answer still becomes the requests that were planned.

Only who gets logs takes turns. Empty answers cost less together: each by itself would wake a processor that sleeps.
"""

from __future__ import annotations

import threading

MOST_EARLY = 0.05
"""The greatest part of its pause that a shard is asked earlier for this: what is asked earlier is asked more often."""


class Turns:
    """Who is asked when; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[int, tuple[float, float]] = {}

    def take(self, shard: int, due_at: float, pause_s: float) -> float:
        """Tell when to ask a shard, at `due_at` or a little earlier: halfway between the turns around it, if it can be.

        Of the others it is known when each is asked next; that they go on at the pace that they have is assumed.

        Args:
            shard: shard id.
            due_at: when it is to be asked at the latest, in seconds of any monotonic clock.
            pause_s: time between two questions to this shard, more than 0.
        """
        with self._lock:
            before_s = after_s = pause_s
            for other, (turn, every_s) in self._turns.items():
                if other != shard:
                    ahead_s = (turn - due_at) % every_s
                    after_s = min(after_s, ahead_s)
                    before_s = min(before_s, every_s - ahead_s)
            turn = due_at - min(max(0.0, (before_s - after_s) / 2), MOST_EARLY * pause_s)
            self._turns[shard] = turn, pause_s
            return turn

    def leave(self, shard: int) -> None:
        """The shard has no turn for now: it is asked without a pause, gets no logs, or is not asked at all."""
        with self._lock:
            self._turns.pop(shard, None)
