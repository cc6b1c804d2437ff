"""Adds up the results of campaigns, in whatever pieces they ran, into one report.

A *piece* is what one commit of the code was put through: seeds, outcomes and tallies, small enough to be kept beside
the report (`docs/evidence/faults.json`); pieces that share no seed can be added. A schedule that failed stays in it,
with what it said, also when the same seed passed later.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BIN = 250
"""Logs in flight are counted in bins of so many."""

BROKEN = re.compile(r"^\d+ logs lost|^checkpoint .* before .* was stored", re.MULTILINE)
"""What says that a log is missing, or came later than a checkpoint behind it allows."""

EXCUSES = ("lost, but ", "a receiver that closed by itself")
"""How a draw says that it lost something, and why it does not count all the same."""

Record = dict[str, Any]
Piece = dict[str, Any]


def load(path: Path) -> list[Record]:
    """Read a file of results, a line each."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def seeds_in(records: Iterable[Record]) -> set[tuple[int, str]]:
    """Seeds and outputs that have a result."""
    return {(record["seed"], record["output"]) for record in records}


def pieces(records: Iterable[Record]) -> list[Piece]:
    """Make a piece for each commit; of a seed that was run several times the last result counts, and any failure."""
    by_commit: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_commit[record["commit"]].append(record)
    return [_piece(commit, mine) for commit, mine in by_commit.items()]


def _piece(commit: str, records: list[Record]) -> Piece:
    last = {(record["seed"], record["output"]): record for record in records}
    outputs: dict[str, Piece] = {}
    kinds: dict[str, Counter[int]] = defaultdict(Counter)
    for record in last.values():
        _count(outputs.setdefault(record["output"], _nothing()), record)
        if record["verdict"] != "void":
            for fault in record["faults"]:
                if fault["struck"]:
                    kinds[fault["kind"]][fault["in_flight"] // BIN] += 1
    failures = [f"`{_command(record)}`: {_first_reason(record)}" for record in records if record["verdict"] == "failed"]
    agent = records[0].get("agent", "")
    return {"commit": commit, "agent": agent, "notes": "", "outputs": outputs, "kinds": kinds, "failures": failures}


def _nothing() -> dict[str, Any]:
    sums = dict.fromkeys(
        ("ok", "failed", "void", "lost", "logs", "faults", "duplicates", "dead_letters", "expired", "starts", "saves"),
        0,
    )
    return {"seeds": [], **sums, "voids": 0, "excused": 0, "forked": 0, "stalled": 0, "longest_s": 0.0, "peak_bytes": 0}


def _count(sums: dict[str, Any], record: Record) -> None:
    sums["seeds"].append(record["seed"])
    sums[record["verdict"]] += 1
    sums["lost"] += any(BROKEN.search(reason) for reason in record["reasons"])
    sums["faults"] += len(record["faults"])
    sums["voids"] += len(record["void_attempts"])
    sums["excused"] += sum(reason.startswith(EXCUSES) for reason in record["void_attempts"])
    sums["forked"] += record["forked"]
    sums["stalled"] += record["stalls"] > 0
    for key in ("logs", "duplicates", "dead_letters", "expired", "starts", "saves"):
        sums[key] += record[key]
    sums["longest_s"] = max(sums["longest_s"], record["seconds"])
    sums["peak_bytes"] = max(sums["peak_bytes"], record["peak_bytes"])


def dump(found: Iterable[Piece], path: Path) -> None:
    """Write pieces, their seeds as ranges."""
    compact = [
        {
            **piece,
            "outputs": {
                name: {**sums, "seeds": ranges(sums["seeds"])} for name, sums in sorted(piece["outputs"].items())
            },
            "kinds": {name: {str(low): n for low, n in sorted(bins.items())} for name, bins in piece["kinds"].items()},
        }
        for piece in found
    ]
    path.write_text(json.dumps(compact, indent=1) + "\n")


def undump(path: Path) -> list[Piece]:
    """Read pieces that `dump` wrote."""
    found = json.loads(path.read_text()) if path.exists() else []
    for piece in found:
        for sums in piece["outputs"].values():
            sums["seeds"] = numbers(sums["seeds"])
        piece["kinds"] = {
            name: Counter({int(low): n for low, n in bins.items()}) for name, bins in piece["kinds"].items()
        }
    return list(found)


def merge(old: list[Piece], new: list[Piece]) -> list[Piece]:
    """Add pieces; a new one of the same commit takes the old one's place.

    Raises:
        ValueError: two pieces share a seed.
    """
    fresh = {piece["commit"] for piece in new}
    found = [piece for piece in old if piece["commit"] not in fresh] + new
    for output in {name for piece in found for name in piece["outputs"]}:
        seeds = [seed for piece in found for seed in piece["outputs"].get(output, _nothing())["seeds"]]
        if len(seeds) != len(set(seeds)):
            raise ValueError(f"two pieces share seeds of {output}: {ranges({s for s in seeds if seeds.count(s) > 1})}")
    return found


def ranges(found: Iterable[int]) -> str:
    """Write numbers as ranges, every fifth number being the next: `1-21:5, 30`."""
    spans: list[list[int]] = []
    for number in sorted(found):
        step = number - spans[-1][1] if spans else 0
        if step and (step == spans[-1][2] or (spans[-1][0] == spans[-1][1] and step in (1, 5))):
            spans[-1][1:] = [number, step]
        else:
            spans.append([number, number, 0])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" if step == 1 else f"{a}-{b}:{step}" for a, b, step in spans)


def numbers(text: str) -> list[int]:
    """Read what `ranges` wrote."""
    found: list[int] = []
    for span in filter(None, text.split(", ")):
        bounds, _, step = span.partition(":")
        first, _, last = bounds.partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found


def markdown(found: list[Piece]) -> str:
    """Write the report; a piece's notes are what a person had to say about it."""
    notes = [line for piece in found if piece["notes"] for line in (f"**{piece['commit'][:7]}.** {piece['notes']}", "")]
    return "\n".join([*_head(found), *notes, *_by_output(found), *_kinds(found), *_failures(found)]) + "\n"


def _head(found: list[Piece]) -> list[str]:
    every = [sums for piece in found for sums in piece["outputs"].values()]

    def total(key: str) -> str:
        return f"{sum(sums.get(key, 0) for sums in every):,}"

    agents: dict[str, list[Piece]] = defaultdict(list)
    for piece in found:
        agents[piece["agent"]].append(piece)
    largest, newest = max(agents.values(), key=_counted, default=[]), agents[found[-1]["agent"]] if found else []
    state = "is that one" if newest == largest else _state(newest)
    return [
        "# Fault schedules",
        "",
        "The real agent between the emulators, a seeded random schedule of faults on both sides, and an oracle that",
        "owns every log (`tests/faults/`). Obligation, checked at every save: once a checkpoint is saved, every log",
        "before it is in the receiver's durable store or a durable dead letter (plain syslog: in the receiving host,",
        "and in its store within 8 s). At the end of each schedule: every log there, none unknown, each byte-equal to",
        "what the encoder makes of it (in one log group of ten the reference encoder, else the compiled one; before",
        "0e23e21 always the reference), duplicates only where a fault explains them, a fresh log goes through, no",
        "save forced (but first positions), backwards, beyond the end or by a non-owner, memory bounded, no secret",
        "anywhere. A schedule counts when each of its faults struck while logs were unsettled, with at",
        "least 3 faults on either side, 5,000 logs and 20 pulls; otherwise it is drawn again.",
        "",
        f"**{_counted(found):,} schedules that count, {total('failed')} failed, "
        f"{total('lost')} of them with a log lost or late.** "
        f"{total('logs')} logs, {total('faults')} faults, {total('starts')} agent processes, "
        f"{total('saves')} saves checked, {total('voids')} draws that did not count.",
        "",
        "Repeat: `make faults SCHEDULES=n` (it goes on where it stopped), or `python -m tests.faults --seeds A-B "
        "--output OUTPUT`.",
        f"In {total('forked')} of them the agents were forked from a process that had done the imports, in the others",
        f"each was started as a program; the rest is the same. In {total('stalled')} the machine stood still for half",
        "a second or longer, as seen by the schedule's own clock; that explains a duplicate as a lost lease does.",
        "A draw over plain TCP and TLS that lost something of which nothing on the wire could have told the agent",
        "(docs/delivery.md) is drawn again: the receiver was told to throw away what it had not read within",
        "`settle_s`, or to close by itself, forget the rest, and so meet a drain.",
        f"Such draws since 7991ac9: {total('excused')}.",
        "",
        "The bar is 10,000 schedules without a failure. "
        f"**One state of `agent/` {_state(largest)}; the newest {state}.**",
        "",
    ]


def _state(mine: list[Piece]) -> str:
    failed = sum(sums["failed"] for piece in mine for sums in piece["outputs"].values())
    commits = ", ".join(piece["commit"][:7] for piece in mine)
    return f"(commits {commits}) has {_counted(mine):,}, of which {failed:,} failed"


def _counted(found: Iterable[Piece]) -> int:
    return sum(sums["ok"] + sums["failed"] for piece in found for sums in piece["outputs"].values())


def _by_output(found: list[Piece]) -> list[str]:
    heads = ["output", "commit", "seeds", "ok", "failed", "no draw counted", "logs", "lost or late", "duplicates"]
    heads += ["dead letters", "expired unread", "longest, s", "most memory, MB"]
    rows = ["## By output", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    named = [(name, piece["commit"], sums) for piece in found for name, sums in piece["outputs"].items()]
    for name, commit, sums in sorted(named, key=lambda row: row[:2]):
        cells = [name, commit[:7], ranges(sums["seeds"])]
        cells += [f"{sums[key]:,}" for key in ("ok", "failed", "void", "logs", "lost", "duplicates", "dead_letters")]
        cells += [f"{sums['expired']:,}", f"{sums['longest_s']:.0f}", f"{sums['peak_bytes'] / 1e6:.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]


def _kinds(found: list[Piece]) -> list[str]:
    kinds: dict[str, Counter[int]] = defaultdict(Counter)
    for piece in found:
        for name, bins in piece["kinds"].items():
            kinds[name].update(bins)
    rows = [
        "## By kind of fault",
        "",
        f"Logs in flight when it struck, in steps of {BIN}, rounded down.",
        "",
        "| kind | struck | in flight: least | median | most |",
        "|---|---|---|---|---|",
    ]
    for name, bins in sorted(kinds.items()):
        ordered = sorted(bins.elements())
        least, median, most = (BIN * bin_ for bin_ in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))
        rows.append(f"| {name} | {len(ordered):,} | {least} | {median} | {most} |")
    return [*rows, ""]


def _failures(found: list[Piece]) -> list[str]:
    failed = [f"- commit {piece['commit'][:7]}: {text}" for piece in found for text in piece["failures"]]
    return ["## Failed", "", *failed] if failed else ["No schedule failed."]


def _command(record: Record) -> str:
    return f"--seeds {record['seed']}-{record['seed']} --output {record['output']} --attempt {record['attempt']}"


def _first_reason(record: Record) -> str:
    reasons = [reason for reason in record["reasons"] if not reason.startswith("after ")] or record["reasons"]
    return reasons[0].strip().splitlines()[-1][:160] if reasons else ""
