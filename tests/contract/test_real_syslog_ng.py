"""Real syslog-ng, unpacked from Debian's packages, parses what the agent sends and gives every field back.

More than 10,000 logs in each configuration, half of them hostile, over the agent's own output: `syslog()` for octet
counting, `network(flags(syslog-protocol))` for LF. What it changes, whatever is set (`receivers/syslog_ng.py`):

- a HOSTNAME of `-` becomes the address of the peer;
- LF and NUL at the end of a message and a byte order mark in front of it are cut off: only `raw` sends such messages
  (LF and NUL only with octet counting);
- a HOSTNAME with `[`, or with `:` outside an IPv6 address, makes it wrap the whole message into one of its own.
  RFC 5424 allows these characters; a hostile `__source__` can hold them. The text still arrives, whole.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

import pytest

from sls_siem.emulator.certificates import Certificates
from tests.receivers import Received, ReceiverSettings, ServerTls, SyslogNg, require
from tests.receivers.conversation import (
    Exchange,
    clients_refused,
    converse,
    differences,
    header,
    join_parts,
    lost_members,
    send_and_close,
    server_tls,
    with_client,
)
from tests.receivers.syslog_ng import reads_hostname
from tests.receivers.traffic import Recipe, make_traffic

pytestmark = pytest.mark.contract


def syslog_ng(folder: Path, recipe: Recipe, tls: Optional[ServerTls] = None) -> SyslogNg:
    settings = ReceiverSettings(framing=recipe.framing, rfc=recipe.rfc, tls=tls, window=2_000)
    return SyslogNg(require("syslog-ng"), settings, folder / "syslog-ng")


def label(recipe: Recipe) -> str:
    return f"{recipe.format}-{recipe.rfc}-{recipe.framing}"


def with_peer_for_nil(message: Received) -> Received:
    return dataclasses.replace(message, hostname=b"127.0.0.1") if message.hostname == b"-" else message


def as_syslog_ng_trims(message: Received) -> Received:
    """Cut LF and NUL from the end, and one byte order mark from the front of MSG."""
    message = with_peer_for_nil(message)
    msg = message.msg.rstrip(b"\n\0")
    return dataclasses.replace(
        message, msg=msg[3:] if msg.startswith(b"\xef\xbb\xbf") else msg, raw=message.raw.rstrip(b"\n\0")
    )


def read(exchanges: list[Exchange]) -> list[Exchange]:
    """Leave out the messages that syslog-ng wraps, once it is clear that their text is all there."""
    wrapped = [exchange for exchange in exchanges if not reads_hostname(exchange.expected.hostname)]
    texts = [exchange.received.msg.replace(b">@<", b"", 1) for exchange in wrapped]
    assert 0 < len(wrapped) < 100
    assert texts == [b"Error processing log message: " + exchange.expected.raw for exchange in wrapped]
    return [exchange for exchange in exchanges if reads_hostname(exchange.expected.hostname)]


@pytest.mark.parametrize("recipe", [Recipe(format="json"), Recipe(format="kv", framing="lf")], ids=label)
def test_every_field_of_every_log_comes_back_as_it_was_sent(recipe: Recipe, tmp_path: Path) -> None:
    with syslog_ng(tmp_path, recipe) as receiver:
        exchanges = read(converse(receiver, recipe, make_traffic(), tmp_path))

    assert len(exchanges) > 10_000
    assert differences(exchanges, with_peer_for_nil) == []
    assert lost_members(exchanges, recipe) == []


def test_every_field_of_every_log_comes_back_with_an_rfc_3164_header(tmp_path: Path) -> None:
    recipe = Recipe(rfc=3164, framing="lf")
    with syslog_ng(tmp_path, recipe) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(recent=True), tmp_path)

    assert len(exchanges) > 10_000
    assert differences(exchanges) == []
    assert lost_members(exchanges, recipe) == []


def test_every_field_comes_back_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    recipe = with_client(Recipe(), certificates, certificates.client)
    with syslog_ng(tmp_path, recipe, server_tls(certificates)) as receiver:
        exchanges = read(converse(receiver, recipe, make_traffic(), tmp_path))

    assert len(exchanges) > 10_000
    assert differences(exchanges, with_peer_for_nil) == []


@pytest.mark.parametrize("framing", ["octet-counting", "lf"])
def test_raw_values_come_back_but_for_what_syslog_ng_trims(framing: str, tmp_path: Path) -> None:
    recipe = Recipe(format="raw", framing=framing)
    with syslog_ng(tmp_path, recipe) as receiver:
        exchanges = read(converse(receiver, recipe, make_traffic(), tmp_path))

    trimmed = [exchange for exchange in exchanges if exchange.received.msg != exchange.expected.msg]
    assert len(exchanges) > 10_000
    assert differences(exchanges, as_syslog_ng_trims) == []
    assert 0 < len(trimmed) < 200


def test_the_parts_of_a_split_message_are_the_message_again(tmp_path: Path) -> None:
    recipe = Recipe(format="kv", max_bytes=2048, syslog=('oversize = "split"', 'hostname = "web-1"'))
    with syslog_ng(tmp_path, recipe) as receiver:
        whole, joined = join_parts(receiver, recipe, make_traffic(), tmp_path)

    assert len(whole) > 10_000
    assert joined == whole


def test_a_client_without_the_right_certificate_gets_nothing_in(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    with syslog_ng(tmp_path, Recipe(), server_tls(certificates)) as receiver:
        texts = clients_refused(receiver, certificates)

    assert texts == [b"certificate of the right authority"]


def test_a_frame_longer_than_it_takes_ends_the_connection_with_a_fin(tmp_path: Path) -> None:
    """The one case seen where a FIN proves nothing: the message and those behind it are gone. So `syslog.max_bytes`
    may not be more than the receiver's `log-msg-size()` (64 KiB unless set)."""
    settings = ReceiverSettings(max_message=65_536)
    fits, too_long = header(b""), header(b"")
    fits += b"x" * (65_536 - len(fits))
    too_long += b"x" * (65_537 - len(too_long))
    for attempt in range(5):
        with SyslogNg(require("syslog-ng"), settings, tmp_path / f"syslog-ng-{attempt}") as receiver:
            try:
                answer = send_and_close(receiver, [fits, too_long, header(b"behind")])
            except OSError:  # it closed before it had read the rest: a reset, which nobody takes for a proof
                continue
            receiver.stop()
            messages = receiver.received()
        break

    assert answer == b""
    assert [message.raw for message in messages] == [fits]
