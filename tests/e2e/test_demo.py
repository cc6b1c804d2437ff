"""`sls-siem demo` and `sls-siem bench`: what they print, what they prove, what they leave behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sls_siem.cli import demo as demo_module
from sls_siem.cli.bench import bench
from sls_siem.cli.bench_measure import Plan
from sls_siem.cli.demo import demo
from sls_siem.cli.demo_rig import RigError
from sls_siem.cli.demo_traffic import fed
from sls_siem.cli.demo_usage import usage_of
from sls_siem.cli.demo_verdict import Verdict, compare
from tests.e2e.harness import until

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "sls_siem", "demo"]
SHORT = ["--seconds", "3", "--rate", "2"]
QUICK = Plan(runs=1, warmup_s=0.1, seconds=0.5)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command makes its temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def session_of(pid: int) -> list[int]:
    """Processes of the session that this process leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def agent_of(pid: int) -> int:
    """The agent that a demo has started; 0 before it has."""
    for child in session_of(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"run" in words and b"--config" in words:
            return child
    return 0


def figures(table: str) -> dict[str, str]:
    return {line[:12].strip(): line[12:24].strip() for line in table.splitlines() if len(line) > 12}


@pytest.mark.parametrize("output", ["hec", "syslog"])
def test_the_demo_finds_every_log_at_the_receiver_as_it_should_be(output: str, scratch: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *SHORT, "--output", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    table, said = process.communicate(timeout=100)
    found = figures(table)

    assert process.returncode == 0, said
    assert int(found["logs in"].replace(",", "")) > 5000
    assert found["logs in"] == found["delivered"]
    assert ["0"] * 4 == [found[name] for name in ("lost", "duplicated", "altered", "unknown")]
    assert "raw MB per CPU-second" in table
    assert re.search(r"s  in +[\d,]+  delivered", said)
    assert [] == session_of(process.pid)
    assert [] == list(scratch.iterdir())


@pytest.mark.timeout(240)  # each of its processes may take half a minute to end on a machine that is busy
def test_ctrl_c_in_a_terminal_leaves_nothing_behind(scratch: Path) -> None:
    terminal, inside = pty.openpty()
    with subprocess.Popen(["setsid", "--ctty", *COMMAND], stdin=inside, stdout=inside, stderr=inside) as process:
        try:
            os.close(inside)
            shown = b""
            while b"delivered" not in shown.rpartition(b"\r")[2]:
                shown += os.read(terminal, 4096)
            os.write(terminal, b"\x03")
            while b"interrupted" not in shown:
                shown += os.read(terminal, 4096)
            status = process.wait(60)
        finally:
            process.kill()

    assert status == 130
    assert [] == session_of(process.pid)
    assert [] == list(scratch.iterdir())
    os.close(terminal)


@pytest.mark.parametrize("command", ["demo", "bench"])
def test_a_command_that_is_terminated_while_it_starts_leaves_nothing_behind(command: str, scratch: Path) -> None:
    process = subprocess.Popen([*COMMAND[:-1], command], stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: len(session_of(process.pid)) > 1, what="the start of the embedded service")
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 130
    assert [] == session_of(process.pid)
    assert [] == list(scratch.iterdir())


def test_an_agent_that_dies_ends_the_demo_with_its_last_words(scratch: Path) -> None:
    process = subprocess.Popen([*COMMAND], stderr=subprocess.PIPE, text=True, start_new_session=True)
    agent = until(lambda: agent_of(process.pid), what="the start of the agent")
    until(lambda: list(scratch.rglob("status.json")), what="its first status")
    os.kill(agent, signal.SIGKILL)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 70
    assert "the agent ended with status -9" in said
    assert re.search(r"its last words:\n.*\d\d:\d\d:\d\d (INFO|WARNING) ", said, re.DOTALL)
    assert [] == session_of(process.pid)
    assert [] == list(scratch.iterdir())


def test_a_log_that_is_not_at_the_receiver_fails_the_demo(scratch: Path, monkeypatch, capsys) -> None:
    real = demo_module.expected_events
    monkeypatch.setattr(demo_module, "expected_events", lambda *args: {**real(*args), "9-9-9": b""})

    assert demo("hec", seconds=1, mb_per_s=1) == 70
    told = capsys.readouterr()
    assert figures(told.out)["lost"] == "1"
    assert "demo: lost: 9-9-9\n" in told.err


@pytest.mark.parametrize(("seconds", "mb_per_s"), [(0, 5), (20, -1), (1000, 5), (float("nan"), 5)])
def test_an_amount_that_makes_no_sense_is_refused(seconds: float, mb_per_s: float, capsys) -> None:
    assert demo("hec", seconds=seconds, mb_per_s=mb_per_s) == 2
    assert "at most 2000 MB" in capsys.readouterr().err


def test_every_way_to_be_wrong_is_found() -> None:
    expected = {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}
    arrived = {"a": (b"1", 1), "b": (b"2", 3), "c": (b"x", 1), "e": (b"5", 1)}
    verdict = compare(expected, arrived)

    assert Verdict(4, 4, lost=("d",), duplicated=("b",), altered=("c",), unknown=("e",)) == verdict
    assert not verdict.flawless
    assert ["lost: d", "duplicated: b", "altered: c", "unknown: e"] == verdict.complaints()


def test_complaints_name_the_first_few_only() -> None:
    verdict = compare({f"0-{number}-0": b"" for number in range(7)}, {})

    assert ["lost: 0-0-0, 0-1-0, 0-2-0, 0-3-0, 0-4-0 and more"] == verdict.complaints()


def test_the_usage_of_a_process_that_is_gone_is_not_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    running = usage_of(process.pid)
    process.stdin.close()
    until(lambda: state_of(process.pid) == "Z", what="its end")
    ended = usage_of(process.pid)
    process.wait()

    assert running is not None
    assert running.peak_bytes >= running.resident_bytes > 0
    assert ended is None
    assert usage_of(process.pid) is None


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_feed_that_breaks_is_an_error() -> None:
    class Broken:
        def get(self, _name: str) -> list[dict[str, object]]:
            return [
                {"feed": 1, "profile": "waf", "error": "disk full"},
                {"feed": 2, "profile": "x", "error": "not ours"},
            ]

    with pytest.raises(RigError, match="feeding waf logs failed: disk full"):
        fed(Broken(), [1])


def test_bench_prints_one_json_document(scratch: Path, capsys) -> None:
    assert bench("hec", as_json=True, plan=QUICK) == 0
    found = json.loads(capsys.readouterr().out)

    cases = ["HEC", "HEC, gzip (the default)", "HEC, TLS and gzip", "HEC, acknowledged"]
    assert cases == [row["case"] for row in found["results"]]
    for row in found["results"]:
        assert 500 < row["raw_bytes_per_log"] < 600
        assert row["raw_mb_per_cpu_s"]["median"] > 1
        assert row["wall_mb_per_s"]["lowest"] > 0.5
        assert 20 < row["peak_resident_mb"]["highest"] < 2000
        assert len(row["raw_mb_per_cpu_s"]["runs"]) == 1
    assert [] == list(scratch.iterdir())


@pytest.mark.parametrize(("output", "name"), [("syslog", "syslog TCP"), ("tls", "syslog TLS")])
def test_bench_prints_a_table(output: str, name: str, scratch: Path, capsys) -> None:
    assert bench(output, as_json=False, plan=QUICK) == 0
    told = capsys.readouterr()

    assert re.search(rf"^{name} +[\d.]+ \([\d.]+ to [\d.]+\) ", told.out, re.MULTILINE)
    assert [] == list(scratch.iterdir())


def test_bench_says_what_it_lacks(scratch: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", str(scratch))

    assert bench("tls", as_json=False, plan=QUICK) == 70
    assert "apt-get install openssl" in capsys.readouterr().err
