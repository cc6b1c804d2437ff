"""What the reader makes of the answers of one shard, pull by pull."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Optional, Union

import pytest

from sls_siem.codec.model import Span
from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.keeper import CALL_S
from sls_siem.delivery.lag import Retention
from sls_siem.delivery.pacing import Pacer
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.reader import Reader, ReaderSettings
from sls_siem.delivery.stop import Stop
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.errors import CredentialsRefusedError, CursorInvalidError, SourceError, TransientSourceError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.siem.output import Report
from sls_siem.sls.model import Pulled
from tests.unit.announced import Announced

BASE = 1000


class Service:
    """A shard that answers every pull as the test says."""

    def __init__(self, answer: Callable[[int], Pulled], *, begin: int = 0, end: int = BASE) -> None:
        self.answer = answer
        self.cursors = {"begin": begin, "end": end}
        self.pulse: Optional[Announced] = None
        self.whole: list[bool] = []
        self.announced: list[tuple[float, str]] = []

    def _note(self) -> None:
        assert self.pulse is not None
        self.announced.append((self.pulse.waits[-1][0], self.pulse.why))

    def pull(
        self,
        _shard: int,
        position: int,
        *,
        end_position: Optional[int] = None,
        count: int = 1000,
        whole: bool = True,
    ) -> Pulled:
        self._note()
        self.whole.append(whole)
        return self.answer(position)

    def cursor(self, _shard: int, at: Union[str, int]) -> int:
        self._note()
        return self.cursors[str(at)]


class Setting:
    def __init__(self, service: Service, *, regrouped: bool = False) -> None:
        self.pulse, self.health, self.metrics, self.window = Announced(), Health(), Metrics(), Window(20 << 20)
        self.progress = Progress(BASE, give_back=self.window.give_back, clock=time.monotonic)
        self.turns = Turns()
        service.pulse = self.pulse
        self.reader = Reader(
            3,
            service,
            CheckpointSaver(service, 3, consumer="me", every_s=1.0, clock=time.monotonic),
            self.progress,
            window=self.window,
            pacer=Pacer(1 << 20, 1.0),
            turns=self.turns,
            settings=ReaderSettings(regrouped, 600.0),
            lease=SimpleNamespace(valid=lambda: True),
            stop=Stop(),
            pulse=self.pulse,
            health=self.health,
            metrics=self.metrics,
            retention=Retention(),
            random=SimpleNamespace(random=lambda: 1.0),
            sleep=lambda _seconds: None,
        )

    def expired(self) -> float:
        return self.metrics.expired_groups.labels(shard="3")._value.get()

    def fetch(self) -> None:
        job = self.progress.next_job()
        assert job is not None
        assert self.window.reserve(10 << 20, 0, shard=0)
        self.reader._fetch(job)


def refused(_position: int) -> Pulled:
    raise CursorInvalidError("InvalidCursor")


def test_each_call_after_a_refused_position_is_announced_by_itself() -> None:
    service = Service(refused, end=BASE + 1)
    Setting(service).fetch()

    finding = [(CALL_S, f"finding the shard's {where}") for where in ("begin", "end")]
    assert [(CALL_S, "pulling"), *finding] == service.announced


@pytest.mark.parametrize(("last", "pause_s"), [((1, b"x", False), 0.0), ((0, b"", True), 0.9)])
def test_a_shard_takes_turns_with_the_others_until_it_is_behind_or_gets_nothing(
    last: tuple[int, bytes, bool], pause_s: float
) -> None:
    answers = [(1, b"x", True), last]

    def answer(position: int) -> Pulled:
        groups, body, at_end = answers.pop(0)
        return Pulled(position, position + groups, groups, body, end_of_cursor=at_end)

    one = Setting(Service(answer))
    one.fetch()
    turn = one.turns._turns[3][0]

    assert turn == one.reader._next_pull_at
    assert 0 < turn - time.monotonic() <= 1
    one.fetch()
    assert {} == one.turns._turns
    assert pause_s == pytest.approx(one.reader._next_pull_at - time.monotonic(), abs=0.05)


@pytest.mark.parametrize("regrouped", [False, True])
def test_answers_are_checked_at_once_where_the_codec_cannot_or_has_found_one_wrong(regrouped: bool) -> None:
    service = Service(lambda position: Pulled(position, position + 1, 1, b"x"))
    one = Setting(service, regrouped=regrouped)
    one.fetch()
    one.progress.read_again(whole_until=BASE + 1)
    one.fetch()
    one.fetch()

    assert [regrouped, True, regrouped] == service.whole


def test_what_is_read_again_is_checked_before_it_is_sent() -> None:
    service = Service(lambda position: Pulled(position, position + 1, 1, b"x"))
    one = Setting(service)
    one.fetch()
    item = one.progress.take(0)
    entry = one.progress.enter(item, Span(BASE, BASE + 1, 0, 1), 1)
    one.progress.finished(item)
    one.progress.report(Report(lost=(entry,)))
    one.fetch()

    assert [False, True] == service.whole


@pytest.mark.parametrize("checked", [False, True])
def test_the_sender_is_told_whether_an_answer_was_checked(checked: bool) -> None:
    one = Setting(Service(lambda position: Pulled(position, position + 1, 1, b"x", checked=checked)))
    one.fetch()

    assert checked is one.progress.take(0).batch.checked


def test_credentials_that_stay_refused_are_told_once_and_another_fault_at_once(caplog) -> None:
    def raised(error: SourceError) -> Pulled:
        raise error

    faults = [CredentialsRefusedError("unknown key")] * 3 + [TransientSourceError("busy")] * 2
    one = Setting(Service(lambda _position: raised(faults.pop(0))))
    for _ in range(5):
        one.fetch()

    assert [] == faults
    assert ["shard 3: unknown key", "shard 3: busy"] == [record.getMessage() for record in caplog.records]


def test_a_position_beyond_the_end_of_a_logstore_made_anew_starts_over_at_its_begin() -> None:
    one = Setting(Service(refused, begin=4, end=9))
    one.fetch()

    assert 4 == one.progress.position
    assert 0 == one.window.used


def test_answers_that_stay_wrong_are_asked_for_less_and_less_often_and_shown() -> None:
    one = Setting(Service(lambda position: Pulled(position, position - 1, 0, b"")))
    pauses = []
    for _ in range(10):
        asked_at = time.monotonic()
        one.fetch()
        pauses.append(round(one.reader._retry_at - asked_at, 1))

    assert sorted(pauses) == pauses
    assert pauses[-1] > 100 * pauses[0]
    assert "asking again" in one.health.holds()["shard 3 reading"]

    one.reader._source.answer = lambda position: Pulled(position, position, 0, b"")
    one.fetch()

    assert {} == one.health.holds()


def skipping(position: int) -> Pulled:
    """Leaves out the seven groups that were asked for."""
    return Pulled(position, position + 10, 3, b"\x0a\x00" * 3)


def test_a_gap_where_the_shard_still_has_what_was_asked_for_is_a_wrong_answer() -> None:
    one = Setting(Service(skipping, begin=BASE))
    one.fetch()
    one.fetch()

    assert (BASE, BASE) == (one.progress.reading_position, one.progress.position)
    assert "3 log groups that end at 1010" in one.health.holds()["shard 3 reading"]
    assert 0 == one.expired()
    assert 0 == one.window.used


@pytest.mark.parametrize(("begin", "reached"), [(BASE + 4, BASE + 4), (BASE + 7, BASE + 7), (BASE + 60, BASE + 7)])
def test_a_gap_is_passed_as_far_as_the_shard_begins_later_and_the_answer_did(begin: int, reached: int) -> None:
    one = Setting(Service(skipping, begin=begin))
    one.fetch()

    assert reached == one.progress.reading_position
    assert reached - BASE == one.expired()
    assert {} == one.health.holds()
