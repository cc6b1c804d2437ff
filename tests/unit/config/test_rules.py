"""What keys must be to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from sls_siem.config import load, rules
from sls_siem.errors import ConfigError
from tests.unit.config.conftest import HEC, SLS, SYSLOG, Load, Problems

PROJECT_IN_ENDPOINT = SLS.replace("https://", "https://my-project.")
TLS = "\n[tls]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            PROJECT_IN_ENDPOINT + HEC,
            'sls.endpoint: starts with the project\'s name, "https://my-project.cn-hangzhou.log.aliyuncs.com", '
            "leave the project out, it is put in front of the host for each call",
        ),
        (
            SLS + 'query = "*"\nprocessor = "p"' + HEC,
            'sls.processor: stands together with query, "p", keep one of them',
        ),
        (
            SLS + "group_timeout_s = 12" + HEC,
            "sls.group_timeout_s: leaves no room for one lost heartbeat, 12, give at least 2.5 times heartbeat_s",
        ),
        (
            SLS + "heartbeat_s = 17" + HEC,
            "sls.group_timeout_s: leaves no room for one lost heartbeat, 40 by default, "
            "give at least 2.5 times heartbeat_s",
        ),
        (
            SLS + '[sls.credentials]\nfile = "/x"' + HEC,
            'sls.credentials.file: is not used with this source, "/x", set source = "file"',
        ),
        (
            SLS + '[sls.credentials]\nram_role = "x"' + HEC,
            'sls.credentials.ram_role: is not used with this source, "x", set source = "ecs-ram-role"',
        ),
        (
            SLS + '[siem]\noutput = "hec"',
            'hec.urls: is missing beside siem.output = "hec", nothing given, '
            'give a list such as ["https://splunk.example.com:8088"]',
        ),
        (
            SLS + '[siem]\noutput = "hec"\n[hec]\nurls = []',
            "hec.urls: is empty, [], give at least 1",
        ),
        (
            SLS + '[siem]\noutput = "syslog"',
            'syslog.url: is missing beside siem.output = "syslog", nothing given, '
            'give an address such as "tls://siem.example.com:6514"',
        ),
        (
            SLS + SYSLOG + 'urls = ["tls://a"]',
            'syslog.url: stands together with urls, "tls://siem.example.com:6514", keep one of them',
        ),
        (
            SLS + '[siem]\noutput = "syslog"\n[syslog]\nurls = ["tls://a", "tcp://a"]',
            'syslog.urls: mixes schemes, ["tls://a", "tcp://a"], '
            "give all addresses the same one: a fallback must not be weaker than what it stands in for",
        ),
        (
            SLS + SYSLOG.replace("tls:", "udp:") + "max_bytes = 65508",
            "syslog.max_bytes: is more than a UDP datagram holds, 65508, give at most 65507",
        ),
        (
            SLS + SYSLOG.replace("tls:", "udp:") + 'framing = "lf"',
            'syslog.framing: is not for udp://, which frames by itself, "lf", leave it out',
        ),
        (
            SLS + HEC + TLS + "verify = false",
            "tls.verify: would trust any peer, false, set ca_file to the CA that signed the SIEM's certificate, "
            "or write insecure = true beside it",
        ),
        (
            SLS + HEC + TLS + 'key_file = "/k"',
            'tls.key_file: stands without cert_file, "/k", name the client certificate too',
        ),
        (
            SLS + SYSLOG + "settle_s = 10\n[delivery]\nunsettled_s = 10",
            "delivery.unsettled_s: is not longer than syslog.settle_s, so that every shard would wait, 10, "
            "give more than syslog.settle_s",
        ),
        (
            SLS + HEC + TLS + 'ca_file = "/nonexistent/ca.pem"',
            'tls.ca_file: cannot be read (No such file or directory), "/nonexistent/ca.pem", '
            "name a file that the agent's user may read",
        ),
        (
            SLS + 'ca_file = "/nonexistent/ca.pem"' + HEC,
            'sls.ca_file: cannot be read (No such file or directory), "/nonexistent/ca.pem", '
            "name a file that the agent's user may read",
        ),
        (
            SLS + HEC + TLS + 'cert_file = "/dev/null"',
            'tls.cert_file: cannot be read (not a file), "/dev/null", name a file that the agent\'s user may read',
        ),
        (
            SLS + SYSLOG.replace("[syslog]", 'format = "leef"\nevent_id_field = "devTime"\n[syslog]'),
            'siem.event_id_field: is a key that LEEF has for something else, "devTime", '
            "give another name such as sls_id",
        ),
        (
            SLS + SYSLOG + '[leef]\nfields = { sls_id = "id" }',
            "leef.fields: has a key of the same name as siem.event_id_field, a table, "
            "give the field another key: this one carries the event's id",
        ),
    ],
)
def test_a_broken_rule_is_the_one_problem(problems_of: Problems, text: str, problem: str) -> None:
    assert problems_of(text) == [f"agent.toml: {problem}"]


@pytest.mark.parametrize(
    "text",
    [
        SLS + "heartbeat_s = 16" + HEC,
        SLS + "heartbeat_s = 60\ngroup_timeout_s = 150" + HEC,
        SLS + HEC + TLS + "verify = false\ninsecure = true",
        SLS + HEC + TLS + "insecure = true",
        SLS + HEC + "[metrics]\nport = 65534",
        SLS + HEC + '[syslog]\nurl = "tcp://a"',
        SLS + SYSLOG.replace("tls:", "udp:") + "max_bytes = 65507",
        SLS + SYSLOG.replace("tls:", "tcp:") + 'framing = "octet-counting"',
        SLS + '[siem]\noutput = "syslog"\n[syslog]\nurls = ["tls://a", "tls://b:1"]',
        SLS + HEC + "[syslog]\nsettle_s = 2\n[delivery]\nunsettled_s = 1",
        SLS + SYSLOG.replace("tls:", "relp:"),
        SLS + '[siem]\noutput = "syslog"\n[syslog]\nurls = ["relp+tls://a:1"]',
        SLS + HEC.replace("[hec]", 'format = "cef"\n[hec]'),
        SLS + SYSLOG.replace("[syslog]", 'format = "leef"\n[syslog]'),
        SLS + '[sls.credentials]\nsource = "ecs-ram-role"\nram_role = "x"' + HEC,
        SLS + '[sls.credentials]\nsource = "file"\nfile = "/x"' + HEC,
        SLS + HEC.replace("[hec]", 'event_id_field = ""\n[hec]') + '[leef]\nfields = { sls_id = "id" }',
    ],
)
def test_what_is_at_the_edge_of_a_rule_is_taken(load_text: Load, text: str) -> None:
    assert load_text(text).sls.project == "my-project"


def test_the_port_of_the_last_instance_has_to_exist(folder: Path) -> None:
    (folder / "agent.toml").write_text(SLS + HEC + "[metrics]\nport = 65500")

    assert load(folder / "agent.toml", 35, {}).metrics.port == 65500
    with pytest.raises(ConfigError, match=r"metrics\.port: plus the instance's number is above 65535, 65500, give a"):
        load(folder / "agent.toml", 36, {})


def test_files_of_the_trust_store_that_can_be_read_are_taken(load_text: Load, folder: Path) -> None:
    (folder / "ca.pem").write_text("a certificate")
    name = f'"{folder}/ca.pem"'

    config = load_text(f"{SLS}\nca_file = {name}\n{HEC}{TLS}ca_file = {name}\ncert_file = {name}")

    assert config.sls.ca_file == config.tls.ca_file == config.tls.cert_file == f"{folder}/ca.pem"


def test_credential_files_are_for_the_access_key_only(problems_of: Problems) -> None:
    names = ["access_key_id_file", "access_key_secret_file", "security_token_file"]
    text = '[sls.credentials]\nsource = "file"\n' + "\n".join(f'{name} = "/x"' for name in names)

    problems = problems_of(SLS + text + HEC)

    for name in names:
        line = f'agent.toml: sls.credentials.{name}: is not used with this source, "/x", set source = "access-key"'
        assert line in problems
    assert any(
        line.startswith('agent.toml: sls.credentials.file: is missing beside source = "file"') for line in problems
    )


def test_zstd_says_what_it_needs(problems_of: Problems, load_text: Load) -> None:
    text = SLS + 'compression = "zstd"' + HEC

    if rules.zstd_available():
        assert load_text(text).sls.compression == "zstd"
    else:
        assert problems_of(text) == [
            "agent.toml: sls.compression: needs the compiled codec (package sls-siem-codec) or Python 3.14, "
            'and neither is here, "zstd", choose lz4'
        ]


def test_zstd_is_available_once_the_compiled_codec_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sls_siem_codec.py").touch()
    monkeypatch.syspath_prepend(folder)

    assert rules.zstd_available()


def test_a_rule_says_nothing_about_a_value_that_could_not_be_read(problems_of: Problems) -> None:
    problems = problems_of(SLS + "heartbeat_s = 'x'\ngroup_timeout_s = 3" + HEC)

    assert [line.split(": ")[1] for line in problems] == ["sls.heartbeat_s"]
