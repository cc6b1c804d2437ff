"""Real receivers for the contract tests: rsyslog and syslog-ng from Debian's packages, on loopback, side by side."""

from __future__ import annotations

from tests.receivers.install import Installed, UnavailableError, install, require
from tests.receivers.model import Received, ReceiverSettings, ServerTls
from tests.receivers.process import Receiver, ReceiverError, wait_for
from tests.receivers.rsyslog import Rsyslog
from tests.receivers.syslog_ng import SyslogNg

__all__ = [
    "Installed",
    "Received",
    "Receiver",
    "ReceiverError",
    "ReceiverSettings",
    "Rsyslog",
    "ServerTls",
    "SyslogNg",
    "UnavailableError",
    "install",
    "require",
    "wait_for",
]
