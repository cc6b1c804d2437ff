"""What a profile and a map set, and what they leave alone."""

from __future__ import annotations

import pytest

from sls_siem.config import SeverityMap
from sls_siem.config.fields import option_of
from sls_siem.config.loader import _FIELDS
from sls_siem.config.maps import FOLDER, MAPS, keys_of_map, read_map
from sls_siem.config.profiles import PROFILES
from tests.unit.config.conftest import SLS, Load, Problems

HEC = '\n[hec]\nurls = ["https://splunk.example.com:8088"]\n'


def siem(profile: str, *lines: str, url: str = "tls://siem.example.com:6514", more: str = "") -> str:
    return "\n".join([SLS, "[siem]", f'profile = "{profile}"', *lines, "[syslog]", f'url = "{url}"', more])


@pytest.mark.parametrize(
    ("profile", "url", "expected"),
    [
        ("qradar", "tls://h", ("leef", 3164, "lf", 4096, "-", "truncate")),
        ("qradar", "tcp://h", ("leef", 3164, "lf", 4096, "-", "truncate")),
        ("qradar", "udp://h", ("leef", 3164, "none", 1024, "-", "truncate")),
        ("arcsight", "tls://h", ("cef", 3164, "lf", 8192, "-", "truncate")),
        ("sentinel", "tcp://h", ("cef", 3164, "lf", 8192, "-", "truncate")),
        ("elastic", "tcp://h", ("json", 5424, "octet-counting", 262144, "my-logstore", "truncate")),
        ("elastic", "relp://h:1", ("json", 5424, "none", 262144, "my-logstore", "truncate")),
        ("elastic", "udp://h", ("json", 5424, "none", 1024, "my-logstore", "truncate")),
    ],
)
def test_a_profile_sets_what_suits_the_siem(load_text: Load, profile: str, url: str, expected: object) -> None:
    config = load_text(siem(profile, url=url))
    syslog = config.syslog
    found = (config.siem.format, syslog.rfc, syslog.framing, syslog.max_bytes, syslog.app_name, syslog.oversize)

    assert config.siem.output == "syslog"
    assert found == expected


def test_profiles_of_syslog_read_the_severity_from_the_level(load_text: Load) -> None:
    for profile in ("qradar", "arcsight", "sentinel", "elastic"):
        severity = load_text(siem(profile)).syslog.severity

        assert isinstance(severity, SeverityMap)
        assert (severity.field, severity.map["ERROR"], severity.map["warn"]) == ("level", "err", "warning")
    sentinel = load_text(siem("sentinel"))
    assert sentinel.syslog.facility == "local4"
    assert isinstance(sentinel.cef.severity, SeverityMap)
    assert sentinel.cef.severity.map["CRITICAL"] == "9"


def test_splunk_is_hec(load_text: Load) -> None:
    config = load_text(SLS + '[siem]\nprofile = "splunk"' + HEC)

    assert (config.siem.output, config.siem.format, config.hec.sourcetype) == ("hec", "json", "aliyun:sls")


def test_what_is_given_wins(load_text: Load) -> None:
    more = 'framing = "octet-counting"\nmax_bytes = 9000\nrfc = 5424\napp_name = "mine"\nseverity = "notice"'
    config = load_text(siem("qradar", 'format = "cef"', more=more))
    syslog = config.syslog

    assert config.siem.format == "cef"
    assert (syslog.framing, syslog.max_bytes, syslog.rfc, syslog.app_name) == ("octet-counting", 9000, 5424, "mine")
    assert syslog.severity == "notice"


def test_what_an_instance_gives_wins_too(load_text: Load) -> None:
    config = load_text(siem("arcsight"), override='[siem]\nprofile = "qradar"\n[syslog]\nmax_bytes = 2048')

    assert (config.siem.format, config.syslog.max_bytes) == ("leef", 2048)


def test_generic_leaves_everything_as_it_is(load_text: Load, problems_of: Problems) -> None:
    plain = SLS + '[siem]\noutput = "syslog"\n[syslog]\nurl = "tls://h"'

    assert load_text(plain.replace("[siem]", '[siem]\nprofile = "generic"')) == load_text(plain)
    assert problems_of(siem("generic"))[0].startswith("agent.toml: siem.output: is missing")


def test_a_profile_that_is_none_is_reported(problems_of: Problems) -> None:
    assert any("siem.profile: is not known" in line for line in problems_of(siem("splank")))
    assert any("siem.profile: is not known, 1," in line for line in problems_of(SLS + "[siem]\nprofile = 1"))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_preset_is_a_key_and_can_be_used(profile: str) -> None:
    for key, value in PROFILES[profile].items():
        assert option_of(_FIELDS[key]).parse(value) is not None


def test_every_map_is_a_file_and_the_other_way_round() -> None:
    assert sorted(MAPS) == sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", MAPS)
def test_every_map_sets_keys_that_can_be_used(name: str) -> None:
    assert set(read_map(name)) <= {"title", "topics", "sourcetype", "json_fields", "cef", "leef", "splunk"}
    for key, value in keys_of_map(name).items():
        assert option_of(_FIELDS[key]).parse(value) is not None


def test_a_map_sets_fields_and_sourcetype_and_given_keys_win(load_text: Load) -> None:
    mapped = load_text(SLS + '[siem]\nprofile = "splunk"\nmap = "k8s-audit"' + HEC)
    own = load_text(siem("arcsight", 'map = "vpc-flow"', more='[cef]\nfields = { src = "x" }\nproduct = "mine"'))

    assert mapped.hec.sourcetype == "aliyun:k8s:audit"
    assert "objectRef" in mapped.siem.json_fields
    assert (own.cef.fields, own.cef.product, own.cef.event_id) == ({"src": "x"}, "mine", "{action}")
    assert isinstance(own.cef.severity, SeverityMap)
    assert own.cef.severity.field == "action"
