"""What `check` says about a configuration that is right."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from sls_siem.config import CredentialsConfig, warnings_for
from sls_siem.config.advice import WantedSecret, wanted_secrets
from tests.unit.config.conftest import HEC, SLS, SYSLOG, Load

KEYS = {"SLS_AK_ID": "i", "SLS_AK_KEY": "k"}


@pytest.fixture(autouse=True)
def _as_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_a_missing_secret_is_named_with_the_places_looked_at(load_text: Load, folder: Path) -> None:
    config = load_text(SLS + HEC + f'token_file = "{folder}/token"')

    assert warnings_for(config, {"CREDENTIALS_DIRECTORY": "/nonexistent"}) == (
        "secret sls-access-key-id: not found, looked in /nonexistent/sls-access-key-id, $SLS_AK_ID",
        "secret sls-access-key-secret: not found, looked in /nonexistent/sls-access-key-secret, $SLS_AK_KEY",
        f"secret hec-token: not found, {folder}/token (hec.token_file) does not exist",
    )


def test_a_secret_without_any_place_says_so(load_text: Load) -> None:
    warnings = warnings_for(load_text(SLS + HEC), KEYS)

    assert warnings == ("secret hec-token: not found, looked in nowhere: this is not root and not the unit",)


def test_nothing_is_said_when_all_is_well(load_text: Load, folder: Path) -> None:
    (folder / "hec-token").write_text("t")

    assert warnings_for(load_text(SLS + HEC), {**KEYS, "CREDENTIALS_DIRECTORY": str(folder)}) == ()
    assert warnings_for(load_text(SLS + SYSLOG), KEYS) == ()


def test_each_output_wants_its_secrets(load_text: Load, folder: Path) -> None:
    (folder / "cert").write_text("c")
    tls = f'\n[tls]\ncert_file = "{folder}/cert"\nkey_file = "/k"'
    keys = [WantedSecret("sls-access-key-id", None), WantedSecret("sls-access-key-secret", "/s")]
    sls = SLS + '[sls.credentials]\naccess_key_secret_file = "/s"'

    assert list(wanted_secrets(load_text(sls + SYSLOG + tls))) == [*keys, WantedSecret("tls-client-key", "/k")]
    assert list(wanted_secrets(load_text(sls + HEC))) == [*keys, WantedSecret("hec-token", None)]


def test_a_security_token_is_missed_only_when_its_file_is_named(load_text: Load, folder: Path) -> None:
    sls = f'{SLS}[sls.credentials]\nsecurity_token_file = "{folder}/sts"\n'
    (line,) = warnings_for(load_text(sls + SYSLOG), KEYS)

    assert line.startswith(f"secret sls-security-token: not found, {folder}/sts (sls.credentials.security_token_file)")
    assert warnings_for(load_text(SLS + SYSLOG), KEYS) == ()


def test_keys_from_elsewhere_are_not_missed(load_text: Load) -> None:
    config = load_text(SLS + SYSLOG)
    sls = dataclasses.replace(config.sls, credentials=CredentialsConfig(source="ecs-ram-role", ram_role="reader"))

    assert wanted_secrets(dataclasses.replace(config, sls=sls)) == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            SYSLOG.replace("tls:", "tcp:"),
            "syslog.urls: tcp://siem.example.com:6514: logs travel unencrypted, use tls://",
        ),
        (
            SYSLOG.replace("tls:", "udp:"),
            "syslog.urls: udp://siem.example.com:6514: logs travel unencrypted, use tls://",
        ),
        (SYSLOG + "[tls]\nverify = false\ninsecure = true", "tls.verify: false: whoever answers"),
        (
            HEC.replace("https:", "http:") + 'token_file = "/etc/hostname"',
            "hec.urls: http://splunk.example.com:8088: logs travel unencrypted, use https:// where",
        ),
    ],
)
def test_a_weak_peer_is_named(load_text: Load, text: str, warning: str) -> None:
    (line,) = warnings_for(load_text(SLS + text), KEYS)

    assert line.startswith(warning)


def test_a_plain_endpoint_is_named(load_text: Load) -> None:
    (line,) = warnings_for(load_text(SLS.replace("https:", "http:") + SYSLOG), KEYS)

    assert line.startswith("sls.endpoint: http://cn-hangzhou.log.aliyuncs.com: logs travel unencrypted")
