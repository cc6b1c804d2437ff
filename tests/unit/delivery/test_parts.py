from __future__ import annotations

import math
import threading
import time

import pytest

from sls_siem.codec.model import Span
from sls_siem.delivery.checkpoint import LATE_S, SUSPECT_S, CheckpointMovedError, CheckpointSaver
from sls_siem.delivery.gate import Pause
from sls_siem.delivery.ledger import Ledger
from sls_siem.delivery.limits import RateLimit
from sls_siem.delivery.pacing import MARGIN, SHORTEST_S, Pacer
from sls_siem.delivery.stop import LAST_EXCHANGE_S, Stop
from sls_siem.delivery.window import Window
from sls_siem.errors import TransientSourceError
from sls_siem.sls.model import Checkpoint


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- window ---


def test_the_window_grants_only_what_is_free_and_takes_back() -> None:
    window = Window(100)

    assert window.reserve(60, 0, shard=0)
    assert not window.reserve(60, 0.01, shard=0)
    window.give_back(20)
    assert window.reserve(60, 0, shard=0)
    assert 100 == window.used


def test_who_gives_up_waiting_lets_the_next_one_in() -> None:
    window = Window(100)
    assert window.reserve(60, 0, shard=0)
    patient: list[bool] = []
    large = threading.Thread(target=lambda: window.reserve(90, 0.3, shard=0))
    large.start()
    _until(lambda: len(window._queue) == 1)
    small = threading.Thread(target=lambda: patient.append(window.reserve(30, 10, shard=0)))
    small.start()
    large.join()
    small.join(5)

    assert [True] == patient
    assert 90 == window.used


def test_who_comes_back_to_the_window_has_its_old_place() -> None:
    """A shard waits in short turns, and keeps house between them."""
    window = Window(100)
    assert window.reserve(100, 0, shard=0)
    assert not window.reserve(100, 0, shard=1)
    order: list[int] = []

    def wait_for(shard: int) -> None:
        if window.reserve(100, 10, shard=shard):
            order.append(shard)
            window.give_back(100)

    threads = []
    for waiting, shard in enumerate((2, 1), start=1):
        threads.append(threading.Thread(target=wait_for, args=(shard,)))
        threads[-1].start()
        _until(lambda waiting=waiting: len(window._queue) == waiting)
    window.give_back(100)
    for thread in threads:
        thread.join(15)

    assert [1, 2] == order


def test_a_wish_for_more_than_the_whole_window_gets_the_whole_window() -> None:
    window = Window(100)

    assert window.reserve(1000, 0, shard=0)
    assert not window.reserve(1, 0, shard=0)


def test_an_answer_larger_than_its_reservation_delays_the_next_one() -> None:
    window = Window(100)
    assert window.reserve(50, 0, shard=0)
    window.exceed(80)
    window.give_back(50)

    assert not window.reserve(30, 0, shard=0)
    window.give_back(80)
    assert window.reserve(100, 0, shard=0)


def test_who_waits_longest_for_the_window_is_served_first() -> None:
    window = Window(100)
    assert window.reserve(100, 0, shard=0)
    order: list[str] = []

    def wait_for(name: str, amount: int) -> None:
        assert window.reserve(amount, 10, shard=0)
        order.append(name)

    large = threading.Thread(target=wait_for, args=("large", 90))
    large.start()
    _until(lambda: len(window._queue) == 1)
    small = threading.Thread(target=wait_for, args=("small", 20))
    small.start()
    _until(lambda: len(window._queue) == 2)
    window.give_back(30)
    assert not order
    window.give_back(60)
    large.join(5)
    window.give_back(90)
    small.join(5)

    assert ["large", "small"] == order


def _until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- pacing ---

TOOK_S = 0.008


def test_a_full_answer_is_followed_at_once_by_the_next_question() -> None:
    pacer = Pacer(1_000_000, 1.0)

    assert 0.0 == pacer.answered(1_000_000, 10.0)


def test_a_quiet_shard_is_asked_again_within_the_age_of_a_batch() -> None:
    pacer = Pacer(1_000_000, 1.0)

    for second in range(10):
        assert MARGIN == pacer.answered(0, float(second))


def test_a_quiet_shard_is_not_asked_without_pause_when_batches_may_not_age() -> None:
    pacer = Pacer(1_000_000, 0.0)

    assert {SHORTEST_S} == {pacer.answered(0, number * SHORTEST_S, at_end=True) for number in range(10)}


def test_a_busy_shard_is_asked_when_a_full_request_may_be_expected() -> None:
    assert 0.08 < _settled_pace(10_000_000, at_end=True) < 0.13


def test_the_pace_settles_as_well_when_the_service_does_not_say_where_the_end_is() -> None:
    assert _settled_pace(10_000_000, at_end=None) < 0.2


@pytest.mark.parametrize("growth", [0.3, 1.0, 1.3, 1.6, 2.4])
@pytest.mark.parametrize("mb_per_s", [2, 5, 10, 40])
def test_an_answer_becomes_whole_requests_and_nearly_full_ones(growth: float, mb_per_s: int) -> None:
    sizes = [size * growth / 1_000_000 for size in _settled_answers(mb_per_s * 1_000_000, at_end=True, growth=growth)]
    filled = [size / math.ceil(size) for size in sizes]

    assert all(share > 0.8 or size < 1 for share, size in zip(filled, sizes)), sizes
    # Logs wait no longer for it than they would for one request, or 0.2 s.
    assert max(sizes) <= max(1.0, 0.2 * mb_per_s * growth)


def _settled_pace(bytes_per_s: int, *, at_end: bool | None) -> float:
    """Longest pause of a shard that grows at a steady rate, after five seconds of it."""
    return max(_settled_answers(bytes_per_s, at_end=at_end)) / bytes_per_s - TOOK_S


def _settled_answers(bytes_per_s: int, *, at_end: bool | None, growth: float = 1.0) -> list[int]:
    """Sizes of the answers of a shard that grows at a steady rate, from five seconds of it on."""
    pacer = Pacer(1_000_000, 1.0)
    now, asked, sizes = 0.0, 0.0, []
    while now < 10:
        size, asked = int(bytes_per_s * (now - asked)), now
        if now > 5:
            sizes.append(size)
        now += TOOK_S + pacer.answered(size, now, took_s=TOOK_S, growth=growth, at_end=at_end)
    return sizes


def test_a_shard_that_is_behind_is_asked_at_once_whatever_the_size_of_its_answers() -> None:
    assert 0.0 == Pacer(1_000_000, 1.0).answered(1000, 0.0, at_end=False)


# --- limits ---


def test_a_limit_spreads_what_follows_an_outage() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)
    clock.now += 3600

    assert [0.5, 1.0, 1.5] == [limit.delay(50), limit.delay(50), limit.delay(50)]


def test_no_limit_never_waits() -> None:
    assert 0.0 == RateLimit(0, Clock()).delay(10**9)


# --- stop ---


def test_a_drain_ends_a_wait_at_its_deadline() -> None:
    stop = Stop()
    assert not stop.wait(0.01)
    stop.drain(0.05)

    assert stop.asked
    assert not stop.dropped
    assert stop.wait(10) is True
    assert stop.over


def test_dropping_ends_a_running_wait_at_once() -> None:
    stop = Stop()
    timer = threading.Timer(0.05, stop.now)
    timer.start()
    started = time.monotonic()

    assert stop.wait(30) is True
    assert time.monotonic() - started < 5
    assert stop.dropped


def test_a_later_drain_does_not_prolong_an_earlier_one() -> None:
    clock = Clock()
    stop = Stop(clock)
    stop.drain(5)
    stop.drain(50)

    assert 5.0 == stop.remaining_s()


def test_a_drain_that_hangs_drops_the_shard_once_its_last_exchange_must_be_over() -> None:
    clock = Clock()
    stop = Stop(clock)
    stop.drain(5)
    clock.now += 5 + LAST_EXCHANGE_S - 1
    assert (True, False) == (stop.over, stop.dropped)
    clock.now += 1

    assert stop.dropped


class Overslept:
    """A stop signal whose waits each take longer than they should."""

    def __init__(self, clock: Clock, over_s: list[float]) -> None:
        self._clock = clock
        self._over_s = over_s

    def wait(self, seconds: float) -> bool:
        self._clock.now += seconds + (self._over_s.pop(0) if self._over_s else 0.0)
        return False


@pytest.mark.parametrize(("seconds", "over_s"), [(2000, [0.01] * 4000), (60, [0.0] * 9 + [39.0])])
def test_a_pause_ends_when_it_said_however_late_it_wakes_in_between(seconds: float, over_s: list[float]) -> None:
    """The watchdog was told of so many seconds; on a busy or frozen machine each slice takes longer."""
    clock = Clock()
    Pause(Overslept(clock, over_s), lambda: False, clock).wait(seconds)

    assert 0 <= clock.now - 100.0 - seconds <= 0.02


# --- ledger ---


def test_what_was_read_again_group_by_group_does_not_take_the_position_back_when_it_settles() -> None:
    """The mark behind the payload is three events behind its first group; a save may stand further on already."""
    ledger = Ledger(10)
    lost = ledger.enter(Span(10, 14, 0, 3), 1, 0.0)
    ledger.lose(lost)
    told = []
    for position in (10, 11, 13):
        entry = ledger.enter_again(lost, Span(position, position + 1, 0, 1), 1, 0.0)
        told.append(ledger.position)
        ledger.settle(entry)
    told.append(ledger.position)

    assert [10, 11, 13, 13] == told


def test_a_payload_that_does_not_continue_the_last_one_is_refused() -> None:
    ledger = Ledger(10)
    ledger.enter(Span(10, 12, 0, 4), 4, 0.0)

    with pytest.raises(ValueError, match="before the frontier"):
        ledger.enter(Span(10, 12, 3, 1), 1, 0.0)


def test_only_a_lost_entry_can_be_entered_again() -> None:
    ledger = Ledger(10)
    entry = ledger.enter(Span(10, 12, 0, 4), 4, 0.0)

    with pytest.raises(ValueError, match="no part of"):
        ledger.enter_again(entry, Span(10, 11, 0, 2), 2, 0.0)


def test_settling_twice_counts_once() -> None:
    ledger = Ledger(10)
    entry = ledger.enter(Span(10, 12, 0, 4), 4, 0.0)

    assert ledger.settle(entry)
    assert not ledger.settle(entry)
    assert 0 == ledger.unsettled_bytes


# --- checkpoint ---


class Stored:
    def __init__(self) -> None:
        self.value = Checkpoint(None)
        self.fail = False
        self.lose_answer = False

    def checkpoint(self, shard: int) -> Checkpoint:
        return self.value

    def save_checkpoint(self, shard: int, position: int, *, force: bool = False) -> None:
        assert not force
        if self.fail:
            raise TransientSourceError("busy")
        self.value = Checkpoint(position, "me")
        if self.lose_answer:
            raise TransientSourceError("the answer got lost")


def saver(stored: Stored, clock: Clock) -> CheckpointSaver:
    return CheckpointSaver(stored, 3, consumer="me", every_s=1.0, clock=clock)


def test_saves_keep_their_distance() -> None:
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    checkpoint.save(5)

    assert 1.0 == checkpoint.due_in(6)
    clock.now += 1
    assert 0.0 == checkpoint.due_in(6)
    assert checkpoint.due_in(5) is None


def test_a_failed_save_is_due_again_later_and_not_at_once() -> None:
    clock, stored = Clock(), Stored()
    stored.fail = True
    checkpoint = saver(stored, clock)
    with pytest.raises(TransientSourceError):
        checkpoint.save(5)

    assert 1.0 == checkpoint.due_in(5)


def test_a_save_whose_answer_got_lost_is_not_taken_for_somebody_else() -> None:
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    checkpoint.save(5)
    stored.lose_answer = True
    with pytest.raises(TransientSourceError):
        checkpoint.save(9)

    checkpoint.compare()
    assert 5 == checkpoint.saved


def test_a_checkpoint_moved_under_our_own_name_again_and_again_is_noticed() -> None:
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    checkpoint.save(5)
    stored.value = Checkpoint(7, "me")
    checkpoint.compare()
    checkpoint.save(8)
    clock.now += LATE_S
    stored.value = Checkpoint(9, "me")

    with pytest.raises(CheckpointMovedError, match="consumer_name"):
        checkpoint.compare()


@pytest.mark.parametrize("after_s", [0.0, 3600.0])
def test_late_saves_of_a_predecessor_are_not_taken_for_another_process(
    after_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A process was killed with saves on the way; the service carries them out after its successor has started."""
    clock, stored = Clock(), Stored()
    stored.value = Checkpoint(5, "me")
    checkpoint = saver(stored, clock)
    checkpoint.load()
    clock.now += after_s
    for position in (7, 3):
        checkpoint.save(6)
        stored.value = Checkpoint(position, "me")
        checkpoint.compare()
        clock.now += LATE_S - 1
    clock.now += 3600
    checkpoint.compare()

    assert 2 == caplog.text.count("predecessor")
    assert checkpoint.pending(6)


def test_a_checkpoint_that_a_late_save_put_back_is_saved_again() -> None:
    """The service carried a save out after its connection had broken, and after the next one."""
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    for position in (5, 9):
        checkpoint.save(position)
    stored.value = Checkpoint(5, "me")
    assert not checkpoint.pending(9)
    checkpoint.compare()

    assert checkpoint.pending(9)


def test_after_a_save_that_is_not_ours_the_checkpoint_is_looked_at_closely_for_a_while() -> None:
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    checkpoint.save(5)
    assert not checkpoint.suspicious
    stored.value = Checkpoint(7, "me")
    checkpoint.compare()

    assert checkpoint.suspicious
    clock.now += SUSPECT_S
    assert not checkpoint.suspicious


def test_a_checkpoint_moved_by_another_consumer_is_the_memberships_affair() -> None:
    clock, stored = Clock(), Stored()
    checkpoint = saver(stored, clock)
    checkpoint.save(5)
    stored.value = Checkpoint(7, "other")

    checkpoint.compare()


def test_the_stored_position_is_where_a_worker_starts() -> None:
    clock, stored = Clock(), Stored()
    stored.value = Checkpoint(41, "other")
    checkpoint = saver(stored, clock)

    assert 41 == checkpoint.load()
    assert not checkpoint.pending(41)
    assert checkpoint.pending(42)
