"""Real rsyslog, unpacked from Debian's packages, parses what the agent sends and gives every field back.

More than 10,000 logs in each configuration, half of them hostile, over the agent's own output; the FIN that answers
our half-close settles them. One byte does not come through: rsyslog writes NUL as `#000`, and cuts one off at the end
of a message, whatever is set (`parser.escapeControlCharactersOnReceive` is off here). Only `raw` with octet counting
ever sends one: `json`, `kv` and all formats with LF framing escape it, so that with these nothing is lost.
"""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Optional

import pytest

from sls_siem.emulator.certificates import Certificates
from tests.receivers import Received, ReceiverSettings, Rsyslog, ServerTls, require
from tests.receivers.conversation import (
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
from tests.receivers.traffic import Recipe, make_traffic

pytestmark = pytest.mark.contract


def rsyslog(folder: Path, recipe: Recipe, tls: Optional[ServerTls] = None) -> Rsyslog:
    settings = ReceiverSettings(framing=recipe.framing, rfc=recipe.rfc, tls=tls)
    return Rsyslog(require("rsyslog"), settings, folder / "rsyslog")


def label(recipe: Recipe) -> str:
    return f"{recipe.format}-{recipe.rfc}-{recipe.framing}"


def as_rsyslog_writes_nul(message: Received) -> Received:
    def change(text: bytes) -> bytes:
        return (text[:-1] if text.endswith(b"\0") else text).replace(b"\0", b"#000")

    return dataclasses.replace(message, msg=change(message.msg), raw=change(message.raw))


TEXTS = [
    Recipe(format="json"),
    Recipe(format="kv", framing="lf"),
    Recipe(format="json", rfc=3164, framing="lf"),
    Recipe(format="kv", rfc=3164),
]


@pytest.mark.parametrize("recipe", TEXTS, ids=label)
def test_every_field_of_every_log_comes_back_as_it_was_sent(recipe: Recipe, tmp_path: Path) -> None:
    with rsyslog(tmp_path, recipe) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(recent=recipe.rfc == 3164), tmp_path)

    assert len(exchanges) > 10_000
    assert differences(exchanges) == []
    assert lost_members(exchanges, recipe) == []


@pytest.mark.parametrize("driver", ["ossl", "gtls"])
def test_every_field_comes_back_over_tls_with_a_client_certificate(driver: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    recipe = with_client(Recipe(), certificates, certificates.client)
    with rsyslog(tmp_path, recipe, server_tls(certificates, driver)) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(), tmp_path)

    assert len(exchanges) > 10_000
    assert differences(exchanges) == []


def test_raw_values_come_back_byte_for_byte_with_lf_framing(tmp_path: Path) -> None:
    recipe = Recipe(format="raw", framing="lf")
    with rsyslog(tmp_path, recipe) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(), tmp_path)

    assert len(exchanges) > 10_000
    assert differences(exchanges) == []


def test_raw_values_with_octet_counting_come_back_but_for_nul(tmp_path: Path) -> None:
    recipe = Recipe(format="raw")
    with rsyslog(tmp_path, recipe) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(), tmp_path)

    changed = [exchange for exchange in exchanges if b"\0" in exchange.expected.msg]
    assert len(exchanges) > 10_000
    assert len(changed) > 10
    assert all(exchange.received.msg != exchange.expected.msg for exchange in changed)
    assert differences(exchanges, as_rsyslog_writes_nul) == []


def test_the_parts_of_a_split_message_are_the_message_again(tmp_path: Path) -> None:
    recipe = Recipe(format="kv", max_bytes=2048, syslog=('oversize = "split"',))
    with rsyslog(tmp_path, recipe) as receiver:
        whole, joined = join_parts(receiver, recipe, make_traffic(), tmp_path)

    assert len(whole) > 10_000
    assert joined == whole


@pytest.mark.parametrize("driver", ["ossl", "gtls"])
def test_a_client_without_the_right_certificate_gets_nothing_in(driver: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    with rsyslog(tmp_path, Recipe(), server_tls(certificates, driver)) as receiver:
        texts = clients_refused(receiver, certificates)

    assert texts == [b"certificate of the right authority"]


def test_a_message_longer_than_it_takes_comes_in_pieces_with_a_byte_missing(tmp_path: Path) -> None:
    """Only the first piece has a header. So `syslog.max_bytes` may not be more than the receiver's `maxMessageSize`
    (8 KiB unless set)."""
    settings = ReceiverSettings(max_message=8192)
    frames = [header(b"short"), header(b"0123456789" * 900), header(b"next")]
    with Rsyslog(require("rsyslog"), settings, tmp_path / "rsyslog") as receiver:
        send_and_close(receiver, frames)
        receiver.stop()
        messages = receiver.received()

    assert [message.raw for message in messages] == [frames[0], frames[1][:8192], frames[1][8193:], frames[2]]
    assert [message.app_name for message in messages] == [b"app", b"app", b"-", b"app"]


def test_an_rfc_3164_header_needs_a_plain_host_name(tmp_path: Path) -> None:
    """RFC 3164 says nowhere where HOSTNAME ends, so rsyslog guesses: a host name has letters, digits, `.`, `-`, `_`
    and ends with a letter or digit. Of anything else the text arrives, too, but in other fields."""
    hosts = (b"web-1.example.com", b"10.0.0.1", b"a_b", b"-", b"fe80::1", b"a/b")
    with rsyslog(tmp_path, Recipe(rfc=3164, framing="lf")) as receiver:
        with socket.create_connection((receiver.address, receiver.port), timeout=10) as connection:
            connection.sendall(b"".join(b"<13>Nov  3 10:00:00 %b app: text\n" % host for host in hosts))
        received = receiver.received(len(hosts))

    assert [message.hostname for message in received] == [*hosts[:3], *[b"127.0.0.1"] * 3]
    assert [message.app_name for message in received] == [b"app", b"app", b"app", b"-", b"fe80", b"a/b"]
    assert [message.msg for message in received] == [*[b"text"] * 3, b"app: text", b":1 app: text", b"app: text"]
