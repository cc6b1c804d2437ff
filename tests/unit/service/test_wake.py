"""What wakes the main loop must not stop it for good."""

from __future__ import annotations

import signal
import threading
import time

from sls_siem.service.wake import Wake

STRUCK = 500


def test_signals_that_strike_anywhere_in_the_wait_never_stop_the_loop() -> None:
    """With `threading.Event` the loop hangs within some hundred of them, in its own lock."""
    wake = Wake()
    struck = 0

    def note(_number: int, _frame: object) -> None:
        nonlocal struck
        struck += 1
        wake.set()

    before = signal.signal(signal.SIGVTALRM, note)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0001, 0.0001)
    try:
        deadline = time.monotonic() + 60
        while struck < STRUCK and time.monotonic() < deadline:
            wake.wait(0)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

    assert struck >= STRUCK


def test_a_signal_ends_the_wait() -> None:
    wake = Wake()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: wake.set())
    began = time.monotonic()
    threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
    woken = wake.wait(30)
    signal.signal(signal.SIGUSR1, before)

    assert woken
    assert time.monotonic() - began < 20


def test_more_calls_than_a_pipe_holds_are_none_too_many() -> None:
    wake = Wake()
    for _ in range(70_000):
        wake.set()

    assert [True, False] == [wake.wait(0), wake.wait(0)]


def test_no_time_at_all_is_no_wait() -> None:
    """`queue.SimpleQueue` waits for ever once in some thousand times, on Python 3.9."""
    wake = Wake()

    assert not any(wake.wait(0) for _ in range(20_000))


def test_all_calls_until_the_wait_count_as_one() -> None:
    wake = Wake()
    for _ in range(3):
        wake.set()

    assert [True, False] == [wake.wait(0), wake.wait(0.01)]
