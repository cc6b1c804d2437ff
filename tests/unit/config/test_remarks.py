"""Warnings about what is given without effect, and about a name that two hosts would share."""

from __future__ import annotations

import pytest

from sls_siem.config import warnings_for
from tests.unit.config.conftest import HEC, SLS, SYSLOG, Load

PLAIN_HEC = HEC.replace("https:", "http:")
TCP = SYSLOG.replace("tls:", "tcp:")
UNUSED_SYSLOG = '[syslog]\nurl = "tls://siem.example.com:6514"\n'


def remarks(load_text: Load, text: str, **kwargs: object) -> list[str]:
    return list(load_text(SLS + text, **kwargs).remarks)


def test_keys_of_the_other_output_are_named_once(load_text: Load, folder) -> None:
    (line,) = remarks(load_text, SYSLOG + "[hec]\nacknowledge = true\ngzip = false\n")

    assert line == f'[hec] is not used with output = "syslog": acknowledge, gzip in {folder}/agent.toml has no effect'
    assert remarks(load_text, HEC + UNUSED_SYSLOG) == [
        f'[syslog] is not used with output = "hec": url in {folder}/agent.toml has no effect'
    ]


def test_they_are_among_the_warnings(load_text: Load) -> None:
    config = load_text(SLS + SYSLOG + "[hec]\nacknowledge = true\n")

    assert warnings_for(config, {"SLS_AK_ID": "i", "SLS_AK_KEY": "k"}) == config.remarks != ()


@pytest.mark.parametrize("text", [SYSLOG, HEC + '[tls]\nca_file = "/etc/hostname"\n', TCP + "[tls]\nverify = true"])
def test_what_has_an_effect_is_not_named(load_text: Load, text: str) -> None:
    assert remarks(load_text, text) == []


@pytest.mark.parametrize("profile", ["splunk", "qradar", "elastic"])
def test_what_a_profile_presets_is_not_named(load_text: Load, profile: str) -> None:
    addresses = '[hec]\nurls = ["https://s:8088"]\n' if profile == "splunk" else UNUSED_SYSLOG

    assert remarks(load_text, f'[siem]\nprofile = "{profile}"\n{addresses}') == []


@pytest.mark.parametrize("text", [PLAIN_HEC, TCP, SYSLOG.replace("tls:", "relp:")])
def test_files_of_tls_beside_plain_addresses_are_named(load_text: Load, text: str) -> None:
    (line,) = remarks(load_text, text + '[tls]\nca_file = "/etc/hostname"\ncert_file = "/etc/hostname"\n')

    assert line.startswith("[tls] is not used with ")
    assert "ca_file, cert_file in " in line


def test_one_address_with_tls_uses_the_files(load_text: Load) -> None:
    text = HEC.replace('["https:', '["http://plain:8088", "https:') + '[tls]\nca_file = "/etc/hostname"\n'

    assert remarks(load_text, text) == []


def test_what_the_main_file_holds_for_other_instances_is_not_named(load_text: Load) -> None:
    override = '[siem]\noutput = "syslog"\n[syslog]\nurl = "tcp://siem.example.com:514"\n'
    text = HEC + '[tls]\nca_file = "/etc/hostname"\n'

    assert remarks(load_text, text, override=override) == []


def test_what_an_override_gives_for_nothing_is_named(load_text: Load, folder) -> None:
    (line,) = remarks(load_text, HEC, override=UNUSED_SYSLOG)

    assert line == f'[syslog] is not used with output = "hec": url in {folder}/instances/1.toml has no effect'


@pytest.mark.parametrize("name", ["{host}-{instance}", "{machine_id}-{instance}", "x-{host}"])
def test_a_name_that_no_other_host_has_is_fine(load_text: Load, name: str) -> None:
    assert load_text(SLS + f'consumer_name = "{name}"\n' + SYSLOG).remarks == ()


@pytest.mark.parametrize("name", ["agent", "agent-{instance}"])
def test_a_name_that_another_host_would_have_is_named(load_text: Load, name: str) -> None:
    (line,) = load_text(SLS + f'consumer_name = "{name}"\n' + SYSLOG).remarks

    assert line.startswith(f'sls.consumer_name: "{name}" has neither {{host}} nor {{machine_id}}: two hosts would have')
