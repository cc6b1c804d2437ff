"""The configuration: load it, and find the secrets that it does not hold."""

from sls_siem.config.advice import warnings_for
from sls_siem.config.loader import load
from sls_siem.config.model import (
    CefConfig,
    Config,
    CredentialsConfig,
    DeliveryConfig,
    FieldsConfig,
    FilterConfig,
    HecConfig,
    LeefConfig,
    LogConfig,
    MetricsConfig,
    SeverityMap,
    SiemConfig,
    SlsConfig,
    SyslogConfig,
    TlsConfig,
)
from sls_siem.config.secrets import Secret, find_secret, find_secret_file, redact
from sls_siem.config.template import parse_template

__all__ = [
    "CefConfig",
    "Config",
    "CredentialsConfig",
    "DeliveryConfig",
    "FieldsConfig",
    "FilterConfig",
    "HecConfig",
    "LeefConfig",
    "LogConfig",
    "MetricsConfig",
    "Secret",
    "SeverityMap",
    "SiemConfig",
    "SlsConfig",
    "SyslogConfig",
    "TlsConfig",
    "find_secret",
    "find_secret_file",
    "load",
    "parse_template",
    "redact",
    "warnings_for",
]
