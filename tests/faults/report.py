"""Adds up the results of campaigns, whatever order their seed ranges came in, into one report."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def load(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Read result files; of a seed and output that were run several times the last counts."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            found[record["output"], record["seed"]] = record
    return [found[key] for key in sorted(found)]


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges: 1-5, 9."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in spans)


def markdown(records: list[dict[str, Any]]) -> str:
    """Write the report."""
    return "\n".join([*_head(records), *_outputs(records), *_kinds(records), *_failures(records)]) + "\n"


def _head(records: list[dict[str, Any]]) -> list[str]:
    counted = [record for record in records if record["verdict"] != "void"]
    failed = [record for record in counted if record["verdict"] == "failed"]
    return [
        "# Fault schedules",
        "",
        "The real agent between the emulators, a seeded random schedule of faults on both sides, and an oracle that",
        "owns every log (`tests/faults/`). Obligation, checked at every save: once a checkpoint is saved, every log",
        "before it is in the receiver's durable store or a durable dead letter (plain syslog: in the receiving host,",
        "and in its store within 8 s). At the end of each schedule: every log there, none unknown, each byte-equal to",
        "what the reference encoder makes of it, duplicates only where a fault explains them, a fresh log goes",
        "through, no save forced (but first positions), backwards, beyond the end or by a non-owner, memory bounded,",
        "no secret anywhere. A schedule counts when each of its faults struck while logs were unsettled, with at",
        "least 3 faults on either side, 5,000 logs and 20 pulls; otherwise it is drawn again.",
        "",
        f"**{len(counted)} schedules that count, {len(failed)} failed.** "
        f"{sum(r['logs'] for r in counted):,} logs, {sum(len(r['faults']) for r in counted):,} faults, "
        f"{sum(r['starts'] for r in counted):,} agent processes, {sum(r['saves'] for r in counted):,} saves checked, "
        f"{sum(len(r['void_attempts']) for r in records)} draws that did not count.",
        "",
        "Repeat: `python -m tests.faults --seeds A-B --output OUTPUT`, add up: `--json FILE --report FILE`.",
        "",
    ]


def _outputs(records: list[dict[str, Any]]) -> list[str]:
    heads = ["output", "seeds", "ok", "failed", "no draw counted", "logs", "lost", "duplicates", "dead letters"]
    heads += ["expired unread", "longest, s", "most memory, MB"]
    rows = ["## By output", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for output in sorted({record["output"] for record in records}):
        mine = [record for record in records if record["output"] == output]
        verdicts = [record["verdict"] for record in mine]
        lost = sum("lost" in reason for record in mine for reason in record["reasons"])
        cells = [output, ranges(record["seed"] for record in mine)]
        cells += [f"{verdicts.count(verdict)}" for verdict in ("ok", "failed", "void")]
        cells += [f"{sum(record['logs'] for record in mine):,}", f"{lost}"]
        cells += [f"{sum(record[key] for record in mine):,}" for key in ("duplicates", "dead_letters", "expired")]
        cells += [f"{max(record['seconds'] for record in mine):.0f}"]
        cells += [f"{max(record['peak_bytes'] for record in mine) / 1e6:.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]


def _kinds(records: list[dict[str, Any]]) -> list[str]:
    struck: dict[str, list[int]] = defaultdict(list)
    for record in records:
        if record["verdict"] != "void":
            for fault in record["faults"]:
                if fault["struck"]:
                    struck[fault["kind"]].append(fault["in_flight"])
    rows = [
        "## By kind of fault",
        "",
        "| kind | struck | logs in flight: least | median | most |",
        "|---|---|---|---|---|",
    ]
    for name, counts in sorted(struck.items()):
        ordered = sorted(counts)
        rows.append(f"| {name} | {len(ordered)} | {ordered[0]} | {ordered[len(ordered) // 2]} | {ordered[-1]} |")
    return [*rows, ""]


def _failures(records: list[dict[str, Any]]) -> list[str]:
    failed = [record for record in records if record["verdict"] == "failed"]
    if not failed:
        return ["No schedule failed."]
    return ["## Failed", "", *(f"- `{_command(record)}`: {_first_reason(record)}" for record in failed)]


def _command(record: dict[str, Any]) -> str:
    return f"--seeds {record['seed']}-{record['seed']} --output {record['output']} --attempt {record['attempt']}"


def _first_reason(record: dict[str, Any]) -> str:
    return record["reasons"][0].splitlines()[0][:200] if record["reasons"] else ""
