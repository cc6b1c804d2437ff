"""rsyslog with imtcp: every field its parser found, as a line of JSON.

Settings that keep a message as it was sent (their defaults change it):

- `parser.escapeControlCharactersOnReceive="off"`: else a control character becomes `#` and three octal digits.
- `parser.dropTrailingLFOnReception="off"`: else an LF at the end of an octet-counted message is cut off.
- `maxMessageSize`: else what is longer than 8 KiB is cut, in either framing, into pieces of which only the first has
  a header, and with octet counting a byte is lost at the cut.
- `parser.supportCompressionExtension="off"`: else a frame that starts with `z` is inflated.
- `preserveFQDN="on"`: else a host name loses the domain that it shares with the receiver.

What it changes whatever is set (seen with 8.2302):

- NUL becomes the four characters `#000`, and one at the very end of a message is cut off;
- an RFC 3164 header has no rule where its fields end: what has other characters than letters, digits, `.`, `-`, `_`
  or does not end with a letter or digit (so an IPv6 address, or `-`) is no host name. HOSTNAME is then the peer's
  address, the host name becomes the tag, and the tag part of the message.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from tests.receivers.model import Received, ServerTls
from tests.receivers.process import Receiver

_PROPERTIES = (
    ("rawmsg", ""),
    ("pri", ""),
    ("protocol-version", ""),
    ("timereported", 'dateFormat="rfc3339"'),
    ("hostname", ""),
    ("app-name", ""),
    ("procid", ""),
    ("msgid", ""),
    ("structured-data", ""),
    ("msg", ""),
)
_GLOBAL = """global(
  workDirectory="{folder}" maxMessageSize="{max_message}" net.enableDNS="off" preserveFQDN="on"
  parser.escapeControlCharactersOnReceive="off" parser.dropTrailingLFOnReception="off"
  parser.supportCompressionExtension="off" parser.permitSlashInProgramName="on"{tls}
)
"""
_REST = """module(load="imtcp"{tls})
module(load="mmpstrucdata")
template(name="fields" type="list" option.jsonf="on") {{
{properties}
  property(name="$!rfc5424-sd" outname="elements" format="jsonf")
}}
ruleset(name="arrived" parser="rsyslog.rfc{rfc}"{queue}) {{
  action(type="mmpstrucdata" sd_name.lowercase="off")
  action(type="omfile" file="{output}" template="fields" asyncWriting="off" flushOnTXEnd="on")
}}
input(type="imtcp" address="{address}" port="{port}" ruleset="arrived" supportOctetCountedFraming="{octets}")
"""


class Rsyslog(Receiver):
    """A running rsyslogd; see `Receiver`."""

    def configuration(self) -> str:
        tls = self.settings.tls
        properties = "\n".join(
            f'  property(name="{name}" outname="{name}" format="jsonf" {options})' for name, options in _PROPERTIES
        )
        head = _GLOBAL.format(
            folder=self.folder, max_message=self.settings.max_message, tls=_global_tls(tls) if tls else ""
        )
        return head + _REST.format(
            tls=_module_tls(tls) if tls else "",
            properties=properties,
            rfc=self.settings.rfc,
            queue=' queue.type="Direct"' if self.settings.direct_queue else "",
            output=self.output,
            address=self.address,
            port=self.port,
            octets="on" if self.settings.framing == "octet-counting" else "off",
        )

    def command(self) -> list[str]:
        program, modules = str(self.installed.program), str(self.installed.modules)
        return [program, "-n", "-i", "NONE", "-f", str(self.config_file), "-M", modules]

    def parse(self, line: bytes) -> Received:
        # Latin-1 there and back: bytes above 127 stand in the line as they came.
        fields: dict[str, Any] = json.loads(line.decode("latin-1"), strict=False)
        pri = int(fields["pri"])
        msg = fields["msg"].encode("latin-1")
        if self.settings.rfc == 3164:
            # Its MSG starts behind the TAG's colon; the space there belongs to no field.
            msg = msg[1:] if msg.startswith(b" ") else msg
        elements = fields["elements"].encode("latin-1").decode("utf-8", "surrogateescape")
        return Received(
            facility=pri >> 3,
            severity=pri & 7,
            time_us=_microseconds(fields["timereported"]),
            hostname=fields["hostname"].encode("latin-1"),
            app_name=fields["app-name"].encode("latin-1"),
            procid=fields["procid"].encode("latin-1"),
            msgid=fields["msgid"].encode("latin-1"),
            structured_data=fields["structured-data"].encode("latin-1"),
            msg=msg,
            raw=fields["rawmsg"].encode("latin-1"),
            elements=json.loads(elements, strict=False) if elements else {},
        )


def _global_tls(tls: ServerTls) -> str:
    return (
        f'\n  defaultNetstreamDriver="{tls.driver}" defaultNetstreamDriverCAFile="{tls.ca_file}"'
        f'\n  defaultNetstreamDriverCertFile="{tls.cert_file}" defaultNetstreamDriverKeyFile="{tls.key_file}"'
    )


def _module_tls(tls: ServerTls) -> str:
    return f' streamDriver.name="{tls.driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"'


def _microseconds(text: str) -> int:
    """Read rsyslog's `date-rfc3339`, exactly."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00")[:19]).replace(tzinfo=timezone.utc)
    if not text.endswith(("Z", "+00:00")):
        raise ValueError(f"not UTC: {text}")
    fraction = text[19:].rstrip("Z").replace("+00:00", "").lstrip(".")
    return int(when.timestamp()) * 1_000_000 + int(fraction.ljust(6, "0") or "0")
