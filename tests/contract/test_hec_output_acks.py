"""The HEC output with indexer acknowledgement: settled means stored, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.store import Comparison, event_digest
from sls_siem.errors import Stopped
from sls_siem.siem import Lane, Report, make_output
from tests.unit.siem.support import Ledger, TestGate, TestTime, hec_config, hec_events, payload_of


@pytest.fixture
def hec() -> Iterator[HecEmulator]:
    with HecEmulator(keep_bytes=True, tokens=(HecToken(use_ack=True),)) as emulator:
        yield emulator


@pytest.fixture
def gate() -> TestGate:
    return TestGate(TestTime(0.05))


@pytest.fixture
def lane_to(gate: TestGate, tmp_path: Path, hec: HecEmulator) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []
    file = tmp_path / "token"
    file.write_text(hec.token)

    def make(*urls: str, **changes: object) -> Lane:
        config = hec_config(*(urls or (hec.url,)), token_file=str(file), acknowledge=True, **changes)
        lanes.append(make_output(config, clock=gate.clock).lane(0, gate))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


def expected(*batches: list[bytes]) -> dict[str, bytes]:
    events = [event for batch in batches for event in batch]
    return {f"0-{n}-0": event_digest(event) for n, event in enumerate(events)}


def poll_until(lane: Lane, gate: TestGate, ledger: Ledger, done: Callable[[], bool]) -> None:
    """Poll as the owner of a lane does."""
    end = time.monotonic() + 15
    while not done():
        assert time.monotonic() < end, f"settled {ledger.settled}, lost {ledger.lost}"
        wait_s = lane.next_poll_s()
        assert wait_s is not None
        gate.wait(wait_s, "test")
        ledger.add(lane.poll())


def test_settled_only_when_acknowledged(hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate) -> None:
    hec.configure(index_delay_s=0.3)
    lane, ledger = lane_to(), Ledger()
    batches = [hec_events(n, 10) for n in range(0, 50, 10)]
    for n, batch in enumerate(batches):
        ledger.add(lane.send(payload_of(batch), n))

    assert ledger.settled == []
    poll_until(lane, gate, ledger, lambda: len(ledger.settled) == 5)
    assert (sorted(ledger.settled), ledger.lost) == ([0, 1, 2, 3, 4], [])
    assert hec.store.compare(expected(*batches)) == Comparison()
    assert lane.next_poll_s() is None


def test_a_lost_answer_to_a_poll_makes_the_token_lost_in_the_end(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    lane, ledger = lane_to(ack_timeout_s=60.0), Ledger()
    batch = hec_events(0, 10)
    hec.inject("reset_after", endpoint="ack", count=1)
    ledger.add(lane.send(payload_of(batch), "t"))
    poll_until(lane, gate, ledger, lambda: bool(ledger.lost))
    ledger.add(lane.send(payload_of(batch), "again"))
    poll_until(lane, gate, ledger, lambda: bool(ledger.settled))

    assert (ledger.lost, ledger.settled, ledger.in_order) == (["t"], ["again"], False)
    assert gate.retries.count("ack-timeout") == 1


def test_an_acknowledgement_that_never_comes_is_lost_after_the_timeout(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    lane, ledger = lane_to(ack_timeout_s=60.0), Ledger()
    hec.inject("ack_never", count=1)
    began = gate.clock()
    ledger.add(lane.send(payload_of(hec_events(0, 1)), "never"))
    ledger.add(lane.send(payload_of(hec_events(1, 1)), "soon"))
    poll_until(lane, gate, ledger, lambda: bool(ledger.lost))

    assert (ledger.settled, ledger.lost) == (["soon"], ["never"])
    assert gate.clock() - began >= 60


def test_an_indexer_restart_makes_everything_pending_lost(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    hec.configure(index_delay_s=600)
    lane, ledger = lane_to(), Ledger()
    for n in range(5):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
    hec.crash()
    hec.configure(index_delay_s=0)
    ledger.add(lane.send(payload_of(hec_events(5, 1)), 5))

    assert (ledger.settled, ledger.lost) == ([], [0, 1, 2, 3, 4, 5])
    for n in range(6):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
    poll_until(lane, gate, ledger, lambda: len(ledger.settled) == 6)
    assert hec.store.compare(expected(hec_events(0, 6))).missing == ()


@pytest.mark.parametrize("answered_before", [1, 2, 3])
@pytest.mark.parametrize("unanswered", [0, 1, 2, 3])
def test_an_id_given_twice_never_settles_what_a_restart_lost(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate, answered_before: int, unanswered: int
) -> None:
    hec.configure(index_delay_s=600)
    lane, ledger = lane_to(ack_timeout_s=120.0), Ledger()
    for n in range(answered_before):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
    hec.crash()
    hec.configure(index_delay_s=0)
    if unanswered:
        hec.inject("reset_after", count=unanswered)
    gate.on_wait = [lambda: ledger.add(lane.poll())] * unanswered
    ledger.add(lane.send(payload_of(hec_events(9, 1)), 9))
    poll_until(lane, gate, ledger, lambda: lane.next_poll_s() is None)

    assert [n for n in ledger.settled if f"0-{n}-0" not in hec.store] == []
    assert sorted(ledger.settled + ledger.lost) == [*range(answered_before), 9]


def test_a_stored_request_without_an_answer_makes_only_the_first_id_doubtful(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    """It may have drawn a second 0, of an indexer that restarted."""
    lane, ledger = lane_to(), Ledger()
    for n in range(4):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
    hec.inject("reset_after", count=1)
    ledger.add(lane.send(payload_of(hec_events(4, 1)), 4))
    poll_until(lane, gate, ledger, lambda: len(ledger.settled) == 4)

    assert ledger.lost == [0]


def test_a_payload_that_is_too_large_on_a_new_channel_is_cut_not_repeated(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    hec.configure(max_content_length=2000, index_delay_s=1.0)
    lane, ledger, events = lane_to(), Ledger(), hec_events(0, 40)
    ledger.add(lane.send(payload_of(events), "t"))
    poll_until(lane, gate, ledger, lambda: bool(ledger.settled or ledger.lost))

    assert (ledger.settled, ledger.lost) == (["t"], [])
    assert hec.store.compare(expected(events)) == Comparison()


def test_a_token_that_does_not_acknowledge_holds_without_sending_again(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    hec.set_token(HecToken(use_ack=False))
    lane, ledger = lane_to(), Ledger()
    allow = lambda: hec.set_token(HecToken(use_ack=True))  # noqa: E731
    gate.on_wait = [lambda: None] * 5 + [allow]
    ledger.add(lane.send(payload_of(hec_events(0, 1)), "t"))
    poll_until(lane, gate, ledger, lambda: bool(ledger.settled))

    assert hec.store.count("0-0-0") == 2
    assert "hec.acknowledge = false" in gate.waits[0][1]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("tells", [True, False])
def test_what_a_partial_accept_took_is_proven_before_it_settles(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate, *, place: int, before: int, tells: bool
) -> None:
    hec.configure(ack_partial=tells)
    lane, ledger = lane_to(), Ledger()
    if before:
        ledger.add(lane.send(payload_of(hec_events(100, 1)), "before"))
    hec.poison(f"0-{place}-0", 6)
    events = hec_events(0, 10)
    ledger.add(lane.send(payload_of(events), "t"))
    poll_until(lane, gate, ledger, lambda: "t" in ledger.settled)
    wanted = expected(events)
    del wanted[f"0-{place}-0"]
    if before:
        wanted["0-100-0"] = event_digest(hec_events(100, 1)[0])
    found = hec.store.compare(wanted)

    assert [each.index for each in gate.rejections] == [place]
    assert (found.missing, found.unknown, found.altered, ledger.lost) == ((), (), (), [])
    # With no ackId and nothing behind the refused event, the one before it is sent again to get an acknowledgement.
    assert found.duplicated == ((("0-8-0", 1),) if place == 9 and not tells else ())


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("tells", [True, False])
def test_a_prefix_that_a_restart_lost_is_sent_again(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate, *, before: int, tells: bool
) -> None:
    """Also when the restart breaks a connection that rests, in front of what would be the channel's first ackId."""
    hec.configure(index_delay_s=600, ack_partial=tells)
    lane, ledger = lane_to(), Ledger()
    if before:
        ledger.add(lane.send(payload_of(hec_events(100, 1)), "before"))
    hec.poison("0-4-0", 6)
    reject, crashed = gate.reject, []

    def reject_while_the_indexer_dies(rejection: object) -> None:
        reject(rejection)  # type: ignore[arg-type]
        if not crashed:
            crashed.append(hec.crash())
            hec.configure(index_delay_s=0)

    gate.reject = reject_while_the_indexer_dies  # type: ignore[method-assign]
    ledger.add(lane.send(payload_of(hec_events(0, 10)), "t"))

    assert crashed == [4 + before]
    assert ledger.lost == ["before", "t"][1 - before :]
    for n, token in ((100, "before"), (0, "t"))[1 - before :]:
        ledger.add(lane.send(payload_of(hec_events(n, 1 if n else 10)), token))
    poll_until(lane, gate, ledger, lambda: len(ledger.settled) == 1 + before)
    assert set(hec.store.ids()) == {*["0-100-0"] * before, *(f"0-{n}-0" for n in range(10) if n != 4)}


def test_three_indexers_behind_a_sticky_load_balancer(gate: TestGate, lane_to: Callable[..., Lane]) -> None:
    with HecEmulator(indexers=3, tokens=(HecToken(use_ack=True),)) as hec:
        lane, ledger = lane_to(hec.url), Ledger()
        for n in range(10):
            ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
        poll_until(lane, gate, ledger, lambda: len(ledger.settled) == 10)

        assert ledger.lost == []
        assert hec.store.total == 10


def test_polling_goes_on_while_an_address_is_down(gate: TestGate, lane_to: Callable[..., Lane]) -> None:
    tokens = (HecToken(use_ack=True),)
    with HecEmulator(tokens=tokens, index_delay_s=0.2) as one, HecEmulator(tokens=tokens) as two:
        lane, ledger = lane_to(one.url, two.url), Ledger()
        ledger.add(lane.send(payload_of(hec_events(0, 1)), 0))
        one.stop_listening()
        ledger.add(lane.send(payload_of(hec_events(1, 1)), 1))
        poll_until(lane, gate, ledger, lambda: ledger.settled == [1])
        one.listen_again()
        poll_until(lane, gate, ledger, lambda: ledger.settled == [1, 0])

        assert ledger.lost == []


def test_finish_waits_for_outstanding_acknowledgements(hec: HecEmulator, lane_to: Callable[..., Lane]) -> None:
    hec.configure(index_delay_s=0.4)
    lane = lane_to()
    lane.send(payload_of(hec_events(0, 1)), "t")

    assert lane.finish(60).settled == ("t",)
    assert lane.finish(60) == Report()


def test_finish_ends_with_the_last_acknowledgement(
    hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    lane = lane_to(ack_timeout_s=50)
    lane.send(payload_of(hec_events(0, 1)), "t")
    began = gate.clock()

    assert Report(settled=("t",)) == lane.finish(300)
    assert gate.clock() - began < 40


def test_finish_ends_at_its_deadline(hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate) -> None:
    hec.configure(index_delay_s=600)
    lane = lane_to()
    lane.send(payload_of(hec_events(0, 1)), "t")
    began = gate.clock()
    report = lane.finish(5)

    assert report == Report()
    assert 4.5 <= gate.clock() - began <= 8


def test_finish_never_raises(hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate) -> None:
    hec.configure(index_delay_s=600)
    lane = lane_to()
    lane.send(payload_of(hec_events(0, 1)), "t")
    gate.stopped.set()

    assert lane.finish(5) == Report()


def test_a_stopped_send_is_never_reported(hec: HecEmulator, lane_to: Callable[..., Lane], gate: TestGate) -> None:
    hec.inject("answer", code=9)
    gate.on_wait = [gate.stopped.set]
    lane = lane_to()
    with pytest.raises(Stopped):
        lane.send(payload_of(hec_events(0, 1)), "t")

    assert lane.poll() == Report()
    assert lane.next_poll_s() is None
