"""`sls-siem check`: every problem of the configuration at once; with `--connect` also what SLS and the SIEM say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sls_siem.cli.exits import EXIT_CONFIG, EXIT_DONE, EXIT_UNAVAILABLE, tell
from sls_siem.config import Config, load, warnings_for
from sls_siem.errors import ConfigError
from sls_siem.service.logs import printable
from sls_siem.service.trial import refusals
from sls_siem.siem.output import ProbeResult
from sls_siem.sls.ram_policy import ram_policy


def check(path: Path, instance: int, environ: Mapping[str, str], *, connect: bool, as_json: bool) -> int:
    """Check, print, and return the exit status: 0, 78 for the configuration, 69 for a peer."""
    try:
        config = load(path, instance, environ)
    except ConfigError as exc:
        return _report_problems(exc.problems, as_json=as_json)
    warnings = warnings_for(config, environ)
    problems = refusals(config, path, environ)
    if problems:
        return _report_problems(problems, warnings, as_json=as_json)
    if not connect:
        return _report_configuration(config, warnings, as_json=as_json)
    return _report_connections(config, warnings, as_json=as_json)


def print_ram_policy(path: Path, instance: int, environ: Mapping[str, str]) -> int:
    """Print the RAM policy that this configuration needs, as JSON and nothing else.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    print(json.dumps(ram_policy(load(path, instance, environ).sls), indent=2))
    return EXIT_DONE


def _report_problems(problems: Sequence[str], warnings: tuple[str, ...] = (), *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "problems": problems, "warnings": warnings}))
    else:
        _tell_warnings(warnings)
        for problem in problems:
            tell(printable(problem))
    return EXIT_CONFIG


def _report_configuration(config: Config, warnings: tuple[str, ...], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_document(config, warnings)))
    else:
        _tell_warnings(warnings)
        tell(f"the configuration of instance {config.instance} is valid")
    return EXIT_DONE


def _report_connections(config: Config, warnings: tuple[str, ...], *, as_json: bool) -> int:
    # Only this command needs SLS and the SIEM; a plain check stays quick.
    from sls_siem.service.connect import ask_everybody, guarantee

    findings = ask_everybody(config)
    if as_json:
        document = _document(config, warnings) | {
            "ok": findings.ok,
            "guarantee": guarantee(config),
            **findings.facts,
            "results": [_result(result) for result in findings.results],
        }
        print(json.dumps(document))
    else:
        _tell_warnings(warnings)
        for result in findings.results:
            tell(printable(f"{'ok  ' if result.ok else 'FAIL'} {result.subject}: {result.text}"))
        tell(f"delivery: {guarantee(config)}")
    return EXIT_DONE if findings.ok else EXIT_UNAVAILABLE


def _tell_warnings(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        tell(printable(f"warning: {warning}"))


def _document(config: Config, warnings: tuple[str, ...]) -> dict[str, object]:
    return {
        "ok": True,
        "problems": [],
        "warnings": list(warnings),
        "instance": config.instance,
        "consumer": config.sls.consumer_name,
    }


def _result(result: ProbeResult) -> dict[str, object]:
    facts = {"facts": result.facts} if result.facts else {}
    return {"ok": result.ok, "subject": result.subject, "text": result.text, **facts}
