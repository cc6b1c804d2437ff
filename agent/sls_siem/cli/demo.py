"""`sls-siem demo`: the main job on this machine alone, without account and network, and the proof that it was done.

The embedded SLS service is fed with generated logs, the real agent ships them to an embedded receiver, all three as
processes of their own; in the end every event at the receiver is held against what the service stores.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sls_siem.cli.demo_report import Progress, Result, table
from sls_siem.cli.demo_rig import (
    EXIT_INTERRUPTED,
    AgentProcess,
    RigError,
    SlsProcess,
    Tables,
    ended_cleanly,
    pause,
    scratch,
    starting_children,
)
from sls_siem.cli.demo_traffic import Traffic, end_feeds, fed
from sls_siem.cli.demo_verdict import compare, expected_events
from sls_siem.cli.exits import EXIT_BUG, EXIT_DONE, EXIT_USAGE, tell
from sls_siem.emulator.remote import EmulatorError, EmulatorProcess
from sls_siem.emulator.sls import ControlError
from sls_siem.errors import AgentError

SHARDS = 4
MOST_MB = 2000.0
LOOK_S = 0.25
STALL_S = 30.0
"""So long may nothing arrive before the rest counts as lost."""
STOP_S = 45.0


def demo(output: str, *, seconds: float, mb_per_s: float) -> int:
    """Run the demo; returns the exit status: 0 when nothing was lost, duplicated or altered, else 70.

    Args:
        output: hec or syslog.
        seconds: how long logs are fed.
        mb_per_s: raw megabytes (10**6) fed a second.
    """
    if not (seconds > 0 and mb_per_s > 0 and seconds * mb_per_s <= MOST_MB):
        tell(f"demo: --seconds times --rate must be more than 0 and at most {MOST_MB:g} MB, which are kept in memory")
        return EXIT_USAGE
    traffic = Traffic(seconds, mb_per_s)
    try:
        with ended_cleanly() as stack:
            result = _Demo(output, traffic, stack).run()
    except (AgentError, ControlError, EmulatorError, OSError) as exc:
        tell(f"demo: {exc}")
        return EXIT_BUG
    except KeyboardInterrupt:
        tell("demo: interrupted")
        return EXIT_INTERRUPTED
    print(table(result))
    for complaint in result.verdict.complaints():
        tell(f"demo: {complaint}")
    return EXIT_DONE if result.verdict.flawless else EXIT_BUG


@dataclass(frozen=True)
class _State:
    """How far it is: logs, and raw bytes of them, on the service; different ids at the receiver."""

    logs: int
    raw_bytes: int
    feeding: bool
    arrived: int


class _Demo:
    """One run.

    Args:
        output: hec or syslog.
        traffic: what is fed.
        stack: ends what is started here.
    """

    def __init__(self, output: str, traffic: Traffic, stack: ExitStack) -> None:
        self._output = output
        self._traffic = traffic
        self._progress = Progress()
        folder = scratch(stack)
        # Strict: a frame that breaks its RFC is not stored, and so is missing in the end.
        settings = {} if output == "hec" else {"rfc": "5424", "framing": "lf"}
        with starting_children():
            self._sls = stack.enter_context(SlsProcess(SHARDS))
            self._receiver = stack.enter_context(EmulatorProcess(output, settings))
            self._agent = stack.enter_context(AgentProcess(folder / "agent", self._tables(folder), self._sls))

    def _tables(self, folder: Path) -> Tables:
        """Nothing but addresses: the demo shows the defaults."""
        url = self._receiver.addresses["url"]
        tables: dict[str, dict[str, object]] = {"sls": self._sls.tables("demo"), "siem": {"output": self._output}}
        if self._output == "hec":
            token_file = folder / "hec-token"
            token_file.write_text(str(self._receiver.addresses["token"]), encoding="utf-8")
            tables["hec"] = {"urls": [url], "token_file": str(token_file)}
        else:
            tables["syslog"] = {"url": url}
        return tables

    def run(self) -> Result:
        """Feed, wait for the arrival of everything, stop the agent, compare.

        Raises:
            RigError: the agent ended before its time, or cannot be ended.
        """
        traffic, control = self._traffic, self._sls.control
        self._progress.say(
            f"embedded SLS service with {SHARDS} shards -> sls-siem run -> embedded {self._output} receiver\n"
            f"{traffic.logs:,} logs ({', '.join(traffic.profiles)}) in about {traffic.seconds:g} s"
        )
        self._started_up()
        meter = _Meter(self._agent)
        feeds = traffic.start(control)
        state = self._watch(meter, feeds)
        self._progress.say("stopping the agent, then comparing every id and the bytes of every event")
        self._stop_agent()
        return Result(
            output=self._output,
            verdict=compare(expected_events(control, self._agent.config_path), self._receiver.digests()),
            raw_bytes=state.raw_bytes,
            seconds=meter.seconds,
            cpu_s=meter.cpu_s,
            peak_bytes=meter.peak_bytes,
        )

    def _started_up(self) -> None:
        """Wait until the agent reads every shard, so that its start is not measured."""
        deadline = time.monotonic() + STALL_S
        while len({pull["shard"] for pull in self._sls.control.get("pulls")}) < SHARDS:
            self._agent.check()
            if time.monotonic() > deadline:
                raise RigError(f"the agent does not read all shards after {STALL_S:g} s:\n{self._agent.last_words()}")
            pause(LOOK_S)

    def _watch(self, meter: _Meter, feeds: list[int]) -> _State:
        """Show the progress until everything has arrived, or nothing arrives any more."""
        state = self._look(feeds)
        while state.feeding or (state.arrived < state.logs and meter.still_s < STALL_S):
            self._agent.check()
            pause(LOOK_S)
            if state.feeding and meter.seconds > self._traffic.longest_s:
                end_feeds(self._sls.control, feeds)
            state = self._look(feeds)
            meter.read(state.arrived)
            self._progress.show(meter.line(state))
        return state

    def _look(self, feeds: list[int]) -> _State:
        logs, raw_bytes, feeding = fed(self._sls.control, feeds)
        return _State(logs, raw_bytes, feeding, int(self._receiver.ask("store")["ids"]))

    def _stop_agent(self) -> None:
        status = self._agent.stop(STOP_S)
        if status != 0:
            raise RigError(f"the agent ended with status {status}; its last words:\n{self._agent.last_words()}")


class _Meter:
    """What the agent uses from now on, and when the last event arrived."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._first = self._last = agent.usage()
        self._started = self._moved = time.monotonic()
        self._arrived = 0

    def read(self, arrived: int) -> None:
        """Look again; `arrived` is the number of events at the receiver by now."""
        self._last = self._agent.usage()
        if arrived > self._arrived:
            self._arrived, self._moved = arrived, time.monotonic()

    @property
    def seconds(self) -> float:
        """From the start to the last arrival that was seen."""
        return self._moved - self._started

    @property
    def still_s(self) -> float:
        """Since the last arrival that was seen."""
        return time.monotonic() - self._moved

    @property
    def cpu_s(self) -> float:
        return self._last.cpu_s - self._first.cpu_s

    @property
    def peak_bytes(self) -> int:
        return self._last.peak_bytes

    def line(self, state: _State) -> str:
        """How far it is, in at most 79 columns."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        speed, load = state.raw_bytes / 1e6 / seconds, 100 * self.cpu_s / seconds
        return (
            f"{seconds:4.0f} s  in {state.logs:>9,}  delivered {state.arrived:>9,}  {speed:5.1f} MB/s  "
            f"CPU {load:3.0f} %  {self._last.resident_bytes / 1e6:4.0f} MB"
        )
