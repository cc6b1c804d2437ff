"""`sls-siem replay`: ship a past time range of receipt again: estimate, question, progress, going on after a stop.

The consumer group is never touched. Events keep their ids and are marked (`sls_replay`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from sls_siem.cli.exits import EXIT_BUG, EXIT_CONFIG, EXIT_DONE, EXIT_UNAVAILABLE, EXIT_USAGE, confirmed, tell
from sls_siem.cli.owner import become_owner
from sls_siem.cli.status_table import duration, size
from sls_siem.config import Config, load
from sls_siem.config.fields import UnfitError
from sls_siem.config.fields import start as parse_time
from sls_siem.errors import AgentError, ConfigError, CredentialsRefusedError
from sls_siem.service import logs
from sls_siem.service.places import state_directory
from sls_siem.service.redact import Redactor
from sls_siem.service.replay import Estimate, Replay, State, estimate, resolve
from sls_siem.service.replay_range import ResumeFile
from sls_siem.service.retry_letters import why_unreachable
from sls_siem.siem import make_output
from sls_siem.siem.output import Output
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source

LOG = logging.getLogger(__name__)
EXIT_INTERRUPTED = 130
PROBE_S = 10.0
LOOK_S = 0.2
SHOW_S = 0.5
LINE_S = 10.0
BAR = 20


def replay(path: Path, instance: int, *, start: str, end: str, shards: Optional[Sequence[int]], yes: bool) -> int:
    """Ship a time range again; returns 0 only when all of it is settled.

    Args:
        path: `agent.toml`.
        instance: whose configuration and state directory.
        start: begin of the range, RFC 3339.
        end: its end, exclusive.
        shards: shard ids; None for all.
        yes: do not ask.

    Raises:
        ConfigError: the configuration, a time or a shard is wrong.
        AgentError: SLS or the SIEM cannot be used.
    """
    config = load(path, instance, os.environ)
    span = _span(start, end)
    if not yes and not sys.stdin.isatty():
        tell("replay: nobody is there to be asked: give --yes")
        return EXIT_USAGE
    # Everything secret is read while this still is root.
    redactor = Redactor(config, os.environ)
    output, client = make_output(config), _client(config)
    trouble = why_unreachable(output, PROBE_S)
    if trouble:
        raise AgentError(f"nothing was sent, the SIEM cannot be used: {trouble}")
    directory = state_directory(instance)
    become_owner(directory)
    handler = logs.set_up("debug" if config.log.level == "debug" else "warning", redact=redactor, dropped=lambda: None)
    origin = f"{config.sls.endpoint} {config.sls.project} {config.sls.logstore}"
    resume = ResumeFile(directory, span, origin)
    try:
        return _Command(config, client, output, resume=resume, span=span).run(shards, yes=yes)
    finally:
        resume.close()
        handler.close()


def _span(start: str, end: str) -> tuple[int, int]:
    since, until = _time("--from", start), _time("--to", end)
    if until <= since:
        raise ConfigError([f"--to: does not lie after --from, {end!r}, give a later time"])
    if until > time.time():
        raise ConfigError([f"--to: lies in the future, {end!r}, give a time that has passed"])
    return since, until


def _time(option: str, text: str) -> int:
    try:
        found = parse_time(text)
        return int(found)
    except (UnfitError, ValueError):
        right = "give a time with its offset such as 2026-01-31T00:00:00Z"
        raise ConfigError([f"{option}: is no RFC 3339 time, {text[:40]!r}, {right}"]) from None


def _client(config: Config) -> SlsClient:
    credentials = credential_source(config.sls.credentials)
    try:
        credentials.current()
    except CredentialsRefusedError as exc:
        raise ConfigError([str(exc)]) from exc
    return SlsClient(config.sls, credentials)


class _Command:
    """One call of the command, once everything it needs is there."""

    def __init__(
        self, config: Config, client: SlsClient, output: Output, *, resume: ResumeFile, span: tuple[int, int]
    ) -> None:
        self._config = config
        self._client = client
        self._output = output
        self._resume = resume
        self._span = span
        self._display = _Display()
        self._interrupted = False

    def run(self, wanted: Optional[Sequence[int]], *, yes: bool) -> int:
        """Estimate, ask, ship."""
        session = self._client.session()
        try:
            known = set(self._resume.ranges)
            shards = resolve(session, self._resume, self._span, wanted)
            rows = estimate(session, self._resume, shards)
        finally:
            session.close()
        self._tell_estimate(rows, resumed=bool(known & set(shards)))
        if not yes and not confirmed("Send it?"):
            tell("replay: nothing was sent")
            return EXIT_USAGE
        run = Replay(self._config, self._client, self._output, resume=self._resume, shards=shards)
        with self._signals():
            return self._ship(run)

    def _tell_estimate(self, rows: Sequence[Estimate], *, resumed: bool) -> None:
        since, until = (datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for at in self._span)
        tell(f"replay of what was received from {since} up to {until}:")
        if resumed:
            tell(f"going on after an interruption, as {self._resume.path} says")
        for row in rows:
            tell(f"  shard {row.shard}: {row.groups:,} log groups, about {size(row.raw_bytes)}")
        raw_bytes = sum(row.raw_bytes for row in rows)
        tell(
            f"  in all: {sum(row.groups for row in rows):,} log groups, about {size(raw_bytes)}{self._pace(raw_bytes)}"
        )
        tell("  the events keep their ids and carry the mark sls_replay; the consumer group is not touched")

    def _pace(self, raw_bytes: int) -> str:
        limit = self._config.delivery.max_bytes_per_s
        return f", at least {duration(raw_bytes / limit)} at max_bytes_per_s = {limit:g}" if limit else ""

    def _ship(self, run: Replay) -> int:
        run.start()
        trouble = ""
        while run.look(LOOK_S) and not self._interrupted and not trouble:
            trouble = run.stuck()
            self._display.show(run.state())
        if run.failure is not None:
            run.abandon()
        elif self._interrupted or trouble:
            run.stop(self._config.delivery.drain_s if self._interrupted else 0.0)
        state = run.state()
        self._display.end(state)
        return self._verdict(run, state, trouble)

    def _verdict(self, run: Replay, state: State, trouble: str) -> int:
        self._output.close()
        if state.dead_letters:
            tell(f"{state.dead_letters} events were refused and became dead letters: see `sls-siem dead-letter list`")
        if state.expired:
            tell(f"{state.expired} log groups had been removed by retention and could not be sent")
        if run.failure is not None and not isinstance(run.failure, AgentError):
            LOG.critical("a bug ended the replay; please report it", exc_info=run.failure)
            return EXIT_BUG
        if run.failure is None and run.done():
            tell(f"done: {state.events:,} events ({size(state.size)}) delivered")
            return EXIT_DONE
        why = run.failure or trouble or ("interrupted" if self._interrupted else "not everything was settled")
        tell(f"stopped: {logs.printable(str(why))}")
        tell("the same command goes on where it stopped; a few events may arrive twice, under the same ids")
        if isinstance(run.failure, ConfigError):
            return EXIT_CONFIG
        return EXIT_INTERRUPTED if self._interrupted and run.failure is None else EXIT_UNAVAILABLE

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM settle and note what is in hand first; a second one ends at once."""

        def note(_number: int, _frame: object) -> None:
            if self._interrupted:
                os._exit(EXIT_INTERRUPTED)
            self._interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Display:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar = sys.stderr.isatty()
        self._began = time.monotonic()
        self._next_at = 0.0 if self._bar else self._began + LINE_S
        self._first: Optional[int] = None

    def show(self, state: State) -> None:
        """Show how far it is, unless it was shown just now."""
        now = time.monotonic()
        if self._first is None:
            self._first = state.settled
        if now >= self._next_at:
            self._next_at = now + (SHOW_S if self._bar else LINE_S)
            self._put(state)

    def end(self, state: State) -> None:
        """Show the last state and leave the line."""
        if self._bar:
            self._put(state)
            sys.stderr.write("\n")

    def _put(self, state: State) -> None:
        line = self.line(state, time.monotonic() - self._began)
        if self._bar:
            sys.stderr.write(f"\r{line:<79.79}")
            sys.stderr.flush()
        else:
            tell(line)

    def line(self, state: State, seconds: float) -> str:
        """How far it is, with what is waited for."""
        share = state.settled / state.groups if state.groups else 1.0
        moved = state.settled - (self._first or 0)
        left = f"{duration((state.groups - state.settled) * seconds / moved)} left" if moved > 0 else "-"
        filled = int(share * BAR)
        bar = f"[{'#' * filled}{'.' * (BAR - filled)}] " if self._bar else ""
        line = f"{bar}{share:4.0%}  {state.events:,} events  {size(state.size / max(seconds, 1e-3))}/s  {left}"
        return logs.printable(f"{line}  {state.holding}".rstrip())
