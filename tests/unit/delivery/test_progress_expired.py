"""Retention against the model: what is passed over was counted as expired, wherever it strikes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sls_siem.codec.model import Batch, Span
from sls_siem.siem.output import Report
from tests.unit.delivery.test_progress import BASE, Model, _ship_quietly, batch, progress_at


class Expiring(Model):
    """Retention moves the shard's begin; what a pull finds gone is counted."""

    def __init__(self, sizes: list[int], draw, regrouped: bool) -> None:
        super().__init__(sizes, draw, regrouped)
        self.begin = BASE
        self.expired: Counter[tuple[int, int]] = Counter()

    def expire(self) -> None:
        self.begin = self.draw(st.integers(self.begin, self.end))

    def read(self) -> None:
        job = self.progress.next_job()
        if job is None or job.position >= self.begin:
            super().read()
            return
        gone = min(self.begin, job.end or self.end)
        self.expired.update(self.events(job.position, gone))
        self.progress.jump(job, gone)

    def encode(self, batch: Batch) -> list[Span]:
        return super().encode(batch) if batch.groups else []

    def check(self) -> None:
        before = self.events(BASE, self.progress.position)

        assert [event for event in before if not self.settled[event] and not self.expired[event]] == []


@settings(max_examples=300, deadline=None)
@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_position_passes_only_what_is_settled_or_counted_as_expired(data, sizes, regrouped) -> None:
    model = Expiring(sizes, data.draw, regrouped)
    for _ in range(data.draw(st.integers(0, 25))):
        data.draw(st.sampled_from([model.read, model.read, model.ship, model.ship, model.siem, model.expire]))()
        model.check()
    for _ in range(400):
        model.read()
        item = model.progress.take(0)
        if item is not None:
            _ship_quietly(model, item)
        model.settle_all()
        model.check()
        if model.progress.position == model.end and model.progress.idle():
            break

    assert model.end == model.progress.position
    assert (0, 0) == (model.window, model.progress.unsettled_bytes)


def test_an_earlier_entry_that_was_lost_later_counts_its_own_gap() -> None:
    progress = progress_at()
    entries = []
    for start in (BASE, BASE + 2):
        progress.put(progress.next_job(), batch(start, 2), 1, held=2)
        item = progress.take(0)
        entries.append(progress.enter(item, Span(start, start + 2, 0, 2), 2))
        progress.finished(item)
    earlier, later = entries
    progress.report(Report(lost=(later,)))
    progress.report(Report(lost=(earlier,)))
    first = progress.next_job()
    assert first.again is later
    progress.jump(first, BASE + 4)
    second = progress.next_job()

    assert (earlier, BASE, BASE + 2) == (second.again, second.position, second.end)
    assert BASE == progress.position


def test_the_events_before_a_lost_one_are_not_taken_for_it_when_some_of_them_are_gone() -> None:
    """With a query, groups have no positions of their own: an entry skips events over all groups of its answer."""
    progress = progress_at()
    progress.put(progress.next_job(), Batch(0, BASE, BASE + 4, 4, b"", regrouped=True), 1, held=8)
    item = progress.take(0)
    first = progress.enter(item, Span(BASE, BASE + 4, 0, 7), 7)
    last = progress.enter(item, Span(BASE, BASE + 4, 7, 1), 1)
    progress.finished(item)
    progress.report(Report(settled=(first,), lost=(last,)))
    progress.jump(progress.next_job(), BASE + 1)
    rest = progress.next_job()

    assert (BASE + 1, BASE + 4, 0, 8) == (rest.position, rest.end, rest.skip, rest.limit)
