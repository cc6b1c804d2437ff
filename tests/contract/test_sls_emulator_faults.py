"""Every fault that the SLS emulator can be asked for does what its name says, when and as often as asked."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

import lz4.block
import pytest

from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Call, Fault, Settings, SlsEmulator
from tests.contract.sls_support import LOGSTORE, Client, cursor, wait_for

pytestmark = pytest.mark.contract


@pytest.fixture
def emulator() -> Iterator[SlsEmulator]:
    with SlsEmulator(shards=2, settings=Settings(verify=False)) as running:
        for shard in (0, 1):
            running.store.append(shard, [make_group([{"n": str(n), "x": "y" * 300}], time=1) for n in range(5)])
        running.store.create_group("group", timeout_s=40, in_order=False, quota=30)
        yield running


@pytest.fixture
def pull(emulator: SlsEmulator) -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """Pull once, on a connection of its own."""

    def once(shard: int = 0) -> tuple[int, dict[str, str], bytes]:
        with Client(emulator.port) as client:
            return client.pull(shard, emulator.store.shard(shard).begin)

    return once


def test_a_status_strikes_as_often_as_asked(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    fault = emulator.faults.add(
        Fault("status", call="pull", status=503, code="ServerBusy", times=2, header="Retry-After", value="7")
    )
    started = time.monotonic()
    answers = [pull() for _ in range(3)]

    assert [answer[0] for answer in answers] == [503, 503, 200]
    assert b'"errorCode": "ServerBusy"' in answers[0][2]
    assert answers[0][1]["retry-after"] == "7"
    assert answers[0][1]["x-log-requestid"]
    assert len(fault.struck) == 2
    assert all(started <= moment <= time.monotonic() for moment in fault.struck)
    assert fault.struck_calls == [Call("pull", LOGSTORE, 0)] * 2


def test_a_fault_waits_for_its_turn_its_shard_and_its_kind(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("status", call="pull", shard=1, skip=1, times=1))
    emulator.faults.add(Fault("status", call="heartbeat", consumer="b", times=1))
    with Client(emulator.port) as client:
        beats = [client.heartbeat(name, [])[0] for name in ("a", "b", "b")]

    assert [pull(shard)[0] for shard in (0, 1, 1, 1)] == [200, 200, 500, 200]
    assert beats == [200, 500, 200]


def test_a_fault_ends_with_its_time(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("status", for_s=0.3))
    during = pull()[0]
    deadline = time.monotonic() + 5
    while pull()[0] != 200 and time.monotonic() < deadline:
        pass

    assert during == 500
    assert pull()[0] == 200


def test_a_probable_fault_follows_its_seed(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    runs = []
    for seed in (1, 1, 2):
        fault = emulator.faults.add(Fault("status", probability=0.5, seed=seed))
        runs.append([pull()[0] for _ in range(20)])
        emulator.faults.remove(fault)

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500}


def test_a_page_of_a_proxy_takes_the_place_of_the_answer(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("status", status=502, body="<html>Bad Gateway</html>"))
    status, headers, body = pull()

    assert (status, headers["content-type"], body) == (502, "text/html", b"<html>Bad Gateway</html>")


def test_a_delay_comes_before_the_answer(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("delay", seconds=0.3))
    started = time.monotonic()

    assert pull()[0] == 200
    assert time.monotonic() - started >= 0.3


def test_a_save_that_is_carried_out_late_shows_when_it_was_asked_for(emulator: SlsEmulator) -> None:
    first, second = (emulator.store.shard(0).begin + number for number in (1, 2))
    fault = emulator.faults.add(Fault("delay", call="save_checkpoint", seconds=1.0, times=1))
    with Client(emulator.port) as client:
        client.heartbeat("a", [])
        with Client(emulator.port) as other, ThreadPoolExecutor(1) as pool:
            late = pool.submit(other.save, "a", 0, cursor(first))
            wait_for(lambda: fault.struck, what="the first save")
            client.save("a", 0, cursor(second))
            late.result(10)
    saves = emulator.history.saves

    assert [save.new for save in saves] == [second, first]
    assert [save.new for save in sorted(saves, key=lambda save: save.asked_at)] == [first, second]
    assert all(0 <= save.at - save.asked_at for save in saves)
    assert saves[1].at - saves[1].asked_at >= 1.0


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("reset", (ConnectionResetError, RemoteDisconnected)),
        ("lost_answer", (ConnectionResetError, RemoteDisconnected)),
        ("reset_mid_body", (ConnectionResetError, IncompleteRead)),
        ("truncate", (IncompleteRead,)),
    ],
)
def test_the_connection_breaks(
    emulator: SlsEmulator, pull: Callable[..., tuple], action: str, error: tuple[type[Exception], ...]
) -> None:
    emulator.faults.add(Fault(action, times=1))
    with pytest.raises(error):
        pull()

    assert pull()[0] == 200


def test_a_lost_answer_was_executed_and_a_reset_was_not(emulator: SlsEmulator) -> None:
    first = emulator.store.shard(0).begin
    for action in ("reset", "lost_answer"):
        emulator.faults.add(Fault(action, call="save_checkpoint", shard=0, times=1))
        with Client(emulator.port) as client, pytest.raises((ConnectionError, HTTPException)):
            client.save("a", 0, cursor(first + (action == "lost_answer")), forced=True)

    assert [save.new for save in emulator.history.saves] == [first + 1]
    assert emulator.store.group("group").checkpoint(0).position == first + 1


def test_a_black_hole_never_answers(emulator: SlsEmulator) -> None:
    emulator.faults.add(Fault("black_hole", times=1))
    with Client(emulator.port) as client:
        client._connection.timeout = 0.4
        with pytest.raises(OSError, match="timed out"):  # Python 3.9 has its own class for it
            client.pull(0, emulator.store.shard(0).begin)


def test_a_shortened_body_fits_its_length_but_not_its_header(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    whole = pull()[2]
    emulator.faults.add(Fault("shorten"))
    _, headers, body = pull()

    assert body == whole[: len(whole) // 2]
    with pytest.raises(lz4.block.LZ4BlockError):
        lz4.block.decompress(body, uncompressed_size=int(headers["x-log-bodyrawsize"]))


def test_a_corrupt_body_differs_and_no_other_answer_does(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    whole = pull()[2]
    emulator.faults.add(Fault("corrupt", times=1, seed=3))
    broken = pull()[2]

    assert len(broken) == len(whole)
    assert broken != whole
    assert pull()[2] == whole


def test_a_garbled_body_cannot_be_decompressed(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    whole = pull()[2]
    emulator.faults.add(Fault("garble", call="pull", times=1))
    _, headers, body = pull()

    assert len(whole) == len(body)
    with pytest.raises(lz4.block.LZ4BlockError):
        lz4.block.decompress(body, uncompressed_size=int(headers["x-log-bodyrawsize"]))
    assert whole == pull()[2]


@pytest.mark.parametrize(
    ("fault", "name", "change"),
    [
        (Fault("rawsize", amount=-5), "x-log-bodyrawsize", -5),
        (Fault("count", amount=2), "x-log-count", 2),
    ],
)
def test_a_header_tells_a_wrong_number(
    emulator: SlsEmulator, pull: Callable[..., tuple], fault: Fault, name: str, change: int
) -> None:
    right = int(pull()[1][name])
    emulator.faults.add(fault)

    assert int(pull()[1][name]) == right + change


def test_a_header_is_missing_or_another(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("drop_header", header="X-Log-Count"))
    emulator.faults.add(Fault("set_header", header="x-log-cursor", value="nonsense"))
    headers = pull()[1]

    assert "x-log-count" not in headers
    assert headers["x-log-cursor"] == "nonsense"


def test_the_date_can_be_skewed(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("date_skew", seconds=-3600))
    date = parsedate_to_datetime(pull()[1]["date"]).timestamp()

    assert abs(date - (time.time() - 3600)) < 10


def test_clearing_lifts_all_faults(emulator: SlsEmulator, pull: Callable[..., tuple]) -> None:
    emulator.faults.add(Fault("status"))
    emulator.faults.add(Fault("black_hole"))
    emulator.faults.clear()

    assert pull()[0] == 200


@pytest.mark.parametrize("wrong", [{"action": "explode"}, {"action": "delay", "call": "pulls"}])
def test_a_fault_that_does_not_exist_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no fault"):
        Fault(**wrong)


def test_the_whole_service_can_be_away_and_come_back_on_its_port(
    emulator: SlsEmulator, pull: Callable[..., tuple]
) -> None:
    port = emulator.port
    emulator.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        pull()
    # Nobody else gets it meanwhile, neither to listen nor to call from there.
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((emulator.host, port))
    emulator.start_listening()

    assert emulator.port == port
    assert pull()[0] == 200


def test_the_port_of_a_service_that_has_ended_is_anybodys() -> None:
    with SlsEmulator() as ended:
        pass

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((ended.host, ended.port))
