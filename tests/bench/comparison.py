"""The agent and the baselines in one run on one machine, and how they compare: ratios, no absolute promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sls_siem.cli.bench_case import CASES, LOGS_PER_GROUP, Case
from sls_siem.cli.bench_measure import Plan, Run, Shipper, Stage, measure
from sls_siem.cli.bench_report import document
from sls_siem.cli.demo_report import Progress
from sls_siem.cli.demo_rig import ended_cleanly, scratch
from tests.bench.baseline import SdkConsumer

VENDOR = "SDK consumer, one POST per log"
BATCHED = "SDK consumer, batched POSTs"
JSON_LOGS = "HEC, ActionTrail JSON 1.4 kB"
REFERENCE = "HEC, reference codec"


@dataclass(frozen=True)
class Entry:
    """One line of the comparison: a case, and the shipper that is measured in it."""

    case: Case
    start: Callable[[Stage, int], Shipper]


def entries(outputs: tuple[str, ...]) -> list[Entry]:
    """The baselines, then the agent to every output that is asked for."""
    plain = CASES["hec"][0]
    found = [
        Entry(replace(plain, name=VENDOR), lambda stage, number: SdkConsumer(stage, "one", number)),
        Entry(replace(plain, name=BATCHED), lambda stage, number: SdkConsumer(stage, "batched", number)),
    ]
    return found + [agent_entry(case) for output in outputs for case in CASES[output]]


def agent_entry(case: Case) -> Entry:
    """The agent in a case."""
    return Entry(case, lambda stage, number: stage.agent(number))


def more_entries() -> list[Entry]:
    """Other logs, other shapes of log groups, fewer and more shards, the reference codec."""
    plain = CASES["hec"][0]
    cases = [
        replace(plain, name=JSON_LOGS, profile="actiontrail", logs_per_group=LOGS_PER_GROUP["actiontrail"]),
        replace(plain, name="HEC, WAF 4 kB", profile="waf", logs_per_group=LOGS_PER_GROUP["waf"]),
        replace(plain, name="HEC, 5 logs in a group", logs_per_group=5),
        replace(plain, name="HEC, 2000 logs in a group", logs_per_group=2000),
        replace(plain, name="HEC, 1 shard", shards=1),
        replace(plain, name="HEC, 10 shards", shards=10),
        replace(plain, name="HEC, zstd from SLS", tables={"sls": {"compression": "zstd"}}),
        replace(plain, name=REFERENCE, codec="reference"),
        Case("syslog TCP, reference codec", "syslog", codec="reference"),
    ]
    return [agent_entry(case) for case in cases]


def compare(chosen: list[Entry], plan: Plan) -> dict[str, Any]:
    """Measure every entry; the document of `sls-siem bench --json`, each result with its ratios to the baselines.

    Every entry has its first run before any has its second, so that a machine whose speed changes is fair to all.
    """
    progress = Progress()
    runs: list[list[Run]] = [[] for _ in chosen]
    for turn in range(1, plan.runs + 1):
        for entry, found_so_far in zip(chosen, runs):
            progress.say(f"run {turn} of {plan.runs}: {entry.case.name}")
            with ended_cleanly() as stack, Stage(entry.case, scratch(stack)) as stage:
                found_so_far += measure(stage, replace(plan, runs=1), partial(entry.start, stage))
    results = [(entry.case, measured) for entry, measured in zip(chosen, runs)]
    found = document(results, plan)
    medians = {row["case"]: row["raw_mb_per_cpu_s"]["median"] for row in found["results"]}
    for row in found["results"]:
        row["ratio"] = {
            name: round(row["raw_mb_per_cpu_s"]["median"] / medians[name], 2)
            for name in (VENDOR, BATCHED)
            if name in medians and not (name == BATCHED and row["case"] == VENDOR)
        }
    return found


def ratios(found: dict[str, Any]) -> str:
    """Lay the ratios out."""
    lines = [f"{'raw MB per CPU-second, times':<32}{'one POST per log':>18}{'batched POSTs':>15}"]
    for row in found["results"]:
        cells = [f"{row['ratio'][name]:.1f}" if name in row["ratio"] else "-" for name in (VENDOR, BATCHED)]
        lines.append(f"{row['case']:<32}{cells[0]:>18}{cells[1]:>15}")
    return "\n".join(lines)
