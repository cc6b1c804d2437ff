"""The main loop over a scripted agent: signals, the watchdog, the status file, the drain, and the exit status."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from sls_siem.config import Config, MetricsConfig
from sls_siem.delivery.checkpoint import CheckpointMovedError
from sls_siem.errors import ConfigError
from sls_siem.health import SLACK_S, STALL_S, Health
from sls_siem.metrics import Metrics
from sls_siem.service import run as service
from sls_siem.service.redact import Redactor
from sls_siem.service.run import Signals, _Loop
from sls_siem.service.status import Snapshot
from sls_siem.service.wake import Wake
from tests.unit.siem.support import hec_config

WATCHDOG_S = 0.2


class ScriptedAgent:
    """Does nothing by itself; each look of the main loop runs the next step of a script.

    Args:
        steps: run one per turn of the loop; when they are used up, the agent has caught up.
    """

    def __init__(self, *steps: Callable[[ScriptedAgent], None]) -> None:
        self.woken = Wake()
        self.caught_up = threading.Event()
        self.failure: Optional[BaseException] = None
        self.done: list[str] = []
        self.reloaded: list[Config] = []
        self.state = "running"
        self.left = 0
        self._steps = list(steps)

    def start(self) -> None:
        self.done.append("start")

    def snapshot(self) -> Snapshot:
        if self._steps:
            self._steps.pop(0)(self)
            self.woken.set()
        else:
            self.caught_up.set()
        return Snapshot(
            version="1", instance=1, consumer="c", state=self.state, since=0.0, generation=1, output="hec",
            endpoints=(), shards=(), totals={}, last_heartbeat=None, holds={}, errors=[],
            config_read=0.0, needs_restart=(), last_error_at=None, dead_letter_bytes=0,
        )  # fmt: skip

    def reload(self, config: Config) -> None:
        self.reloaded.append(config)

    def drain(self, seconds: float) -> None:
        self.done.append(f"drain {seconds:g}")

    def drained(self) -> bool:
        self.left = max(0, self.left - 1)
        return not self.left

    def leave(self) -> None:
        self.done.append("leave")

    def abandon(self) -> None:
        self.done.append("abandon")

    def close(self) -> None:
        self.done.append("close")


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)
        self.messages: list[str] = []

    def read(self) -> list[str]:
        try:
            while True:
                self.messages.append(self._socket.recv(4096).decode("ascii"))
        except BlockingIOError:
            return self.messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(tmp_path / "notify")
    here = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    yield here
    here.close()


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))


@pytest.fixture
def run_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Manager) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    monkeypatch.setattr(service, "STATUS_S", 0.02)
    monkeypatch.setattr(service, "DRAIN_LOOK_S", 0.001)
    monkeypatch.setattr(service, "DRAIN_SLACK_S", 0.1)
    return folder


_made: list[Rig] = []


@pytest.fixture(autouse=True)
def _close_the_notify_sockets():
    yield
    while _made:
        to_manager = _made.pop().loop._notifier._notifier.socket
        if to_manager is not None:
            to_manager.close()


class Rig:
    """A main loop over an agent, with what it is made from."""

    def __init__(self, agent: ScriptedAgent, **changes: Any) -> None:
        self.now = 1000.0
        self.health = Health(lambda: self.now)
        self.signals = Signals()
        base = hec_config("http://127.0.0.1:9")
        delivery = dataclasses.replace(base.delivery, drain_s=0.1)
        self.config = dataclasses.replace(base, delivery=delivery, **changes)
        self.loop = _Loop(
            self.config,
            agent,  # type: ignore[arg-type]
            self.signals,
            Redactor(self.config, {}),
            health=self.health,
            metrics=Metrics(),
        )
        _made.append(self)

    def run(self, reread: Optional[Callable[[], Config]] = None) -> int:
        return self.loop.run(reread or (lambda: self.config))


# --- signals ---


def test_signals_that_come_before_there_is_an_agent_are_counted_and_the_handlers_put_back() -> None:
    signals = Signals()
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with signals.installed():
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)

    assert (2, 1) == (signals.reloads, signals.terminations)
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_wakes_the_loop_and_has_it_drain_and_leave(run_time, number) -> None:
    def be_told(_agent: ScriptedAgent) -> None:
        os.kill(os.getpid(), number)

    agent = ScriptedAgent(be_told)
    rig = Rig(agent)
    rig.signals.wake(agent)  # type: ignore[arg-type]
    with rig.signals.installed():
        status = rig.run()

    assert 0 == status
    assert ["start", "drain 0.1", "leave", "close"] == agent.done


# --- the watchdog ---


def test_a_stuck_thread_is_named_with_the_stacks_and_then_the_watchdog_is_told_to_act(
    run_time, manager, watchdog, caplog, capfd
) -> None:
    """The stacks go through the log, which waits for nobody: stderr may be a pipe that nobody reads."""

    def get_stuck(_agent: ScriptedAgent) -> None:
        rig.health.pulse("sender-3").waiting(5, "waiting for the SIEM")
        rig.now += 5 + SLACK_S + 1
        manager.read()
        manager.messages.clear()

    def look_on(agent: ScriptedAgent) -> None:
        if "WATCHDOG=trigger" not in manager.read():
            agent._steps.append(look_on)

    rig = Rig(ScriptedAgent(get_stuck, look_on))
    status = rig.run()
    fed_before_the_trigger = manager.messages[: manager.messages.index("WATCHDOG=trigger")]

    assert 0 == status
    assert "WATCHDOG=1" not in fed_before_the_trigger
    assert 1 == caplog.text.count("no sign of life from sender-3 (waiting for the SIEM)")
    assert re.search(r"stack of MainThread: .*run\.py:\d+ in _feed_watchdog < ", caplog.text)
    assert "" == capfd.readouterr().err


def test_a_process_that_was_asleep_is_fed_again_once_its_threads_move(run_time, manager, watchdog, caplog) -> None:
    """After a suspend every deadline has passed at once: the threads get a moment before the watchdog acts."""

    def sleep(_agent: ScriptedAgent) -> None:
        pulses.append(rig.health.pulse("reader-0"))
        rig.now += STALL_S + 1

    def move(_agent: ScriptedAgent) -> None:
        if "no sign of life" not in caplog.text:
            _agent._steps.insert(0, move)
            return
        pulses[0].moved()
        manager.read()
        manager.messages.clear()

    def be_fed(agent: ScriptedAgent) -> None:
        if "WATCHDOG=1" not in manager.read():
            agent._steps.append(be_fed)

    pulses: list[Any] = []
    rig = Rig(ScriptedAgent(sleep, move, be_fed))

    assert 0 == rig.run()
    assert "WATCHDOG=1" in manager.read()
    assert "WATCHDOG=trigger" not in manager.messages


def test_a_stuck_thread_is_reported_where_no_watchdog_watches(run_time, caplog) -> None:
    def get_stuck(_agent: ScriptedAgent) -> None:
        rig.health.pulse("reader-0")
        rig.now += STALL_S + 1

    turns = [lambda _agent: None] * 4
    rig = Rig(ScriptedAgent(get_stuck, *turns))

    assert 0 == rig.run()
    assert 1 == caplog.text.count("no sign of life from reader-0")


# --- the status file ---


def test_a_status_file_that_cannot_be_written_ends_nothing(run_time, tmp_path) -> None:
    def take_the_directory_away(_agent: ScriptedAgent) -> None:
        run_time.rmdir()

    rig = Rig(ScriptedAgent(take_the_directory_away, lambda _agent: None))

    assert 0 == rig.run()
    assert any("status.json was not written" in error for error in rig.health.errors())


def test_the_status_file_says_the_state_to_the_end(run_time) -> None:
    agent = ScriptedAgent()
    agent.state = "draining"

    assert 0 == Rig(agent).run()
    assert "draining" == json.loads((run_time / "status.json").read_text())["state"]


# --- reload ---


def test_a_reload_that_fails_keeps_the_old_configuration_and_names_every_problem(run_time, manager, caplog) -> None:
    def reread() -> Config:
        raise ConfigError(["sls.project: is missing", "hec.urls: is missing"])

    def be_told(_agent: ScriptedAgent) -> None:
        rig.signals.reloads += 1

    agent = ScriptedAgent(be_told, lambda _agent: None)
    rig = Rig(agent)

    assert 0 == rig.run(reread)
    assert [] == agent.reloaded
    assert 2 == caplog.text.count("the old configuration stays in force")
    assert ["not reloaded: sls.project: is missing", "not reloaded: hec.urls: is missing"] == rig.health.errors()
    sent = manager.read()
    reloading = next(place for place, message in enumerate(sent) if "RELOADING=1" in message)
    assert any("READY=1" in message for message in sent[reloading:])


def test_a_reload_names_what_it_applied_and_what_needs_a_restart(run_time, caplog) -> None:
    caplog.set_level(logging.INFO, "sls_siem")

    def be_told(_agent: ScriptedAgent) -> None:
        rig.signals.reloads += 1

    def reread() -> Config:
        hec = dataclasses.replace(rig.config.hec, index="security")
        sls = dataclasses.replace(rig.config.sls, heartbeat_s=7)
        return dataclasses.replace(rig.config, hec=hec, sls=sls)

    agent = ScriptedAgent(be_told, lambda _agent: None)
    rig = Rig(agent)

    assert 0 == rig.run(reread)
    assert ["security"] == [config.hec.index for config in agent.reloaded]
    assert "changed keys: hec.index" in caplog.text
    assert "need a restart: sls.heartbeat_s" in caplog.text


def test_a_reload_does_not_name_the_source_after_a_logstore_that_waits_for_a_restart(run_time, caplog) -> None:
    caplog.set_level(logging.INFO, "sls_siem")

    def be_told(_agent: ScriptedAgent) -> None:
        rig.signals.reloads += 1

    def reread() -> Config:
        return named(dataclasses.replace(rig.config, sls=dataclasses.replace(rig.config.sls, logstore="another")))

    def named(config: Config) -> Config:
        """Fill in what follows from the logstore's name, as it is done when a configuration is loaded."""
        hec = dataclasses.replace(config.hec, source=f"sls:{config.sls.project}/{config.sls.logstore}")
        syslog = dataclasses.replace(config.syslog, app_name=config.sls.logstore)
        return dataclasses.replace(config, hec=hec, syslog=syslog)

    agent = ScriptedAgent(be_told, lambda _agent: None)
    base = named(hec_config("http://127.0.0.1:9"))
    rig = Rig(agent, hec=base.hec, syslog=base.syslog)

    assert 0 == rig.run(reread)
    (reloaded,) = agent.reloaded
    assert (base.sls, base.hec.source, base.syslog.app_name) == (
        *(reloaded.sls, reloaded.hec.source),
        reloaded.syslog.app_name,
    )
    assert "changed keys: none" in caplog.text
    assert "need a restart: hec.source" not in caplog.text
    assert "sls.logstore" in caplog.text


def test_a_reload_without_a_change_reads_the_secrets_again(run_time, caplog) -> None:
    caplog.set_level(logging.INFO, "sls_siem")

    def be_told(_agent: ScriptedAgent) -> None:
        rig.signals.reloads += 1

    agent = ScriptedAgent(be_told, lambda _agent: None)
    rig = Rig(agent)

    assert 0 == rig.run()
    assert 1 == len(agent.reloaded)
    assert "changed keys: none" in caplog.text
    assert "need a restart" not in caplog.text


# --- the end ---


@pytest.mark.parametrize(
    ("failure", "status", "word"),
    [
        (ConfigError(["tls.ca_file: is gone"]), 78, "tls.ca_file: is gone"),
        (CheckpointMovedError("another process saves under consumer_name c"), 78, "consumer_name c"),
        (ZeroDivisionError("division by zero"), 70, "please report it"),
    ],
)
def test_a_failure_ends_the_process_with_its_status_and_saves_nothing_more(
    run_time, caplog, failure, status, word
) -> None:
    def fail(agent: ScriptedAgent) -> None:
        agent.failure = failure

    agent = ScriptedAgent(fail)

    assert status == Rig(agent).run()
    assert word in caplog.text
    assert ["start", "abandon"] == agent.done


def test_a_failure_during_the_drain_ends_it_at_once_and_is_what_the_exit_status_says(run_time, caplog) -> None:
    def fail(agent: ScriptedAgent) -> None:
        agent.failure = RuntimeError("a thread died")

    agent = ScriptedAgent()
    agent.left = 10_000
    agent.drain = lambda _seconds: fail(agent)  # type: ignore[method-assign]

    assert 70 == Rig(agent).run()
    assert agent.left > 9_000
    assert "RuntimeError" in caplog.text


def test_a_drain_asks_for_all_the_time_that_it_may_take(run_time, manager) -> None:
    agent = ScriptedAgent()
    agent.left = 3

    assert 0 == Rig(agent).run()
    asked = [message for message in manager.read() if message.startswith("EXTEND_TIMEOUT_USEC=")]
    assert [f"EXTEND_TIMEOUT_USEC={int((0.1 + service.DRAIN_SLACK_S + service.END_S) * 1e6)}"] == asked
    assert 0 == agent.left


def test_a_drain_that_does_not_end_is_given_up_and_said(run_time, caplog) -> None:
    agent = ScriptedAgent()
    agent.left = 1_000_000

    assert 0 == Rig(agent).run()
    assert "not drained in time" in caplog.text
    assert ["start", "drain 0.1", "leave", "close"] == agent.done


def test_the_metrics_port_is_there_while_the_loop_runs(run_time) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    answers: list[bytes] = []

    def ask(agent: ScriptedAgent) -> None:
        agent.state = "holding"
        for path in (b"/healthz", b"/readyz"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"GET %b HTTP/1.0\r\n\r\n" % path)
                answers.append(client.makefile("rb").readline().rstrip())

    agent = ScriptedAgent(ask)
    rig = Rig(agent, metrics=MetricsConfig(port=port - 1))

    assert 0 == rig.run()
    assert [b"HTTP/1.0 200 OK", b"HTTP/1.0 503 Service Unavailable"] == answers
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_a_metrics_port_that_is_taken_stops_nothing_and_is_told(run_time, caplog) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        rig = Rig(ScriptedAgent(lambda _agent: None), metrics=MetricsConfig(port=port - 1))

        assert 0 == rig.run()

    words = f"metrics.port: 127.0.0.1:{port} cannot be listened on"
    assert words in caplog.text
    assert [True] == [error.startswith(words) for error in rig.health.errors()]
