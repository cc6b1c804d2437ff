"""Logs for the contract tests, and what a receiver must make of each: worked out from the log, not from the codec.

Half of the logs are hostile, the rest ordinary; a few go through every PRI and the edges of time stamps.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from sls_siem.codec import make_encoder, settings_from
from sls_siem.codec.model import Batch, Encoder, Payload
from sls_siem.config import Config, load
from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import Log, LogGroup, decode_group, encode_group, encode_list
from tests.receivers.model import Received

SHARD = 3
FIRST_POSITION = 70_000
LOGSTORE = "web-logs"
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_GROUPS_PER_BATCH = 20
_PER_PROFILE = {"hostile": 5_000, "nginx": 2_500, "actiontrail": 2_500}
_HEADER = re.compile(
    rb"<\d{1,3}>(?:1 \S+ \S+ \S+ \S+ \S+ (?:-|\[(?:[^\]\\]|\\.)*\]) |... .\d \d\d:\d\d:\d\d \S+ \S+: )", re.DOTALL
)


@dataclass(frozen=True)
class Sent:
    """One log and its event id."""

    log: Log
    group: LogGroup
    event_id: str


@dataclass(frozen=True)
class Traffic:
    """Batches as SLS hands them out, and the logs in them, in the same order."""

    batches: tuple[Batch, ...]
    sent: tuple[Sent, ...]


@dataclass(frozen=True)
class Recipe:
    """What differs between the configurations under test.

    Args:
        syslog: further lines of `[syslog]`.
        tls: lines of `[tls]`.
    """

    format: str = "json"
    rfc: int = 5424
    framing: str = "octet-counting"
    max_bytes: int = 4 << 20
    syslog: tuple[str, ...] = field(default=())
    tls: tuple[str, ...] = field(default=())


@lru_cache(maxsize=2)
def make_traffic(*, recent: bool = False) -> Traffic:
    """Make more than 10,000 logs.

    Args:
        recent: all of the last days, for time stamps that have no year.
    """
    now = int(time.time()) if recent else None
    bodies = []
    for profile, logs in _PER_PROFILE.items():
        source = LogSource(profile, seed=7)
        bodies += [source.group(first, 50, _moment(first // 50, now)) for first in range(0, logs, 50)]
    bodies += _edges(now)
    positions = range(FIRST_POSITION, FIRST_POSITION + len(bodies), _GROUPS_PER_BATCH)
    batches = tuple(_batch(position, bodies) for position in positions)
    return Traffic(batches, tuple(_sent(bodies)))


def configuration(url: str, recipe: Recipe, folder: Path) -> Config:
    """Load the agent's configuration for one receiver, the usual way: from a file."""
    lines = (
        "[sls]",
        'endpoint = "https://cn-hangzhou.log.aliyuncs.com"',
        'project = "project-one"',
        f'logstore = "{LOGSTORE}"',
        'consumer_group = "group"',
        "[siem]",
        'output = "syslog"',
        f'format = "{recipe.format}"',
        "json_fields = []",
        'raw_field = "message"',
        "[syslog]",
        f'url = "{url}"',
        f"rfc = {recipe.rfc}",
        f'framing = "{recipe.framing}"',
        f"max_bytes = {recipe.max_bytes}",
        'facility = "{facility}"',
        f'severity = {{ field = "severity", map = {{ {_severity_map()} }}, default = "notice" }}',
        *_header_keys(recipe.rfc),
        *recipe.syslog,
        *(("[tls]", *recipe.tls) if recipe.tls else ()),
    )
    path = folder / "agent.toml"
    path.write_text("\n".join(lines) + "\n")
    return load(path, 1, {})


def encode(config: Config, traffic: Traffic) -> tuple[Encoder, list[Payload]]:
    """Encode everything."""
    encoder = make_encoder(settings_from(config))
    payloads = [item for batch in traffic.batches for item in encoder.encode(batch) if isinstance(item, Payload)]
    return encoder, payloads


def frames_of(encoder: Encoder, payloads: list[Payload], framing: str) -> list[bytes]:
    """Cut payloads into messages without their framing."""
    frames = [frame for payload in payloads for frame in encoder.split(payload.data)]
    return [frame[:-1] if framing == "lf" else frame[frame.index(b" ") + 1 :] for frame in frames]


def message_of(frame: bytes) -> bytes:
    """Return what stands behind the header."""
    header = _HEADER.match(frame)
    if header is None:
        raise ValueError(f"not a header: {frame[:200]!r}")
    return frame[header.end() :]


def expected(sent: Sent, frame: bytes, *, rfc: int) -> Received:
    """Tell what the receiver must find in the frame of this log."""
    fields = _fields(sent)
    rfc3164 = rfc == 3164
    elements = {"sls@32473": {"id": sent.event_id, "logstore": LOGSTORE}}
    data = f'[sls@32473 id="{sent.event_id}" logstore="{LOGSTORE}"]'
    return Received(
        facility=int(fields.get(b"facility", b"1")),
        severity=int(fields.get(b"severity", b"5")),
        time_us=sent.log.time * 1_000_000 + (0 if rfc3164 else _microseconds(sent.log)),
        hostname=b"web-1.example.com" if rfc3164 else _header_field(fields.get(b"__source__"), 255),
        app_name=b"app" if rfc3164 else _header_field(fields.get(b"__topic__"), 48),
        procid=_header_field(fields.get(b"seq"), 128),
        msgid=b"-" if rfc3164 else _header_field(fields.get(b"message"), 32),
        structured_data=b"-" if rfc3164 else data.encode(),
        elements={} if rfc3164 else elements,
        msg=message_of(frame),
        raw=frame,
    )


def members(sent: Sent, *, with_id: bool) -> list[tuple[str, Any]]:
    """List names and values of the event, as `json` must give them back."""
    log, group = sent.log, sent.group
    pairs: list[tuple[str, Any]] = [("__time__", log.time)]
    pairs += [("__time_ns_part__", log.time_ns)] if log.time_ns is not None else []
    pairs += [("__topic__", _text(group.topic))] if group.topic is not None else []
    pairs += [("__source__", _text(group.source))] if group.source is not None else []
    pairs += [("__tag__:" + _text(key), _text(value)) for key, value in group.tags]
    pairs += [("sls_id", sent.event_id)] if with_id else []
    pairs += [(_text(key), _text(value)) for key, value in log.contents]
    named: dict[str, Any] = {}
    for name, value in pairs:
        free, number = name, 2
        while free in named:
            free, number = f"{name}_{number}", number + 1
        named[free] = value
    return list(named.items())


def members_in_json(msg: bytes) -> list[tuple[str, Any]]:
    return list(json.loads(msg, object_pairs_hook=list))


def members_in_kv(msg: bytes) -> list[tuple[str, str]]:
    """Undo `kv`: members joined by `||`, with backslash escapes; numbers are text there."""
    pairs = []
    for member in re.findall(r"(?:\\.|[^\\|])+", msg.decode()):
        name, value = re.fullmatch(r"((?:\\.|[^\\=])*)=(.*)", member, re.DOTALL).groups()  # type: ignore[union-attr]
        pairs.append((_unescape(name), _unescape(value)))
    return pairs


def _unescape(text: str) -> str:
    known = {"r": "\r", "n": "\n", "0": "\0"}
    return re.sub(r"\\(.)", lambda match: known.get(match[1], match[1]), text)


def _severity_map() -> str:
    return ", ".join(f'"{number}" = "{name}"' for number, name in enumerate(SEVERITIES))


def _header_keys(rfc: int) -> tuple[str, ...]:
    """Fill header fields from the logs; RFC 3164 gives no rule where a hostile host name or tag would end."""
    if rfc == 3164:
        return 'hostname = "web-1.example.com"', 'app_name = "app"', 'procid = "{seq}"'
    return 'app_name = "{__topic__}"', 'procid = "{seq}"', 'msgid = "{message}"'


def _moment(number: int, now: Optional[int]) -> int:
    return 1_600_000_000 + 86_399 * number if now is None else now - 3_000 * number


def _edges(now: Optional[int]) -> Iterator[bytes]:
    """Make logs with every PRI, and with the edges of what a time stamp can say."""
    pri = [(b"%d" % facility, b"%d" % severity) for facility in range(24) for severity in range(8)]
    logs = tuple(
        Log(now or 1_700_000_000, ((b"facility", facility), (b"severity", severity), (b"message", b"edge")))
        for facility, severity in pri
    )
    yield encode_group(LogGroup(logs, topic=b"pri", source=b"2001:db8::1"))
    if now is None:
        seconds = (0, 1, 951_782_400, 2**31 - 1, 2**31, 4_102_444_799)
        nanoseconds = (None, 0, 999, 1_000, 123_456_789, 999_999_999)
        logs = tuple(Log(second, ((b"message", b"time"),), part) for second in seconds for part in nanoseconds)
        yield encode_group(LogGroup(logs, topic=b"time", source=b"10.0.0.1"))


def _batch(position: int, bodies: list[bytes]) -> Batch:
    first = position - FIRST_POSITION
    groups = bodies[first : first + _GROUPS_PER_BATCH]
    return Batch(SHARD, position, position + len(groups), len(groups), encode_list(groups))


def _sent(bodies: list[bytes]) -> Iterator[Sent]:
    for number, body in enumerate(bodies):
        group = decode_group(body)
        for place, log in enumerate(group.logs):
            yield Sent(log, group, f"{SHARD}-{FIRST_POSITION + number}-{place}")


def _fields(sent: Sent) -> dict[bytes, bytes]:
    """Find what a template finds: metadata before contents, of duplicates the first."""
    metadata = {b"__topic__": sent.group.topic, b"__source__": sent.group.source}
    known = {name: value for name, value in metadata.items() if value is not None}
    return {**dict(reversed(sent.log.contents)), **known}


def _microseconds(log: Log) -> int:
    """A fraction that is none (2**32 - 1 nanoseconds, say) is left out."""
    return log.time_ns // 1000 if log.time_ns is not None and log.time_ns < 1_000_000_000 else 0


def _header_field(value: Optional[bytes], longest: int) -> bytes:
    printable = bytes(byte if 33 <= byte <= 126 else 0x5F for byte in value or b"")
    return printable[:longest] or b"-"


def _text(raw: Optional[bytes]) -> str:
    return (raw or b"").decode("utf-8", "backslashreplace")
