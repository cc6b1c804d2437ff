"""How the pulls of a process's shards are spread over time."""

from __future__ import annotations

import pytest

from sls_siem.delivery.turns import MOST_EARLY, Turns

PAUSE_S = 0.13


def _asked(pauses: dict[int, float], *, seconds: float, turns: Turns | None = None) -> dict[int, list[float]]:
    """When each shard is asked, all of them for the first time at 1000 s."""
    turns = turns or Turns()
    asked = {shard: [1000.0] for shard in pauses}
    while True:
        shard = min(asked, key=lambda each: asked[each][-1])
        now = asked[shard][-1]
        if now > 1000 + seconds:
            return asked
        asked[shard].append(turns.take(shard, now + pauses[shard], pauses[shard]))


@pytest.mark.parametrize("shards", [2, 3, 10, 20])
def test_shards_that_begin_together_are_soon_evenly_spread(shards: int) -> None:
    asked = _asked(dict.fromkeys(range(shards), PAUSE_S), seconds=15)

    moments = sorted(moment for each in asked.values() for moment in each if 1013 < moment < 1015)
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
    assert min(gaps) > 0.5 * PAUSE_S / shards
    assert max(gaps) < 1.7 * PAUSE_S / shards


def test_once_they_are_spread_nobody_is_asked_more_often_than_at_its_pace() -> None:
    asked = _asked(dict.fromkeys(range(10), PAUSE_S), seconds=30)

    pulls = sum(1 for each in asked.values() for moment in each if 1020 <= moment < 1030)
    assert 10 * 10 / PAUSE_S == pytest.approx(pulls, rel=0.01)


def test_nobody_is_asked_late_or_much_too_early() -> None:
    pauses = {0: 0.9, 1: 0.13, 2: 0.131, 3: 0.02, 4: 0.4, 5: 0.13}
    asked = _asked(pauses, seconds=20)

    for shard, moments in asked.items():
        gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
        assert max(gaps) <= pauses[shard] + 1e-9
        assert min(gaps) >= (1 - MOST_EARLY) * pauses[shard] - 1e-9


def test_a_shard_alone_is_asked_when_it_is_due() -> None:
    turns = Turns()

    assert 5.0 == turns.take(7, 5.0, PAUSE_S)
    assert 5.1 == turns.take(7, 5.1, PAUSE_S)


def test_a_shard_gives_way_to_the_turn_of_another_unless_that_one_left() -> None:
    turns = Turns()
    turns.take(1, 5.0, PAUSE_S)

    assert 5.0 - MOST_EARLY * PAUSE_S == pytest.approx(turns.take(2, 5.0, PAUSE_S))
    turns.leave(1)
    turns.leave(1)
    assert 5.0 == turns.take(2, 5.0, PAUSE_S)
