"""`check --connect` towards the SIEM: one clear line for each trouble, and no event made."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.siem import make_output
from tests.unit.siem.support import hec_config, syslog_config


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def token_file(tmp_path: Path, text: str = HecToken().value) -> str:
    path = tmp_path / "token"
    path.write_text(text)
    return str(path)


def answer_in_plain_text(server: socket.socket) -> None:
    peer, _ = server.accept()
    with peer:
        peer.recv(10)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("use_ack", [False, True])
@pytest.mark.parametrize("acknowledge", [False, True])
def test_a_good_collector(tmp_path: Path, use_ack: bool, acknowledge: bool) -> None:
    with HecEmulator(tokens=(HecToken(use_ack=use_ack),)) as hec:
        config = hec_config(hec.url, token_file=token_file(tmp_path), acknowledge=acknowledge)
        results = make_output(config).probe(5)

        assert [result.ok for result in results] == [True, True, True, use_ack or not acknowledge]
        assert results[-1].facts == {"acknowledges": use_ack}
        assert ("useACK" in results[-1].text) == (acknowledge and not use_ack)
        assert hec.store.total == 0


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (HecToken("another"), "code 4: Invalid token; put the right token into {file}, then: systemctl reload"),
        (HecToken(enabled=False), "code 1: Token disabled; enable the token in Splunk"),
    ],
)
def test_a_refused_token(tmp_path: Path, token: HecToken, words: str) -> None:
    with HecEmulator(tokens=(token,)) as hec:
        results = make_output(hec_config(hec.url, token_file=token_file(tmp_path))).probe(5)

        assert [result.ok for result in results] == [True, True, False]
        assert words.format(file=tmp_path / "token") in results[-1].text
        assert HecToken().value not in repr(results)


def test_a_missing_token_comes_with_the_file_it_belongs_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    file = tmp_path / "none"
    with HecEmulator() as hec:
        named = make_output(hec_config(hec.url, token_file=str(file))).probe(5)[-1].text
        usual = make_output(hec_config(hec.url)).probe(5)[-1].text

    reload = "then: systemctl reload 'sls-siem@*'"
    assert named == f"there is no HEC token, {file} (hec.token_file) does not exist: put it into {file}, {reload}"
    assert usual == f"there is no HEC token: put it into /etc/sls-siem/credentials/hec-token, {reload}"


def test_a_token_that_no_header_takes_is_not_shown_but_its_file_is(tmp_path: Path) -> None:
    with HecEmulator() as hec:
        result = make_output(hec_config(hec.url, token_file=token_file(tmp_path, "two words"))).probe(5)[-1]

    assert "holds a character that no token has: put it into" in result.text
    assert str(tmp_path / "token") in result.text
    assert "two words" not in repr(result)


def test_an_unhealthy_collector(tmp_path: Path) -> None:
    with HecEmulator() as hec:
        hec.set_state("queues-full")
        results = make_output(hec_config(hec.url, token_file=token_file(tmp_path))).probe(5)

        assert not results[1].ok
        assert "queues are full" in results[1].text


def test_a_collector_behind_a_balancer_that_hides_all_but_events(tmp_path: Path) -> None:
    with HecEmulator() as hec:
        hec.inject("answer", endpoint="ack", status=404)
        hec.inject("answer", endpoint="health", status=404)
        results = make_output(hec_config(hec.url, token_file=token_file(tmp_path))).probe(5)

        assert "the token is accepted" in [result.text for result in results]
        assert hec.store.total == 0


def test_something_that_is_not_a_collector(tmp_path: Path) -> None:
    with HecEmulator() as hec:
        hec.inject("answer", endpoint="any", status=302)
        results = make_output(hec_config(hec.url, token_file=token_file(tmp_path))).probe(5)

        assert [result.ok for result in results] == [True, False, False]


@pytest.mark.parametrize("scheme", ["tcp", "tls", "https"])
@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "connection refused: nothing listens"), ("nowhere.invalid", "cannot resolve nowhere.invalid")],
)
def test_an_address_that_is_not_there(tmp_path: Path, scheme: str, host: str, words: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"{scheme}://{host}:{free.getsockname()[1]}"
        config = hec_config(url, token_file=token_file(tmp_path)) if scheme == "https" else syslog_config(url)
        (result,) = make_output(config).probe(5)

        assert not result.ok
        assert result.subject == url
        assert words in result.text


def test_an_address_that_does_not_answer_the_handshake(certificates: Certificates) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"tls://127.0.0.1:{mute.getsockname()[1]}"
        (result,) = make_output(syslog_config(url, tls=TlsConfig(ca_file=str(certificates.ca_file)))).probe(0.5)

        assert "connected, but no TLS answer came within 0.5 s: the port may not speak TLS" in result.text
        assert "firewall" not in result.text


def test_a_good_certificate_is_dated(certificates: Certificates) -> None:
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        (result,) = make_output(syslog_config(siem.url, tls=TlsConfig(ca_file=str(certificates.ca_file)))).probe(5)

        assert result.ok
        assert "certificate valid until 2" in result.text
        assert result.facts["tls_version"] == "TLSv1.3"
        assert 0 <= int(result.facts["certificate_days_left"]) <= 31


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "its certificate has expired: let the SIEM's operator renew it"),
        ("not_yet_valid", "check this machine's clock"),
        ("wrong_host", "it is not for 127.0.0.1: use a name that the certificate has, or set tls.server_name"),
        ("untrusted", "set tls.ca_file"),
    ],
)
@pytest.mark.parametrize("secure", ["tls", "https"])
def test_a_bad_certificate(tmp_path: Path, certificates: Certificates, which: str, words: str, secure: str) -> None:
    context = server_context(getattr(certificates, which))
    tls = TlsConfig(ca_file=str(certificates.ca_file))
    if secure == "tls":
        with SyslogEmulator(tls=context) as siem:
            results = make_output(syslog_config(siem.url, tls=tls)).probe(5)
    else:
        with HecEmulator(tls=context) as hec:
            results = make_output(hec_config(hec.url, token_file=token_file(tmp_path), tls=tls)).probe(5)

    assert [result.ok for result in results] == [False]
    assert words in results[0].text


def test_the_wrong_ca(certificates: Certificates) -> None:
    other = TlsConfig(ca_file=str(certificates.other_ca_file))
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        (result,) = make_output(syslog_config(siem.url, tls=other)).probe(5)

        assert "set tls.ca_file" in result.text


@pytest.mark.parametrize("newest", ["1.2", "1.3"])
def test_a_client_certificate_is_asked_for(certificates: Certificates, newest: str) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required", maximum=newest)
    with SyslogEmulator(tls=context) as siem:
        (result,) = make_output(syslog_config(siem.url, tls=TlsConfig(ca_file=str(certificates.ca_file)))).probe(5)

        assert not result.ok
        assert "tls.cert_file" in result.text


def test_tls_towards_a_plain_port_and_the_other_way_round(certificates: Certificates) -> None:
    tls = TlsConfig(ca_file=str(certificates.ca_file))
    with socket.socket() as web, SyslogEmulator(tls=server_context(certificates.server)) as secure:
        web.bind(("127.0.0.1", 0))
        web.listen()
        answering = threading.Thread(target=answer_in_plain_text, args=(web,))
        answering.start()
        (plain,) = make_output(syslog_config(f"tls://127.0.0.1:{web.getsockname()[1]}", tls=tls)).probe(5)
        answering.join()
        (hidden,) = make_output(syslog_config(secure.url.replace("tls:", "tcp:"))).probe(5)

        assert "does not speak TLS on this port" in plain.text
        assert (hidden.ok, hidden.facts["tls"]) == (True, False)


def test_udp_is_only_resolved() -> None:
    good, bad = make_output(syslog_config("udp://127.0.0.1:9", "udp://nowhere.invalid:9")).probe(5)

    assert (good.ok, bad.ok) == (True, False)
    assert "cannot resolve" in bad.text
