"""A signal ends `demo` and `bench` wherever it strikes, and never in the middle of something."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from sls_siem.cli.demo_rig import ended_cleanly, pause, starting_children

pytestmark = pytest.mark.timeout(30)


class StruckLock:
    """A lock; a signal strikes as soon as it is taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        taken = self._lock.acquire(blocking)
        signal.raise_signal(signal.SIGINT)
        return taken

    def release(self) -> None:
        self._lock.release()


def test_a_signal_in_the_middle_of_a_poll_does_not_keep_its_lock() -> None:
    """`Popen.wait` wants that lock, and an exception between its `acquire` and the `try` would leave it taken."""
    with pytest.raises(KeyboardInterrupt), ended_cleanly() as stack:
        # It ends with its stdin: when this test is over, however that comes.
        process = stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
        process._waitpid_lock, lock = StruckLock(), process._waitpid_lock
        try:
            assert process.poll() is None
        finally:
            process._waitpid_lock = lock
        pause(20)

    assert 0 == process.returncode


def test_a_signal_in_a_finaliser_is_not_dropped() -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), ended_cleanly():
        Finalised()
        pause(20)


def test_a_signal_after_the_last_pause_still_counts() -> None:
    with pytest.raises(KeyboardInterrupt), ended_cleanly():
        signal.raise_signal(signal.SIGHUP)


def test_a_second_signal_waits_for_nothing() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), ended_cleanly():
        signal.raise_signal(signal.SIGTERM)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")

    assert ["first"] == reached


def test_what_ended_one_run_does_not_end_the_next() -> None:
    with pytest.raises(KeyboardInterrupt), ended_cleanly():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    with ended_cleanly():
        pause(0)


def test_the_unwinding_is_not_disturbed_and_handlers_come_back() -> None:
    unwound = []
    before = signal.getsignal(signal.SIGTERM)
    with ended_cleanly() as stack:
        stack.callback(unwound.append, "all of it")
        stack.callback(signal.raise_signal, signal.SIGTERM)

    assert ["all of it"] == unwound
    assert before == signal.getsignal(signal.SIGTERM)


def test_a_child_does_not_hear_the_terminal() -> None:
    told = "import signal; print(*sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
    with starting_children():
        child = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)

    assert f"{signal.SIGHUP:d} {signal.SIGINT:d}" == child.stdout.strip()
    assert set() == signal.pthread_sigmask(signal.SIG_BLOCK, [])
