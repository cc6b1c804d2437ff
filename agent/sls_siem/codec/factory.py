"""Put an encoder together from its settings: the compiled codec's where it is installed, else the reference's.

`SLS_SIEM_CODEC=reference` or `SLS_SIEM_CODEC=compiled` in the environment takes one of them whatever is installed, for
tests and benchmarks; both write the same bytes.
"""

from __future__ import annotations

import os
from typing import Optional

from sls_siem.codec import wire
from sls_siem.codec.cef_format import CefFormat
from sls_siem.codec.compiled import Compiled, load
from sls_siem.codec.encoder import ReferenceEncoder
from sls_siem.codec.formats import EventFormat, Marks
from sls_siem.codec.hec import HecWriter
from sls_siem.codec.json_format import JsonFormat
from sls_siem.codec.kv_format import KvFormat
from sls_siem.codec.leef_format import LeefFormat
from sls_siem.codec.model import Body, Encoder
from sls_siem.codec.raw_format import RawFormat
from sls_siem.codec.settings import EncoderSettings
from sls_siem.codec.syslog import SyslogWriter, make_header
from sls_siem.codec.transform import Transform
from sls_siem.codec.writers import Writer
from sls_siem.config.template import TemplateError
from sls_siem.errors import ConfigError

FORCED = "SLS_SIEM_CODEC"
"""Environment variable that names the codec to use: `reference` or `compiled`."""


def codec_name() -> str:
    """Name the codec in use, for `sls-siem version` and `sls_siem_build_info`: `compiled 0.1.0`, say, or `reference`.

    Raises:
        ConfigError: as `make_encoder`.
    """
    compiled = compiled_codec()
    return f"compiled {compiled.version}" if compiled else "reference"


def make_encoder(settings: EncoderSettings) -> Encoder:
    """Make the encoder for an output and a format; the reference's where the compiled codec does not know them.

    Args:
        settings: what it has to know.

    Raises:
        ConfigError: the settings name an output, format, template or time zone that cannot be used; or the environment
            asks for a codec that is not there.
    """
    reference = make_reference_encoder(settings)
    compiled = compiled_codec()
    return (compiled and compiled.make_encoder(settings, reference)) or reference


def count_groups(body: Body, *, packed: bool = False) -> Optional[int]:
    """Count the log groups of a LogGroupList; see `wire.count_groups`.

    Args:
        body: the list.
        packed: also while it is compressed, which undoes all of it, piece by piece; otherwise that gives None.
    """
    compiled = compiled_codec()
    return compiled.count_groups(body, packed=packed) if compiled else wire.count_groups(bytes(body))


def group_sizes(body: Body) -> list[int]:
    """Count the logs of each group of a LogGroupList; see `wire.group_sizes`."""
    compiled = compiled_codec()
    return compiled.group_sizes(body) if compiled else wire.group_sizes(bytes(body))


def count_events(body: Body) -> int:
    """Count the logs of a LogGroupList; see `wire.count_events`."""
    compiled = compiled_codec()
    return compiled.count_events(body) if compiled else wire.count_events(bytes(body))


def make_reference_encoder(settings: EncoderSettings) -> Encoder:
    """Make the encoder of the reference, whatever is installed; as `make_encoder`."""
    try:
        return ReferenceEncoder(_writer(settings), settings.batch_bytes, _transform(settings))
    except TemplateError as exc:
        raise ConfigError([f"a template {exc}"]) from exc


def _transform(settings: EncoderSettings) -> Optional[Transform]:
    return None if settings.transform is None else Transform(settings.transform)


def compiled_codec() -> Optional[Compiled]:
    """Find the compiled codec; None when it is not installed, or the environment wants the reference.

    Raises:
        ConfigError: as `make_encoder`.
    """
    forced = os.environ.get(FORCED, "")
    if forced == "reference":
        return None
    if forced not in {"", "compiled"}:
        raise ConfigError([f"{FORCED}: {forced!r} is no codec, use reference or compiled"])
    found = load()
    if forced and not found:
        raise ConfigError([f"{FORCED}: the compiled codec is not installed or does not fit: install sls-siem-codec"])
    return found


def _writer(settings: EncoderSettings) -> Writer:
    if settings.output == "hec":
        return HecWriter(settings, _format(settings, Marks()))
    if settings.output == "syslog":
        header = make_header(settings)
        marks = Marks() if header.carries_marks else Marks(settings.event_id_field.encode(), settings.replay)
        return SyslogWriter(settings, header, _format(settings, marks))
    raise ConfigError([f"siem.output: {settings.output!r} is unknown, use hec or syslog"])


def _format(settings: EncoderSettings, marks: Marks) -> EventFormat:
    json_fields = frozenset(name.encode() for name in settings.json_fields)
    on_syslog = settings.output == "syslog"
    if settings.format == "json":
        return JsonFormat(json_fields, marks)
    if settings.format == "kv":
        return KvFormat(marks)
    if settings.format == "raw":
        one_line = on_syslog and settings.syslog.framing == "lf"
        return RawFormat(settings.raw_field.encode(), JsonFormat(json_fields, marks), one_line=one_line)
    if settings.format == "cef":
        # The id is in every CEF event; a replay is marked where nothing around the event does.
        with_id = bool(settings.event_id_field)
        inner = JsonFormat(json_fields, Marks())
        return CefFormat(settings.cef, inner, with_id=with_id, replay=marks.replay, no_nul=on_syslog)
    if settings.format == "leef":
        return LeefFormat(settings.leef, marks, no_nul=on_syslog)
    raise ConfigError([f"siem.format: {settings.format!r} is unknown, use json, kv, raw, cef or leef"])
