"""Every key: what it takes and what it refuses."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from sls_siem.config import Config, SeverityMap
from sls_siem.config.fields import option_of
from sls_siem.config.model import TABLES
from tests.unit.config.conftest import HEC, SLS, SYSLOG, Load, Problems

# Table, key, value as TOML text, and what it comes to or part of why it is refused.
RIGHT = [
    ("sls", "region", '"ap-southeast-1"', "ap-southeast-1"),
    ("sls", "consumer_name", '"agent.{instance}"', "agent.1"),
    ("sls", "start", '"begin"', "begin"),
    ("sls", "start", '"end"', "end"),
    ("sls", "start", '"1970-01-02T00:00:00Z"', "86400"),
    ("sls", "start", '"1970-01-02T08:00:00.75+08:00"', "86400"),
    ("sls", "start", '"1970-01-02t00:00:00z"', "86400"),
    ("sls", "start", "1970-01-02T00:00:00Z", "86400"),
    ("sls", "query", "'* | where a = \"b\"'", '* | where a = "b"'),
    ("sls", "processor", '"consume-processor-1"', "consume-processor-1"),
    ("sls", "heartbeat_s", "1", 1.0),
    ("sls", "heartbeat_s", "2.5", 2.5),
    ("sls", "group_timeout_s", "3600", 3600),
    ("sls", "compression", '"lz4"', "lz4"),
    ("sls", "proxy", '"http://proxy.example.com:3128/"', "http://proxy.example.com:3128"),
    ("sls", "proxy", '"http://u:p@proxy.example.com:3128"', "http://u:p@proxy.example.com:3128"),
    ("sls", "in_order", "true", True),
    ("sls.credentials", "source", '"access-key"', "access-key"),
    ("sls.credentials", "access_key_id_file", '"/x"', "/x"),
    ("sls.credentials", "access_key_secret_file", '"/x"', "/x"),
    ("sls.credentials", "security_token_file", '"/x"', "/x"),
    ("siem", "format", '"kv"', "kv"),
    ("siem", "format", '"raw"', "raw"),
    ("siem", "json_fields", '["event", "detail"]', ("event", "detail")),
    ("siem", "json_fields", "[]", ()),
    ("siem", "raw_field", '"message"', "message"),
    ("siem", "event_id_field", '""', ""),
    ("filter", "keep", '{ a = ["4*", ""] }', {"a": ("4*", "")}),
    ("filter", "drop", '{ "__tag__:x" = ["*"] }', {"__tag__:x": ("*",)}),
    ("fields", "drop", '["a", "__topic__"]', ("a", "__topic__")),
    ("fields", "redact", '["a"]', ("a",)),
    ("fields", "hash", '["a"]', ("a",)),
    ("fields", "truncate", "{ a = 12 }", {"a": 12}),
    ("fields", "rename", '{ a = "b" }', {"a": "b"}),
    ("fields", "hash_key_file", '"/x"', "/x"),
    ("hec", "token_file", '"/x"', "/x"),
    ("hec", "index", '"main-{__topic__}"', "main-{__topic__}"),
    ("hec", "source", '""', ""),
    ("hec", "sourcetype", '"{{x}}"', "{{x}}"),
    ("hec", "host", '"{__tag__:__hostname__}"', "{__tag__:__hostname__}"),
    ("hec", "acknowledge", "true", True),
    ("hec", "ack_timeout_s", "60", 60.0),
    ("hec", "gzip", "false", False),
    ("hec", "batch_bytes", "65536", 65536),
    ("hec", "batch_bytes", "16777216", 16777216),
    ("hec", "batch_age_s", "0", 0.0),
    ("hec", "timeout_s", "600", 600.0),
    ("syslog", "rfc", "3164", 3164),
    ("syslog", "framing", '"lf"', "lf"),
    ("syslog", "facility", '"local7"', "local7"),
    ("syslog", "facility", '"{facility}"', "{facility}"),
    ("syslog", "severity", '"debug"', "debug"),
    ("syslog", "severity", '"{level}"', "{level}"),
    ("syslog", "severity", '{ field = "l", map = { E = "err" } }', SeverityMap("l", {"E": "err"}, "info")),
    ("syslog", "severity", '{ field = "l", map = {}, default = "crit" }', SeverityMap("l", {}, "crit")),
    ("syslog", "hostname", '"{host}"', "{host}"),
    ("syslog", "app_name", '"app"', "app"),
    ("syslog", "procid", '"{pid}"', "{pid}"),
    ("syslog", "msgid", '"{id}"', "{id}"),
    ("syslog", "structured_data", '""', ""),
    ("syslog", "structured_data", '"abc.d@12345.6.7"', "abc.d@12345.6.7"),
    ("syslog", "max_bytes", "480", 480),
    ("syslog", "max_bytes", "16777216", 16777216),
    ("syslog", "oversize", '"split"', "split"),
    ("syslog", "timezone", '"UTC"', "UTC"),
    ("syslog", "timezone", '"Asia/Shanghai"', "Asia/Shanghai"),
    ("syslog", "settle_s", "0", 0.0),
    ("cef", "vendor", '"v"', "v"),
    ("cef", "fields", '{ src = "remote_addr" }', {"src": "remote_addr"}),
    ("cef", "severity", '"{level}"', "{level}"),
    ("cef", "severity", '"Very-High"', "Very-High"),
    ("cef", "severity", '{ field = "l", map = { E = "9" } }', SeverityMap("l", {"E": "9"}, "5")),
    ("siem", "profile", '"generic"', "generic"),
    ("siem", "map", '"vpc-flow"', "vpc-flow"),
    ("leef", "format_version", '"1.0"', "1.0"),
    ("leef", "fields", "{}", {}),
    ("tls", "server_name", '"siem.example.com"', "siem.example.com"),
    ("tls", "minimum", '"1.3"', "1.3"),
    ("tls", "insecure", "true", True),
    ("delivery", "window_bytes", "16777216", 16777216),
    ("delivery", "unsettled_s", "30", 30.0),
    ("delivery", "checkpoint_s", "0.1", 0.1),
    ("delivery", "on_reject", '"hold"', "hold"),
    ("delivery", "dead_letter_max_bytes", "1048576", 1048576),
    ("delivery", "drain_s", "0", 0.0),
    ("delivery", "max_events_per_s", "1000", 1000),
    ("delivery", "max_bytes_per_s", "1000000", 1000000),
    ("metrics", "port", "9700", 9700),
    ("metrics", "listen", '"::1"', "::1"),
    ("log", "level", '"error"', "error"),
]

WRONG = [
    ("sls", "region", '"Hangzhou"', "is not possible"),
    ("sls", "consumer_name", '"{hostname}"', "is not possible"),
    ("sls", "consumer_name", '""', "is empty"),
    ("sls", "start", '"yesterday"', "is neither begin nor end nor an RFC 3339 time"),
    ("sls", "start", '"2026-13-01T00:00:00Z"', "is neither begin nor end nor an RFC 3339 time"),
    ("sls", "start", '"2026-01-01T00:00:00"', "is a time without an offset from UTC"),
    ("sls", "start", "2026-01-01T00:00:00", "is a time without an offset from UTC"),
    ("sls", "start", "2026-01-01", "is neither begin nor end nor an RFC 3339 time"),
    ("sls", "start", '"1969-12-31T23:59:59Z"', "is before 1970"),
    ("sls", "start", '"0001-01-01T00:00:00+14:00"', "is before 1970"),
    ("sls", "start", "5", "is neither begin nor end nor an RFC 3339 time"),
    ("sls", "query", '""', "is empty"),
    ("sls", "processor", '"a b"', "is not possible"),
    ("sls", "heartbeat_s", "0.5", "is out of range"),
    ("sls", "heartbeat_s", "61", "is out of range"),
    ("sls", "heartbeat_s", "nan", "is out of range"),
    ("sls", "heartbeat_s", "inf", "is out of range"),
    ("sls", "heartbeat_s", "true", "is not a number"),
    ("sls", "heartbeat_s", '"5"', "is not a number"),
    ("sls", "heartbeat_s", "1" + "0" * 400, "is out of range"),
    ("sls", "heartbeat_s", "0x" + "f" * 5000, "is out of range, a very long number"),
    ("sls", "group_timeout_s", "2", "is out of range"),
    ("sls", "group_timeout_s", "40.0", "is not a whole number"),
    ("sls", "compression", '"gzip"', "is not known"),
    ("sls", "proxy", '"socks5://h:1"', "does not start with http://"),
    ("sls", "proxy", '"https://h:1"', "does not start with http://, "),
    ("sls", "ca_file", '"ca.pem"', "is no absolute path"),
    ("sls", "ca_file", '"/\\u0000"', "is no absolute path"),
    ("sls", "in_order", '"yes"', "is not true or false"),
    ("sls", "in_order", "1", "is not true or false"),
    ("sls.credentials", "source", '"acess-key"', "did you mean access-key?"),
    ("sls.credentials", "ram_role", '"a b"', "is not possible"),
    ("siem", "format", '"jsn"', "did you mean json?"),
    ("siem", "format", "[1]", "is of the wrong type"),
    ("siem", "json_fields", '"event"', "is not a list"),
    ("siem", "json_fields", '["a", "a"]', "names something twice"),
    ("siem", "json_fields", "[1]", "is not a text"),
    ("siem", "json_fields", '[""]', "is empty"),
    ("siem", "raw_field", '""', "is empty"),
    ("siem", "event_id_field", "false", "is not a text"),
    ("hec", "index", '"{a"', "that is not closed"),
    ("hec", "source", '"a}"', "that closes nothing"),
    ("hec", "host", '"{}"', "has a field without a name"),
    ("hec", "sourcetype", "1", "is not a text"),
    ("hec", "ack_timeout_s", "0", "is out of range"),
    ("hec", "batch_bytes", "65535", "is out of range"),
    ("hec", "batch_bytes", "16777217", "is out of range"),
    ("hec", "batch_bytes", '"1MiB"', "is not a whole number"),
    ("hec", "timeout_s", "0", "is out of range"),
    ("syslog", "rfc", "5425", "is not known"),
    ("syslog", "rfc", '"5424"', "is not known"),
    ("syslog", "rfc", "true", "is of the wrong type"),
    ("syslog", "framing", '"crlf"', "is not known"),
    ("syslog", "facility", '"local8"', "did you mean local"),
    ("syslog", "facility", "1", "is not a text"),
    ("syslog", "severity", '"WARNING"', "did you mean warning?"),
    ("syslog", "severity", '{ field = "l" }', "is a table without field or map"),
    ("syslog", "severity", '{ field = "l", map = {}, defualt = "x" }', "has the unknown key 'defualt'"),
    ("syslog", "severity", '{ field = "l", map = { E = "eror" } }', "has at 'E' a value that is not known"),
    ("syslog", "severity", '{ field = "l", map = 3 }', "is not a table"),
    ("syslog", "severity", '{ field = "", map = {} }', "is empty"),
    ("syslog", "hostname", '"{{}"', "that closes nothing"),
    ("syslog", "structured_data", '"sls"', "is not possible"),
    ("syslog", "structured_data", '"sls@"', "is not possible"),
    ("syslog", "structured_data", '"a b@1"', "is not possible"),
    ("syslog", "structured_data", '"a]@1"', "is not possible"),
    ("syslog", "structured_data", '"a=@1"', "is not possible"),
    ("syslog", "structured_data", "'a\"@1'", "is not possible"),
    ("syslog", "structured_data", '"abcdefghijklmnopqrstuvwxyz@123456"', "is not possible"),
    ("syslog", "max_bytes", "479", "is out of range"),
    ("syslog", "max_bytes", "16777217", "is out of range"),
    ("syslog", "oversize", '"drop"', "is not known"),
    ("syslog", "timezone", '"Europe/Atlantis"', "is not a time zone that this machine knows"),
    ("syslog", "timezone", '"../../etc/passwd"', "is not a time zone that this machine knows"),
    ("syslog", "timezone", '"/etc/localtime"', "is not a time zone that this machine knows"),
    ("syslog", "timezone", '"Europe"', "is not a time zone that this machine knows"),
    ("syslog", "timezone", '"a\\u0000"', "is not a time zone that this machine knows"),
    ("syslog", "settle_s", "-1", "is out of range"),
    ("cef", "severity", '"{"', "that is not closed"),
    ("cef", "fields", '["a"]', "is not a table"),
    ("cef", "severity", '"11"', "is no severity of CEF"),
    ("cef", "severity", '{ field = "l", map = { E = "err" } }', "has at 'E' a value that is not known"),
    ("cef", "fields", '{ rt = "a" }', "has the key 'rt', which the agent writes itself"),
    ("cef", "fields", '{ "a b" = "a" }', "has the key 'a b', "),
    ("leef", "fields", '{ "a=b" = "a" }', "has the key 'a=b', "),
    ("leef", "fields", '{ devTime = "a" }', "has the key 'devTime', which the agent writes itself"),
    ("siem", "profile", '"qradr"', "did you mean qradar?"),
    ("siem", "map", '"action-trail"', "did you mean actiontrail?"),
    ("cef", "fields", "{ src = 1 }", "has at 'src' a value that is not a text"),
    ("leef", "format_version", "2.0", "is of the wrong type"),
    ("tls", "server_name", '"a b"', "is no host name or IP address"),
    ("tls", "minimum", '"1.1"', "is not known"),
    ("delivery", "window_bytes", "16777215", "is out of range"),
    ("delivery", "checkpoint_s", "0.05", "is out of range"),
    ("delivery", "on_reject", '"drop"', "is not known"),
    ("delivery", "dead_letter_max_bytes", "0", "is out of range"),
    ("delivery", "drain_s", "-1", "is out of range"),
    ("delivery", "max_events_per_s", "-1", "is out of range"),
    ("metrics", "port", "0", "is out of range"),
    ("metrics", "port", '"9700"', "is not a whole number"),
    ("metrics", "listen", '"1.2.3"', "is no host name or IP address"),
    ("log", "level", '"warn"', "did you mean warning?"),
]


def _with(table: str, key: str, value: str) -> str:
    text = SLS + (SYSLOG if table == "syslog" else HEC)
    header = f"[{table}]"
    line = f"{key} = {value}"
    if header in text.splitlines():
        return text.replace(f"{header}\n", f"{header}\n{line}\n")
    return f"{text}\n{header}\n{line}\n"


def _get(config: Config, table: str, key: str) -> object:
    found: object = config
    for name in (*table.split("."), key):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(("table", "key", "value", "expected"), RIGHT)
def test_a_right_value_is_taken(load_text: Load, table: str, key: str, value: str, expected: object) -> None:
    found = _get(load_text(_with(table, key, value)), table, key)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("table", "key", "value", "reason"), WRONG)
def test_a_wrong_value_is_refused(problems_of: Problems, table: str, key: str, value: str, reason: str) -> None:
    problems = problems_of(_with(table, key, value))

    assert len(problems) == 1
    assert problems[0].startswith(f"agent.toml: {table}.{key}: ")
    assert reason in problems[0]


def test_every_key_is_tried() -> None:
    """A key added to the model without a line above is noticed here; those below have tests of their own."""
    apart = {"sls.endpoint", "sls.project", "sls.logstore", "sls.consumer_group", "siem.output", "hec.urls"}
    apart |= {"syslog.url", "syslog.urls", "tls.verify", "tls.ca_file", "tls.cert_file", "tls.key_file"}
    apart |= {"sls.credentials.file"}
    same_parser = {f"cef.{name}" for name in ("product", "version", "event_id", "name")}
    same_parser |= {f"leef.{name}" for name in ("vendor", "product", "version", "event_id")}
    known = {
        f"{table}.{field.name}" for table, cls in TABLES.items() for field in dataclasses.fields(cls) if field.metadata
    }

    tried = {f"{table}.{key}" for table, key, _, _ in (*RIGHT, *WRONG)}

    assert known - tried == apart | same_parser


def _classes(hint: object) -> tuple[type, ...]:
    """Give the classes that an annotation lets through, without what stands in their brackets."""
    if typing.get_origin(hint) is typing.Union:
        return tuple(one for part in typing.get_args(hint) for one in _classes(part))
    return (typing.get_origin(hint) or hint,)


@pytest.mark.parametrize("cls", TABLES.values(), ids=TABLES.keys())
def test_a_default_is_what_its_own_parser_gives(cls: type) -> None:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        default = field.default
        if not field.metadata or default is dataclasses.MISSING or default in (None, ()) or field.name == "source":
            continue
        given = list(default) if isinstance(default, tuple) else default
        assert option_of(field).parse(given) == default
        assert isinstance(default, _classes(hints[field.name]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", '"my project"'),
        ("project", '"-p"'),
        ("project", '"p.q"'),
        ("logstore", '"a/b"'),
        ("logstore", '""'),
        ("consumer_group", '"gruppe-ä"'),
    ],
)
def test_a_name_that_the_service_cannot_have_is_refused(problems_of: Problems, key: str, value: str) -> None:
    kept = "\n".join(line for line in SLS.splitlines() if not line.startswith(key))

    problems = problems_of(f"{kept}\n{key} = {value}\n{HEC}")

    assert len(problems) == 1
    assert problems[0].startswith(f"agent.toml: sls.{key}: is ")


def test_of_several_items_each_wrong_one_is_named(problems_of: Problems) -> None:
    good = "https://splunk.example.com:8088"
    text = SLS + f'[siem]\noutput = "hec"\n[hec]\nurls = ["{good}", "ftp://a", "https://b/path", 3]\n'
    (line,) = problems_of(text)

    assert line.startswith(
        "agent.toml: hec.urls: item 2 does not start with https:// or http://; item 3 has more than a host and a port; "
        f'item 4 is not a text, ["{good}", "ftp://a", '
    )


def test_the_only_item_of_a_list_needs_no_number(problems_of: Problems) -> None:
    (line,) = problems_of(SLS + '[siem]\noutput = "hec"\n[hec]\nurls = ["https://b/path"]\n')

    assert line.startswith('agent.toml: hec.urls: has more than a host and a port, ["https://b/path"], give')


def test_a_password_in_any_item_hides_the_list(problems_of: Problems) -> None:
    (line,) = problems_of(SLS + '[siem]\noutput = "hec"\n[hec]\nurls = ["ftp://a", "https://me:hunter2@b"]\n')

    assert "item 1 " in line
    assert "item 2 holds a user name or password" in line
    assert "hunter2" not in line
