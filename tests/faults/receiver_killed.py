"""`python -m tests.faults.receiver_killed`: the receiver is killed over and over while the agent ships, and what then?

The receiver, a process of its own, is killed with SIGKILL and started again on the same port, the given number of times
while the logs arrive on SLS at a steady rate. In the end the agent has saved the end of every shard, and every log that
is not in the receiver's file is lost. Logs are counted by their ids, in the file that the receiver itself wrote.

docs/evidence/receiver-killed.md holds what this printed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.remote import EmulatorProcess
from sls_siem.emulator.sls import SlsEmulator
from tests.e2e.harness import GROUP, KEY_ID, KEY_SECRET, AgentProcess, hec_tables, syslog_tables
from tests.receivers import ReceiverSettings, Rsyslog, SyslogNg
from tests.receivers.install import install
from tests.receivers.process import Receiver

SHARDS = 4
LOGS_PER_GROUP = 50
END_S = 1800.0
CASES = ("hec-ack", "relp", "relp-default-queue", "rsyslog", "rsyslog-direct", "syslog-ng")
_RULES = """global(workDirectory="{folder}" parser.escapeControlCharactersOnReceive="off")
module(load="{module}")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="arrived"{queue}) {{
  action(type="omfile" file="{output}" template="raw" asyncWriting="{async_writing}" flushOnTXEnd="on")
}}
input(type="{module}" address="{address}" port="{port}" ruleset="arrived")
"""


@dataclass(frozen=True)
class Result:
    """What killing a receiver lost.

    Args:
        case: see `CASES`.
        settle_s: `syslog.settle_s`; 0 where the protocol acknowledges.
        logs: how many were stored on SLS.
        kills: how often the receiver was killed.
        lost: logs that are not in its file.
        copies: lines beyond the first of a log.
        seconds: from the first log to the last checkpoint.
    """

    case: str
    settle_s: float
    logs: int
    kills: int
    lost: int
    copies: int
    seconds: float


class Target(Protocol):
    """A receiver that can be killed."""

    def start(self) -> Any: ...

    def kill(self) -> None: ...


class RawRsyslog(Rsyslog):
    """rsyslog that writes messages as they came; over RELP or TCP, behind a direct queue or its default one."""

    relp = False

    def configuration(self) -> str:
        direct = self.settings.direct_queue
        return _RULES.format(
            folder=self.folder,
            module="imrelp" if self.relp else "imtcp",
            # Without a queue of its own the ruleset is served by the main queue, in memory.
            queue=' queue.type="direct"' if direct else "",
            async_writing="off",
            output=self.output,
            address=self.address,
            port=self.port,
        )


class RelpRsyslog(RawRsyslog):
    """The same over RELP."""

    relp = True


class RawSyslogNg(SyslogNg):
    """syslog-ng that writes what an id can be found in."""

    def configuration(self) -> str:
        text = super().configuration()
        return re.sub(r"template fields .*\n", 'template fields { template("${RAWMSG}\\\\n"); };\n', text)


class DurableHec:
    """The strict HEC emulator, its store a file; half a second passes between a 200 and the store."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "journal"
        self._port = 0
        self._process: Optional[EmulatorProcess] = None
        self.url = self.token = ""

    def start(self) -> None:
        settings = {"tokens": [{"use_ack": True}], "index_delay_s": 0.5, "journal": str(self.output)}
        deadline = time.monotonic() + 30
        while True:
            try:
                self._process = EmulatorProcess("hec", settings, ["--port", str(self._port)]).start()
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
        self.url, self.token = self._process.addresses["url"], self._process.addresses["token"]
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()


def run(case: str, *, logs: int, kills: int, settle_s: float, logs_per_s: float, folder: Path) -> Result:
    """Kill one receiver.

    Args:
        case: one of `CASES`.
        logs: to store on SLS.
        kills: how often, spread over the time that the logs take to come.
        settle_s: of syslog.
        logs_per_s: how fast they come.
        folder: empty, for everything.
    """
    with SlsEmulator(project="p", logstore="ls", shards=SHARDS) as sls:
        sls.add_key(KEY_ID, KEY_SECRET)
        receiver = _receiver(case, folder / "receiver")
        receiver.start()
        try:
            with AgentProcess(folder, _tables(case, sls, receiver, folder, settle_s)) as agent:
                began = time.monotonic()
                _storm(sls, receiver, agent, logs=logs, kills=kills, seconds=logs / logs_per_s)
                _wait(lambda: _all_saved(sls), agent, END_S, "the last checkpoint")
                seconds = time.monotonic() - began
                assert agent.stop() == 0, agent.log()[-2000:]
        finally:
            # In order where it can be: what stands in a queue at the end is not what the kills have lost.
            receiver.stop() if isinstance(receiver, Receiver) else receiver.kill()
        lost, copies = _compare(sls, receiver.output)
    return Result(case, settle_s, logs, kills, lost, copies, round(seconds, 1))


def _receiver(case: str, folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    if case == "hec-ack":
        return DurableHec(folder)
    if case == "syslog-ng":
        return RawSyslogNg(install("syslog-ng"), ReceiverSettings(framing="lf"), folder)
    settings = ReceiverSettings(framing="lf", direct_queue=case in ("relp", "rsyslog-direct"))
    return (RelpRsyslog if case.startswith("relp") else RawRsyslog)(install("rsyslog"), settings, folder)


def _tables(case: str, sls: SlsEmulator, receiver: Any, folder: Path, settle_s: float) -> dict[str, dict[str, object]]:
    common: dict[str, dict[str, object]] = {"log": {"level": "info"}, "delivery": {"checkpoint_s": 1.0, "drain_s": 30}}
    common["sls"] = {"group_timeout_s": 40, "heartbeat_s": 2}
    if case == "hec-ack":
        token_file = folder / "token"
        token_file.write_text(receiver.token)
        return hec_tables(
            sls, [receiver.url], token_file, hec={"acknowledge": True, "ack_timeout_s": 10, "timeout_s": 5}, **common
        )
    url = f"{'relp' if case.startswith('relp') else 'tcp'}://127.0.0.1:{receiver.port}"
    return syslog_tables(sls, url, syslog={"settle_s": settle_s}, **common)


def _storm(sls: SlsEmulator, receiver: Target, agent: AgentProcess, *, logs: int, kills: int, seconds: float) -> None:
    """Store logs at a steady rate, and kill at random moments meanwhile."""
    source, chance = LogSource("nginx"), random.Random(kills)
    moments = iter(sorted(chance.uniform(0.02, 0.98) * seconds for _ in range(kills)))
    killer: Optional[threading.Thread] = None
    began, done, due = time.monotonic(), 0, next(moments, None)
    while done < logs or due is not None:
        elapsed = time.monotonic() - began
        while done < min(logs, logs * elapsed / seconds):
            sls.store.append(None, [source.group(done, LOGS_PER_GROUP, 1_700_000_000 + done // 1000)])
            done += LOGS_PER_GROUP
        if due is not None and elapsed >= due and (killer is None or not killer.is_alive()):
            killer = threading.Thread(target=_again, args=(receiver,))
            killer.start()
            due = next(moments, None)
        assert agent.running(), agent.log()[-2000:]
        time.sleep(0.02)
    if killer is not None:
        killer.join()


def _again(receiver: Target) -> None:
    receiver.kill()
    receiver.start()


def _all_saved(sls: SlsEmulator) -> bool:
    group = sls.store.consumer_groups.get(GROUP)
    return group is not None and all(
        group.checkpoint(shard.number).position == shard.end for shard in sls.store.shards()
    )


def _wait(condition: Callable[[], bool], agent: AgentProcess, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s: {agent.log()[-2000:]}"
        time.sleep(0.1)


def _compare(sls: SlsEmulator, output: Path) -> tuple[int, int]:
    """Count the logs that are missing in the file, and the lines beyond the first of each."""
    found: dict[tuple[int, int, int], int] = {}
    for place in _places(output):
        found[place] = found.get(place, 0) + 1
    expected = {(group.shard, group.position, index) for group in sls.store.stored() for index in range(LOGS_PER_GROUP)}
    unknown = found.keys() - expected
    assert not unknown, f"unknown ids: {sorted(unknown)[:5]}"
    return len(expected - found.keys()), sum(found.values()) - len(found)


def _places(output: Path) -> Iterator[tuple[int, int, int]]:
    with output.open("rb") as lines:
        for line in lines:
            # What a kill has cut off has no end, or stands in front of the first message of the next life.
            event_id = _last_id(line) if line.endswith(b"\n") else b""
            if event_id:
                shard, position, index = event_id.split(b"-")
                yield int(shard), int(position), int(index)


def _last_id(line: bytes) -> bytes:
    """Find the id in a line of the journal, or in the last message of a line; no pattern, for there are many."""
    end = line.rfind(b'" logstore=')
    return line[line.rfind(b'id="', 0, end) + 4 : end] if end >= 0 else line.split(b"\t")[0]


def table(results: list[Result]) -> str:
    """Write results as a table."""
    heads = ["receiver", "settle_s", "logs", "killed", "lost", "arrived again", "seconds"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for result in results:
        settle = f"{result.settle_s:g}" if not result.case.startswith(("hec", "relp")) else "-"
        cells = [result.case, settle, f"{result.logs:,}", f"{result.kills}", f"{result.lost:,}", f"{result.copies:,}"]
        rows.append(f"| {' | '.join([*cells, f'{result.seconds:.0f}'])} |")
    return "\n".join(rows)


def main(arguments: Optional[list[str]] = None) -> int:
    """Measure and print; 1 when a receiver that acknowledges durably has lost a log."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.receiver_killed", description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="may be repeated; all unless given")
    parser.add_argument("--logs", type=int, default=1_000_000, help="(1,000,000)")
    parser.add_argument("--kills", type=int, default=50, help="(50)")
    parser.add_argument("--rate", type=float, default=5_000, help="logs a second (5,000)")
    parser.add_argument("--settle", type=float, action="append", help="settle_s of plain TCP (0, 2 and 10)")
    parser.add_argument("--json", type=Path, help="append a line for each result to this file")
    options = parser.parse_args(arguments)
    results = []
    for case in options.case or CASES:
        plain = not case.startswith(("hec", "relp"))
        for settle_s in (options.settle or [0, 2, 10]) if plain else [0]:
            with tempfile.TemporaryDirectory(prefix="killed-") as folder:
                results.append(
                    run(
                        case,
                        logs=options.logs // LOGS_PER_GROUP * LOGS_PER_GROUP,
                        kills=options.kills,
                        settle_s=settle_s,
                        logs_per_s=options.rate,
                        folder=Path(folder),
                    )
                )
            print(json.dumps(asdict(results[-1])), file=sys.stderr, flush=True)
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(asdict(results[-1])) + "\n")
    print(table(results))
    return 1 if any(result.lost for result in results if result.case in ("hec-ack", "relp")) else 0


if __name__ == "__main__":
    sys.exit(main())
