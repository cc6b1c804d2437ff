"""The SLS emulator: a small, fast server that speaks the Simple Log Service protocol on loopback.

`sls_siem.emulator` describes its use; the protocol's source is the SLS API reference and what the SDK from PyPI sends.
"""

from __future__ import annotations

from sls_siem.emulator.sls.faults import Call, Fault
from sls_siem.emulator.sls.feed import Feed, FeedPlan
from sls_siem.emulator.sls.history import Heartbeat, Pull, Save
from sls_siem.emulator.sls.refusal import RefusalError
from sls_siem.emulator.sls.remote import ControlError, SlsControl
from sls_siem.emulator.sls.server import SlsEmulator
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.shard import StoredGroup
from sls_siem.emulator.sls.signature import AccessKey
from sls_siem.emulator.sls.store import Appended, Logstore

__all__ = [
    "AccessKey",
    "Appended",
    "Call",
    "ControlError",
    "Fault",
    "Feed",
    "FeedPlan",
    "Heartbeat",
    "Logstore",
    "Pull",
    "RefusalError",
    "Save",
    "Settings",
    "SlsControl",
    "SlsEmulator",
    "StoredGroup",
]
