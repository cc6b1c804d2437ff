"""LogGroupList bytes to SIEM bytes: a pure function that knows no socket, no clock and no file."""

from sls_siem.codec.factory import (
    codec_name,
    compiled_codec,
    count_events,
    count_groups,
    group_sizes,
    make_encoder,
    make_reference_encoder,
)
from sls_siem.codec.settings import (
    CefSettings,
    EncoderSettings,
    HecSettings,
    LeefSettings,
    SeverityBy,
    SyslogSettings,
    TransformSettings,
    settings_from,
)

__all__ = [
    "CefSettings",
    "EncoderSettings",
    "HecSettings",
    "LeefSettings",
    "SeverityBy",
    "SyslogSettings",
    "TransformSettings",
    "codec_name",
    "compiled_codec",
    "count_events",
    "count_groups",
    "group_sizes",
    "make_encoder",
    "make_reference_encoder",
    "settings_from",
]
