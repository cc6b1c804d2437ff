from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from sls_siem.net.deadline import Deadline, DeadlineExceeded
from sls_siem.net.resolve import Address, Resolver, resolve


class Names:
    """A resolver of the system that answers when it is told to."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked = []
        self.threads = []

    def getaddrinfo(self, host, port, family, kind):
        self.asked.append(host)
        self.threads.append(threading.current_thread())
        self.answer.wait(30)
        return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port))] * 2


@pytest.fixture
def names():
    names = Names()
    yield names
    names.answer.set()
    for thread in names.threads:
        thread.join(10)


def forbidden(*_args):
    raise AssertionError("the system's resolver was asked")


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("127.0.0.1", Address(socket.AF_INET, ("127.0.0.1", 80))),
        ("::1", Address(socket.AF_INET6, ("::1", 80, 0, 0))),
    ],
)
def test_a_literal_address_never_goes_to_a_thread(literal, expected):
    found = Resolver(getaddrinfo=forbidden).resolve(literal, 80, Deadline(5))

    assert found == (expected,)


def test_the_same_address_is_tried_once(names):
    names.answer.set()

    found = Resolver(getaddrinfo=names.getaddrinfo).resolve("siem.test", 514, Deadline(5))

    assert found == (Address(socket.AF_INET, ("127.0.0.1", 514)),)


def test_a_resolver_that_hangs_costs_no_more_than_the_deadline(names):
    with pytest.raises(DeadlineExceeded, match=r"has not answered for siem\.test"):
        Resolver(getaddrinfo=names.getaddrinfo).resolve("siem.test", 514, Deadline(0.05))


def test_attempts_at_a_name_that_hangs_share_one_thread(names):
    resolver = Resolver(getaddrinfo=names.getaddrinfo)
    for _ in range(5):
        with contextlib.suppress(DeadlineExceeded):
            resolver.resolve("siem.test", 514, Deadline(0.02))

    assert names.asked == ["siem.test"]


def test_a_late_answer_serves_whoever_waits_then(names):
    resolver = Resolver(getaddrinfo=names.getaddrinfo)
    with contextlib.suppress(DeadlineExceeded):
        resolver.resolve("siem.test", 514, Deadline(0.02))
    threading.Timer(0.05, names.answer.set).start()

    found = resolver.resolve("siem.test", 514, Deadline(10))

    assert (len(found), names.asked) == (1, ["siem.test"])


def test_a_name_is_looked_up_anew_once_its_answer_came(names):
    names.answer.set()
    resolver = Resolver(getaddrinfo=names.getaddrinfo)
    resolver.resolve("siem.test", 514, Deadline(5))
    resolver.resolve("siem.test", 514, Deadline(5))

    assert names.asked == ["siem.test", "siem.test"]


def test_names_that_hang_hold_no_more_than_the_allowed_threads(names):
    resolver = Resolver(getaddrinfo=names.getaddrinfo, most_threads=2)
    for host in ("a.test", "b.test", "c.test"):
        with contextlib.suppress(DeadlineExceeded):
            resolver.resolve(host, 514, Deadline(0.02))

    assert names.asked == ["a.test", "b.test"]


def test_a_turn_given_back_lets_the_next_name_in(names):
    resolver = Resolver(getaddrinfo=names.getaddrinfo, most_threads=1)
    with contextlib.suppress(DeadlineExceeded):
        resolver.resolve("a.test", 514, Deadline(0.02))
    threading.Timer(0.05, names.answer.set).start()

    assert len(resolver.resolve("b.test", 514, Deadline(10))) == 1


def test_a_name_without_address_fails_as_the_system_says():
    def unknown(*_args):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(socket.gaierror, match="Name or service not known"):
        Resolver(getaddrinfo=unknown).resolve("nobody.test", 514, Deadline(5))


def test_an_empty_answer_counts_as_no_such_name():
    with pytest.raises(socket.gaierror, match=r"no address for empty\.test"):
        Resolver(getaddrinfo=lambda *_args: []).resolve("empty.test", 514, Deadline(5))


def test_a_text_that_cannot_be_a_name_is_no_crash():
    with pytest.raises(socket.gaierror, match="not a host name"):
        resolve("a" * 70 + ".test", 514, Deadline(10))


def test_no_thread_left_on_the_machine_is_an_error_of_this_lookup_only(monkeypatch):
    resolver = Resolver(getaddrinfo=lambda *_args: [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 1))])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(OSError, match=r"no thread to resolve siem\.test"):
            resolver.resolve("siem.test", 514, Deadline(5))

    assert len(resolver.resolve("siem.test", 514, Deadline(5))) == 1


def _no_more_threads(_thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("failure", [MemoryError(), SystemError("broken"), ValueError("embedded null byte")])
def test_a_lookup_that_fails_in_an_unknown_way_is_told_at_once_and_the_next_one_may_work(failure):
    answers = iter([failure, [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 514))]])

    def getaddrinfo(*_args):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    resolver = Resolver(getaddrinfo=getaddrinfo, most_threads=1)
    with pytest.raises(OSError, match=rf"the resolver failed over siem\.test: {type(failure).__name__}"):
        resolver.resolve("siem.test", 514, Deadline(5))

    assert resolver.resolve("siem.test", 514, Deadline(5)) == (Address(socket.AF_INET, ("127.0.0.1", 514)),)
