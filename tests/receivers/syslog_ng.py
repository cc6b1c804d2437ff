"""syslog-ng with `syslog()` (octet counting) and `network(flags(syslog-protocol))` (LF): every field, as JSON.

Values are written in base64: `$(format-json)` would write a byte that is not UTF-8 as `\\xhh`, which a value can also
hold as it is. `log-msg-size()` is raised from 64 KiB; `keep-hostname(yes)`, else HOSTNAME is
the peer's address; `frac-digits(6)`, else fractions of a second are cut off; `flags(flow-control)`, so that a full
queue stops the reading instead of dropping.

What it changes whatever is set (seen with 3.38):

- at the end of a message, LF and NUL are cut off;
- a byte order mark in front of MSG is cut off, as RFC 5424 wants;
- `network()` takes NUL for the end of a message, like LF;
- a frame longer than `log-msg-size()` makes `syslog()` close the connection; it and what follows are lost;
- HOSTNAME of NILVALUE becomes the peer's address;
- a HOSTNAME that RFC 5424 allows but that it cannot read (`reads_hostname`) makes it log the whole message as the
  text of one of its own, `Error processing log message: …`, PRI 43, with `>@<` where it stopped.
"""

from __future__ import annotations

import base64
import json
import re

from tests.receivers.model import Received, ServerTls
from tests.receivers.process import Receiver

_PLAIN = {"pri": "${PRI}", "time": "${S_UNIXTIME}"}
_FIELDS = {
    "hostname": "${HOST}",
    "app_name": "${PROGRAM}",
    "procid": "${PID}",
    "msgid": "${MSGID}",
    "structured_data": "${SDATA}",
    "msg": "${MESSAGE}",
    "raw": "${RAWMSG}",
}
_CONFIGURATION = """@version: {version}
options {{
  keep-hostname(yes); check-hostname(no); use-dns(no); dns-cache(no); normalize-hostnames(no); chain-hostnames(no);
  log-msg-size({max_message}); log-fifo-size(20000); time-zone("UTC"); recv-time-zone("UTC");
  frac-digits(6); stats-freq(0);
}};
template fields {{ template("{{{fields},\\"sd\\":$(format-json --scope sdata)}}\\n"); }};
source arrived {{ {source}; }};
destination written {{ file("{output}" template(fields)); }};
log {{ source(arrived); destination(written); flags(flow-control); }};
"""
_LISTEN = 'ip("{address}") port({port}) {transport} max-connections({connections}) log-iw-size({window})'
_OCTETS = "syslog(" + _LISTEN + " flags(store-raw-message))"
_LINES = "network(" + _LISTEN + " flags({flags}store-raw-message))"
_CONNECTIONS = 10


class SyslogNg(Receiver):
    """A running syslog-ng; see `Receiver`. RFC 3164 only with LF: `syslog()` knows no other header than 5424's."""

    def configuration(self) -> str:
        tls = self.settings.tls
        source = (_OCTETS if self.settings.framing == "octet-counting" else _LINES).format(
            address=self.address,
            port=self.port,
            transport=_tls(tls) if tls else 'transport("tcp")',
            connections=_CONNECTIONS,
            window=self.settings.window * _CONNECTIONS,
            flags="syslog-protocol, " if self.settings.rfc == 5424 else "",
        )
        plain = [f'\\"{name}\\":\\"{macro}\\"' for name, macro in _PLAIN.items()]
        coded = [f'\\"{name}\\":\\"$(base64-encode {macro})\\"' for name, macro in _FIELDS.items()]
        version = ".".join(self.installed.version.split(".")[:2])
        return _CONFIGURATION.format(
            version=version,
            max_message=self.settings.max_message,
            fields=",".join(plain + coded),
            source=source,
            output=self.output,
        )

    def command(self) -> list[str]:
        state = {"--persist-file": "persist", "--pidfile": "pid", "--control": "control"}
        files = [part for option, name in state.items() for part in (option, str(self.folder / name))]
        program, modules = str(self.installed.program), str(self.installed.modules)
        return [program, "-F", "--no-caps", "-f", str(self.config_file), "--module-path", modules, *files]

    def parse(self, line: bytes) -> Received:
        written = json.loads(line.decode("utf-8", "surrogateescape"))
        fields = {name: base64.b64decode(written[name]) for name in _FIELDS}
        pri, (seconds, fraction) = int(written["pri"]), written["time"].split(".")
        for name in ("app_name", "procid", "msgid", "structured_data"):
            fields[name] = fields[name] or b"-"
        return Received(
            facility=pri >> 3,
            severity=pri & 7,
            time_us=int(seconds) * 1_000_000 + int(fraction),
            elements=written["sd"].get("_SDATA", {}),
            **fields,
        )


def reads_hostname(hostname: bytes) -> bool:
    """Whether syslog-ng takes it for a host name: no `[`, and `:` only in what begins like an IPv6 address."""
    before, colon, _ = hostname.rpartition(b":")
    parts = before.split(b":")
    like_ipv6 = len(parts) < 8 and all(re.fullmatch(rb"[0-9A-Fa-f]{0,4}", part) for part in parts)
    return b"[" not in hostname and (not colon or like_ipv6)


def _tls(tls: ServerTls) -> str:
    return (
        f'transport("tls") tls(ca-file("{tls.ca_file}") cert-file("{tls.cert_file}") key-file("{tls.key_file}") '
        "peer-verify(required-trusted))"
    )
