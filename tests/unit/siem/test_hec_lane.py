"""What the HEC lane makes of answers that no sane collector gives, and of odd but allowed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sls_siem.errors import Stopped
from sls_siem.net.http import HttpTimeout
from sls_siem.siem import Lane, Report, make_output
from sls_siem.siem.hec_route import Route
from tests.unit.siem.scripted_hec import ScriptedHec
from tests.unit.siem.support import Ledger, TestGate, hec_config, hec_events, payload_of

TOKEN = "aaaaaaaa-2222-4333-8444-555555555555"


@pytest.fixture
def hec() -> Iterator[ScriptedHec]:
    with ScriptedHec() as scripted:
        yield scripted


@pytest.fixture
def gate() -> TestGate:
    return TestGate()


@pytest.fixture
def lane_to(gate: TestGate, tmp_path: Path, hec: ScriptedHec) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []
    file = tmp_path / "token"
    file.write_text(TOKEN)

    def make(*urls: str, **changes: object) -> Lane:
        config = hec_config(*(urls or (hec.url,)), **{"token_file": str(file), "gzip": False, **changes})
        lanes.append(make_output(config, clock=gate.clock).lane(0, gate))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


def accepted(ack_id: int) -> tuple[int, dict[str, object]]:
    return 200, {"text": "Success", "code": 0, "ackId": ack_id}


def test_the_request_is_what_splunk_expects(hec: ScriptedHec, lane_to: Callable[..., Lane]) -> None:
    events = hec_events(0, 2)
    lane_to().send(payload_of(events, end=b"\n"), 1)
    path, headers, body = hec.posts()[0]

    assert path == "/services/collector/event"
    assert headers["authorization"] == f"Splunk {TOKEN}"
    assert len(headers["x-splunk-request-channel"]) == 36
    assert headers["content-type"] == "application/json"
    assert body == events[0] + b"\n" + events[1] + b"\n"


def test_cookies_of_a_load_balancer_are_sent_back(hec: ScriptedHec, lane_to: Callable[..., Lane]) -> None:
    text = "lb=node-2; Path=/; Expires=Wed, 21 Oct 2099 07:28:00 GMT, other=x; Secure"
    hec.events += [
        (200, {"code": 0}, {"Set-Cookie": text}),
        (200, {"code": 0}, {"Set-Cookie": "other=; Max-Age=0"}),
        (200, {"code": 0}, {"Set-Cookie": "broken cookie"}),
    ]
    lane = lane_to()
    for n in range(4):
        lane.send(payload_of(hec_events(n, 1)), n)

    cookies = [headers.get("cookie") for _, headers, _ in hec.posts()]
    assert cookies == [None, "lb=node-2; other=x", "lb=node-2", "lb=node-2"]


def test_a_balancer_that_is_not_sticky_is_named_and_does_not_cause_a_storm(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    hec.otherwise = accepted(0)
    lane, ledger = lane_to(acknowledge=True), Ledger()
    for n in range(8):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))

    assert ledger.settled == []
    assert any("sticky load balancer" in why for _, why in gate.waits)


def test_an_answer_to_a_poll_that_says_nothing_is_asked_again(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    hec.events.append(accepted(0))
    hec.acks += [
        (200, b"<html>"),
        (200, {"acks": [0]}),
        (403, {"text": "Invalid token", "code": 4}),
        (400, {"text": "ACK is disabled", "code": 14}),
        (503, {"text": "Server is busy", "code": 9}),
        (200, {"acks": {"0": 1, "x": True, "1": True}}),
        (200, {"acks": {"0": True}}),
    ]
    lane, ledger = lane_to(acknowledge=True), Ledger()
    ledger.add(lane.send(payload_of(hec_events(0, 1)), "t"))
    while not ledger.settled:
        wait_s = lane.next_poll_s()
        assert wait_s is not None
        gate.wait(wait_s, "test")
        ledger.add(lane.poll())

    assert ledger.lost == []
    assert len(hec.acks) == 0
    assert len([record for record in caplog.records if "acknowledgements fails" in record.getMessage()]) == 1


def test_a_poll_without_a_token_is_tried_again(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    hec.events.append(accepted(0))
    hec.acks += [(401, {"text": "Token is required", "code": 2}), (200, {"acks": {"0": True}})]
    lane = lane_to(acknowledge=True)
    lane.send(payload_of(hec_events(0, 1)), "t")
    reports = [lane.poll()]
    (tmp_path / "token").write_text("none")
    gate.clock.skipped += 10
    reports.append(lane.poll())
    (tmp_path / "token").write_text(TOKEN)
    gate.clock.skipped += 10
    reports.append(lane.poll())

    assert reports == [Report(), Report(), Report(settled=("t",))]


def test_an_event_refused_in_a_very_large_request_is_tried_alone(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    hec.events.append((400, {"text": "Invalid data format", "code": 6, "invalid-event-number": 1}))
    events = hec_events(0, 3, size=2_000_000)
    lane_to().send(payload_of(events), 1)

    assert [body for _, _, body in hec.posts()[1:]] == [events[1] + b"\n", events[2] + b"\n"]
    assert gate.rejections == []


# Code 7 may name the place behind the last event, so 3 is a number to it.
@pytest.mark.parametrize(
    ("code", "number"), [(code, number) for code in (6, 7) for number in (None, 99, -1, "1", True)] + [(6, 3)]
)
def test_a_number_that_names_no_event_is_no_number(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, code: int, number: object
) -> None:
    hec.events.append((400, {"text": "no", "code": code, "invalid-event-number": number}))
    events = hec_events(0, 3)
    lane_to().send(payload_of(events), 1)

    assert [body.count(b"\n") for _, _, body in hec.posts()] == [3, 1, 2]
    assert gate.rejections == []


@pytest.mark.parametrize("code", [10, 11, 14, 28])
def test_what_somebody_must_repair_is_held_with_its_advice(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, code: int
) -> None:
    hec.otherwise = (400, {"text": "words", "code": code})
    gate.on_wait = [lambda: None] * 3 + [gate.stopped.set]
    with pytest.raises(Stopped):
        lane_to().send(payload_of(hec_events(0, 3)), 1)

    assert [round(seconds) for seconds, _ in gate.waits] == [1, 2, 4, 8]
    assert f"code {code}: words; " in gate.waits[0][1]
    assert gate.rejections == []


def test_a_token_that_no_header_can_hold_is_never_sent(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("abc\r\nX-Evil: 1")
    gate.on_wait = [gate.stopped.set]
    with pytest.raises(Stopped):
        lane_to().send(payload_of(hec_events(0, 1)), 1)

    assert hec.requests == []
    assert "holds a character that no token has" in gate.waits[0][1]


def test_a_token_that_the_collector_repeats_is_not_shown(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    hec.events.append((403, {"text": f"Invalid token {TOKEN}", "code": 4}))
    hec.events.append((400, {"text": f"{TOKEN} bad", "code": 6, "invalid-event-number": 0}))
    hec.events.append((500, TOKEN.encode()))
    lane_to().send(payload_of(hec_events(0, 2)), 1)

    assert len(gate.rejections) == 1
    assert TOKEN not in caplog.text + repr(gate.waits) + repr(gate.rejections)


def test_a_payload_without_a_byte_is_settled(hec: ScriptedHec, lane_to: Callable[..., Lane]) -> None:
    hec.otherwise = (400, {"text": "No data", "code": 5})

    assert lane_to().send(payload_of([]), "t") == Report(settled=("t",))


def test_ambiguous_answers_in_front_of_an_ack_id_do_not_disturb_an_idle_channel(
    hec: ScriptedHec, lane_to: Callable[..., Lane]
) -> None:
    hec.events += [accepted(0), (502, b"bad gateway"), accepted(2)]
    hec.acks += [(200, {"acks": {"0": True}}), (200, {"acks": {"2": True}})]
    lane, ledger = lane_to(acknowledge=True), Ledger()
    for token in ("a", "b"):
        ledger.add(lane.send(payload_of(hec_events(0, 1)), token))
        ledger.add(lane.finish(30))

    assert (ledger.settled, ledger.lost) == (["a", "b"], [])


def test_a_prefix_taken_by_a_busy_collector_is_proven_elsewhere_as_a_whole(
    hec: ScriptedHec, lane_to: Callable[..., Lane]
) -> None:
    with ScriptedHec() as other:
        other.events.append((503, {"text": "Server is busy", "code": 9, "invalid-event-number": 2}))
        hec.events += [accepted(n) for n in range(9)]
        hec.acks.append((200, {"acks": {str(n): True for n in range(9)}}))
        lane, ledger = lane_to(other.url, hec.url, acknowledge=True), Ledger()
        events = hec_events(0, 3)
        ledger.add(lane.send(payload_of(events), "t"))
        ledger.add(lane.finish(30))
        sent = b"".join(body for _, _, body in hec.posts())

        assert ledger.settled == ["t"]
        assert all(event in sent for event in events)


def test_a_proxy_that_lets_only_small_requests_through_is_got_through(
    hec: ScriptedHec, lane_to: Callable[..., Lane]
) -> None:
    """Each of its own answers may hide an ackId, and no id of a new channel is beyond such a doubt."""
    timeout = (504, b"<html>no answer in time</html>")
    hec.events += [accepted(0), timeout, accepted(0), timeout, *map(accepted, range(4))]
    hec.acks.append((200, {"acks": {str(n): True for n in range(4)}}))
    lane, ledger, events = lane_to(acknowledge=True), Ledger(), hec_events(0, 4)
    ledger.add(lane.send(payload_of(events), "t"))
    ledger.add(lane.finish(30))

    assert (ledger.settled, ledger.lost, len(hec.events)) == (["t"], [], 0)
    assert [body.strip() for _, _, body in hec.posts()[-4:]] == [events[n] for n in (2, 3, 1, 0)]


def test_an_ack_id_of_a_partial_accept_shows_a_restart(hec: ScriptedHec, lane_to: Callable[..., Lane]) -> None:
    partial = {"text": "Invalid data format", "code": 6, "invalid-event-number": 1, "ackId": 0}
    hec.events += [accepted(0), (400, partial)]
    lane, ledger = lane_to(acknowledge=True), Ledger()
    ledger.add(lane.send(payload_of(hec_events(0, 1)), "before"))
    ledger.add(lane.send(payload_of(hec_events(10, 4)), "t"))

    assert (ledger.settled, ledger.lost) == ([], ["before", "t"])


def test_another_indexer_that_answers_a_poll_settles_nothing(hec: ScriptedHec, lane_to: Callable[..., Lane]) -> None:
    """A balancer went astray twice, and each time an ackId may have been drawn there."""
    astray = (504, b"no answer in time")
    hec.events += [accepted(0), accepted(1), astray, accepted(2), astray, accepted(3)]
    hec.acks += [(200, {"acks": {"0": True, "1": True}}), (200, {"acks": {"2": True, "3": True}})]
    lane, ledger = lane_to(acknowledge=True), Ledger()
    for n in range(4):
        ledger.add(lane.send(payload_of(hec_events(n, 1)), n))
    ledger.add(lane.finish(30))

    assert (ledger.settled, ledger.lost) == ([2, 3], [0, 1])


def test_an_address_that_is_well_again_is_used_again(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    """Also when it never gave an ackId, so that the first request to it carries one event."""
    with ScriptedHec() as other:
        hec.events += [(503, {"text": "Server is busy", "code": 9}), *map(accepted, range(50))]
        other.events += map(accepted, range(50))
        lane = lane_to(hec.url, other.url, acknowledge=True)
        for n in range(8):
            lane.send(payload_of(hec_events(2 * n, 2)), n)
            gate.clock.pass_by(3.0)

        assert len(hec.posts()) > 6


def test_whether_the_token_acknowledges_is_asked_on_another_channel(
    hec: ScriptedHec, lane_to: Callable[..., Lane]
) -> None:
    """A `true` is told once: the one for an ackId that is waited for must not be told here."""
    hec.events += [accepted(0), (200, {"text": "Success", "code": 0}), accepted(1)]
    lane = lane_to(acknowledge=True)
    for n in range(2):
        lane.send(payload_of(hec_events(n, 1)), n)
    asked = [(headers["x-splunk-request-channel"], path) for path, headers, _ in hec.requests]

    assert len({channel for channel, path in asked if "/ack" not in path}) == 1
    assert len({channel for channel, _ in asked}) == 2


def test_an_address_that_does_not_acknowledge_is_asked_before_each_attempt(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    """Also when it works for another shard, whose requests meet another indexer behind it."""
    lane = lane_to(acknowledge=True)
    other = lane._shared.rotation.attempts()
    gate.on_wait = [lambda: other.worked(0)] * 5 + [gate.stopped.set]
    hec.acks += [(400, {"text": "ACK is disabled", "code": 14})] * 20

    with pytest.raises(Stopped):
        lane.send(payload_of(hec_events(0, 1)), "t")
    assert len(hec.posts()) == 1


def goes_silent(gate: TestGate, at: list[float], seconds: float) -> Callable[..., Any]:
    """Make a look at an address that ends by its timeout, and notes when."""

    def no_answer(*_args: object, **_options: object) -> Any:
        gate.clock.skipped += seconds
        at.append(gate.clock())
        raise HttpTimeout("it has not answered", sent=True)

    return no_answer


def test_looks_at_the_health_of_a_silent_address_leave_the_lane_to_the_other_one(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(Route, "health", goes_silent(gate, looks, 5.0))
    with ScriptedHec() as other:
        hec.events.append((503, {"text": "Server is busy", "code": 9}))
        lane = lane_to(hec.url, other.url)
        for n in range(120):
            lane.send(payload_of(hec_events(n, 1)), n)
            gate.clock.skipped += 1

    assert len(looks) > 2
    assert all(20 <= later - look - 5 for look, later in zip(looks, looks[1:]))


@pytest.mark.parametrize(("addresses", "least_s", "most_s"), [(1, 0.9, 1.1), (2, 39, 41)])
def test_questions_to_a_silent_address_leave_the_lane_to_the_other_one(
    hec: ScriptedHec,
    lane_to: Callable[..., Lane],
    gate: TestGate,
    monkeypatch: pytest.MonkeyPatch,
    addresses: int,
    least_s: float,
    most_s: float,
) -> None:
    hec.events.append(accepted(0))
    with ScriptedHec() as other:
        lane = lane_to(*[hec.url, other.url][:addresses], acknowledge=True)
        lane.send(payload_of(hec_events(0, 1)), 0)
        monkeypatch.setattr(Route, "ask_acks", goes_silent(gate, [], 10.0))
        lane.poll()
        wait_s = lane.next_poll_s()

    assert wait_s is not None
    assert least_s < wait_s < most_s


def test_a_silent_address_is_looked_at_soon_where_no_other_works(
    hec: ScriptedHec, lane_to: Callable[..., Lane], gate: TestGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(Route, "health", goes_silent(gate, looks, 5.0))
    with ScriptedHec() as other:
        for script in (hec, other):
            script.events.append((503, {"text": "Server is busy", "code": 9}))
        lane = lane_to(hec.url, other.url)
        gate.on_wait = [lambda: None] * 2 + [gate.stopped.set]
        with pytest.raises(Stopped):
            lane.send(payload_of(hec_events(0, 1)), 0)

    assert len(looks) > 1
    # Not four times what a look took; only the usual pause, which grows.
    assert all(seconds < 18 for seconds, _why in gate.waits), gate.waits
