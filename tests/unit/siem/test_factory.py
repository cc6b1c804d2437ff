"""The files of `[tls]` that an output is made with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates
from sls_siem.errors import ConfigError
from sls_siem.siem import make_output
from tests.unit.siem.support import syslog_config


def test_a_client_key_whose_named_file_is_missing_is_not_taken_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Certificates(tmp_path).client
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "tls-client-key").write_bytes(pair.key_file.read_bytes())
    tls = TlsConfig(cert_file=str(pair.cert_file), key_file=f"{tmp_path}/own-key")

    with pytest.raises(ConfigError) as caught:
        make_output(dataclasses.replace(syslog_config("tls://siem:6514"), tls=tls))

    assert caught.value.problems == (
        f"tls.cert_file: its private key is missing, {tmp_path}/own-key (tls.key_file) does not exist",
    )


def test_a_file_that_holds_something_else_comes_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("junk")

    with pytest.raises(ConfigError) as caught:
        make_output(dataclasses.replace(syslog_config("tls://siem:6514"), tls=TlsConfig(ca_file=f"{tmp_path}/ca")))

    (line,) = caught.value.problems
    assert line.startswith(f"tls.ca_file: {tmp_path}/ca holds no CA certificate in PEM form")
