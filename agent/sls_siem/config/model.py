"""The configuration as the agent works with it: one frozen dataclass per table, one attribute per key.

Each attribute is declared with the parser of its key and its default, so that this file is the list of all keys.
Durations are seconds, sizes bytes. Where a default depends on another key, `derived.py` works it out and what
stands here is what it comes to most often. It knows no file and no environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from sls_siem.config import fields as f
from sls_siem.config.maps import MAPS
from sls_siem.config.profiles import PROFILES
from sls_siem.config.syslog_names import FACILITIES, SEVERITIES
from sls_siem.config.urls import HTTP_PORTS, SYSLOG_PORTS, UrlError, parse_endpoint

MIB = 1 << 20
GIB = 1 << 30
MOST_INSTANCES = 99

_PROJECT = f.text(
    "the project's name: letters, digits and -", pattern=r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?"
)
_NAME = f.text("its name: letters, digits, - and _, at most 128", pattern=r"[A-Za-z0-9_-]{1,128}")
_REGION = f.text('the region\'s id such as "cn-hangzhou"', pattern=r"[a-z0-9]+(?:-[a-z0-9]+)+")
_CONSUMER = f.text(
    "letters, digits, -, _ and . and the fields {host}, {instance}, {machine_id}",
    pattern=r"(?:[A-Za-z0-9._-]|\{host\}|\{instance\}|\{machine_id\}){1,200}",
)
_FIELD_NAME = f.text("the name of a field")
_WORD = f.text("a word without a space", pattern=r"[!-~]+")
_HEC_URL = f.url(HTTP_PORTS, "https://splunk.example.com:8088")
_SYSLOG_URL = f.url(SYSLOG_PORTS, "tls://siem.example.com:6514")
# Only plain HTTP proxies: what is behind one is encrypted by TLS towards SLS itself.
_PROXY = f.url({"http": 80}, "http://proxy.example.com:3128", user_allowed=True)
_CEF_SEVERITIES = (*map(str, range(11)), "Unknown", "Low", "Medium", "High", "Very-High")
# RFC 5424 section 6.3.2: a name of our own is name@private enterprise number, at most 32 characters in all.
_SD_ID = f.text(
    'an SD-ID with a private enterprise number such as "sls@32473" of at most 32 characters, or ""',
    pattern=r"|(?=.{1,32}$)[!#-<>?A-\\^-~]+@\d+(?:\.\d+)*",
)


def _endpoint(value: object) -> str:
    example = "https://cn-hangzhou.log.aliyuncs.com"
    found = f.text(f"the endpoint such as {example}")(value)
    try:
        return parse_endpoint(found).url
    except UrlError as exc:
        raise f.UnfitError(
            str(exc), f"give scheme, host and perhaps a port such as {example}", hide="@" in found
        ) from exc


def _by_field(value: dict[str, object], parse_name: f.Parser, name: str, default: str) -> SeverityMap:
    """Read a severity that is a table; `name` is one for the example that a message shows."""
    wanted = f'{{ field = "level", map = {{ ERROR = "{name}" }}, default = "{default}" }}'
    unknown = sorted(set(value) - {"field", "map", "default"})
    if unknown:
        raise f.UnfitError(f"has the unknown key {unknown[0][:40]!r}", f"write {wanted}")
    if "field" not in value or "map" not in value:
        raise f.UnfitError("is a table without field or map", f"write {wanted}")
    return SeverityMap(
        field=_FIELD_NAME(value["field"]),
        map=f.text_table(parse_name)(value["map"]),
        default=parse_name(value.get("default", default)),
    )


def _severity(value: object) -> Union[str, SeverityMap]:
    if isinstance(value, dict):
        return _by_field(value, f.choice(*SEVERITIES), "err", "info")
    return str(f.name_or_template(SEVERITIES)(value))


def _cef_severity(value: object) -> Union[str, SeverityMap]:
    if isinstance(value, dict):
        return _by_field(value, f.choice(*_CEF_SEVERITIES), "8", "5")
    found = f.template(value)
    if "{" not in found and found not in _CEF_SEVERITIES:
        raise f.UnfitError("is no severity of CEF", f"give a template or one of {', '.join(_CEF_SEVERITIES)}")
    return found


def _mapped(key: str, wanted: str, taken: Sequence[str]) -> f.Parser:
    """Make a parser of tables from keys of a format to fields of the log.

    Args:
        key: regular expression of the keys.
        wanted: what it lets through, in the operator's words.
        taken: keys that the format writes itself.
    """
    parse_table = f.text_table(_FIELD_NAME)

    def parse(value: object) -> Mapping[str, str]:
        found: Mapping[str, str] = parse_table(value)
        for name in found:
            if not re.fullmatch(key, name):
                raise f.UnfitError(f"has the key {name[:40]!r}", f"give keys of {wanted}")
            if name in taken:
                raise f.UnfitError(f"has the key {name!r}, which the agent writes itself", "leave it out")
        return found

    return parse


_CEF_FIELDS = _mapped("[A-Za-z0-9]+", "letters and digits", ("rt", "externalId"))
_LEEF_FIELDS = _mapped(
    r"(?!__truncated__)[^\x00-\x20\x7f=|^]+",
    "one word without = | ^",
    ("devTime", "devTimeFormat", "sls_replay"),
)

_PLAIN_FIELD = f.text(
    "the name of a field of the log's own", pattern=r"(?s)(?!__(?:time|time_ns_part|topic|source)__$|__tag__:).+"
)
_CHANGED_FIELD = f.text("the name of a field other than the time", pattern=r"(?s)(?!__time(?:_ns_part)?__$).+")
_CONDITIONS = f.table(
    _FIELD_NAME, f.texts(f.text("a pattern", pattern="(?s).*"), least=1), '{ level = ["DEBUG", "TR*"] }'
)
_TRUNCATE = f.table(_CHANGED_FIELD, f.integer(1, MIB, "bytes"), "{ message = 4096 }")
_RENAME = f.table(_PLAIN_FIELD, _PLAIN_FIELD, '{ old_name = "new_name" }')


@dataclass(frozen=True)
class CredentialsConfig:
    """Table `[sls.credentials]`: where the access key comes from; the files, where named, come before other places."""

    source: str = f.option(f.choice("access-key", "ecs-ram-role", "file"), "access-key")
    access_key_id_file: Optional[str] = f.option(f.path, None, secret=True)
    access_key_secret_file: Optional[str] = f.option(f.path, None, secret=True)
    security_token_file: Optional[str] = f.option(f.path, None, secret=True)
    ram_role: Optional[str] = f.option(_WORD, None)
    file: Optional[str] = f.option(f.path, None)


@dataclass(frozen=True)
class SlsConfig:
    """Table `[sls]`: what is read, and as whom.

    Args:
        endpoint: `scheme://host[:port]`, lower case.
        consumer_name: ready to use, its fields filled in.
        region: for signature v4; None: none can be known, sign with v1.
        start: `begin`, `end` or epoch seconds, as GetCursor takes it.
        heartbeat_s: time between two heartbeats.
        group_timeout_s: used when the consumer group is created.
        proxy: may hold a password; not part of `repr`.
    """

    endpoint: str = f.option(_endpoint)
    project: str = f.option(_PROJECT)
    logstore: str = f.option(_NAME)
    consumer_group: str = f.option(_NAME)
    consumer_name: str = f.option(_CONSUMER, "{host}-{instance}")
    region: Optional[str] = f.option(_REGION, None)
    start: str = f.option(f.start, "end")
    query: Optional[str] = f.option(f.text("an SPL query"), None)
    processor: Optional[str] = f.option(_NAME, None)
    heartbeat_s: float = f.option(f.seconds(1, 60), 5.0)
    group_timeout_s: int = f.option(f.integer(3, 3600, "seconds"), 40)
    compression: str = f.option(f.choice("lz4", "zstd"), "lz4")
    proxy: Optional[str] = f.option(_PROXY, None, secret=True)
    ca_file: Optional[str] = f.option(f.path, None)
    in_order: bool = f.option(f.flag, False)
    credentials: CredentialsConfig = field(default_factory=CredentialsConfig)


@dataclass(frozen=True)
class SiemConfig:
    """Table `[siem]`: which output, and what an event looks like.

    Args:
        event_id_field: empty leaves the id out.
        profile: what the SIEM is; the values of other keys that follow from it are in `profiles.py`.
        map: name of a ready table of fields (`maps.py`).
    """

    output: str = f.option(f.choice("hec", "syslog"))
    format: str = f.option(f.choice("json", "kv", "raw", "cef", "leef"), "json")
    json_fields: tuple[str, ...] = f.option(f.texts(_FIELD_NAME), ("event",))
    raw_field: str = f.option(_FIELD_NAME, "content")
    event_id_field: str = f.option(f.text(pattern=r"(?s).*"), "sls_id")
    profile: str = f.option(f.choice(*PROFILES), "generic")
    map: Optional[str] = f.option(f.choice(*MAPS), None)


@dataclass(frozen=True)
class HecConfig:
    """Table `[hec]`: Splunk HTTP Event Collector.

    Args:
        urls: `scheme://host[:port]`, lower case; empty only when the output is another.
        index: template; an empty result leaves the key out of the envelope, as with the three after it.
        batch_bytes: most uncompressed bytes in a request.
        batch_age_s: an event waits at most so long for others to share its request.
        timeout_s: for a whole exchange.
    """

    urls: tuple[str, ...] = f.option(f.texts(_HEC_URL, least=1), ())
    token_file: Optional[str] = f.option(f.path, None, secret=True)
    index: str = f.option(f.template, "")
    source: str = f.option(f.template, "")
    sourcetype: str = f.option(f.template, "aliyun:sls")
    host: str = f.option(f.template, "{__source__}")
    acknowledge: bool = f.option(f.flag, False)
    ack_timeout_s: float = f.option(f.seconds(1, 86400), 300.0)
    gzip: bool = f.option(f.flag, True)
    batch_bytes: int = f.option(f.integer(65536, 16 * MIB, "bytes"), MIB)
    batch_age_s: float = f.option(f.seconds(0, 60), 1.0)
    timeout_s: float = f.option(f.seconds(1, 600), 30.0)


@dataclass(frozen=True)
class SeverityMap:
    """`syslog.severity` or `cef.severity` as a table: the severity's name is `map[value of field]`, or `default`."""

    field: str
    map: Mapping[str, str]
    default: str


@dataclass(frozen=True)
class SyslogConfig:
    """Table `[syslog]`.

    Args:
        url: as configured; None when `urls` was.
        urls: all addresses, `scheme://host[:port]`, lower case, of one scheme; empty only when the output is another.
        framing: `octet-counting`, `lf`, or `none` where the transport itself frames (udp, relp).
        facility: name or template.
        severity: name, template or map.
        structured_data: SD-ID of the element that carries the event id; empty: none.
        max_bytes: the whole frame without its length prefix.
        oversize: `truncate`, `split` or `dead-letter`.
        timezone: RFC 3164 only.
        settle_s: how long a healthy connection has to follow the last sent byte before it counts as settled.
    """

    url: Optional[str] = f.option(_SYSLOG_URL, None)
    urls: tuple[str, ...] = f.option(f.texts(_SYSLOG_URL, least=1), ())
    rfc: int = f.option(f.choice(5424, 3164), 5424)
    framing: str = f.option(f.choice("octet-counting", "lf"), "octet-counting")
    facility: str = f.option(f.name_or_template(FACILITIES), "user")
    severity: Union[str, SeverityMap] = f.option(_severity, "info")
    hostname: str = f.option(f.template, "{__source__}")
    app_name: str = f.option(f.template, "-")
    procid: str = f.option(f.template, "-")
    msgid: str = f.option(f.template, "-")
    structured_data: str = f.option(_SD_ID, "sls@32473")
    max_bytes: int = f.option(f.integer(480, 16 * MIB, "bytes"), 8192)
    oversize: str = f.option(f.choice("truncate", "split", "dead-letter"), "truncate")
    timezone: str = f.option(f.time_zone, "UTC")
    settle_s: float = f.option(f.seconds(0, 300), 2.0)


@dataclass(frozen=True)
class CefConfig:
    """Table `[cef]`: texts or templates of the header; `fields` maps CEF keys to fields of the log."""

    vendor: str = f.option(f.template, "Alibaba Cloud")
    product: str = f.option(f.template, "SLS")
    version: str = f.option(f.template, "1")
    event_id: str = f.option(f.template, "{__topic__}")
    name: str = f.option(f.template, "{__topic__}")
    severity: Union[str, SeverityMap] = f.option(_cef_severity, "5")
    fields: Optional[Mapping[str, str]] = f.option(_CEF_FIELDS, None)


@dataclass(frozen=True)
class LeefConfig:
    """Table `[leef]`: texts or templates of the header; `fields` maps LEEF keys to fields of the log."""

    format_version: str = f.option(f.choice("1.0", "2.0"), "2.0")
    vendor: str = f.option(f.template, "Alibaba Cloud")
    product: str = f.option(f.template, "SLS")
    version: str = f.option(f.template, "1")
    event_id: str = f.option(f.template, "{__topic__}")
    fields: Optional[Mapping[str, str]] = f.option(_LEEF_FIELDS, None)


@dataclass(frozen=True)
class FilterConfig:
    """Table `[filter]`: which logs go out, by fields and patterns of their values; the others count as settled."""

    keep: Optional[Mapping[str, tuple[str, ...]]] = f.option(_CONDITIONS, None)
    drop: Optional[Mapping[str, tuple[str, ...]]] = f.option(_CONDITIONS, None)


@dataclass(frozen=True)
class FieldsConfig:
    """Table `[fields]`: what becomes of fields before anything leaves the process, in this order.

    Args:
        hash: replaced by a keyed hash; the key is the secret `field-hash-key`.
        truncate: most bytes of a value.
    """

    drop: tuple[str, ...] = f.option(f.texts(_CHANGED_FIELD), ())
    redact: tuple[str, ...] = f.option(f.texts(_CHANGED_FIELD), ())
    hash: tuple[str, ...] = f.option(f.texts(_CHANGED_FIELD), ())
    truncate: Optional[Mapping[str, int]] = f.option(_TRUNCATE, None)
    rename: Optional[Mapping[str, str]] = f.option(_RENAME, None)
    hash_key_file: Optional[str] = f.option(f.path, None, secret=True)


@dataclass(frozen=True)
class TlsConfig:
    """Table `[tls]`: TLS towards the SIEM; `verify = false` only together with `insecure = true`."""

    ca_file: Optional[str] = f.option(f.path, None)
    cert_file: Optional[str] = f.option(f.path, None)
    key_file: Optional[str] = f.option(f.path, None, secret=True)
    server_name: Optional[str] = f.option(f.host, None)
    minimum: str = f.option(f.choice("1.2", "1.3"), "1.2")
    verify: bool = f.option(f.flag, True)
    insecure: bool = f.option(f.flag, False)


@dataclass(frozen=True)
class DeliveryConfig:
    """Table `[delivery]`.

    Args:
        window_bytes: pulled but not yet sent, decompressed.
        unsettled_s: how far the saved position may fall behind before a shard waits.
        checkpoint_s: least time between two saves of a shard's position.
        on_reject: `dead-letter` or `hold`.
        dead_letter_max_bytes: most that dead letters may take on disk.
        drain_s: how long a stop may take.
        max_events_per_s: 0: no limit.
        max_bytes_per_s: 0: no limit.
    """

    window_bytes: int = f.option(f.integer(16 * MIB, 64 * GIB, "bytes"), 64 * MIB)
    unsettled_s: float = f.option(f.seconds(1, 86400), 600.0)
    checkpoint_s: float = f.option(f.seconds(0.1, 60), 1.0)
    on_reject: str = f.option(f.choice("dead-letter", "hold"), "dead-letter")
    dead_letter_max_bytes: int = f.option(f.integer(MIB, 1024 * GIB, "bytes"), GIB)
    drain_s: float = f.option(f.seconds(0, 3600), 30.0)
    max_events_per_s: int = f.option(f.integer(0, 10**9, "events per second, 0: no limit"), 0)
    max_bytes_per_s: int = f.option(f.integer(0, 10**12, "bytes per second, 0: no limit"), 0)


@dataclass(frozen=True)
class MetricsConfig:
    """Table `[metrics]`: instance N listens on `port` + N; None: no metrics."""

    port: Optional[int] = f.option(f.integer(1, 65535 - 1), None)
    listen: str = f.option(f.host, "127.0.0.1")


@dataclass(frozen=True)
class LogConfig:
    """Table `[log]`."""

    level: str = f.option(f.choice("debug", "info", "warning", "error"), "info")


@dataclass(frozen=True)
class Config:
    """Everything, for one instance (1 to 99), the file that gave each key, and what `remarks.py` says of them."""

    instance: int
    sls: SlsConfig
    siem: SiemConfig
    hec: HecConfig = field(default_factory=HecConfig)
    syslog: SyslogConfig = field(default_factory=SyslogConfig)
    cef: CefConfig = field(default_factory=CefConfig)
    leef: LeefConfig = field(default_factory=LeefConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    fields: FieldsConfig = field(default_factory=FieldsConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    given_in: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)


TABLES: Mapping[str, type] = {
    "sls": SlsConfig,
    "sls.credentials": CredentialsConfig,
    "siem": SiemConfig,
    "hec": HecConfig,
    "syslog": SyslogConfig,
    "cef": CefConfig,
    "leef": LeefConfig,
    "filter": FilterConfig,
    "fields": FieldsConfig,
    "tls": TlsConfig,
    "delivery": DeliveryConfig,
    "metrics": MetricsConfig,
    "log": LogConfig,
}
"""Every table of the file, by its name there."""
