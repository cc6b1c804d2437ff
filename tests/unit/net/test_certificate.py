"""When a certificate ends, read from the bytes, compared with what `cryptography` says."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.net.certificate import CertificateError, not_after, not_after_of_file

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "siem.example.com")])
SECONDS = st.integers(-599529600, 13569465600)  # 1951 to 2399
SOME_TIME = 1893456000


def made(seconds: int = SOME_TIME, *, serial: int = 1, long_name: str = "") -> bytes:
    end = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=seconds)
    start = end - dt.timedelta(days=1)
    subject = x509.Name([*NAME, x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, long_name)]) if long_name else NAME
    builder = x509.CertificateBuilder(subject, subject, KEY.public_key(), serial, start, end)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@given(SECONDS, st.integers(1, 2**158))
def test_the_end_is_read_in_both_forms_of_time(seconds: int, serial: int) -> None:
    assert not_after(made(seconds, serial=serial)) == seconds


def test_long_names_do_not_matter() -> None:
    assert not_after(made(long_name="x" * 60)) == SOME_TIME


def test_a_file_tells_of_its_first_certificate(tmp_path: Path) -> None:
    first, second = (ssl.DER_cert_to_PEM_cert(made(end)) for end in (SOME_TIME, 2000000000))
    (tmp_path / "chain.pem").write_text(f"a note\n{first}{second}")

    assert not_after_of_file(tmp_path / "chain.pem") == SOME_TIME


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_refused_or_read(at: int, other: bytes) -> None:
    der = bytearray(made())
    at %= len(der)
    der[at : at + len(other)] = other
    read: list[object] = []
    with contextlib.suppress(CertificateError):
        read.append(not_after(bytes(der)))

    assert all(isinstance(end, float) for end in read)


@pytest.mark.parametrize("end", range(0, 120, 7))
def test_bytes_that_end_early_are_refused(end: int) -> None:
    with pytest.raises(CertificateError):
        not_after(made()[:end])


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n@@\n-----END CERTIFICATE-----\n"])
def test_a_file_without_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.pem").write_text(text)
    with pytest.raises(CertificateError):
        not_after_of_file(tmp_path / "file.pem")
