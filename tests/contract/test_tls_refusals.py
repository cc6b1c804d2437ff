"""Each peer that TLS has to refuse is refused on every way in and out, and nothing reaches it.

The ways: HEC, syslog over TLS, RELP over TLS, SLS. To see these fail: give `net.tls.client_context` `verify=False`, or
a lower minimum.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from ssl import SSLContext
from typing import Any, Union

import pytest

from sls_siem.config import CredentialsConfig, SlsConfig, TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.errors import Stopped, TransientSourceError
from sls_siem.siem import make_output
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import AccessKeySource
from tests.unit.siem.support import TestGate, framed, hec_config, hec_events, payload_of, syslog_config, syslog_frames

pytestmark = pytest.mark.contract
Siem = Union[HecEmulator, SyslogEmulator, RelpEmulator]
WAYS: dict[str, Callable[[SSLContext], AbstractContextManager[Any]]] = {
    "hec": lambda tls: HecEmulator(tls=tls),
    "syslog": lambda tls: SyslogEmulator(tls=tls, framing="octet-counting"),
    "relp": lambda tls: RelpEmulator(tls=tls),
    "sls": lambda tls: SlsEmulator(project="p", logstore="ls", shards=1, tls=tls),
}
REFUSED = {
    "wrong host": ("wrong_host", "mismatch"),
    "self-signed": ("self_signed", "self.signed"),
    "expired": ("expired", "expired"),
    "not yet valid": ("not_yet_valid", "not yet valid"),
    "wrong authority": ("untrusted", "unable to get local issuer"),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def try_sls(sls: SlsEmulator, ca_file: Path) -> str:
    settings = SlsConfig(
        endpoint=sls.url,
        project="p",
        logstore="ls",
        consumer_group="group",
        consumer_name="consumer",
        region="cn-test",
        ca_file=str(ca_file),
    )
    source = AccessKeySource(CredentialsConfig(), environ={"SLS_AK_ID": "id", "SLS_AK_KEY": "secret"})
    session = SlsClient(settings, source).session()
    try:
        with pytest.raises(TransientSourceError) as failure:
            session.list_shards()
    finally:
        session.close()
    assert not sls.history.pulls
    return str(failure.value)


def try_siem(siem: Siem, ca_file: Path, folder: Path) -> str:
    """Send until the lane has waited three times; returns why it waited."""
    gate = TestGate(limit_s=60)
    gate.on_wait = [lambda: None, lambda: None, gate.stopped.set]
    tls = TlsConfig(ca_file=str(ca_file))
    if isinstance(siem, HecEmulator):
        token_file = folder / "token"
        token_file.write_text(siem.token)
        config = hec_config(siem.url, token_file=str(token_file), tls=tls)
        payload = payload_of(hec_events(0, 1))
    else:
        framing = "none" if isinstance(siem, RelpEmulator) else "octet-counting"
        config = syslog_config(siem.url, framing=framing, tls=tls)
        payload = framed(syslog_frames(0, 1), "octet-counting")
    output = make_output(config, clock=gate.clock, random=lambda: 0.1)
    lane = output.lane(0, gate)
    try:
        with pytest.raises(Stopped):
            while True:
                lane.send(payload, 0)
                gate.wait(lane.next_poll_s() or 0.1, "nothing was refused yet")
                lane.poll()
    finally:
        lane.close()
        output.close()
    assert siem.store.total == 0
    return " / ".join(why for _, why in gate.waits)


def attempt(way: str, context: SSLContext, ca_file: Path, folder: Path) -> str:
    with WAYS[way](context) as emulator:
        return try_sls(emulator, ca_file) if way == "sls" else try_siem(emulator, ca_file, folder)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reason", REFUSED)
def test_a_certificate_that_is_not_good_is_refused(
    way: str, reason: str, certificates: Certificates, tmp_path: Path
) -> None:
    which, words = REFUSED[reason]
    said = attempt(way, server_context(getattr(certificates, which)), certificates.ca_file, tmp_path)

    assert words in said.replace("-", ".") or words in said


@pytest.mark.parametrize("way", WAYS)
def test_tls_1_1_is_refused(way: str, certificates: Certificates, tmp_path: Path) -> None:
    old = server_context(certificates.server, minimum="1.1", maximum="1.1")
    said = attempt(way, old, certificates.ca_file, tmp_path)

    assert "TLS" in said
    assert "protocol" in said or "version" in said


@pytest.mark.parametrize("way", [way for way in WAYS if way != "sls"])
def test_a_receiver_that_asks_for_a_client_certificate_gets_nothing_without_one(
    way: str, certificates: Certificates, tmp_path: Path
) -> None:
    """Towards SLS there are no client certificates."""
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    said = attempt(way, context, certificates.ca_file, tmp_path)

    # The receiver's alert may be lost with the connection: with TLS 1.3 it comes after our side of the handshake.
    assert re.search("certificate|TLS failed|connection lost", said), said
