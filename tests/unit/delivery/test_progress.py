"""The ledger and the reading plan against a model that owns every event.

To see these fail: let `Ledger.position` return the frontier, or let `Progress.report` forget `lose`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_siem.codec.model import Batch, Span
from sls_siem.delivery.job import Item, Job
from sls_siem.delivery.progress import Progress
from sls_siem.siem.output import Report

BASE = 1000


class Model:
    """A shard whose group i (at position BASE + i) holds `sizes[i]` events; plays reader, sender and SIEM."""

    def __init__(self, sizes: list[int], draw, regrouped: bool = False) -> None:
        self.sizes = sizes
        self.draw = draw
        self.end = BASE + len(sizes)
        self.window = 0
        self.progress = Progress(BASE, give_back=self._give_back, clock=lambda: 0.0)
        self.pending: list[tuple[object, list[tuple[int, int]]]] = []
        self.settled: Counter[tuple[int, int]] = Counter()
        self.sent: Counter[tuple[int, int]] = Counter()
        self.regrouped = regrouped

    def _give_back(self, amount: int) -> None:
        self.window -= amount

    def events(self, start: int, end: int) -> list[tuple[int, int]]:
        return [(p, i) for p in range(start, end) for i in range(self.sizes[p - BASE])]

    def read(self) -> None:
        job = self.progress.next_job()
        if job is None or job.position >= (job.end or self.end):
            return
        most = (job.end or self.end) - job.position
        count = self.draw(st.integers(1, most))
        held = len(self.events(job.position, job.position + count))
        batch = Batch(0, job.position, job.position + count, count, b"", self.regrouped, min(job.skip, held), job.limit)
        self.window += 7
        self.progress.put(job, batch, 7, held=held)

    def encode(self, batch: Batch) -> list[Span]:
        wanted = self.events(batch.position, batch.next_position)
        first = batch.skip
        last = len(wanted) if batch.limit is None else min(len(wanted), batch.skip + batch.limit)
        spans = []
        while first < last:
            size = self.draw(st.integers(1, last - first))
            if self.regrouped:
                spans.append(Span(batch.position, batch.next_position, first, size))
            else:
                start, stop = wanted[first][0], wanted[first + size - 1][0] + 1
                spans.append(Span(start, stop, first - len(self.events(batch.position, start)), size))
            first += size
        return spans

    def of(self, span: Span) -> list[tuple[int, int]]:
        return self.events(span.start, span.end)[span.skip : span.skip + span.events]

    def ship(self) -> None:
        item = self.progress.take(0)
        if item is None:
            return
        for span in self.encode(item.batch):
            if not self.progress.current(item):
                self.progress.abandoned(item)
                return
            entry = self.progress.enter(item, span, span.events)
            events = self.of(span)
            self.sent.update(events)
            self.pending.append((entry, events))
            if self.draw(st.booleans()):
                self.siem()
        if self.progress.current(item):
            self.progress.finished(item)
        else:
            self.progress.abandoned(item)

    def siem(self) -> None:
        if not self.pending:
            return
        what = self.draw(st.sampled_from(["settle", "settle", "settle", "lose", "break"]))
        if what == "break":
            lost, self.pending = self.pending, []
            self.progress.report(Report(lost=tuple(token for token, _ in lost), in_order=True))
            return
        token, events = self.pending.pop(self.draw(st.integers(0, len(self.pending) - 1)))
        if what == "settle":
            self.settled.update(events)
            self.progress.report(Report(settled=(token,)))
        else:
            self.progress.report(Report(lost=(token,)))

    def check(self) -> None:
        position = self.progress.position
        before = self.events(BASE, position)

        assert [event for event in before if not self.settled[event]] == []

    def settle_all(self) -> None:
        for token, events in self.pending:
            self.settled.update(events)
            self.progress.report(Report(settled=(token,)))
        self.pending = []


@settings(max_examples=300, deadline=None)
@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_position_never_passes_an_event_that_is_not_settled_and_all_is_read_in_the_end(data, sizes, regrouped) -> None:
    model = Model(sizes, data.draw, regrouped)
    for _ in range(data.draw(st.integers(0, 25))):
        data.draw(st.sampled_from([model.read, model.ship, model.siem]))()
        model.check()
    for _ in range(400):
        model.read()
        item_sent = model.progress.take(0)
        if item_sent is not None:
            _ship_quietly(model, item_sent)
        model.settle_all()
        model.check()
        if model.progress.position == model.end and model.progress.idle():
            break

    assert model.end == model.progress.position
    assert set(model.events(BASE, model.end)) == set(model.settled)
    assert 0 == model.window
    assert 0 == model.progress.unsettled_bytes


def _ship_quietly(model: Model, item: Item) -> None:
    for span in model.encode(item.batch):
        entry = model.progress.enter(item, span, span.events)
        model.sent.update(model.of(span))
        model.pending.append((entry, model.of(span)))
    model.progress.finished(item)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_a_settled_event_is_never_sent_again(data, sizes, regrouped) -> None:
    model = Model(sizes, data.draw, regrouped)
    for _ in range(data.draw(st.integers(0, 40))):
        settled_before = set(model.settled)
        sent_before = Counter(model.sent)
        data.draw(st.sampled_from([model.read, model.ship, model.siem]))()
        repeated = {event for event in settled_before if model.sent[event] > sent_before[event]}

        assert set() == repeated


def progress_at(position: int = BASE) -> Progress:
    return Progress(position, give_back=lambda _: None, clock=lambda: 0.0)


def batch(position: int, groups: int) -> Batch:
    return Batch(0, position, position + groups, groups, b"")


def test_an_answer_that_a_rewind_made_stale_is_thrown_away() -> None:
    progress = progress_at()
    stale = progress.next_job()
    assert stale is not None
    progress.report(Report(lost=(object(),), in_order=True))

    assert progress.put(stale, batch(BASE, 1), 1, held=1) is False
    assert progress.take(0) is None


def test_a_gap_moves_reading_on_but_not_past_what_is_unsettled() -> None:
    progress = progress_at()
    job = progress.next_job()
    assert job is not None
    progress.put(job, batch(BASE, 2), 1, held=0)
    item = progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 2, 0, 2), 2)
    progress.finished(item)
    later = progress.next_job()
    assert later is not None
    progress.jump(later, BASE + 10)

    assert BASE + 10 == progress.reading_position
    assert BASE == progress.position

    progress.report(Report(settled=(entry,)))

    assert BASE + 2 == progress.position

    gap = progress.take(0)
    assert gap is not None
    progress.finished(gap)

    assert BASE + 10 == progress.position


def test_the_position_reaches_the_end_of_a_shard_whose_rest_retention_removed() -> None:
    progress = progress_at()
    job = progress.next_job()
    assert job is not None
    progress.jump(job, BASE + 20)
    assert not progress.idle()
    gap = progress.take(0)
    assert gap is not None
    progress.finished(gap)

    assert (BASE + 20, True) == (progress.position, progress.idle())
    assert BASE + 20 == progress.next_job().position


def test_what_was_lost_and_then_removed_by_retention_no_longer_holds_the_position_back() -> None:
    progress = progress_at()
    job = progress.next_job()
    assert job is not None
    progress.put(job, batch(BASE, 2), 1, held=0)
    item = progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 2, 0, 2), 2)
    progress.finished(item)
    progress.report(Report(lost=(entry,)))
    again = progress.next_job()
    assert again is not None
    assert again.again is entry

    progress.jump(again, BASE + 5)

    assert BASE + 2 == progress.position
    assert 0 == progress.unsettled_bytes


def lost_entries(progress: Progress, count: int) -> list[object]:
    """Hand over `count` payloads of two groups each, and lose them all."""
    entries = []
    for number in range(count):
        job = progress.next_job()
        assert job is not None
        start = BASE + 2 * number
        assert progress.put(job, batch(start, 2), 1, held=2)
        item = progress.take(0)
        assert item is not None
        entries.append(progress.enter(item, Span(start, start + 2, 0, 2), 2))
        progress.finished(item)
    progress.report(Report(lost=tuple(entries)))
    return entries


@pytest.mark.parametrize("taken", [False, True])
def test_what_was_pulled_again_before_retention_came_is_sent_and_holds_the_position_until_then(taken: bool) -> None:
    """Retention removed it after the answer was queued: it must neither be settled unsent nor end the process."""
    progress = progress_at()
    lost_entries(progress, 2)
    first = progress.next_job()
    assert first is not None
    assert progress.put(first, batch(BASE, 2), 1, held=2)
    item = progress.take(0) if taken else None
    second = progress.next_job()
    assert second is not None
    progress.jump(second, BASE + 50)

    assert BASE == progress.position
    item = item or progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 2, 0, 2), 2)
    progress.finished(item)
    assert BASE == progress.position
    progress.report(Report(settled=(entry,)))
    assert BASE + 4 == progress.position
    later = progress.next_job()
    assert later is not None
    assert later.again is None


def test_a_lost_entry_of_which_only_the_first_part_could_be_pulled_again_ends_with_that_part() -> None:
    progress = progress_at()
    lost_entries(progress, 1)
    job = progress.next_job()
    assert job is not None
    assert progress.put(job, batch(BASE, 1), 1, held=1)
    rest = progress.next_job()
    assert rest is not None
    assert BASE + 1 == rest.position
    progress.jump(rest, BASE + 9)
    item = progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 1, 0, 1), 1)
    progress.finished(item)
    progress.report(Report(settled=(entry,)))

    assert BASE + 2 == progress.position
    assert 0 == progress.unsettled_bytes


def half_pulled_again(progress: Progress) -> None:
    """A lost entry of five groups with 100 events: 60 are queued again, and half of the rest is then removed."""
    job = progress.next_job()
    assert job is not None
    progress.put(job, batch(BASE, 5), 1, held=100)
    item = progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 5, 0, 100), 1)
    progress.finished(item)
    progress.report(Report(lost=(entry,)))
    again = progress.next_job()
    assert again is not None
    progress.put(again, batch(BASE, 2), 1, held=60)
    rest = progress.next_job()
    assert rest is not None
    progress.jump(rest, BASE + 3)


def test_what_is_queued_of_a_lost_entry_is_sent_when_retention_removes_the_middle_of_it() -> None:
    progress = progress_at()
    half_pulled_again(progress)
    rest = progress.next_job()
    assert (BASE + 3, BASE + 5, 40) == (rest.position, rest.end, rest.limit)
    assert BASE == progress.position
    first = progress.take(0)
    one = progress.enter(first, Span(BASE, BASE + 2, 0, 60), 1)
    progress.finished(first)
    progress.put(rest, batch(BASE + 3, 2), 1, held=30)
    second = progress.take(0)
    two = progress.enter(second, Span(BASE + 3, BASE + 5, 0, 30), 1)
    progress.finished(second)
    progress.report(Report(settled=(one, two)))

    assert (BASE + 5, 0) == (progress.position, progress.unsettled_bytes)


def test_what_was_queued_of_a_lost_entry_is_pulled_again_when_the_connection_breaks_after_all() -> None:
    progress = progress_at()
    half_pulled_again(progress)
    progress.report(Report(in_order=True))
    again = progress.next_job()

    assert (BASE, BASE + 5, 100) == (again.position, again.end, again.limit)
    assert BASE == progress.position


def test_a_dead_letter_settles_only_its_group_of_a_lost_entry() -> None:
    progress = progress_at()
    job = progress.next_job()
    progress.put(job, batch(BASE, 5), 1, held=50)
    item = progress.take(0)
    entry = progress.enter(item, Span(BASE, BASE + 5, 0, 50), 1)
    progress.finished(item)
    progress.report(Report(lost=(entry,)))
    progress.put(progress.next_job(), batch(BASE, 1), 1, held=0)
    undecodable = progress.take(0)
    progress.pass_over(undecodable)
    progress.abandoned(undecodable)
    rest = progress.next_job()

    assert (BASE + 1, BASE + 1, entry) == (progress.position, rest.position, rest.again)

    progress.put(rest, batch(BASE + 1, 4), 1, held=40)
    last = progress.take(0)
    again = progress.enter(last, Span(BASE + 1, BASE + 5, 0, 40), 1)
    progress.finished(last)
    progress.report(Report(settled=(again,)))

    assert (BASE + 5, 0) == (progress.position, progress.unsettled_bytes)


def test_behind_the_part_of_a_lost_entry_that_cannot_be_decoded_all_is_sent() -> None:
    """How many of the events to be skipped, and of those wanted, were in that part is not known."""
    progress = progress_at()
    job = progress.next_job()
    progress.put(job, batch(BASE, 5), 1, held=50)
    item = progress.take(0)
    first = progress.enter(item, Span(BASE, BASE + 5, 0, 30), 1)
    lost = progress.enter(item, Span(BASE, BASE + 5, 30, 20), 1)
    progress.finished(item)
    progress.report(Report(settled=(first,), lost=(lost,)))
    progress.put(progress.next_job(), batch(BASE, 2), 1, held=None)
    rest = progress.next_job()
    progress.put(rest, batch(BASE + 2, 3), 1, held=40)

    assert (BASE + 2, 0, 50) == (rest.position, rest.skip, rest.limit)

    undecodable = progress.take(0)
    progress.pass_over(undecodable)
    progress.abandoned(undecodable)
    last = progress.take(0)
    again = progress.enter(last, Span(BASE + 2, BASE + 5, 0, 40), 1)
    progress.finished(last)
    progress.report(Report(settled=(again,)))

    assert (BASE + 5, 0) == (progress.position, progress.unsettled_bytes)


def test_a_stale_batch_in_hand_does_not_keep_what_retention_removed_unsettled() -> None:
    """The connection broke twice; the sender still holds a batch that it will not hand over."""
    progress = progress_at()
    lost_entries(progress, 1)
    job = progress.next_job()
    assert job is not None
    progress.put(job, batch(BASE, 2), 1, held=2)
    stale = progress.take(0)
    assert stale is not None
    first = progress.enter(stale, Span(BASE, BASE + 2, 0, 1), 1)
    progress.report(Report(lost=(first,), in_order=True))
    while (job := progress.next_job()) is not None and job.again is not None:
        progress.jump(job, BASE + 9)
    progress.abandoned(stale)

    assert BASE + 2 == progress.position
    assert 0 == progress.unsettled_bytes


def test_a_jump_ahead_of_what_was_lost_meanwhile_leaves_it_to_find_and_count_its_own_gap() -> None:
    """The gap that was counted begins at the new logs; settled with it, the lost ones would be in no count."""
    progress = progress_at()
    (entry,) = lost_entries(progress, 1)
    ahead = Job(BASE + 2)
    progress.jump(ahead, BASE + 9)
    again = progress.next_job()
    assert again is not None
    assert again.again is entry
    assert BASE == progress.position
    progress.jump(again, BASE + 2)
    progress.finished(progress.take(0))
    later = progress.next_job()

    assert later is not None
    assert later.again is None
    assert BASE + 9 == later.position == progress.position
    assert 0 == progress.unsettled_bytes


def test_a_sender_that_is_woken_before_it_waits_does_not_wait() -> None:
    progress = progress_at()
    progress.wake()
    began = time.monotonic()

    assert progress.take(30) is None
    assert time.monotonic() - began < 10
    assert progress.take(0.2) is None
    assert time.monotonic() - began >= 0.2


def test_the_queue_bounds_how_far_the_reader_runs_ahead() -> None:
    progress = progress_at()
    jobs: list[Job] = []
    while (job := progress.next_job()) is not None:
        jobs.append(job)
        progress.put(job, batch(job.position, 1), 1, held=0)

    assert [BASE, BASE + 1] == [job.position for job in jobs]


def test_a_shard_made_anew_starts_over() -> None:
    progress = progress_at(BASE + 500)
    progress.restart(3)

    assert 3 == progress.position
    job = progress.next_job()
    assert job is not None
    assert 3 == job.position


def test_a_batch_in_hand_of_a_shard_made_anew_is_not_entered() -> None:
    progress = progress_at(BASE + 500)
    progress.put(progress.next_job(), batch(BASE + 500, 5), 1, held=9)
    item = progress.take(0)
    progress.restart(0)

    assert progress.enter(item, Span(BASE + 500, BASE + 503, 0, 9), 5) is None
    assert (0, 0) == (progress.position, progress.unsettled_bytes)


@pytest.mark.parametrize("outcome", ["settled", "lost"])
def test_a_late_answer_says_nothing_of_a_shard_made_anew(outcome: str) -> None:
    progress = progress_at(BASE + 500)
    progress.put(progress.next_job(), batch(BASE + 500, 5), 1, held=9)
    item = progress.take(0)
    entry = progress.enter(item, Span(BASE + 500, BASE + 505, 0, 9), 77)
    progress.finished(item)
    progress.restart(0)
    progress.report(Report(**{outcome: (entry,)}))

    assert (0, 0) == (progress.position, progress.unsettled_bytes)
    assert (0, None) == (progress.next_job().position, progress.next_job().again)


def test_growth_is_learned_from_batches_that_were_handed_over_whole() -> None:
    progress = progress_at()
    assert 1.0 == progress.growth
    for number in range(30):
        progress.put(progress.next_job(), batch(BASE + number, 1), 1000, held=0)
        item = progress.take(0)
        for event in range(2):
            progress.enter(item, Span(BASE + number, BASE + number + 1, event, 1), 800)
        progress.finished(item)
    assert 1.6 == pytest.approx(progress.growth, abs=0.01)

    progress.put(progress.next_job(), batch(BASE + 30, 1), 1000, held=0)
    progress.abandoned(progress.take(0))
    assert 1.6 == pytest.approx(progress.growth, abs=0.01)


def test_groups_of_a_logstore_made_anew_are_not_asked_for_one_by_one() -> None:
    progress = progress_at(1000)
    progress.read_again(alone_until=1001)
    assert progress.next_job().alone
    progress.restart(5)

    assert (5, False) == (progress.next_job().position, progress.next_job().alone)


def test_what_follows_a_wrong_answer_is_checked_before_it_is_sent() -> None:
    progress = progress_at(1000)
    assert not progress.next_job().whole
    progress.read_again(whole_until=1001)

    assert progress.next_job().whole
    progress.put(progress.next_job(), batch(1000, 1), 100, held=0)
    assert (1001, False) == (progress.next_job().position, progress.next_job().whole)
    progress.read_again(whole_until=1001)
    progress.restart(5)
    assert (5, False) == (progress.next_job().position, progress.next_job().whole)


def test_what_a_miscounted_answer_settled_moves_nothing_when_what_came_before_it_settles() -> None:
    """Seed 300885 of the simulated shard: a checkpoint passed logs that had not arrived."""
    progress = progress_at(1000)
    put_one(progress, 1000)
    first = progress.take(0)
    before = progress.enter(first, Span(1000, 1001, 0, 1), 10)
    progress.finished(first)
    unchecked = replace(batch(1001, 3), checked=False)
    progress.put(progress.next_job(), unchecked, 100, held=0)
    item = progress.take(0)
    behind = [progress.enter(item, Span(at, at + 1, 0, 1), 10) for at in (1001, 1002)]
    progress.report(Report(settled=tuple(behind)))
    progress.abandoned(item, miscounted=True)
    progress.report(Report(settled=(before,)))

    assert (1001, 0) == (progress.position, progress.unsettled_bytes)
    assert (1001, True) == (progress.next_job().position, progress.next_job().whole)
    assert progress.report(Report(settled=tuple(behind))).events == 0


def resting(progress: Progress, *, full: bool) -> tuple[threading.Thread, Callable[[], int]]:
    """Let a thread rest as a reader does; the function tells how often it slept."""
    number: list[int] = []

    def rest() -> None:
        number.append(threading.get_native_id())
        progress.rest(20.0, full=full)

    def slept() -> int:
        status = Path(f"/proc/self/task/{number[0]}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.MULTILINE)[1])

    thread = threading.Thread(target=rest, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not progress._for_reader._waiters and time.monotonic() < deadline:
        time.sleep(0.001)
    return thread, slept


def put_one(progress: Progress, at: int) -> None:
    job = progress.next_job()
    assert job is not None
    assert progress.put(job, batch(at, 1), 1, held=0)


def test_what_the_sender_gets_done_does_not_wake_a_reader_that_waits_for_its_time() -> None:
    progress = progress_at()
    thread, slept = resting(progress, full=False)
    before = slept()
    for number in range(100):
        put_one(progress, BASE + number)
        item = progress.take(0)
        assert item is not None
        entry = progress.enter(item, Span(BASE + number, BASE + number + 1, 0, 1), 1)
        progress.report(Report(settled=(entry,)))
        progress.finished(item)
        time.sleep(0.001)  # for a thread that is woken to sleep again
    after = slept()
    progress.wake()
    thread.join(10)

    assert not thread.is_alive()
    assert BASE + 100 == progress.position
    # Each wake-up would be a sleep more; a few are the interpreter's.
    assert after - before < 30


@pytest.mark.parametrize("event", ["room", "lost", "broken", "read again", "sent again", "closed", "woken"])
def test_what_concerns_a_resting_reader_wakes_it_at_once(event: str) -> None:
    progress = progress_at()
    put_one(progress, BASE)
    item = progress.take(0)
    assert item is not None
    entry = progress.enter(item, Span(BASE, BASE + 1, 0, 1), 1)
    progress.finished(item)
    put_one(progress, BASE + 1)
    put_one(progress, BASE + 2)
    assert progress.next_job() is None
    if event != "room":
        assert progress.take(0) is not None
    thread, _ = resting(progress, full=event == "room")
    began = time.monotonic()
    {
        "room": lambda: progress.take(0),
        "lost": lambda: progress.report(Report(lost=(entry,))),
        "broken": lambda: progress.report(Report(in_order=True)),
        "read again": progress.read_again,
        "sent again": lambda: progress.send_unsettled_again(torn=True),
        "closed": progress.close,
        "woken": progress.wake,
    }[event]()
    thread.join(10)

    assert not thread.is_alive()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("event", ["batch", "gap", "closed", "woken"])
def test_what_concerns_a_waiting_sender_wakes_it_at_once(event: str) -> None:
    progress = progress_at()
    job = progress.next_job()
    assert job is not None
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(progress.take(20.0)), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not progress._for_sender._waiters and time.monotonic() < deadline:
        time.sleep(0.001)
    {
        "batch": lambda: progress.put(job, batch(BASE, 1), 1, held=0),
        "gap": lambda: progress.jump(job, BASE + 5),
        "closed": progress.close,
        "woken": progress.wake,
    }[event]()
    thread.join(10)

    assert not thread.is_alive()
    assert [event in ("batch", "gap")] == [item is not None for item in taken]
