"""`check --connect`: asks SLS and the SIEM everything an installation needs, and says what to do where it fails."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Union

from sls_siem.config import Config
from sls_siem.errors import NotFoundError, PermissionRefusedError, SourceError
from sls_siem.siem import make_output
from sls_siem.siem.output import ProbeResult
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source
from sls_siem.sls.session import Session

MOST_SKEW_S = 900
WARN_SKEW_S = 60
GROUPS_PER_LOGSTORE = 30
PROBE_S = 10.0

Fact = Union[str, int, float, bool, None]


@dataclass
class Findings:
    """What was found, in order; `facts` are for machines."""

    results: list[ProbeResult] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)

    def note(self, *, ok: bool, subject: str, text: str) -> None:
        """Add one line."""
        self.results.append(ProbeResult(ok=ok, subject=subject, text=text))

    @property
    def ok(self) -> bool:
        """Nothing stands in the way."""
        return all(result.ok for result in self.results)


def ask_everybody(config: Config) -> Findings:
    """Ask SLS, then the SIEM; nothing is created, saved or sent as an event."""
    findings = Findings()
    session = SlsClient(config.sls, credential_source(config.sls.credentials)).session()
    try:
        if _ask_shards(session, findings):
            _ask_group(session, config, findings)
            _ask_positions(session, findings)
            _try_processing(session, config, findings)
            _ask_retention(session, findings)
        _judge_skew(session, findings)
    finally:
        session.close()
    output = make_output(config)
    try:
        findings.results.extend(output.probe(PROBE_S))
    finally:
        output.close()
    return findings


def _ask_shards(session: Session, findings: Findings) -> bool:
    """Is the endpoint, project, logstore and key right?"""
    try:
        shards = session.list_shards()
    except PermissionRefusedError as exc:
        findings.note(ok=False, subject="SLS, permission log:ListShards", text=str(exc))
        return True
    except SourceError as exc:
        findings.note(ok=False, subject="SLS", text=str(exc))
        return False
    writable = sum(not shard.read_only for shard in shards)
    findings.facts.update(shards=len(shards), writable_shards=writable)
    findings.note(ok=True, subject="SLS", text=f"signed calls work; {len(shards)} shards, {writable} of them writable")
    return True


def _ask_group(session: Session, config: Config, findings: Findings) -> None:
    """Is the consumer group there, and is there room for it if not?"""
    name = config.sls.consumer_group
    try:
        groups = session.list_consumer_groups()
    except SourceError as exc:
        findings.note(ok=isinstance(exc, PermissionRefusedError), subject="SLS, consumer groups", text=str(exc))
        return
    findings.facts["consumer_groups"] = len(groups)
    found = next((group for group in groups if group.name == name), None)
    findings.facts["consumer_group_exists"] = found is not None
    if found is not None:
        text = f"{name} exists, timeout {found.timeout_s} s"
        if found.timeout_s != config.sls.group_timeout_s:
            text += f" (kept; the configuration has {config.sls.group_timeout_s} s)"
        text += _start_of_existing(session, config.sls.start)
        findings.note(ok=True, subject="SLS, consumer group", text=text)
    elif len(groups) >= GROUPS_PER_LOGSTORE:
        names = ", ".join(sorted(group.name for group in groups))
        text = (
            f"{name} cannot be made: the logstore has {len(groups)} groups, the service's limit is "
            f"{GROUPS_PER_LOGSTORE}. Delete one that is no longer used: {names}"
        )
        findings.note(ok=False, subject="SLS, consumer group", text=text)
    else:
        text = (
            f"{name} will be made at the first start, at {_start_in_words(config.sls.start)} "
            f"({len(groups)} of {GROUPS_PER_LOGSTORE} groups exist)"
        )
        findings.note(ok=True, subject="SLS, consumer group", text=text)


def _start_in_words(start: str) -> str:
    if start == "end":
        return "`end`: what is in the logstore until then is not shipped"
    if start == "begin":
        return "`begin`: all that the logstore still holds is shipped"
    since = dt.datetime.fromtimestamp(int(start), dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{since}: what was received before is not shipped"


def _start_of_existing(session: Session, start: str) -> str:
    """Say whether a group that exists starts anywhere: only while no position is saved (`sls/start.py`)."""
    try:
        used = any(found.position is not None or found.unreadable for found in session.checkpoints().values())
    except SourceError:  # `_ask_positions` reports it
        return ""
    if used:
        return "; it goes on at its saved positions, sls.start is not used"
    return f"; it has no saved positions and starts at {_start_in_words(start)}"


def _try_processing(session: Session, config: Config, findings: Findings) -> None:
    """Does SLS take the query or the processor? Asked with one log group at most; nothing is saved."""
    key = "sls.query" if config.sls.query else "sls.processor"
    if not (config.sls.query or config.sls.processor):
        return
    try:
        shards = session.list_shards()
        if not shards:
            return
        session.pull(shards[0].shard, session.cursor(shards[0].shard, "begin"), count=1)
    except SourceError as exc:
        if exc.code.lower() == "shardnotexist":
            return
        blamed = type(exc) is SourceError or isinstance(exc, NotFoundError)  # the others have nothing to do with it
        text = f"{exc}; correct {key}" if blamed else f"{key} could not be tried: {exc}"
        findings.note(ok=False, subject=f"SLS, {key}", text=text)
    else:
        findings.note(ok=True, subject=f"SLS, {key}", text="SLS takes it")


def _ask_positions(session: Session, findings: Findings) -> None:
    """May we read cursors and, where the group exists, checkpoints?"""
    try:
        shards = session.list_shards()
        if shards:
            session.cursor(shards[0].shard, "end")
        if findings.facts.get("consumer_group_exists"):
            session.checkpoints()
    except NotFoundError:
        return
    except SourceError as exc:
        findings.note(ok=False, subject="SLS, reading", text=str(exc))
        return
    findings.note(ok=True, subject="SLS, reading", text="cursors and checkpoints can be read")


def _ask_retention(session: Session, findings: Findings) -> None:
    try:
        days = session.logstore_ttl_days()
    except SourceError:
        text = "unknown (permission log:GetLogStore is missing; it is optional)"
        findings.note(ok=True, subject="SLS, retention", text=text)
        return
    findings.facts["retention_days"] = days
    findings.note(ok=True, subject="SLS, retention", text=f"{days} days: an outage may last that long and lose nothing")


def _judge_skew(session: Session, findings: Findings) -> None:
    """Signatures are refused beyond 15 minutes of clock skew (SLS API reference, RequestTimeExpired)."""
    skew = session.server_time_skew_s
    if skew is None:
        return
    findings.facts["clock_skew_s"] = round(skew, 1)
    fix = "; set this host's clock with chrony or systemd-timesyncd"
    text = f"this host is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the service"
    if abs(skew) >= WARN_SKEW_S:
        text += f" (from {MOST_SKEW_S} s on every call is refused){fix}"
    findings.note(ok=abs(skew) < WARN_SKEW_S, subject="clock", text=text)


def guarantee(config: Config) -> str:
    """Say which delivery guarantee the configuration has (README, table)."""
    if config.siem.output == "hec":
        if config.hec.acknowledge:
            return "at least once: a checkpoint waits until the indexer acknowledged; nothing can be lost"
        return "at least once up to the collector: what an indexer holds in memory is lost when it crashes"
    scheme = config.syslog.urls[0].split(":")[0]
    if scheme.startswith("relp"):
        return "at least once: a checkpoint waits for RELP's answer; nothing that the receiver stored can be lost"
    if scheme == "udp":
        return "none: UDP syslog can lose anything"
    return (
        "at least once up to the receiving host: a checkpoint waits until the bytes left, "
        f"{config.syslog.settle_s:g} s passed and the connection is healthy; "
        "what the receiver's process never read can be lost"
    )
