"""The agent broken on purpose, in one place each: what shows that the tests of the invariants can fail.

`python -m tests.faults.broken` breaks a copy of `agent/` in every way that stands here, runs the test that has to
notice, and says what became of it; `--only NAME` one of them, `--list` names them. It takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INVARIANTS = "tests/faults/test_invariants.py"
PIPE = "tests/e2e/test_pipe.py"
TEST_S = 400


@dataclass(frozen=True)
class Break:
    """One way to break an invariant.

    Args:
        name: the invariant's number, and what is broken.
        path: below `agent/sls_siem`.
        old: text that stands there once.
        new: what takes its place.
        test: the test that must fail.
        says: what must stand in what it says then.
    """

    name: str
    path: str
    old: str
    new: str
    test: str
    says: str


BREAKS = (
    Break(
        "0-born-shard-read-from-its-end",
        "delivery/shard.py",
        'self._source.cursor(self.shard, "begin")',
        'self._source.cursor(self.shard, "end")',
        f"{INVARIANTS}::test_invariant_0_a_shard_born_while_no_consumer_lives_is_read_from_its_begin",
        "the arrival of every log",
    ),
    Break(
        "0-no-first-positions",
        "sls/start.py",
        "self._calls.save_checkpoint(shard, self._first[shard], force=True, consumer=STARTER)",
        "pass",
        f"{INVARIANTS}::test_invariant_0_a_process_that_dies_before_its_first_periodic_checkpoint_loses_nothing",
        "unknown",
    ),
    Break(
        "0-no-first-positions-by-the-maker",
        "sls/start.py",
        "saved = self._save_missing(()) if self._created else self._join(group)",
        "saved = () if self._created else self._join(group)",
        f"{INVARIANTS}::test_invariant_0_a_process_that_dies_before_its_first_periodic_checkpoint_loses_nothing",
        "unknown|the arrival of every log",
    ),
    Break(
        "0-stored-checkpoint-ignored",
        "delivery/shard.py",
        "stored = self._saver.load()",
        'self._saver.load(); stored = self._source.cursor(self.shard, "end")',
        f"{INVARIANTS}::test_invariant_0_a_process_that_dies_before_its_first_periodic_checkpoint_loses_nothing",
        "the arrival of every log",
    ),
    Break(
        "1-checkpoint-at-the-frontier",
        "delivery/ledger.py",
        "return max(self._reached, self._entries[0].span.start if self._entries else self._frontier.position)",
        "return self._frontier.position",
        f"{INVARIANTS}::test_invariant_1_no_checkpoint_passes_a_log_that_is_not_indexed",
        "violations",
    ),
    Break(
        "2-a-byte-changed-on-its-way",
        "siem/hec_lane.py",
        "body = route.body(piece.data)",
        'body = route.body(piece.data.replace(b"\\"seq\\":\\"1", b"\\"seq\\":\\"2", 1))',
        f"{INVARIANTS}::test_invariant_2_what_arrives_is_what_the_encoder_makes",
        "altered",
    ),
    Break(
        "3-lease-for-ever",
        "membership/lease.py",
        "return age is not None and age < self._timeout_s * SENDING_SHARE",
        "return True",
        f"{PIPE}::test_a_process_that_was_stopped_beyond_its_lease_sends_nothing_when_it_goes_on",
        "resumed_at",
    ),
    Break(
        "4-window-without-end",
        "delivery/window.py",
        "number = self._kept.pop(shard, None)",
        "return True",
        f"{INVARIANTS}::test_invariant_4_memory_stays_below_the_window_and_a_constant",
        "max(peaks)",
    ),
    Break(
        "5-start-waits-for-the-service",
        "service/agent.py",
        "        self._member.start()\n",
        "        self._member.start()\n        import time\n"
        "        while not self._lease.valid():\n            time.sleep(0.1)\n",
        f"{INVARIANTS}::test_invariant_5_neither_an_absent_service_nor_an_absent_siem_delays_readiness_or_ends_the_process",
        "times_of|ready",
    ),
    Break(
        "6-waits-not-announced",
        "delivery/gate.py",
        '        """Announce one exchange; see `Gate`."""\n        self._pulse.waiting(seconds, why)\n',
        '        """Announce one exchange; see `Gate`."""\n',
        f"{INVARIANTS}::test_invariant_6_the_watchdog_is_fed_through_outages_that_the_agent_waits_out",
        "fed",
    ),
    Break(
        "7-nothing-redacted",
        "config/secrets.py",
        "        text = text.replace(form, HIDDEN)\n",
        "        text = text.replace(form, form)\n",
        f"{INVARIANTS}::test_invariant_7_no_secret_leaves_the_process_but_in_requests",
        "KEY_SECRET not in text",
    ),
)


def broken_copy(one: Break, folder: Path) -> Path:
    """Copy `agent/` into the folder and break it; returns what has to stand in PYTHONPATH.

    Raises:
        ValueError: the text to replace is not there once.
    """
    source, copy = ROOT / "agent" / "sls_siem", folder / "sls_siem"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / one.path
    text = path.read_text()
    if text.count(one.old) != 1:
        raise ValueError(f"{one.name}: {one.old!r} stands {text.count(one.old)} times in {one.path}")
    path.write_text(text.replace(one.old, one.new))
    return folder


def run_tests(package: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tests on a broken copy, the check that tests are run on what stands in `agent/` left out."""
    environ = {**os.environ, "PYTHONPATH": str(package), "SLS_SIEM_TEST_BROKEN": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TEST_S, check=False)


def main() -> int:
    """Break and test; 1 when a test did not notice."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.broken", description=__doc__)
    parser.add_argument("--only", action="append", help="name, or its beginning; may be repeated")
    parser.add_argument("--list", action="store_true", help="only name them")
    options = parser.parse_args()
    unnoticed = 0
    for one in BREAKS:
        if options.only and not one.name.startswith(tuple(options.only)):
            continue
        if options.list:
            print(f"{one.name}: {one.test}")
            continue
        with tempfile.TemporaryDirectory(prefix="broken-") as folder:
            done = run_tests(broken_copy(one, Path(folder)), [one.test])
        # 1: tests were run and failed. Anything else says nothing about the invariant.
        reasons = [line for line in done.stdout.splitlines() if line.startswith((">  ", "E  "))]
        noticed = done.returncode == 1 and any(text in line for text in one.says.split("|") for line in reasons)
        unnoticed += not noticed
        verdict = "noticed" if noticed else f"NOT NOTICED, pytest ended with {done.returncode}"
        print(f"{one.name}: {verdict}: {' / '.join(reasons[:2])[:240] or done.stdout[-300:]}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
