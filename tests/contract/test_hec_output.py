"""The HEC output against a strict collector: nothing lost, nothing settled that is not there, few duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.store import Comparison, event_digest
from sls_siem.errors import Stopped
from sls_siem.siem import Lane, Report, make_output
from tests.unit.siem.support import TestGate, hec_config, hec_events, payload_of


@pytest.fixture
def hec() -> Iterator[HecEmulator]:
    with HecEmulator(keep_bytes=True) as emulator:
        yield emulator


@pytest.fixture
def token_file(tmp_path: Path, hec: HecEmulator) -> Path:
    path = tmp_path / "hec-token"
    path.write_text(hec.token + "\n")
    return path


@pytest.fixture
def gate() -> TestGate:
    return TestGate()


@pytest.fixture
def lane(hec: HecEmulator, token_file: Path, gate: TestGate) -> Iterator[Lane]:
    output = make_output(hec_config(hec.url, token_file=str(token_file)), clock=gate.clock)
    lane = output.lane(0, gate)
    yield lane
    lane.close()
    output.close()


def expected(events: list[bytes], first: int = 0) -> dict[str, bytes]:
    return {f"0-{n}-0": event_digest(event) for n, event in enumerate(events, first)}


def test_a_taken_payload_is_settled_at_once(hec: HecEmulator, lane: Lane) -> None:
    events = hec_events(0, 100)
    report = lane.send(payload_of(events), "token")

    assert report == Report(settled=("token",))
    assert hec.store.compare(expected(events)) == Comparison()
    assert lane.next_poll_s() is None


def test_one_connection_and_channel_serve_many_payloads(hec: HecEmulator, lane: Lane) -> None:
    for n in range(5):
        lane.send(payload_of(hec_events(n, 1)), n)

    assert hec.summary()["accepted_connections"] == 1
    assert len({record.channel for record in hec.requests()}) == 1
    assert hec.requests()[0].channel != ""


def test_each_lane_has_a_channel_of_its_own(hec: HecEmulator, token_file: Path, gate: TestGate) -> None:
    output = make_output(hec_config(hec.url, token_file=str(token_file)), clock=gate.clock)
    for shard in range(2):
        lane = output.lane(shard, gate)
        lane.send(payload_of(hec_events(shard, 1)), shard)
        lane.close()

    assert len({record.channel for record in hec.requests()}) == 2


@pytest.mark.parametrize("code", [8, 9, 18, 19, 20, 23, 26, 27])
def test_a_passing_trouble_is_retried_until_it_is_over(hec: HecEmulator, lane: Lane, gate: TestGate, code: int) -> None:
    hec.inject("answer", code=code, count=5)
    events = hec_events(0, 10)
    report = lane.send(payload_of(events), 1)

    assert report.settled == (1,)
    assert hec.store.compare(expected(events)) == Comparison()
    assert len(gate.retries) == 5


@pytest.mark.parametrize("status", [302, 307, 404, 405, 407, 415, 429, 500, 502, 504])
def test_an_answer_that_is_not_of_hec_loses_nothing(hec: HecEmulator, lane: Lane, gate: TestGate, status: int) -> None:
    hec.inject("answer", status=status, count=2, location="http://127.0.0.1:1/")
    events = hec_events(0, 10)
    lane.send(payload_of(events), 1)

    assert hec.store.compare(expected(events)) == Comparison()
    assert len(gate.retries) == 2


def test_retry_after_is_honoured(hec: HecEmulator, lane: Lane, gate: TestGate) -> None:
    hec.inject("answer", code=26, retry_after_s=17, count=1)
    lane.send(payload_of(hec_events(0, 1)), 1)

    assert sum(seconds for seconds, _ in gate.waits) == pytest.approx(17, abs=0.5)


@pytest.mark.parametrize(
    "kind", ["reset_in_body", "reset_before", "close_before", "html", "truncated", "garbage", "close_keep_alive"]
)
def test_a_broken_exchange_loses_nothing(hec: HecEmulator, lane: Lane, kind: str) -> None:
    hec.inject(kind, count=2)
    events = [hec_events(n, 10) for n in range(0, 50, 10)]
    for batch in events:
        assert lane.send(payload_of(batch), batch).settled == (batch,)

    everything = [event for batch in events for event in batch]
    assert hec.store.compare(expected(everything)).missing == ()
    assert hec.store.compare(expected(everything)).altered == ()


def test_a_refused_token_holds_and_is_read_again(
    hec: HecEmulator, lane: Lane, gate: TestGate, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hec.set_token(HecToken("99999999-2222-4333-8444-555555555555"))
    hec.remove_token("11111111-2222-4333-8444-555555555555")
    rotate = lambda: token_file.write_text("99999999-2222-4333-8444-555555555555\n")  # noqa: E731
    gate.on_wait = [lambda: None, lambda: None, lambda: None, lambda: None, lambda: None, rotate]
    with caplog.at_level("INFO"):
        lane.send(payload_of(hec_events(0, 3)), 1)

    assert [round(seconds) for seconds, _ in gate.waits] == [1, 2, 4, 8, 16, 30]
    assert f"put the right token into {token_file}, then: systemctl reload 'sls-siem@*'" in gate.waits[0][1]
    assert len(hec.store) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "11111111-2222" not in caplog.text + repr(gate.waits)


def test_a_missing_token_holds_until_it_is_there(
    hec: HecEmulator, gate: TestGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    file = tmp_path / "token"
    output = make_output(hec_config(hec.url, token_file=str(file)), clock=gate.clock)
    gate.on_wait = [lambda: None, lambda: file.write_text(hec.token)]
    lane = output.lane(0, gate)
    lane.send(payload_of(hec_events(0, 3)), 1)
    lane.close()

    assert len(hec.store) == 3
    assert f"there is no HEC token, {file} (hec.token_file) does not exist" in gate.waits[0][1]


@pytest.mark.parametrize("code", [6, 12, 13])
@pytest.mark.parametrize("place", [0, 4, 9])
def test_the_refused_event_alone_is_rejected(
    hec: HecEmulator, lane: Lane, gate: TestGate, code: int, place: int
) -> None:
    hec.poison(f"0-{place}-0", code)
    events = hec_events(0, 10)
    payload = payload_of(events)
    report = lane.send(payload, 1)
    wanted = expected(events)
    del wanted[f"0-{place}-0"]

    assert report.settled == (1,)
    assert [(each.payload, each.index) for each in gate.rejections] == [(payload, place)]
    assert f"code {code}" in gate.rejections[0].answer
    assert hec.store.compare(wanted) == Comparison()


def test_every_refused_event_of_many_is_found(hec: HecEmulator, lane: Lane, gate: TestGate) -> None:
    events = hec_events(0, 50)
    wanted = expected(events)
    for place in (0, 1, 7, 30, 49):
        hec.poison(f"0-{place}-0", 6)
        del wanted[f"0-{place}-0"]
    lane.send(payload_of(events), 1)

    assert [each.index for each in gate.rejections] == [0, 1, 7, 30, 49]
    assert hec.store.compare(wanted) == Comparison()


def test_refused_fields_are_taken_out_once(hec: HecEmulator, lane: Lane, gate: TestGate) -> None:
    hec.inject("answer", code=15, invalid_event_number=3, count=1)
    events = hec_events(0, 6)
    lane.send(payload_of(events), 1)
    stripped = events[3].split(b',"fields"')[0] + b"}"

    assert [arrival.data for arrival in hec.store.arrivals("")] == [stripped]
    assert hec.store.compare(expected(events)).missing == ("0-3-0",)
    assert gate.rejections == []


def test_an_event_refused_without_fields_too_is_rejected(hec: HecEmulator, lane: Lane, gate: TestGate) -> None:
    hec.inject("answer", code=15, invalid_event_number=0, count=2)
    events = hec_events(0, 2)
    lane.send(payload_of(events), 1)

    assert [(each.index, each.reason) for each in gate.rejections] == [(0, "invalid-fields")]
    assert hec.store.compare(expected(events[1:], 1)) == Comparison()


@pytest.mark.parametrize("code", [6, 12, 13, 15])
def test_without_a_number_the_refused_event_is_found_by_halving(
    hec: HecEmulator, lane: Lane, gate: TestGate, code: int
) -> None:
    hec.inject("answer", code=code, count=1)
    events = hec_events(0, 9)
    lane.send(payload_of(events), 1)

    assert hec.store.compare(expected(events)) == Comparison()
    assert gate.rejections == []


def test_a_request_that_is_too_large_is_halved_until_one_event_is_rejected(
    hec: HecEmulator, lane: Lane, gate: TestGate
) -> None:
    hec.configure(max_content_length=2000)
    events = [*hec_events(0, 10), *hec_events(10, 1, size=3000), *hec_events(11, 10)]
    lane.send(payload_of(events), 1)
    wanted = expected(events)
    del wanted["0-10-0"]

    assert [(each.index, each.reason) for each in gate.rejections] == [(10, "too-large")]
    assert hec.store.compare(wanted) == Comparison()


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_an_event_with_a_wrong_index_of_its_own_is_rejected(
    hec: HecEmulator, token_file: Path, gate: TestGate, ahead: int, place: int
) -> None:
    hec.configure(code7_ahead=ahead)
    hec.set_token(HecToken(indexes=("main",)))
    events = hec_events(0, 6)
    events[place] = events[place].replace(b'"event"', b'"index":"secret","event"')
    output = make_output(hec_config(hec.url, token_file=str(token_file), index="{app}"), clock=gate.clock)
    lane = output.lane(0, gate)
    lane.send(payload_of(events), 1)
    lane.close()
    wanted = expected(events)
    del wanted[f"0-{place}-0"]
    found = hec.store.compare(wanted)

    assert [(each.index, each.reason) for each in gate.rejections] == [(place, "incorrect-index")]
    assert (found.missing, found.unknown, found.altered) == ((), (), ())
    assert len(found.duplicated) <= (0 if ahead else 1)


def test_a_wrong_fixed_index_holds_and_repeats_nothing(hec: HecEmulator, token_file: Path, gate: TestGate) -> None:
    hec.set_token(HecToken(indexes=("main",)))
    events = [event.replace(b'"event"', b'"index":"siem","event"') for event in hec_events(0, 6)]
    allow = lambda: hec.set_token(HecToken(indexes=("main", "siem")))  # noqa: E731
    gate.on_wait = [lambda: None, lambda: None, allow]
    output = make_output(hec_config(hec.url, token_file=str(token_file), index="siem"), clock=gate.clock)
    lane = output.lane(0, gate)
    lane.send(payload_of(events), 1)
    lane.close()

    assert gate.rejections == []
    assert hec.store.compare(expected(events)) == Comparison()
    assert [seconds for seconds, _ in gate.waits] == pytest.approx([1, 2, 4], abs=0.2)


@pytest.mark.parametrize("code", [24, 25])
def test_a_nearly_full_receiver_has_taken_the_events_and_is_given_time(
    hec: HecEmulator, lane: Lane, gate: TestGate, code: int
) -> None:
    hec.inject("answer", code=code, count=2)
    for n in range(3):
        assert lane.send(payload_of(hec_events(n, 1)), n).settled == (n,)

    assert hec.store.total == 3
    assert gate.retries == []
    assert len(gate.waits) == 2


def test_a_busy_receiver_that_names_an_event_is_resumed_there(hec: HecEmulator, lane: Lane) -> None:
    hec.inject("answer", code=9, invalid_event_number=4, count=1)
    events = hec_events(0, 10)
    lane.send(payload_of(events), 1)

    assert hec.store.compare(expected(events)) == Comparison()


def test_no_data_for_a_request_with_events_is_not_believed(hec: HecEmulator, lane: Lane) -> None:
    hec.inject("answer", code=5, count=2)
    events = hec_events(0, 3)
    lane.send(payload_of(events), 1)

    assert hec.store.compare(expected(events)) == Comparison()


def test_an_outage_is_one_warning_and_one_message_when_it_ends(
    hec: HecEmulator, lane: Lane, gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    hec.stop_listening()
    gate.on_wait = [lambda: None] * 8 + [hec.listen_again]
    with caplog.at_level("INFO"):
        lane.send(payload_of(hec_events(0, 3)), 1)

    assert len(hec.store) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert set(gate.retries) == {"connect"}
    assert all(0 <= seconds <= 30 for seconds, _ in gate.waits)


def test_a_stop_ends_the_retries(hec: HecEmulator, lane: Lane, gate: TestGate) -> None:
    hec.inject("answer", code=9)
    gate.on_wait = [lambda: None, gate.stopped.set]
    with pytest.raises(Stopped):
        lane.send(payload_of(hec_events(0, 3)), 1)

    assert hec.store.total == 0


def test_failover_and_return(gate: TestGate, tmp_path: Path) -> None:
    with HecEmulator() as one, HecEmulator() as two:
        file = tmp_path / "token"
        file.write_text(one.token)
        output = make_output(hec_config(one.url, two.url, token_file=str(file)), clock=gate.clock)
        lane = output.lane(0, gate)
        lane.send(payload_of(hec_events(0, 1)), 0)
        one.stop_listening()
        lane.send(payload_of(hec_events(1, 1)), 1)
        down = [(state.url, state.up) for state in output.endpoints()]
        one.listen_again()
        gate.clock.skipped += 60
        lane.send(payload_of(hec_events(2, 1)), 2)
        lane.close()

        assert down == [(one.url, False), (two.url, True)]
        assert [one.store.total, two.store.total] == [2, 1]
        assert [state.up for state in output.endpoints()] == [True, True]
        assert gate.waits == []


def test_an_unhealthy_address_does_not_return(gate: TestGate, tmp_path: Path) -> None:
    with HecEmulator() as one, HecEmulator() as two:
        file = tmp_path / "token"
        file.write_text(one.token)
        output = make_output(hec_config(one.url, two.url, token_file=str(file)), clock=gate.clock)
        lane = output.lane(0, gate)
        one.set_state("queues-full")
        for n in range(10):
            lane.send(payload_of(hec_events(n, 1)), n)
            gate.clock.skipped += 40
        lane.close()
        posts = [record for record in one.requests() if record.method == "POST"]

        assert two.store.total == 10
        assert len(posts) == 1


def test_an_address_whose_health_cannot_be_asked_does_not_return(gate: TestGate, tmp_path: Path) -> None:
    with HecEmulator() as one, HecEmulator() as two:
        file = tmp_path / "token"
        file.write_text(one.token)
        output = make_output(hec_config(one.url, two.url, token_file=str(file)), clock=gate.clock)
        lanes = [output.lane(0, gate), output.lane(1, gate), output.lane(2, gate)]
        one.stop_listening()
        for n in range(9):
            lanes[n % 3].send(payload_of(hec_events(n, 1)), n)
            gate.clock.skipped += 40
        for lane in lanes:
            lane.close()

        assert two.store.total == 9
        assert set(gate.retries) == {"connect"}


def test_lanes_are_spread_over_the_addresses(gate: TestGate, tmp_path: Path) -> None:
    with HecEmulator() as one, HecEmulator() as two:
        file = tmp_path / "token"
        file.write_text(one.token)
        output = make_output(hec_config(one.url, two.url, token_file=str(file)), clock=gate.clock)
        for shard in range(4):
            lane = output.lane(shard, gate)
            lane.send(payload_of(hec_events(shard, 1)), shard)
            lane.close()

        assert [one.store.total, two.store.total] == [2, 2]


@pytest.mark.parametrize("gzip", [True, False])
def test_events_arrive_byte_for_byte(hec: HecEmulator, token_file: Path, gate: TestGate, gzip: bool) -> None:
    output = make_output(hec_config(hec.url, token_file=str(token_file), gzip=gzip), clock=gate.clock)
    lane = output.lane(0, gate)
    events = hec_events(0, 2000, size=500)
    lane.send(payload_of(events), 1)
    lane.close()

    assert hec.store.compare(expected(events)) == Comparison()
    assert hec.store.ids() == list(expected(events))
