"""The sender with the real codec, a scripted lane and real threads where it waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import lz4.block
import pytest

from sls_siem.codec import (
    EncoderSettings,
    HecSettings,
    SyslogSettings,
    count_events,
    make_encoder,
    make_reference_encoder,
)
from sls_siem.codec.model import Batch, Payload
from sls_siem.dead_letter import DeadLetters
from sls_siem.delivery.gate import Pause, ShardGate
from sls_siem.delivery.limits import RateLimit
from sls_siem.delivery.notice import TOPIC
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.rejects import RejectPolicy
from sls_siem.delivery.sender import Notice, Sender
from sls_siem.delivery.stop import Stop
from sls_siem.emulator.loggroups import make_group
from sls_siem.errors import CodecError, Rerouted, Stopped
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.siem.output import Rejection, Report
from tests.unit.codec_native.compare import library

BASE = 500


class Lane:
    """Takes everything and settles at once, unless the script of the test says otherwise."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.notices: list[bytes] = []
        self.script: list = []
        self.finished = False
        self.closed = False

    def send(self, payload: Payload, token: object) -> Report:
        if isinstance(token, Notice):
            self.notices.append(payload.data)
            return Report(settled=(token,))
        step = self.script.pop(0) if self.script else None
        report = step(payload, token) if step else Report(settled=(token,))
        if token in report.settled:
            self.sent += payload.data.split(b"\n")
        return report

    def poll(self) -> Report:
        return Report()

    def next_poll_s(self) -> float | None:
        return None

    def finish(self, deadline_s: float) -> Report:
        self.finished = True
        return Report()

    def close(self) -> None:
        self.closed = True


class Owing(Lane):
    """Owes the first payload, until it is polled `after_s` later."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._after_s = after_s
        self._due_at = 0.0
        self.owed: list[object] = []
        self.script = [self._keep]

    def _keep(self, _payload: Payload, token: object) -> Report:
        self.owed.append(token)
        self._due_at = time.monotonic() + self._after_s
        return Report()

    def next_poll_s(self) -> float | None:
        return self._due_at - time.monotonic() if self.owed else None

    def poll(self) -> Report:
        due = bool(self.owed) and time.monotonic() >= self._due_at
        return Report(settled=(self.owed.pop(),)) if due else Report()


class Lease:
    ok = True

    def valid(self) -> bool:
        return self.ok


class Setting:
    def __init__(self, folder: Path | None, *, events_per_s: float = 0) -> None:
        self.released = 0
        self.progress = Progress(BASE, give_back=self._give_back, clock=time.monotonic)
        self.stop, self.health, self.metrics, self.lease = Stop(), Health(), Metrics(), Lease()
        self.lane = Lane()
        self.encoder = make_encoder(
            EncoderSettings(output="hec", project="p", logstore="ls", batch_bytes=65536, hec=HecSettings())
        )
        self.letters = DeadLetters(folder, 10**6) if folder is not None else None
        self.limits = (RateLimit(events_per_s, time.monotonic), RateLimit(0, time.monotonic))
        self.outlet = Outlet(self.way(self.lane))
        self.pulse = self.health.pulse("sender")
        self.sender = Sender(
            0,
            self.progress,
            outlet=self.outlet,
            open_lane=self.open_lane,
            stop=self.stop,
            pulse=self.pulse,
            metrics=self.metrics,
            host="host-1",
            wall=lambda: 1700000000.0,
        )
        self.thread = threading.Thread(target=self.sender.run, daemon=True)

    def way(self, lane: Lane) -> Way:
        return Way(
            SimpleNamespace(lane=lane, close=lambda: None), self.encoder, self.encoder, self.letters, self.limits
        )

    def open_lane(self, sender: Sender, way: Way):
        pause = Pause(self.stop, lambda: self.outlet.current()[1] is not way)
        common = {"pause": pause, "pulse": self.pulse, "health": self.health, "metrics": self.metrics}
        self.gate = ShardGate("shard 0", lease=self.lease, stop=self.stop, rejects=sender, **common)
        policy = RejectPolicy(way.letters, who="shard 0", written=sender.written, **common)
        return way.output.lane, self.gate, policy

    def _give_back(self, amount: int) -> None:
        self.released += amount

    def queue(self, groups: list[bytes]) -> None:
        job = self.progress.next_job()
        assert job is not None
        body = b"".join(b"\x0a" + _varint(len(group)) + group for group in groups)
        batch = Batch(0, job.position, job.position + len(groups), len(groups), body, skip=job.skip, limit=job.limit)
        assert self.progress.put(job, batch, len(body), held=count_events(body))

    def replace_way(self, lane: Lane) -> None:
        self.outlet.replace(self.way(lane))
        self.progress.wake()

    def go_on_by(self, lane: Lane) -> None:
        """Replace the way out, and pull what was lost with the old one: one group with one log."""
        self.replace_way(lane)
        until(self.progress.has_lost)
        self.queue([group("a")])

    def give_up(self) -> None:
        self.stop.now()
        self.progress.wake()

    def end(self) -> None:
        self.give_up()
        self.thread.join(10)

    def run_until(self, condition) -> None:
        self.thread.start()
        try:
            until(condition)
        finally:
            self.stop.drain(5)
            self.progress.wake()
            self.thread.join(10)
        assert not self.thread.is_alive()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.002)


def group(*values: str) -> bytes:
    return make_group([{"seq": value} for value in values], time=1700000000)


def seqs(lane: Lane) -> list[str]:
    import json

    return [json.loads(event)["event"]["seq"] for event in lane.sent]


def test_what_is_queued_arrives_in_order_and_moves_the_position(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.queue([group("a", "b"), group("c")])
    one.queue([group("d")])
    one.run_until(lambda: one.progress.position == BASE + 3)

    assert ["a", "b", "c", "d"] == seqs(one.lane)
    assert one.lane.finished
    assert one.lane.closed
    assert 4 == one.metrics.totals()["delivered"]


def test_groups_that_retention_removed_are_passed_when_all_before_them_is_settled(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    held: list[object] = []

    def keep(_payload, token):
        held.append(token)
        return Report()

    one.lane.script = [keep]
    one.queue([group("a")])
    one.progress.jump(one.progress.next_job(), BASE + 30)
    one.thread.start()
    until(lambda: BASE + 30 == one.progress._ledger.frontier.position)
    assert BASE == one.progress.position
    one.progress.report(Report(settled=(held.pop(),)))
    until(lambda: BASE + 30 == one.progress.position)
    one.end()

    assert {} == one.health.holds()


@pytest.mark.parametrize("regrouped", [False, True])
@pytest.mark.parametrize("codec", [make_encoder, make_reference_encoder])
def test_a_batch_without_groups_gives_no_payload(codec, regrouped: bool) -> None:
    encoder = codec(EncoderSettings(output="hec", project="p", logstore="ls", batch_bytes=65536, hec=HecSettings()))

    assert [] == list(encoder.encode(Batch(0, BASE, BASE + 30, 0, b"", regrouped)))


def test_nothing_more_of_a_batch_is_sent_once_its_shard_was_made_anew(tmp_path: Path) -> None:
    one = Setting(tmp_path, events_per_s=5)
    one.queue([group("old")])
    one.limits[0].delay(2)
    one.thread.start()
    until(lambda: "speed limit" in one.pulse.why)
    one.progress.restart(0)
    until(lambda: one.released)
    one.queue([group("new")])
    until(lambda: one.progress.position == 1)
    one.end()

    assert ["new"] == seqs(one.lane)


def test_the_window_gets_back_what_was_handed_over(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.queue([group("a")])
    one.run_until(lambda: one.released > 0)

    assert 0 == one.progress.unsettled_bytes


def test_a_broken_connection_sends_what_was_not_settled_again_in_order(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    held: list[object] = []

    def keep(_payload, token):
        held.append(token)
        return Report()

    def break_off(_payload, token):
        return Report(lost=(*held, token), in_order=True)

    one.lane.script = [keep, break_off]
    one.queue([group("a")])
    one.queue([group("b")])
    one.thread.start()
    until(one.progress.has_lost)
    one.queue([group("a")])
    one.queue([group("b")])
    until(lambda: not one.progress._queue)
    # The group whose payload was the last one is asked for once more: whether it holds more was not known.
    one.queue([group("b")])
    until(lambda: one.progress.position == BASE + 2)
    one.end()

    assert ["a", "b"] == seqs(one.lane)


def test_a_lane_that_has_something_to_find_out_is_polled_while_nothing_comes(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    lane = Owing(0.02)
    one.replace_way(lane)
    one.queue([group("a")])
    one.run_until(lambda: one.progress.position == BASE + 1)

    assert [] == lane.owed


def test_a_new_way_out_gets_what_the_old_one_did_not_settle(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.lane.script = [lambda _payload, _token: Report()]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: one.progress.unsettled_bytes > 0)
    successor = Lane()
    one.go_on_by(successor)
    until(lambda: successor.sent)
    one.end()

    assert one.lane.finished
    assert one.lane.closed
    assert ["a"] == seqs(successor)
    assert [] == one.lane.sent


def test_a_new_way_out_takes_what_is_queued_when_the_old_one_owes_nothing(tmp_path: Path) -> None:
    """However often the configuration is reloaded, the shard comes on."""
    one = Setting(tmp_path)
    one.queue([group("a")])
    successor = Lane()
    one.replace_way(successor)
    one.thread.start()
    until(lambda: successor.sent)
    one.end()

    assert ["a"] == seqs(successor)
    assert BASE + 1 == one.progress.position


def test_what_became_of_earlier_payloads_is_asked_for_while_the_speed_limit_holds(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    delays = [0.0, 60.0]
    lane = Owing(0.2)
    one.limits = (SimpleNamespace(delay=lambda _events: delays.pop(0)), RateLimit(0, time.monotonic))
    one.replace_way(lane)
    one.queue([group("a")])
    one.queue([group("b")])
    one.thread.start()
    until(lambda: one.progress.position == BASE + 1)
    one.end()

    assert ([], []) == (delays, seqs(lane))


def test_a_new_way_out_ends_the_attempts_on_the_old_one(tmp_path: Path) -> None:
    one = Setting(tmp_path)

    def try_for_ever(_payload, _token):
        while True:
            one.gate.wait(30, "its certificate is not accepted")

    one.lane.script = [try_for_ever]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: "certificate" in one.health.holds().get("shard 0", ""))
    successor = Lane()
    one.go_on_by(successor)
    until(lambda: successor.sent)
    one.end()

    assert (["a"], [], {}) == (seqs(successor), one.lane.sent, one.health.holds())


def test_a_new_way_out_ends_the_wait_for_a_speed_limit(tmp_path: Path) -> None:
    """An operator who set the limit far too low and raises it."""
    one = Setting(tmp_path, events_per_s=0.01)
    one.queue([group("a"), group("b")])
    one.thread.start()
    until(lambda: "speed limit" in one.pulse.why)
    assert {} == one.health.holds()
    one.limits = (RateLimit(0, time.monotonic),) * 2
    successor = Lane()
    one.replace_way(successor)
    until(lambda: BASE == one.progress.next_job().position)
    one.queue([group("a"), group("b")])
    until(lambda: successor.sent)
    one.end()

    assert (["a", "b"], []) == (seqs(successor), one.lane.sent)


def test_a_notice_that_waits_for_the_old_way_out_goes_by_the_new_one(tmp_path: Path) -> None:
    one = Setting(tmp_path)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    class NoNotices(Lane):
        def send(self, payload: Payload, token: object) -> Report:
            if isinstance(token, Notice):
                one.gate.wait(30, "the SIEM is away")
            return super().send(payload, token)

    old, successor = NoNotices(), Lane()
    old.script = [refuse]
    one.replace_way(old)
    one.thread.start()
    until(lambda: one.sender._generation == 2)
    one.queue([group("a")])
    until(lambda: "away" in one.health.holds().get("shard 0", ""))
    one.replace_way(successor)
    until(lambda: successor.notices)
    one.end()

    assert [] == old.notices


def test_the_last_answers_of_the_old_way_out_are_waited_for(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    waited: list[bool] = []

    class Slow(Lane):
        def finish(self, deadline_s: float) -> Report:
            one.gate.wait(0.1, "waiting for the last acknowledgements")
            waited.append(True)
            return super().finish(deadline_s)

    one.replace_way(Slow())
    one.thread.start()
    until(lambda: one.sender._generation == 2)
    one.replace_way(Lane())
    until(lambda: one.sender._generation == 3)
    until(lambda: waited and not one.health.holds())
    one.end()

    assert [True] == waited


def test_a_pause_in_the_middle_of_a_frame_is_not_cut_off(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.replace_way(Lane())

    one.gate.wait(0.0, "the receiver reads slowly")
    with pytest.raises(Rerouted):
        one.gate.wait(0.01, "connecting again")


def test_a_refused_event_becomes_a_dead_letter_and_is_announced_without_its_content(tmp_path: Path) -> None:
    one = Setting(tmp_path)

    def refuse_second(payload, token):
        one.gate.reject(Rejection(payload, 1, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    one.lane.script = [refuse_second]
    one.queue([group("a"), group("secret-b", "c")])
    one.run_until(lambda: one.lane.notices)

    letter = one.letters.letters()[0]
    assert f"0-{BASE + 1}-0" == letter.event_id
    assert b"secret-b" in letter.event
    notice = one.lane.notices[0]
    assert TOPIC.encode() in notice
    assert letter.event_id.encode() in notice
    assert b"secret-b" not in notice
    totals = one.metrics.totals()
    assert (1, 2) == (totals["dead_lettered"], totals["delivered"])


def test_an_event_that_is_too_long_is_pulled_and_not_delivered(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    syslog = SyslogSettings(framing="lf", max_bytes=600, oversize="dead-letter")
    one.encoder = make_encoder(EncoderSettings(output="syslog", project="p", logstore="ls", syslog=syslog))
    one.replace_way(one.lane)
    one.queue([group("a"), group("x" * 900)])
    one.run_until(lambda: one.progress.position == BASE + 2)

    assert ["oversize"] == [letter.reason for letter in one.letters.letters()]
    totals = one.metrics.totals()
    assert (2, 1, 1) == (totals["pulled"], totals["delivered"], totals["dead_lettered"])


def test_a_notice_that_the_old_way_out_did_not_settle_goes_by_the_new_one(tmp_path: Path) -> None:
    one = Setting(tmp_path)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    class Unsure(Lane):
        def send(self, payload: Payload, token: object) -> Report:
            report = super().send(payload, token)
            return Report() if isinstance(token, Notice) else report

    old, successor = Unsure(), Lane()
    old.script = [refuse]
    one.replace_way(old)
    one.queue([group("a")])
    one.thread.start()
    until(lambda: old.notices)
    one.replace_way(successor)
    until(lambda: successor.notices)
    one.replace_way(Lane())
    until(lambda: successor.closed)
    one.end()

    assert old.notices == successor.notices


def test_an_event_that_is_refused_in_the_drain_is_announced_before_its_end(tmp_path: Path) -> None:
    one = Setting(tmp_path)

    def refuse(payload, token):
        one.stop.drain(5)
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    one.lane.script = [refuse]
    one.queue([group("a")])
    one.thread.start()
    one.thread.join(10)

    assert not one.thread.is_alive()
    assert 1 == len(one.lane.notices)


def test_a_refused_event_that_cannot_be_named_ends_the_sender_instead_of_owing_its_payload_for_ever() -> None:
    one = Setting(None)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    def unnamed(batch, ordinal):
        raise CodecError("the codec contradicts itself")

    one.lane.script = [refuse]
    one.encoder.event_id = unnamed
    one.queue([group("a")])
    bound = threading.Timer(10, one.give_up)
    bound.start()
    with pytest.raises(RuntimeError, match="shard 0: an event that was sent cannot be named: the codec contradicts"):
        one.sender.run()
    bound.cancel()

    assert BASE == one.progress.position


def test_with_on_reject_hold_the_shard_stays_at_the_refused_event() -> None:
    one = Setting(None)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        raise AssertionError("must hold")

    one.lane.script = [refuse]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: "shard 0" in one.health.holds())

    assert "on_reject is hold" in one.health.holds()["shard 0"]
    assert BASE == one.progress.position
    one.end()
    assert BASE == one.progress.position
    assert [] == one.lane.sent


def test_a_shard_that_holds_at_a_refused_event_goes_on_when_dead_letters_are_allowed(tmp_path: Path) -> None:
    one = Setting(None)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    one.lane.script = [refuse]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: "on_reject is hold" in one.health.holds().get("shard 0", ""))
    successor = Lane()
    successor.script = [refuse]
    one.letters = DeadLetters(tmp_path, 10**6)
    one.go_on_by(successor)
    until(lambda: successor.notices)
    one.end()

    assert [f"0-{BASE}-0"] == [letter.event_id for letter in one.letters.letters()]


def test_a_read_only_state_directory_holds_the_shard_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = Setting(tmp_path / "file")

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 0, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    one.lane.script = [refuse]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: "Make room" in one.health.holds().get("shard 0", ""))

    assert BASE == one.progress.position
    one.end()


def test_a_group_that_cannot_be_walked_is_pulled_again_then_alone_then_given_up(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    broken = b"\x0a\x7f"
    good_a, good_b = group("a"), group("b")
    pulls: list[tuple[int, bool]] = []

    def serve() -> None:
        job = one.progress.next_job()
        if job is None:
            return
        data = {BASE: good_a, BASE + 1: broken, BASE + 2: good_b}
        if job.position > BASE + 2:
            return
        pulls.append((job.position, job.alone))
        last = job.position + 1 if job.alone else BASE + 3
        body = b"".join(b"\x0a" + _varint(len(data[p])) + data[p] for p in range(job.position, last))
        count = last - job.position
        batch = Batch(0, job.position, last, count, body, skip=job.skip)
        one.progress.put(job, batch, len(body), held=1 if job.skip else 0)

    one.thread.start()

    def done() -> bool:
        if not one.progress._queue:
            serve()
        return one.progress.position == BASE + 3

    until(done)
    one.end()

    assert ["a", "b"] == seqs(one.lane)
    letter = one.letters.letters()[0]
    assert ("undecodable", True, BASE + 1) == (letter.reason, letter.raw, letter.position)
    assert broken in letter.event
    assert (BASE + 1, True) in pulls or (BASE, True) in pulls


class WrongAtFirst:
    """2,000 groups of one log; the first answer is another than the headers say, and packed.

    Args:
        one: whose shard asks.
        fault: what is wrong with it.
    """

    def __init__(self, one: Setting, fault: str) -> None:
        self._one, self._fault = one, fault
        self._groups = [group(f"{number}-{'x' * 600}") for number in range(2000)]
        self.wholes: list[bool] = []

    def serve(self) -> bool:
        """Answer what is asked for; True when everything is settled."""
        job = self._one.progress.next_job()
        if job is not None and not self._one.progress._queue and job.position < BASE + 2000:
            self.wholes.append(job.whole)
            wanted = self._groups[job.position - BASE :]
            count = len(wanted) + (0 if job.whole else {"more than announced": -1, "fewer": 1}.get(self._fault, 0))
            held = list(wanted)
            if not job.whole and self._fault == "without its first group":
                del held[0]
            elif not job.whole and self._fault == "without its tenth group":
                del held[9]
            elif not job.whole and self._fault == "a foreign group in front":
                held.insert(0, group(f"9999-{'x' * 600}"))
            body = b"".join(b"\x0a" + _varint(len(each)) + each for each in held)
            block = lz4.block.compress(body, store_size=False)
            if not job.whole and self._fault == "cut off":
                block = block[: len(block) // 2]
            packed = library().lz4_packed(block, len(body))
            batch = Batch(0, job.position, job.position + count, count, packed, skip=job.skip, checked=job.whole)
            self._one.progress.put(job, batch, len(body), held=count_events(packed) if job.skip else 0)
        return self._one.progress.position == BASE + 2000 and len(self.wholes) > 1


def test_an_answer_cut_off_is_pulled_again_from_there_whole_and_nothing_comes_twice(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    service = WrongAtFirst(one, "cut off")
    one.thread.start()
    until(service.serve)
    one.end()

    assert list(range(2000)) == [int(seq.split("-")[0]) for seq in seqs(one.lane)]
    assert (False, True) == (service.wholes[0], service.wholes[-1])
    assert not one.letters.letters()


COUNTED_WRONG = [
    *("more than announced", "fewer", "without its first group", "without its tenth group", "a foreign group in front"),
]


@pytest.mark.parametrize("fault", COUNTED_WRONG)
def test_an_answer_that_proves_to_be_miscounted_is_pulled_again_from_its_begin_and_nothing_is_lost(
    tmp_path: Path, fault: str
) -> None:
    """What was sent of it had the place of another log, so nothing of it may be passed over."""
    one = Setting(tmp_path)
    service = WrongAtFirst(one, fault)
    saved: set[int] = set()

    def look(_payload, token):
        if service.wholes == [False]:
            saved.add(one.progress.position)
        return Report(settled=(token,))

    one.lane.script = [look] * 1000
    one.thread.start()
    until(service.serve)
    one.end()

    assert set(range(2000)) <= {int(seq.split("-")[0]) for seq in seqs(one.lane)}
    assert {BASE} == saved
    assert 0 == one.progress.unsettled_bytes
    assert (False, True) == (service.wholes[0], service.wholes[-1])
    assert not one.letters.letters()


def test_an_unchecked_answer_counts_as_settled_once_its_end_proved_it(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    service = WrongAtFirst(one, "")
    positions: set[int] = set()

    def look(_payload, token):
        positions.add(one.progress.position)
        return Report(settled=(token,))

    one.lane.script = [look] * 1000
    service.serve()
    one.run_until(lambda: one.progress.position == BASE + 2000)

    assert ([False], {BASE}) == (service.wholes, positions)


@pytest.mark.parametrize("fault", ["", "without its first group"])
def test_an_answer_that_takes_long_is_counted_before_its_end(tmp_path: Path, monkeypatch, fault: str) -> None:
    monkeypatch.setattr("sls_siem.delivery.sender.COUNT_AFTER_S", 0.0)
    one = Setting(tmp_path)
    service = WrongAtFirst(one, fault)
    positions: list[int] = []

    def look(_payload, token):
        if service.wholes == [False]:
            positions.append(one.progress.position)
        return Report(settled=(token,))

    one.lane.script = [look] * 1000
    one.thread.start()
    until(lambda: service.serve() or one.progress.position == BASE + 2000)
    one.end()

    assert set(range(2000)) <= {int(seq.split("-")[0]) for seq in seqs(one.lane)}
    # Wrong: no more than the first payload goes out. Right: from then on, positions within it count.
    assert ([BASE] == positions) if fault else (BASE == positions[0] < positions[1] < positions[-1])


@pytest.mark.parametrize("fault", ["", "without its first group"])
def test_what_a_stop_leaves_of_an_unchecked_answer_is_settled_only_if_it_was_counted_right(
    tmp_path: Path, fault: str
) -> None:
    one = Setting(tmp_path)
    service = WrongAtFirst(one, fault)

    def take_then_stop(_payload, token):
        one.stop.now()
        return Report(settled=(token,))

    def stopped(_payload, _token):
        raise Stopped

    one.lane.script = [take_then_stop, stopped]
    service.serve()
    one.thread.start()
    one.thread.join(10)

    assert not one.thread.is_alive()
    assert (one.progress.position > BASE) == (fault == "")


def test_groups_are_never_given_up_by_an_answer_that_was_not_checked(tmp_path: Path) -> None:
    """The logstore was made anew, so that an earlier failure says nothing of what is now at its place."""
    one = Setting(tmp_path)
    good = group("a")
    answers: list[tuple[bytes, bool]] = []

    def serve() -> bool:
        job = one.progress.next_job()
        if job is not None and not one.progress._queue and job.position <= BASE:
            body = b"\x0a" + _varint(len(good)) + good
            block = lz4.block.compress(body, store_size=False)
            wrong = len(answers) in (0, 1, 2) and not job.whole
            answers.append((block, wrong))
            packed = library().lz4_packed(block[:5] if wrong else block, len(body))
            batch = Batch(0, job.position, job.position + 1, 1, packed, checked=job.whole)
            one.progress.put(job, batch, len(body), held=0)
        return one.progress.position == BASE + 1

    one.sender._failed_at = BASE
    one.thread.start()
    until(serve)
    one.end()

    assert ["a"] == seqs(one.lane)
    assert not one.letters.letters()


def test_an_event_is_refused_before_the_rest_of_its_answer_is_found_wrong(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    data = [group(f"{number}-{'x' * 600}") for number in range(2000)]
    body = b"".join(b"\x0a" + _varint(len(each)) + each for each in data)
    block = lz4.block.compress(body, store_size=False)

    def refuse(payload, token):
        one.gate.reject(Rejection(payload, 3, "invalid-event", "Invalid data format"))
        return Report(settled=(token,))

    one.lane.script = [refuse]
    packed = library().lz4_packed(block[: len(block) // 2], len(body))
    one.progress.put(
        one.progress.next_job(), Batch(0, BASE, BASE + 2000, 2000, packed, checked=False), len(body), held=0
    )
    one.thread.start()
    until(lambda: one.progress.next_job().whole)
    job, unsettled = one.progress.next_job(), one.progress.unsettled_bytes
    one.end()

    assert [f"0-{BASE + 3}-0"] == [letter.event_id for letter in one.letters.letters()]
    # What was sent is settled, up to where the rest is asked for again.
    assert BASE < job.position == one.progress.position
    assert 0 == unsettled


def test_a_sent_group_that_cannot_be_walked_when_it_is_read_again_is_given_up_once(tmp_path: Path) -> None:
    """Its bytes differ from those that were sent before; its neighbours in the lost payload are sent again."""
    one = Setting(tmp_path)
    broken = b"\x0a\x7f"
    data = {BASE: group("a"), BASE + 1: group("b"), BASE + 2: group("c")}
    kept: list[object] = []
    one.lane.script = [lambda _payload, token: kept.append(token) or Report()]
    one.queue(list(data.values()))
    one.thread.start()
    until(lambda: one.progress.reading_position == BASE + 3 and one.progress.next_job().position == BASE + 3 and kept)
    data[BASE + 1] = broken
    one.progress.report(Report(lost=tuple(kept), in_order=True))
    pulls: list[tuple[int, bool]] = []

    def serve() -> bool:
        job = one.progress.next_job()
        if job is not None and job.again is not None and not one.progress._queue:
            pulls.append((job.position, job.alone))
            last = job.position + 1 if job.alone else job.end
            body = b"".join(b"\x0a" + _varint(len(data[p])) + data[p] for p in range(job.position, last))
            groups = last - job.position
            batch = Batch(0, job.position, last, groups, body, skip=job.skip, limit=job.limit)
            held = None if broken in body else count_events(body)
            one.progress.put(job, batch, len(body), held=held)
        return one.progress.position == BASE + 3 or len(pulls) > 50

    until(serve)
    one.end()

    assert ["a", "c"] == seqs(one.lane)
    assert [BASE + 1] == [letter.position for letter in one.letters.letters()]
    assert [(BASE, False), (BASE, False), (BASE, True), (BASE + 1, True)] == pulls[:4]
    assert BASE + 3 == one.progress.position


def test_no_send_starts_without_a_lease(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.lease.ok = False
    passed: list[float] = []

    def look_at_gate(_payload, token):
        one.gate.before_send()
        passed.append(time.monotonic())
        return Report(settled=(token,))

    one.lane.script = [look_at_gate]
    one.queue([group("a")])
    one.thread.start()
    until(lambda: "no heartbeat" in one.health.holds().get("shard 0", ""))
    assert not passed
    one.lease.ok = True
    until(lambda: one.progress.position == BASE + 1)
    one.end()

    assert {} == one.health.holds()


def test_a_dropped_shard_sends_nothing_more(tmp_path: Path) -> None:
    one = Setting(tmp_path)
    one.stop.now()

    with pytest.raises(Stopped):
        one.gate.before_send()


def test_the_speed_limit_holds_from_the_first_payload_on(tmp_path: Path) -> None:
    one = Setting(tmp_path, events_per_s=20)
    one.queue([group("a", "b", "c", "d", "e")])
    started = time.monotonic()
    one.run_until(lambda: one.progress.position == BASE + 1)

    assert time.monotonic() - started >= 0.25


def test_a_stop_ends_the_wait_for_a_speed_limit_so_that_what_was_sent_can_settle(tmp_path: Path) -> None:
    one = Setting(tmp_path, events_per_s=0.01)
    one.queue([group("a"), group("b")])
    one.thread.start()
    until(lambda: "speed limit" in one.pulse.why)
    one.stop.drain(20)
    one.progress.wake()
    one.thread.join(10)

    assert (True, True) == (one.lane.finished, one.lane.closed)
    assert [] == one.lane.sent
