"""Put an encoder together from its settings. A compiled codec takes its place here when it is importable."""

from __future__ import annotations

from sls_siem.codec.cef_format import CefFormat
from sls_siem.codec.encoder import ReferenceEncoder
from sls_siem.codec.formats import EventFormat, Marks
from sls_siem.codec.hec import HecWriter
from sls_siem.codec.json_format import JsonFormat
from sls_siem.codec.kv_format import KvFormat
from sls_siem.codec.leef_format import LeefFormat
from sls_siem.codec.model import Encoder
from sls_siem.codec.raw_format import RawFormat
from sls_siem.codec.settings import EncoderSettings
from sls_siem.codec.syslog import SyslogWriter, make_header
from sls_siem.codec.writers import Writer
from sls_siem.config.template import TemplateError
from sls_siem.errors import ConfigError


def codec_name() -> str:
    """Name the codec in use, for `sls-siem version` and `sls_siem_build_info`."""
    return "reference"


def make_encoder(settings: EncoderSettings) -> Encoder:
    """Make the encoder for an output and a format.

    Args:
        settings: what it has to know.

    Raises:
        ConfigError: the settings name an output, format, template or time zone that cannot be used.
    """
    try:
        return ReferenceEncoder(_writer(settings), settings.batch_bytes)
    except TemplateError as exc:
        raise ConfigError([f"a template {exc}"]) from exc


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
    one_line = settings.output == "syslog" and settings.syslog.framing == "lf"
    if settings.format == "json":
        return JsonFormat(json_fields, marks)
    if settings.format == "kv":
        return KvFormat(marks)
    if settings.format == "raw":
        return RawFormat(settings.raw_field.encode(), JsonFormat(json_fields, marks), one_line=one_line)
    if settings.format == "cef":
        # The id is in every CEF event; a replay is marked where nothing around the event does.
        with_id = bool(settings.event_id_field)
        inner = JsonFormat(json_fields, Marks())
        return CefFormat(settings.cef, inner, with_id=with_id, replay=marks.replay, one_line=one_line)
    if settings.format == "leef":
        return LeefFormat(settings.leef, marks, one_line=one_line)
    raise ConfigError([f"siem.format: {settings.format!r} is unknown, use json, kv, raw, cef or leef"])
