"""The campaign itself: its forked agents, its report, its shrinker."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.relp_frames import RelpFrame
from tests.e2e.harness import until
from tests.faults import campaign, report
from tests.faults.broken import Break, broken_copy
from tests.faults.nursery import Nursery
from tests.faults.schedule import KINDS, RELP, Happening, draw
from tests.faults.world import World

pytestmark = pytest.mark.e2e


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def test_a_forked_agent_ends_as_the_program_does_and_writes_where_it_would(nursery: Nursery, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("[sls]\nendpoint = 7\n")
    log = tmp_path / "log.txt"
    child = nursery.start(["run", "--config", str(config)], {"PATH": "/usr/bin"}, log)

    assert 78 == child.wait(60)
    assert "sls.endpoint" in log.read_text()


def test_a_forked_agent_can_be_killed_and_nothing_else_is(nursery: Nursery, tmp_path: Path) -> None:
    logs = [tmp_path / name for name in "ab"]
    one, other = (
        nursery.start(["demo", "--seconds", "60"], {"PATH": "/usr/bin", "HOME": str(tmp_path)}, log) for log in logs
    )
    one.kill()

    assert -signal.SIGKILL == one.wait(60)
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == other.wait(60)


def test_the_end_of_an_earlier_process_is_not_that_of_a_new_one_with_its_number(
    nursery: Nursery, tmp_path: Path
) -> None:
    start = partial(nursery.start, ["demo", "--seconds", "60"], {"PATH": "/usr/bin", "HOME": str(tmp_path)})
    first = start(tmp_path / "first")
    first.kill()
    assert -signal.SIGKILL == first.wait(60)
    numbers = int(Path("/proc/sys/kernel/pid_max").read_text())
    nursery._ends.update(dict.fromkeys(((first.pid + n) % numbers for n in range(20_000)), -signal.SIGKILL))
    second = start(tmp_path / "second")

    assert second.poll() is None
    second.kill()
    assert -signal.SIGKILL == second.wait(60)


def record(seed: int, **changes: object) -> dict[str, object]:
    fault = {"number": 0, "kind": "rst", "at_s": 1.0, "in_flight": 700, "struck": True}
    line = campaign.Outcome(seed, "relp", 0, campaign.OK, (), 9.0, logs=5000, faults=(fault,), commit="c" * 40).line()
    return {**json.loads(line), **changes}


def test_numbers_are_written_as_ranges_and_read_again() -> None:
    numbers = [1, 2, 3, 10, 15, 20, 21, 40]

    assert "1-3, 10-20:5, 21, 40" == report.ranges(numbers)
    assert numbers == report.numbers(report.ranges(numbers))
    assert [] == report.numbers(report.ranges([]))


def test_pieces_add_up_and_survive_their_file(tmp_path: Path) -> None:
    kept = tmp_path / "report.json"
    report.dump(report.pieces([record(1), record(6)]), kept)
    found = report.merge(report.undump(kept), report.pieces([record(11, commit="d" * 40)]))
    text = report.markdown(found)

    assert "**3 schedules that count, 0 failed, 0 of them with a log lost or late.** 15,000 logs" in text
    assert "| relp | ccccccc | 1-6:5 | 2 |" in text
    assert "| rst | 3 | 500 | 500 | 500 |" in text


def test_commits_with_the_same_agent_add_up() -> None:
    same = [record(1, agent="a" * 40), record(6, agent="a" * 40, commit="d" * 40, verdict="failed", reasons=["lost"])]
    text = report.markdown(report.pieces([*same, record(11, agent="b" * 40, commit="e" * 40)]))

    assert "One state of `agent/` (commits ccccccc, ddddddd) has 2, of which 1 failed" in text
    assert "the newest (commits eeeeeee) has 1, of which 0 failed." in text
    assert "has 2, of which 1 failed; the newest is that one." in report.markdown(report.pieces(same))


def test_a_seed_that_failed_stays_in_the_report_when_it_passes_later() -> None:
    failed = record(1, verdict="failed", reasons=["3 logs lost: ['0-1-2']"])
    text = report.markdown(report.pieces([failed, record(1)]))

    assert "1 schedules that count, 0 failed" in text
    assert "- commit ccccccc: `--seeds 1-1 --output relp --attempt 0`: 3 logs lost: ['0-1-2']" in text


def test_pieces_that_share_a_seed_are_not_added() -> None:
    with pytest.raises(ValueError, match="share seeds of relp: 1"):
        report.merge(report.pieces([record(1)]), report.pieces([record(1, commit="d" * 40)]))


WHAT_IS_LOST_COUNTS_AS_SETTLED = Break(
    "1-lost-is-settled",
    "delivery/ledger.py",
    "            entry.lost = True\n",
    "            self.settle(entry)\n",
    "",
    "",
)


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_a_failing_schedule_shrinks_to_the_fault_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an agent for which everything that a broken connection took along is settled."""
    drawn = ((seed, {fault.kind: fault.number for fault in draw(seed, RELP, 0).faults}) for seed in range(1000, 2000))
    seed, faults = next((seed, faults) for seed, faults in drawn if {"unread-bytes-lost", "sls-500"} <= faults.keys())
    needed, harmless = faults["unread-bytes-lost"], faults["sls-500"]
    monkeypatch.setenv("PYTHONPATH", str(broken_copy(WHAT_IS_LOST_COUNTS_AS_SETTLED, tmp_path)))
    failed = campaign.run_seed(seed, RELP, attempt=0, only=(needed, harmless), executed=True)

    assert campaign.FAILED == failed.verdict
    assert any("before" in reason and "was stored" in reason for reason in failed.reasons), failed.reasons
    shrunk = campaign.shrink(failed, executed=True)
    assert (needed,) == shrunk
    assert f"--only {needed}" in campaign.command(seed, RELP, 0, shrunk)


def test_answers_that_are_lost_break_their_connection_also_when_time_is_up(tmp_path: Path) -> None:
    """Else the agent waits its 90 s for them, longer than the quiet phase."""
    world = World(draw(1, RELP, 0), tmp_path)
    assert isinstance(world.siem, RelpEmulator)
    kind = "relp-answers-lost"
    with world.sls, world.siem:
        course = KINDS[kind].begin(world, Random(1), Happening(0, kind, 0.0))
        next(course)
        with socket.create_connection(("127.0.0.1", world.siem.port), 10) as sock:
            sock.sendall(RelpFrame(1, "open", b"relp_version=0\ncommands=syslog").encode())
            frames = [RelpFrame(number, "syslog", b"<13>1 - - - - - - " + b"x" * 700) for number in range(2, 130)]
            sock.sendall(b"".join(frame.encode() for frame in frames))
            until(lambda: next(course) and world.siem.strikes(), 20)
            assert not world.siem.connections()
            course.close()
            until(world.siem.connections, 20)
