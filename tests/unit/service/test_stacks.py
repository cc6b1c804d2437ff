"""The stacks that go into the log when a thread hangs."""

from __future__ import annotations

import threading

from sls_siem.service.stacks import stacks


def hang_for_the_test(begun: threading.Event, end: threading.Event) -> None:
    begun.set()
    end.wait(20)


def test_each_thread_is_told_by_its_name_with_the_innermost_call_first() -> None:
    begun, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=hang_for_the_test, args=(begun, end), name="shard-3-sender")
    thread.start()
    try:
        assert begun.wait(10)
        told = [text for text in stacks() if text.startswith("shard-3-sender: ")]
    finally:
        end.set()
        thread.join(10)

    assert len(told) == 1
    innermost, _, outer = told[0].partition(" in hang_for_the_test")
    assert "test_stacks.py:" in innermost
    assert " < threading.py:" in outer
    assert "\n" not in told[0]


def test_a_thread_that_threading_does_not_know_is_told_by_its_number() -> None:
    import _thread

    begun, end, ended = _thread.allocate_lock(), _thread.allocate_lock(), _thread.allocate_lock()
    for lock in (begun, end, ended):
        lock.acquire()

    def hang_unknown() -> None:
        begun.release()
        end.acquire(timeout=20)
        ended.release()

    number = _thread.start_new_thread(hang_unknown, ())
    try:
        assert begun.acquire(timeout=10)
        told = [text for text in stacks() if "in hang_unknown" in text]
    finally:
        end.release()
        ended.acquire(timeout=10)

    assert [text.split(":")[0] for text in told] == [f"thread {number}"]
