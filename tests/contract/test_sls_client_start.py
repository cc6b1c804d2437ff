"""The first start of a consumer group against the emulator: no log that comes after it may be skipped."""

from __future__ import annotations

import threading
import time
from random import Random

import pytest

from sls_siem.config import CredentialsConfig, SlsConfig
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Fault, SlsEmulator
from sls_siem.errors import NotFoundError, PermissionRefusedError, QuotaExceededError, TransientSourceError
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import AccessKeySource
from sls_siem.sls.start import FINISH_S, STARTER, FirstStart, StartReport, prepare_positions

pytestmark = pytest.mark.contract

SHARDS = 4
TIMEOUT_S = 40


class Timer:
    """A clock that only waiting moves; what is planned happens on the way."""

    def __init__(self):
        self.now = 1000.0
        self.slept = 0.0
        self.plans = []
        self.stop_after = None
        self.calls = 0

    def clock(self):
        return self.now

    def at(self, seconds, action):
        self.plans.append((1000.0 + seconds, action))

    def wait(self, seconds):
        self.calls += 1
        self.now += seconds
        self.slept += seconds
        for plan in [plan for plan in self.plans if plan[0] <= self.now]:
            self.plans.remove(plan)
            plan[1]()
        return self.stop_after is not None and self.calls > self.stop_after


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=SHARDS) as emulator:
        emulator.add_key("id", "secret")
        for shard in range(SHARDS):
            emulator.store.append(shard, [group()] * (shard + 1))
        yield emulator


def group():
    return make_group([{"a": "b"}], time=1700000000)


@pytest.fixture
def open_session(sls):
    opened = []

    def open_session(consumer="consumer", name="group"):
        config = SlsConfig(
            endpoint=sls.url, project="p", logstore="ls", consumer_group=name, consumer_name=consumer, region="cn-test"
        )
        source = AccessKeySource(CredentialsConfig(), environ={"SLS_AK_ID": "id", "SLS_AK_KEY": "secret"})
        opened.append(SlsClient(config, source).session())
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture
def timer():
    return Timer()


def first_start(session, timer, *, start="end", wait=None):
    return FirstStart(
        session,
        start=start,
        group_timeout_s=TIMEOUT_S,
        in_order=False,
        wait=wait or timer.wait,
        clock=timer.clock,
        random=Random(1),
    )


def places(sls, which):
    return {shard.number: getattr(shard, which) for shard in sls.store.shards()}


def stored(session):
    return {shard: found.position for shard, found in session.checkpoints().items()}


def saves(sls):
    return [(save.shard, save.forced, save.consumer) for save in sls.history.saves if not save.refused]


def append_everywhere(sls):
    for shard in sls.store.shards():
        if not shard.read_only:
            sls.store.append(shard.number, [group()])


# ------------------------------------------------------------------------------------------------------- a new group


@pytest.mark.parametrize("start", ["begin", "end"])
def test_the_maker_saves_where_every_shard_starts(sls, open_session, timer, start):
    session = open_session()
    report = first_start(session, timer, start=start).prepare()

    assert report == StartReport(TIMEOUT_S, in_order=False, created=True, saved=(3, 2, 1, 0))
    assert (stored(session), timer.slept) == (places(sls, start), 0)


def test_a_new_group_may_start_at_a_time_of_receipt(sls, open_session, timer):
    session = open_session()
    first_start(session, timer, start=str(int(time.time()) - 3600)).prepare()

    assert stored(session) == places(sls, "begin")


def test_first_positions_are_forced_under_a_name_of_their_own(sls, open_session, timer):
    first_start(open_session(), timer).prepare()

    assert saves(sls) == [(shard, True, STARTER) for shard in (3, 2, 1, 0)]


def test_what_is_appended_while_the_group_is_made_is_not_skipped(sls, open_session, timer):
    ends = places(sls, "end")
    sls.faults.add(Fault("delay", call="create_group", seconds=0.3))
    appender = threading.Timer(0.1, append_everywhere, (sls,))
    appender.start()
    session = open_session()
    first_start(session, timer).prepare()
    appender.join()

    assert stored(session) == ends


def test_a_shard_born_later_has_no_first_position(sls, open_session, timer):
    session = open_session()
    first_start(session, timer).prepare()
    sls.store.split(3)
    report = first_start(open_session("other"), timer).prepare()

    assert (report.saved, stored(session)[4], stored(session)[5], timer.slept) == ((), None, None, 0)


def test_no_room_for_another_group_names_those_that_are_there(sls, open_session, timer):
    for name in ("old-b", "old-a"):
        open_session(name=name).create_consumer_group(40, in_order=False)
    sls.settings.max_consumer_groups = 2
    with pytest.raises(QuotaExceededError) as caught:
        first_start(open_session(), timer).prepare()

    assert str(caught.value).startswith(
        "consumer group 'group' cannot be made, the logstore has as many as the service allows (30): old-a, old-b. "
        "Delete one that nobody uses, in the console or by DeleteConsumerGroup, or name one of them in "
        "sls.consumer_group. CreateConsumerGroup group: SLS answered"
    )
    assert caught.value.code == "ConsumerGroupQuotaExceed"


def test_a_maker_that_is_interrupted_goes_on_where_it_was(sls, open_session, timer):
    ends = places(sls, "end")
    sls.faults.add(Fault("status", call="save_checkpoint", skip=1, times=1))
    session = open_session()
    start = first_start(session, timer)
    with pytest.raises(TransientSourceError):
        start.prepare()
    append_everywhere(sls)
    report = start.prepare()

    assert (report.created, report.saved, stored(session), timer.slept) == (True, (2, 1, 0), ends, 0)


def test_a_maker_whose_answer_was_lost_ends_with_the_same_positions(sls, open_session, timer):
    ends = places(sls, "end")
    sls.faults.add(Fault("lost_answer", call="create_group", times=1))
    session = open_session()
    start = first_start(session, timer)
    with pytest.raises(TransientSourceError):
        start.prepare()
    append_everywhere(sls)
    report = start.prepare()

    assert (report.created, report.saved, stored(session)) == (False, (3, 2, 1, 0), ends)
    assert TIMEOUT_S <= timer.slept <= TIMEOUT_S + 1


# --------------------------------------------------------------------------------------------------- an existing group


def test_a_group_in_use_is_left_alone(sls, open_session, timer):
    session = open_session()
    session.create_consumer_group(60, in_order=True)
    session.heartbeat([])
    session.save_checkpoint(2, session.cursor(2, "begin"))
    report = first_start(open_session("other"), timer).prepare()

    assert report == StartReport(
        60,
        in_order=True,
        differences=(
            "consumer group group exists with group_timeout_s = 60, which is kept; the configuration has 40",
            "consumer group group exists with in_order = true, which is kept; the configuration has false",
        ),
    )
    assert (len(saves(sls)), timer.slept) == (1, 0)


def test_a_group_that_is_as_configured_is_not_worth_a_word(open_session, timer):
    first_start(open_session(), timer).prepare()

    assert first_start(open_session("other"), timer).prepare() == StartReport(TIMEOUT_S, in_order=False)


def test_waits_for_the_maker(sls, open_session, timer):
    maker = open_session()
    maker.create_consumer_group(TIMEOUT_S, in_order=False)
    timer.at(
        5, lambda: [maker.save_checkpoint(s, maker.cursor(s, "end"), force=True, consumer=STARTER) for s in (3, 2)]
    )
    timer.at(
        9, lambda: [maker.save_checkpoint(s, maker.cursor(s, "end"), force=True, consumer=STARTER) for s in (1, 0)]
    )
    report = first_start(open_session("other"), timer).prepare()

    assert (report.saved, len(saves(sls)), 9 <= timer.slept <= 10) == ((), 4, True)


@pytest.mark.parametrize("start", ["begin", "end"])
def test_takes_over_from_a_maker_that_died_at_once(sls, open_session, timer, start):
    expected = places(sls, start)
    maker = open_session()
    maker.create_consumer_group(30, in_order=False)
    timer.at(5, lambda: append_everywhere(sls))
    session = open_session("other")
    report = first_start(session, timer, start=start).prepare()

    assert (report.created, report.saved, stored(session)) == (False, (3, 2, 1, 0), expected)
    assert 30 <= timer.slept <= 31


def test_takes_over_from_a_maker_that_died_half_way(sls, open_session, timer):
    ends = places(sls, "end")
    sls.clock.advance(60)
    maker = open_session()
    maker.create_consumer_group(TIMEOUT_S, in_order=False)
    for shard in (3, 2):
        maker.save_checkpoint(shard, maker.cursor(shard, "end"), force=True, consumer=STARTER)
    sls.store.split(3)
    timer.at(5, lambda: append_everywhere(sls))
    session = open_session("other")
    report = first_start(session, timer).prepare()

    assert (report.saved, TIMEOUT_S <= timer.slept <= TIMEOUT_S + 1) == ((1, 0), True)
    assert stored(session) == {**ends, 4: None, 5: None}


@pytest.mark.parametrize("start", ["begin", "end"])
def test_a_maker_that_died_half_way_and_was_alone_skips_nothing(sls, open_session, timer, start):
    """Its successor finds two of four positions, and logs that came before it was there."""
    sls.clock.advance(60)
    expected = places(sls, start)
    maker = open_session()
    maker.create_consumer_group(TIMEOUT_S, in_order=False)
    for shard in (3, 2):
        maker.save_checkpoint(shard, maker.cursor(shard, start), force=True, consumer=STARTER)
    append_everywhere(sls)
    sls.clock.advance(300)
    append_everywhere(sls)
    session = open_session("other")
    report = first_start(session, timer, start=start).prepare()

    assert (report.saved, stored(session)) == ((1, 0), expected)


def test_a_position_that_appears_at_the_last_moment_is_not_overwritten(sls, open_session, timer):
    maker = open_session()
    maker.create_consumer_group(TIMEOUT_S, in_order=False)
    session = open_session("other")
    begin = places(sls, "begin")[2]
    calls = []

    def late(seconds):
        # Between the look at all shards and the one at shard 2.
        if seconds == 0 and timer.slept >= TIMEOUT_S and not calls:
            calls.append(maker.save_checkpoint(2, begin, force=True, consumer="maker"))
        return timer.wait(seconds)

    report = first_start(session, timer, wait=late).prepare()

    assert (report.saved, stored(session)[2], len(calls)) == ((3, 1, 0), begin, 1)


def test_a_checkpoint_that_is_no_position_is_not_overwritten(sls, open_session, timer):
    session = open_session()
    session.create_consumer_group(TIMEOUT_S, in_order=False)
    sls.store.set_checkpoint("group", 0, "spoilt")
    report = first_start(session, timer).prepare()

    assert (report.saved, timer.slept) == ((), 0)


def test_a_group_of_other_consumers_with_a_gap_is_not_touched(sls, open_session, timer):
    session = open_session("sdk-consumer")
    session.create_consumer_group(TIMEOUT_S, in_order=False)
    session.heartbeat([])
    for shard in (1, 2, 3):
        session.save_checkpoint(shard, session.cursor(shard, "begin"))
    report = first_start(open_session(), timer).prepare()

    assert (report.saved, timer.slept, stored(session)[0]) == ((), 0, None)


def test_makers_that_race_make_one_group_and_save_each_position_once(sls, open_session):
    ends = places(sls, "end")
    barrier = threading.Barrier(4)
    reports = []

    def run(number):
        session = open_session(f"consumer-{number}")
        session.list_shards()
        barrier.wait(10)
        done = threading.Event()
        reports.append(prepare_positions(session, start="end", group_timeout_s=20, in_order=False, wait=done.wait))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(report.created for report in reports) == [False, False, False, True]
    assert sorted(save[0] for save in saves(sls)) == [0, 1, 2, 3]
    assert stored(open_session()) == ends


# ------------------------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("after", range(SHARDS))
def test_ends_early_when_told_to(open_session, timer, after):
    timer.stop_after = after
    session = open_session()

    assert first_start(session, timer).prepare() is None
    assert session.list_consumer_groups() == ()


@pytest.mark.parametrize("after", range(SHARDS, 2 * SHARDS))
def test_a_stop_after_the_group_was_made_leaves_no_first_position_unsaved(sls, open_session, timer, after):
    """What came until the next start would be skipped: the next process resolves `end` anew."""
    ends = places(sls, "end")
    timer.stop_after = after
    first_start(open_session(), timer).prepare()
    append_everywhere(sls)
    session = open_session("next")
    report = first_start(session, Timer()).prepare()

    assert (report.saved, stored(session)) == ((), ends)


def test_a_stop_waits_only_so_long_for_first_positions(sls, open_session, timer):
    session = open_session()

    def slow(_seconds):
        timer.now += 4
        return session.list_consumer_groups() != ()

    assert first_start(session, timer, wait=slow).prepare() is None
    assert [save[0] for save in saves(sls)] == [3, 2, 1]


def test_a_stop_gives_up_first_positions_that_cannot_be_saved(sls, open_session, timer):
    sls.faults.add(Fault("status", call="save_checkpoint"))
    start = first_start(open_session(), timer)
    with pytest.raises(TransientSourceError):
        start.prepare()
    assert start.saving
    timer.stop_after = 0
    with pytest.raises(TransientSourceError):
        start.prepare()
    timer.now += FINISH_S

    assert start.prepare() is None


def test_goes_on_once_no_longer_stopped(open_session, timer):
    timer.stop_after = 0
    start = first_start(open_session(), timer)
    start.prepare()
    timer.stop_after = None

    assert start.prepare().saved == (3, 2, 1, 0)


@pytest.mark.parametrize("after", [1, 5, 7])
def test_ends_early_while_it_waits_for_the_maker(open_session, timer, after):
    open_session().create_consumer_group(TIMEOUT_S, in_order=False)
    timer.stop_after = after

    assert first_start(open_session("other"), timer).prepare() is None


def test_without_the_right_to_list_groups_making_it_tells_whether_it_is_there(sls, open_session, timer):
    sls.add_key("id", "secret", denied=frozenset({"log:ListConsumerGroup"}))
    made = first_start(open_session(), timer).prepare()
    found = first_start(open_session("other"), timer).prepare()

    assert (made.created, found.created, found.timeout_s) == (True, False, TIMEOUT_S)


def test_without_the_right_to_make_the_group_that_is_told(sls, open_session, timer):
    sls.add_key("id", "secret", denied=frozenset({"log:CreateConsumerGroup"}))
    with pytest.raises(PermissionRefusedError, match="log:CreateConsumerGroup"):
        first_start(open_session(), timer).prepare()


@pytest.mark.parametrize("call", ["cursor", "get_checkpoint"])
def test_a_shard_that_ends_meanwhile_is_passed_over(sls, open_session, timer, call):
    sls.faults.add(Fault("status", call=call, shard=2, status=404, code="ShardNotExist"))

    assert first_start(open_session(), timer).prepare().saved == (3, 1, 0)


@pytest.mark.parametrize("call", ["cursor", "get_checkpoint"])
def test_a_logstore_that_ends_meanwhile_is_told(sls, open_session, timer, call):
    sls.faults.add(Fault("status", call=call, shard=2, status=404, code="LogStoreNotExist"))
    with pytest.raises(NotFoundError):
        first_start(open_session(), timer).prepare()
