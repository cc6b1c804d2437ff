"""The envelope of Splunk's HTTP Event Collector: one JSON object per event, one per line.

Members, in this order, and no other (a receiver skips everything from an unknown one on, silently): `time`, `host`,
`source`, `sourcetype`, `index` (each of the four left out when its template comes out empty), `event`, `fields`.

`time` is written in decimals, never by way of a float: `1433188255` without nanoseconds, else with all nine digits,
`1433188255.500000000`. A `Time_ns` above 999999999 is no fraction: `time` is then without one (the number still is in
the event). `fields` holds the event id and, on a replay, `"sls_replay":"1"`; empty, it is left out.

Events are joined by LF. No event contains one: JSON escapes it.

Source: Splunk, Format events for HTTP Event Collector.
"""

from __future__ import annotations

from typing import Optional

from sls_siem.codec.fields import Template
from sls_siem.codec.formats import REPLAY, EventFormat, GroupFormat
from sls_siem.codec.settings import EncoderSettings
from sls_siem.codec.text import json_string
from sls_siem.codec.wire import GroupMeta, Log


class HecWriter:
    """Puts the envelope around events.

    Args:
        settings: of the encoder.
        event_format: writes the event itself.
    """

    separator = b"\n"
    one_each = False

    def __init__(self, settings: EncoderSettings, event_format: EventFormat) -> None:
        hec = settings.hec
        keys = ((b"host", hec.host), (b"source", hec.source), (b"sourcetype", hec.sourcetype), (b"index", hec.index))
        self.templates = tuple((b',"%b":' % key, Template(text)) for key, text in keys)
        self.format = event_format
        id_label = json_string(settings.event_id_field.encode()) if settings.event_id_field else b""
        self.with_id = bool(id_label)
        mark = b'%b:"1"' % json_string(REPLAY) if settings.replay else b""
        if id_label:
            self.fields = b',"fields":{%b:"' % id_label
            self.close = b'"%b}}' % (b"," + mark if mark else b"")
        else:
            self.fields = b""
            self.close = b',"fields":{%b}}' % mark if mark else b"}"

    def open(self, meta: GroupMeta) -> HecGroup:
        return HecGroup(self, meta, self.format.open(meta))

    def split(self, data: bytes) -> list[bytes]:
        return data.split(b"\n") if data else []


class HecGroup:
    """Writes the events of one group."""

    def __init__(self, parent: HecWriter, meta: GroupMeta, group_format: GroupFormat) -> None:
        self._parent = parent
        self._meta = meta
        self._event = group_format.json_value
        self._shared = self._envelope(None)
        self._time = -1
        self._head = b""

    def write(self, log: Log, ident: bytes) -> bytes:
        if log.time == self._time and log.ns is None and self._shared is not None:
            head = self._head
        else:
            head = self._write_head(log)
        parent = self._parent
        if parent.with_id:
            return b"".join((head, self._event(log, ident), parent.fields, ident, parent.close))
        return head + self._event(log, ident) + parent.close

    def _write_head(self, log: Log) -> bytes:
        envelope = self._envelope(log) if self._shared is None else self._shared
        head = b'{"time":%b%b,"event":' % (_time(log), envelope or b"")
        self._time = log.time if log.ns is None else -1
        self._head = head
        return head

    def _envelope(self, log: Optional[Log]) -> Optional[bytes]:
        """Write the members between `time` and `event`; without a log, None when they take one."""
        parts = []
        for label, template in self._parent.templates:
            value = template.shared(self._meta) if log is None else template.fill(self._meta, log)
            if value is None:
                return None
            if value:
                parts.append(label + json_string(value))
        return b"".join(parts)


def _time(log: Log) -> bytes:
    if log.ns is None or log.ns > 999_999_999:
        return b"%d" % log.time
    return b"%d.%09d" % (log.time, log.ns)
