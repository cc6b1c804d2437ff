"""Medians and spread of runs, as one JSON document or as a table."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sls_siem.cli.bench_case import Case
from sls_siem.cli.bench_measure import Plan, Run
from sls_siem.codec import codec_name
from sls_siem.version import __version__


def document(results: Sequence[tuple[Case, Sequence[Run]]], plan: Plan) -> dict[str, Any]:
    """Everything that was measured, and what it depends on; no name of the machine."""
    return {
        "version": __version__,
        "codec": codec_name(),
        "python": platform.python_version(),
        "machine": {"cpus": os.cpu_count(), "model": _cpu_model()},
        "plan": {"runs": plan.runs, "warmup_s": plan.warmup_s, "seconds": plan.seconds},
        "results": [summary(case, runs) for case, runs in results],
    }


def summary(case: Case, runs: Sequence[Run]) -> dict[str, Any]:
    """One case: what it was, then medians and spread."""
    return {
        "case": case.name,
        "output": case.output,
        "gzip": case.gzip,
        "tls": case.tls,
        "acknowledge": case.acknowledge,
        "codec": case.codec,
        "profile": case.profile,
        "raw_bytes_per_log": round(case.raw_bytes_per_log, 1),
        "shards": case.shards,
        "logs_per_group": case.logs_per_group,
        "raw_mb_per_cpu_s": _spread([run.raw_mb_per_cpu_s for run in runs]),
        "wall_mb_per_s": _spread([run.wall_mb_per_s for run in runs]),
        "cores": _spread([run.cores for run in runs]),
        "peak_resident_mb": _spread([run.peak_bytes / 1e6 for run in runs]),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    rounded = [round(value, 3) for value in values]
    return {
        "median": round(statistics.median(values), 3),
        "lowest": min(rounded),
        "highest": max(rounded),
        "runs": rounded,
    }


def table(found: dict[str, Any]) -> str:
    """Lay a document out in at most 102 columns."""
    head = f"{'':<32}{'raw MB per CPU-second':>26}{'wall MB/s':>26}{'cores':>7}{'memory MB':>11}"
    rows = [
        f"{row['case']:<32}{_cell(row['raw_mb_per_cpu_s']):>26}{_cell(row['wall_mb_per_s']):>26}"
        f"{row['cores']['median']:>7.2f}{row['peak_resident_mb']['highest']:>11.1f}"
        for row in found["results"]
    ]
    return "\n".join([_heading(found), "", head, *rows])


def _heading(found: dict[str, Any]) -> str:
    first, plan, machine = found["results"][0], found["plan"], found["machine"]
    return (
        f"sls-siem {found['version']}, codec {found['codec']}, Python {found['python']}, "
        f"{machine['cpus']} CPUs ({machine['model']})\n"
        f"{first['profile']} logs of {first['raw_bytes_per_log']:.0f} bytes, {first['logs_per_group']} in a group, "
        f"{first['shards']} shards; median (lowest to highest) of {plan['runs']} runs of {plan['seconds']:g} s"
    )


def _cell(spread: dict[str, Any]) -> str:
    return f"{spread['median']:.1f} ({spread['lowest']:.1f} to {spread['highest']:.1f})"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
