"""The main loop: signals, readiness, watchdog, status file, drain; in the main thread, without any shard's work."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Optional

from sls_siem.config import Config, load, warnings_for
from sls_siem.delivery.checkpoint import CheckpointMovedError
from sls_siem.errors import ConfigError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.service import logs
from sls_siem.service.agent import Agent
from sls_siem.service.memory import limit_hoarding
from sls_siem.service.places import InstanceLock, runtime_directory, write_status
from sls_siem.service.redact import Redactor
from sls_siem.service.reload import changes_between, without_restart
from sls_siem.service.stacks import stacks
from sls_siem.service.status import Snapshot
from sls_siem.service.web import MetricsServer
from sls_siem.systemd import Notifier, watchdog_interval_s
from sls_siem.version import __version__

LOG = logging.getLogger(__name__)
EXIT_DONE = 0
EXIT_BUG = 70
EXIT_CONFIG = 78
EXIT_AT_ONCE = 143
STATUS_S = 2.0
DRAIN_LOOK_S = 0.05
DRAIN_SLACK_S = 10.0
END_S = 15.0
"""Longest time that leaving the group and closing take after the drain."""


class Signals:
    """Counts what was asked for; the main loop looks."""

    def __init__(self) -> None:
        self.terminations = 0
        self.reloads = 0
        self._agent: Optional[Agent] = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Catch SIGTERM, SIGINT and SIGHUP."""
        caught = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wake(self, agent: Agent) -> None:
        """Wake this agent's main loop on each signal."""
        self._agent = agent

    def _note(self, number: int, _frame: Optional[FrameType]) -> None:
        if number == signal.SIGHUP:
            self.reloads += 1
        else:
            self.terminations += 1
            if self.terminations > 1:
                os._exit(EXIT_AT_ONCE)
        if self._agent is not None:
            self._agent.woken.set()


def run(path: Path, instance: int, environ: Mapping[str, str], *, until_caught_up: bool = False) -> int:
    """Ship until told to stop; returns the exit status.

    Args:
        path: `agent.toml`.
        instance: 1 to 99.
        environ: the process's environment.
        until_caught_up: also end once every shard has been read and saved up to its end at the start.

    Raises:
        ConfigError: the configuration or the lock cannot be used.
    """
    faulthandler.enable()
    limit_hoarding()
    read_at = time.time()
    config = load(path, instance, environ)
    metrics = Metrics()
    health = Health()
    redactor = Redactor(config, environ)
    dropped = metrics.log_lines_dropped.inc
    handler = logs.set_up(config.log.level, redact=redactor, dropped=dropped, identifier=f"sls-siem-{instance}")
    signals = Signals()
    lock = InstanceLock(instance)
    try:
        with signals.installed():
            agent = Agent(config, health=health, metrics=metrics, until_caught_up=until_caught_up)
            agent.config_read = read_at
            signals.wake(agent)
            loop = _Loop(config, agent, signals, redactor, health=health, metrics=metrics)
            for warning in warnings_for(config, environ, access_key=False):
                LOG.warning("%s", warning)
            return loop.run(lambda: load(path, instance, environ))
    finally:
        lock.release()
        handler.close()


class _Loop:
    """The main thread's loop over one agent."""

    def __init__(
        self,
        config: Config,
        agent: Agent,
        signals: Signals,
        redactor: Redactor,
        *,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._config = self._started_with = config
        self._redactor = redactor
        self._agent = agent
        self._signals = signals
        self._health = health
        self._notifier = Notifier()
        self._directory = runtime_directory(config.instance)
        self._watchdog_s = watchdog_interval_s()
        self._next_status_at = 0.0
        self._reloads_done = 0
        self._reread: Callable[[], Config] = lambda: config
        self._stuck_since: Optional[float] = None
        self._web = self._make_web(metrics)

    def _make_web(self, metrics: Metrics) -> Optional[MetricsServer]:
        if self._config.metrics.port is None:
            return None
        return MetricsServer(
            self._config.metrics.listen,
            self._config.metrics.port + self._config.instance,
            metrics=metrics.text,
            healthy=lambda: ", ".join(self._health.stuck()),
            ready=self._not_ready,
            trouble=self._no_metrics,
        )

    def _no_metrics(self, why: str) -> None:
        LOG.error("%s", why)
        self._health.error(why)

    def _not_ready(self) -> str:
        snapshot = self._agent.snapshot()
        return "" if snapshot.state == "running" else snapshot.sentence()

    def run(self, reread: Callable[[], Config]) -> int:
        """Start, watch, drain; returns the exit status. `reread` loads the configuration anew."""
        self._reread = reread
        sls, siem = self._config.sls, self._config.siem
        LOG.info(
            "sls-siem %s instance %d: %s/%s as %s of group %s to %s",
            *(__version__, self._config.instance, sls.project, sls.logstore),
            *(sls.consumer_name, sls.consumer_group, siem.output),
        )
        self._agent.start()
        if self._web is not None:
            self._web.start()
        self._notifier.ready("starting")
        while not self._ending():
            self._turn()
            self._agent.woken.wait(self._pause_s())
        return self._end()

    def _ending(self) -> bool:
        return bool(self._signals.terminations or self._agent.failure is not None or self._agent.caught_up.is_set())

    def _pause_s(self) -> float:
        return STATUS_S if self._watchdog_s is None else min(STATUS_S, self._watchdog_s / 4)

    def _turn(self) -> None:
        if self._signals.reloads > self._reloads_done:
            self._reloads_done = self._signals.reloads
            self._reload()
        self._feed_watchdog()
        if time.monotonic() >= self._next_status_at:
            self._next_status_at = time.monotonic() + STATUS_S * 0.9
            self._publish()

    def _reload(self) -> None:
        """Read everything again; what cannot be used leaves the old configuration in force."""
        self._notifier.reloading()
        read_at = time.time()
        try:
            self._apply(self._reread(), read_at)
        except ConfigError as exc:
            for problem in exc.problems:
                LOG.error("not reloaded, the old configuration stays in force: %s", problem)
                self._health.error(f"not reloaded: {problem}")
        self._notifier.ready(self._publish().sentence())

    def _apply(self, config: Config, read_at: float) -> None:
        waiting = changes_between(self._started_with, config).need_restart
        config = without_restart(self._started_with, config)
        changes = changes_between(self._config, config)
        self._agent.reload(config)
        self._agent.config_read, self._agent.needs_restart = read_at, waiting
        self._redactor.refresh(config)
        logs.set_level(config.log.level)
        self._config = config
        LOG.info("reloaded: secrets and TLS files read again; changed keys: %s", ", ".join(changes.applied) or "none")
        if waiting:
            LOG.warning("these changed keys need a restart: %s", ", ".join(waiting))

    def _feed_watchdog(self) -> None:
        """Feed it while every thread moves; a stuck one gets a moment, since the whole process may have slept."""
        stuck = self._health.stuck()
        now = time.monotonic()
        if not stuck:
            self._stuck_since = None
            self._notifier.watchdog()
        elif self._stuck_since is None:
            self._stuck_since = now
            LOG.error("no sign of life from %s: the watchdog is not fed; the stacks follow", ", ".join(stuck))
            for stack in stacks():
                LOG.error("stack of %s", stack)
        elif self._watchdog_s is not None and now - self._stuck_since >= self._watchdog_s / 4:
            self._notifier.give_up()

    def _publish(self) -> Snapshot:
        snapshot = self._agent.snapshot()
        try:
            write_status(self._directory, snapshot.document())
        except OSError as exc:
            self._health.error(f"status.json was not written: {exc}")
        self._notifier.status(snapshot.sentence())
        return snapshot

    # --- the end ---

    def _end(self) -> int:
        failure = self._agent.failure
        if failure is not None:
            self._agent.abandon()
            self._publish()
            return _explain(failure)
        self._drain()
        self._publish()
        if self._web is not None:
            self._web.stop()
        self._agent.close()
        return EXIT_DONE if self._agent.failure is None else _explain(self._agent.failure)

    def _drain(self) -> None:
        seconds = self._config.delivery.drain_s
        LOG.info("draining for at most %g s", seconds)
        self._notifier.stopping("draining")
        self._notifier.extend_stop(seconds + DRAIN_SLACK_S + END_S)
        self._agent.drain(seconds)
        until = time.monotonic() + seconds + DRAIN_SLACK_S
        while not self._agent.drained() and time.monotonic() < until and self._agent.failure is None:
            self._feed_watchdog()
            self._agent.woken.wait(DRAIN_LOOK_S)
        if self._agent.drained():
            LOG.info("drained: everything that was in hand is settled or will be read again by the next consumer")
        else:
            LOG.warning("not drained in time: what is not settled will be read and sent again by the next consumer")
        self._agent.leave()


def _explain(failure: BaseException) -> int:
    if isinstance(failure, (ConfigError, CheckpointMovedError)):
        LOG.critical("%s", failure)
        return EXIT_CONFIG
    LOG.critical("a bug ended the agent; please report it", exc_info=failure)
    return EXIT_BUG
