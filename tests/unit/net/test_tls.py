from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sls_siem.emulator.certificates import Authority, Certificates, server_context
from sls_siem.errors import ConfigError
from sls_siem.net.connect import connect
from sls_siem.net.deadline import Deadline
from sls_siem.net.tls import client_context
from tests.unit.net.peers import peer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def greet(connection, here):
    here.requests.append(connection.sock.getpeercert())
    connection.send(b"hello")


def handshake(here, context, *, server_name="localhost"):
    """Connect and read, since a TLS 1.3 server refuses a client's certificate only after the handshake."""
    with connect("127.0.0.1", here.port, Deadline(10), tls=context, server_name=server_name) as sock:
        return sock.recv(5), sock.version()


def test_trusts_its_own_authority_and_speaks_the_newest_version(certificates):
    with peer(greet, tls=server_context(certificates.server)) as here:
        assert handshake(here, client_context(ca_file=certificates.ca_file)) == (b"hello", "TLSv1.3")


def test_takes_an_authority_of_old_that_names_no_keys(tmp_path):
    """To see it fail, on Python 3.13 or later: make the context by `ssl.create_default_context`."""
    authority = Authority(tmp_path, key_identifiers=False)
    with peer(greet, tls=server_context(authority.issue("server"))) as here:
        assert handshake(here, client_context(ca_file=authority.ca_file))[0] == b"hello"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_accepts_any_name_the_certificate_carries(certificates, name):
    with peer(greet, tls=server_context(certificates.server)) as here:
        context = client_context(ca_file=certificates.ca_file)

        assert handshake(here, context, server_name=name)[0] == b"hello"


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "expired"),
        ("not_yet_valid", "not yet valid"),
        ("wrong_host", "Hostname mismatch"),
        ("untrusted", "unable to get local issuer"),
    ],
)
def test_refuses_a_certificate_that_is_not_good(certificates, which, words):
    with (
        peer(greet, tls=server_context(getattr(certificates, which))) as here,
        pytest.raises(ssl.SSLCertVerificationError, match=words),
    ):
        handshake(here, client_context(ca_file=certificates.ca_file))


def test_an_own_authority_replaces_those_of_the_system(certificates):
    context = client_context(ca_file=certificates.ca_file)

    assert len(context.get_ca_certs()) == 1


def test_trusts_one_server_by_its_certificate_alone(certificates):
    with peer(greet, tls=server_context(certificates.server)) as here:
        context = client_context(ca_file=certificates.server.cert_file)

        assert handshake(here, context)[0] == b"hello"


def test_without_verification_anybody_is_accepted(certificates):
    with peer(greet, tls=server_context(certificates.wrong_host)) as here:
        assert handshake(here, client_context(verify=False))[0] == b"hello"


def test_refuses_tls_1_1(certificates):
    old = server_context(certificates.server, minimum="1.1", maximum="1.1")
    with peer(greet, tls=old) as here, pytest.raises(ssl.SSLError):
        handshake(here, client_context(ca_file=certificates.ca_file))


def test_refuses_tls_1_2_when_told_to(certificates):
    older = server_context(certificates.server, maximum="1.2")
    with peer(greet, tls=older) as here:
        assert handshake(here, client_context(ca_file=certificates.ca_file))[1] == "TLSv1.2"
        with pytest.raises(ssl.SSLError):
            handshake(here, client_context(ca_file=certificates.ca_file, minimum="1.3"))


def test_shows_its_certificate_to_a_server_that_asks(certificates):
    tls = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    pair = certificates.client
    context = client_context(ca_file=certificates.ca_file, cert_file=pair.cert_file, key_file=pair.key_file)
    with peer(greet, tls=tls) as here:
        handshake(here, context)

        assert here.requests[0]["subjectAltName"] == (("DNS", "client.example.com"),)


def test_a_server_that_asks_refuses_who_shows_none(certificates):
    tls = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    with peer(greet, tls=tls) as here, pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        handshake(here, client_context(ca_file=certificates.ca_file))


def test_certificate_and_key_may_share_a_file(certificates, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.client.cert_file.read_bytes() + certificates.client.key_file.read_bytes())
    tls = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    with peer(greet, tls=tls) as here:
        assert handshake(here, client_context(ca_file=certificates.ca_file, cert_file=both))[0] == b"hello"


def test_without_files_the_system_is_trusted():
    context = client_context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def problem(**files):
    with pytest.raises(ConfigError) as failure:
        client_context(**files)
    (line,) = failure.value.problems
    return line


def test_names_a_file_that_is_not_there(certificates, tmp_path):
    missing = tmp_path / "missing.pem"
    key = certificates.client.key_file

    assert problem(ca_file=missing) == f"{missing}: cannot be read: No such file or directory"
    assert problem(cert_file=missing, key_file=key) == f"{missing}: cannot be read: No such file or directory"


def test_names_a_key_that_is_not_there(certificates, tmp_path):
    missing = tmp_path / "missing.key"
    cert = certificates.client.cert_file

    assert problem(cert_file=cert, key_file=missing) == f"{missing}: cannot be read: No such file or directory"


def test_names_a_file_that_cannot_be_read(tmp_path):
    assert problem(ca_file=tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


def test_names_a_ca_file_without_a_certificate(certificates):
    key = certificates.client.key_file

    assert problem(ca_file=key).startswith(f"{key}: holds no CA certificate in PEM form")


def test_names_a_pair_that_is_none(certificates):
    cert, key = certificates.client.cert_file, certificates.server.key_file
    line = problem(cert_file=cert, key_file=key)

    assert line.startswith(f"{cert}: does not belong to the private key in {key}")


def test_names_a_certificate_without_its_key(certificates):
    cert = certificates.client.cert_file
    line = problem(cert_file=cert)

    assert line.startswith(f"{cert}: holds no private key in PEM form")


def test_names_the_half_of_a_pair_that_is_junk(certificates, tmp_path):
    pair, junk = certificates.client, tmp_path / "junk"
    junk.write_text("junk")

    assert problem(cert_file=junk, key_file=pair.key_file).startswith(f"{junk}: holds no certificate in PEM form")
    assert problem(cert_file=pair.cert_file, key_file=junk).startswith(f"{junk}: holds no private key in PEM form")


def test_never_asks_for_a_passphrase(certificates, tmp_path):
    key = tmp_path / "encrypted.key"
    plain = load_pem_private_key(certificates.client.key_file.read_bytes(), None)
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    line = problem(cert_file=certificates.client.cert_file, key_file=key)

    assert line == f"{key}: the private key is encrypted: store it without a passphrase, mode 0600"


def test_a_key_alone_is_a_mistake(certificates):
    key = certificates.client.key_file

    assert problem(key_file=key).startswith(f"{key}: a private key without a certificate")
