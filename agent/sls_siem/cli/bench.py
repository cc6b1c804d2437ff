"""`sls-siem bench`: how much one agent ships per second of CPU time on this machine, without account and network."""

from __future__ import annotations

import json

from sls_siem.cli.bench_case import CASES, Case
from sls_siem.cli.bench_measure import Plan, Run, Stage, measure
from sls_siem.cli.bench_report import document, table
from sls_siem.cli.demo_report import Progress
from sls_siem.cli.demo_rig import EXIT_INTERRUPTED, ended_cleanly, scratch
from sls_siem.cli.exits import EXIT_BUG, EXIT_DONE, tell
from sls_siem.emulator.remote import EmulatorError
from sls_siem.emulator.sls import ControlError
from sls_siem.errors import AgentError

DEFAULT_PLAN = Plan()


def bench(output: str, *, as_json: bool, plan: Plan = DEFAULT_PLAN) -> int:
    """Measure every case of an output and print what was found; returns the exit status.

    Args:
        output: hec, syslog or tls.
        as_json: print one JSON document instead of a table.
        plan: how long and how often.
    """
    progress = Progress()
    try:
        results = [(case, run_case(case, plan, progress)) for case in CASES[output]]
    except (AgentError, ControlError, EmulatorError, OSError) as exc:
        tell(f"bench: {exc}")
        return EXIT_BUG
    except KeyboardInterrupt:
        tell("bench: interrupted")
        return EXIT_INTERRUPTED
    found = document(results, plan)
    print(json.dumps(found, indent=2) if as_json else table(found))
    return EXIT_DONE


def run_case(case: Case, plan: Plan, progress: Progress) -> list[Run]:
    """Measure the agent in one case.

    Raises:
        AgentError: a process did not start, ended, or delivers nothing.
    """
    progress.say(f"{case.name}: {plan.runs} runs of {plan.seconds:g} s after {plan.warmup_s:g} s of warm-up")
    with ended_cleanly() as stack, Stage(case, scratch(stack)) as stage:
        return measure(stage, plan, stage.agent)
