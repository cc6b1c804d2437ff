"""What an encoder has to know, taken from the configuration; nothing an encoder does not need is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Union

from sls_siem.errors import ConfigError

if TYPE_CHECKING:
    from sls_siem.config.model import Config, SeverityMap

SYSLOG_BATCH_BYTES = 1024 * 1024
"""Size of a syslog payload: few system calls, yet a broken connection sends little twice."""

LEAST_HASH_KEY = 16
"""Fewer characters than that, and the key itself could be tried out."""


@dataclass(frozen=True)
class HecSettings:
    """Templates of the HEC envelope; an empty result leaves the key out."""

    host: str = "{__source__}"
    source: str = ""
    sourcetype: str = "aliyun:sls"
    index: str = ""


@dataclass(frozen=True)
class SeverityBy:
    """The severity's name is `names[value of field]`, or `default`."""

    field: str
    names: Mapping[str, str]
    default: str = "info"


@dataclass(frozen=True)
class SyslogSettings:
    """How a log becomes a syslog frame.

    Args:
        rfc: 5424 or 3164.
        framing: `octet-counting`, `lf`, `datagram` (one frame per payload, nothing around it) or `relp` (frames to
            be sent one by one, found by `split`).
        facility: name, number or template.
        severity: name, number or template, or by a field's value.
        hostname: template, as the three after it.
        structured_data: SD-ID, empty for none.
        max_bytes: the whole frame, with LF but without length prefix.
        oversize: `truncate`, `split` or `dead-letter`.
        timezone: IANA name, RFC 3164 only.
    """

    rfc: int = 5424
    framing: str = "octet-counting"
    facility: str = "user"
    severity: Union[str, SeverityBy] = "info"
    hostname: str = "{__source__}"
    app_name: str = "-"
    procid: str = "-"
    msgid: str = "-"
    structured_data: str = "sls@32473"
    max_bytes: int = 8192
    oversize: str = "truncate"
    timezone: str = "UTC"


@dataclass(frozen=True)
class CefSettings:
    """The header of a CEF event, and what its extension holds.

    Args:
        vendor: template, as the four after it.
        severity: template, or by a field's value.
        fields: CEF key and name of the field, in order; None: the event as JSON in `msg`.
    """

    vendor: str = "Alibaba Cloud"
    product: str = "SLS"
    version: str = "1"
    event_id: str = "{__topic__}"
    name: str = "{__topic__}"
    severity: Union[str, SeverityBy] = "5"
    fields: Optional[tuple[tuple[str, str], ...]] = None


@dataclass(frozen=True)
class LeefSettings:
    """The header of a LEEF event, and its attributes.

    Args:
        format_version: `1.0` or `2.0`.
        vendor: template, as the three after it.
        fields: LEEF key and name of the field, in order; None: every field under its own name.
    """

    format_version: str = "2.0"
    vendor: str = "Alibaba Cloud"
    product: str = "SLS"
    version: str = "1"
    event_id: str = "{__topic__}"
    fields: Optional[tuple[tuple[str, str], ...]] = None


@dataclass(frozen=True)
class TransformSettings:
    """Which logs go out, and what becomes of their fields (`transform.py`).

    Args:
        keep: fields with patterns of their values, all of which a log must fit to go out.
        drop_logs: likewise, none of which it may fit.
        drop: names of fields that are left out.
        redact: names of fields whose value is replaced.
        hash: names of fields whose value is hashed.
        truncate: names of fields, each with the most bytes of its value.
        rename: names of fields, each with its new one.
        hash_key: secret.
    """

    keep: tuple[tuple[str, tuple[str, ...]], ...] = ()
    drop_logs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    drop: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    truncate: tuple[tuple[str, int], ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    hash_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class EncoderSettings:
    """Everything an encoder needs.

    Args:
        output: `hec` or `syslog`.
        project: name of the SLS project.
        logstore: its bare name.
        format: `json`, `kv`, `raw`, `cef` or `leef`.
        json_fields: fields whose value is embedded when it is one JSON object or array.
        raw_field: the field that `raw` sends.
        event_id_field: name of the field that carries the event id; empty: no id.
        batch_bytes: most bytes in a payload, before compression; a longer event goes alone.
        replay: mark events as sent again on purpose.
        hec: for the output `hec`.
        syslog: for the output `syslog`.
        cef: for the format `cef`.
        leef: for the format `leef`.
        transform: what is left out and changed before; None: nothing.
    """

    output: str
    project: str
    logstore: str
    format: str = "json"
    json_fields: tuple[str, ...] = ("event",)
    raw_field: str = "content"
    event_id_field: str = "sls_id"
    batch_bytes: int = 1 << 20
    replay: bool = False
    hec: HecSettings = field(default_factory=HecSettings)
    syslog: SyslogSettings = field(default_factory=SyslogSettings)
    cef: CefSettings = field(default_factory=CefSettings)
    leef: LeefSettings = field(default_factory=LeefSettings)
    transform: Optional[TransformSettings] = None


def settings_from(config: Config, *, replay: bool = False, hash_key: Optional[str] = None) -> EncoderSettings:
    """Take what an encoder needs from a configuration that has been checked.

    Args:
        config: with every default filled in.
        replay: mark every event as sent again on purpose.
        hash_key: the secret for `fields.hash`.

    Raises:
        ConfigError: fields are to be hashed, and there is no key or one that can be guessed.
    """
    siem = config.siem
    hec = HecSettings(config.hec.host, config.hec.source, config.hec.sourcetype, config.hec.index)
    return EncoderSettings(
        output=siem.output,
        project=config.sls.project,
        logstore=config.sls.logstore,
        format=siem.format,
        json_fields=tuple(siem.json_fields),
        raw_field=siem.raw_field,
        event_id_field=siem.event_id_field,
        batch_bytes=config.hec.batch_bytes if siem.output == "hec" else SYSLOG_BATCH_BYTES,
        replay=replay,
        hec=hec,
        syslog=_syslog(config),
        cef=_cef(config),
        leef=_leef(config),
        transform=_transform(config, hash_key),
    )


def _transform(config: Config, hash_key: Optional[str]) -> Optional[TransformSettings]:
    fields, logs = config.fields, config.filter
    if fields.hash and (hash_key is None or len(hash_key) < LEAST_HASH_KEY):
        wrong = "is missing" if hash_key is None else f"has less than {LEAST_HASH_KEY} characters"
        raise ConfigError([f"fields.hash: the secret field-hash-key {wrong}, make one with `openssl rand -hex 32`"])
    settings = TransformSettings(
        keep=tuple((logs.keep or {}).items()),
        drop_logs=tuple((logs.drop or {}).items()),
        drop=fields.drop,
        redact=fields.redact,
        hash=fields.hash,
        truncate=tuple((fields.truncate or {}).items()),
        rename=tuple((fields.rename or {}).items()),
        hash_key=(hash_key or "").encode() if fields.hash else b"",
    )
    return None if settings == TransformSettings() else settings


def _cef(config: Config) -> CefSettings:
    cef = config.cef
    return CefSettings(
        vendor=cef.vendor,
        product=cef.product,
        version=cef.version,
        event_id=cef.event_id,
        name=cef.name,
        severity=_severity(cef.severity),
        fields=_fields(cef.fields),
    )


def _leef(config: Config) -> LeefSettings:
    leef = config.leef
    return LeefSettings(
        format_version=leef.format_version,
        vendor=leef.vendor,
        product=leef.product,
        version=leef.version,
        event_id=leef.event_id,
        fields=_fields(leef.fields),
    )


def _fields(fields: Optional[Mapping[str, str]]) -> Optional[tuple[tuple[str, str], ...]]:
    return None if fields is None else tuple(fields.items())


def _severity(severity: Union[str, SeverityMap]) -> Union[str, SeverityBy]:
    if isinstance(severity, str):
        return severity
    return SeverityBy(severity.field, severity.map, severity.default)


def _syslog(config: Config) -> SyslogSettings:
    syslog = config.syslog
    return SyslogSettings(
        rfc=syslog.rfc,
        framing=_framing(syslog.urls[0] if syslog.urls else syslog.url, syslog.framing),
        facility=syslog.facility,
        severity=_severity(syslog.severity),
        hostname=syslog.hostname,
        app_name=syslog.app_name,
        procid=syslog.procid,
        msgid=syslog.msgid,
        structured_data=syslog.structured_data,
        max_bytes=syslog.max_bytes,
        oversize=syslog.oversize,
        timezone=syslog.timezone,
    )


def _framing(url: Optional[str], configured: str) -> str:
    scheme = (url or "").partition(":")[0]
    return {"udp": "datagram", "relp": "relp", "relp+tls": "relp"}.get(scheme, configured)
