"""What keys must be to each other.

Each rule is one entry of a table. A rule is asked only when all of its keys could be read.
"""

from __future__ import annotations

import importlib.util
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional
from urllib.parse import urlsplit

from sls_siem.config.derived import scheme_of
from sls_siem.config.draft import Draft
from sls_siem.config.model import Config

LEASE_SHARE = 0.8
"""Share of the group's timeout after which an unanswered consumer stops sending."""

_UDP_MOST_BYTES = 65507  # the most an IPv4 datagram carries: 65535 less the IP and UDP headers


@dataclass(frozen=True)
class Rule:
    """Something that must not be.

    Args:
        keys: all keys that it looks at; the first one is blamed.
        broken: tells whether it is.
        wrong: what is wrong then.
        right: what would be right.
    """

    keys: Sequence[str]
    broken: Callable[[Config], bool]
    wrong: str
    right: str


_SYSLOG_URLS = ("syslog.url", "syslog.urls")


def _only_for(source: str, name: str) -> Rule:
    key = f"sls.credentials.{name}"

    def broken(config: Config) -> bool:
        credentials = config.sls.credentials
        return credentials.source != source and getattr(credentials, name) is not None

    return Rule((key, "sls.credentials.source"), broken, "is not used with this source", f'set source = "{source}"')


RULES: Sequence[Rule] = (
    Rule(
        ("sls.endpoint", "sls.project"),
        lambda c: (urlsplit(c.sls.endpoint).hostname or "").startswith(f"{c.sls.project.lower()}."),
        "starts with the project's name",
        "leave the project out, it is put in front of the host for each call",
    ),
    Rule(
        ("sls.processor", "sls.query"),
        lambda c: c.sls.processor is not None and c.sls.query is not None,
        "stands together with query",
        "keep one of them",
    ),
    Rule(
        ("sls.group_timeout_s", "sls.heartbeat_s"),
        lambda c: 2 * c.sls.heartbeat_s > LEASE_SHARE * c.sls.group_timeout_s,
        "leaves no room for one lost heartbeat",
        "give at least 2.5 times heartbeat_s",
    ),
    Rule(
        ("sls.compression",),
        lambda c: c.sls.compression == "zstd" and not zstd_available(),
        "needs the compiled codec (package sls-siem-codec) or Python 3.14, and neither is here",
        "choose lz4",
    ),
    Rule(
        ("sls.credentials.file", "sls.credentials.source"),
        lambda c: c.sls.credentials.source == "file" and c.sls.credentials.file is None,
        'is missing beside source = "file"',
        "name the JSON file that holds the credentials",
    ),
    _only_for("file", "file"),
    _only_for("ecs-ram-role", "ram_role"),
    _only_for("access-key", "access_key_id_file"),
    _only_for("access-key", "access_key_secret_file"),
    _only_for("access-key", "security_token_file"),
    Rule(
        ("hec.urls", "siem.output"),
        lambda c: c.siem.output == "hec" and not c.hec.urls,
        'is missing beside siem.output = "hec"',
        'give a list such as ["https://splunk.example.com:8088"]',
    ),
    Rule(
        (*_SYSLOG_URLS, "siem.output"),
        lambda c: c.siem.output == "syslog" and not c.syslog.urls,
        'is missing beside siem.output = "syslog"',
        'give an address such as "tls://siem.example.com:6514"',
    ),
    Rule(
        ("syslog.urls",),
        lambda c: len({scheme_of((url,)) for url in c.syslog.urls}) > 1,
        "mixes schemes",
        "give all addresses the same one: a fallback must not be weaker than what it stands in for",
    ),
    Rule(
        ("syslog.max_bytes", *_SYSLOG_URLS),
        lambda c: scheme_of(c.syslog.urls) == "udp" and c.syslog.max_bytes > _UDP_MOST_BYTES,
        "is more than a UDP datagram holds",
        f"give at most {_UDP_MOST_BYTES}",
    ),
    Rule(
        ("siem.event_id_field", "siem.format"),
        lambda c: c.siem.format == "leef" and c.siem.event_id_field in ("devTime", "devTimeFormat", "sls_replay"),
        "is a key that LEEF has for something else",
        "give another name such as sls_id",
    ),
    Rule(
        ("leef.fields", "siem.event_id_field"),
        lambda c: bool(c.leef.fields) and c.siem.event_id_field in (c.leef.fields or ()),
        "has a key of the same name as siem.event_id_field",
        "give the field another key: this one carries the event's id",
    ),
    Rule(
        ("fields.drop", "fields.redact", "fields.hash", "fields.truncate", "fields.rename"),
        lambda c: bool(
            set(c.fields.drop)
            & {*c.fields.redact, *c.fields.hash, *(c.fields.truncate or ()), *(c.fields.rename or ())}
        ),
        "names a field that another key of [fields] names too",
        "leave it out there: nothing is left of a dropped field",
    ),
    Rule(
        ("fields.redact", "fields.hash"),
        lambda c: bool(set(c.fields.redact) & set(c.fields.hash)),
        "names a field that hash names too",
        "keep one of them",
    ),
    Rule(
        ("tls.verify", "tls.insecure"),
        lambda c: not c.tls.verify and not c.tls.insecure,
        "would trust any peer",
        "set ca_file to the CA that signed the SIEM's certificate, or write insecure = true beside it",
    ),
    Rule(
        ("tls.key_file", "tls.cert_file"),
        lambda c: c.tls.key_file is not None and c.tls.cert_file is None,
        "stands without cert_file",
        "name the client certificate too",
    ),
    Rule(
        ("delivery.unsettled_s", "syslog.settle_s"),
        lambda c: c.siem.output == "syslog" and c.delivery.unsettled_s <= c.syslog.settle_s,
        "is not longer than syslog.settle_s, so that every shard would wait",
        "give more than syslog.settle_s",
    ),
    Rule(
        ("metrics.port",),
        lambda c: c.metrics.port is not None and c.metrics.port + c.instance > 65535,
        "plus the instance's number is above 65535",
        "give a lower one",
    ),
)

_FILES_TO_READ: Sequence[tuple[str, Callable[[Config], Optional[str]]]] = (
    ("sls.ca_file", lambda c: c.sls.ca_file),
    ("tls.ca_file", lambda c: c.tls.ca_file),
    ("tls.cert_file", lambda c: c.tls.cert_file),
)


def apply_rules(draft: Draft, config: Config) -> None:
    """Report every rule that is broken."""
    for rule in RULES:
        if draft.unusable.isdisjoint(rule.keys) and rule.broken(config):
            draft.report(rule.keys[0], rule.wrong, rule.right)
    _url_or_urls(draft)
    _framing(draft, config)
    _files(draft, config)


def zstd_available() -> bool:
    """Tell whether something here can read zstd: Python itself, or the compiled codec."""
    return sys.version_info >= (3, 14) or importlib.util.find_spec("sls_siem_codec") is not None


def _url_or_urls(draft: Draft) -> None:
    if {"syslog.url", "syslog.urls"} <= set(draft.given):
        draft.report("syslog.url", "stands together with urls", "keep one of them")


def _framing(draft: Draft, config: Config) -> None:
    scheme = scheme_of(config.syslog.urls)
    if "syslog.framing" in draft.given and config.syslog.urls and scheme not in ("tls", "tcp"):
        draft.report("syslog.framing", f"is not for {scheme}://, which frames by itself", "leave it out")


def _files(draft: Draft, config: Config) -> None:
    for key, value_of in _FILES_TO_READ:
        name = value_of(config)
        why_not = _why_unreadable(Path(name)) if name is not None else ""
        if why_not:
            draft.report(key, f"cannot be read ({why_not})", "name a file that the agent's user may read")


def _why_unreadable(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block
            return "not a file"
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""
