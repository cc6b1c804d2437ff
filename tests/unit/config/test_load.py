"""Layers, defaults and the shape of problems."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sls_siem.config import load
from sls_siem.errors import ConfigError
from tests.unit.config.conftest import HEC, SLS, SYSLOG, Load, Problems


def test_a_small_file_resolves_to_all_defaults(load_text: Load) -> None:
    config = load_text(SLS + HEC)

    assert config.instance == 1
    assert config.sls.endpoint == "https://cn-hangzhou.log.aliyuncs.com"
    assert config.sls.region == "cn-hangzhou"
    assert config.sls.start == "end"
    assert config.sls.heartbeat_s == 5.0
    assert config.sls.group_timeout_s == 40
    assert config.sls.compression == "lz4"
    assert config.sls.credentials.source == "access-key"
    assert config.siem.format == "json"
    assert config.siem.json_fields == ("event",)
    assert config.siem.event_id_field == "sls_id"
    assert config.hec.urls == ("https://splunk.example.com:8088",)
    assert config.hec.source == "sls:my-project/my-logstore"
    assert config.hec.sourcetype == "aliyun:sls"
    assert config.hec.host == "{__source__}"
    assert config.hec.index == ""
    assert config.hec.batch_bytes == 1048576
    assert config.delivery.window_bytes == 67108864
    assert config.delivery.unsettled_s == 600.0
    assert config.metrics.port is None
    assert config.log.level == "info"


def test_an_instance_file_overrides_key_by_key(load_text: Load) -> None:
    config = load_text(SLS + HEC, override='[sls]\nlogstore = "other"\n[log]\nlevel = "debug"')

    assert (config.sls.project, config.sls.logstore) == ("my-project", "other")
    assert config.log.level == "debug"
    assert config.hec.source == "sls:my-project/other"


def test_an_instance_reads_only_its_own_file(folder: Path) -> None:
    (folder / "agent.toml").write_text(SLS + HEC)
    (folder / "instances" / "2.toml").write_text('[sls]\nlogstore = "second"')

    assert load(folder / "agent.toml", 1, {}).sls.logstore == "my-logstore"
    assert load(folder / "agent.toml", 2, {}).sls.logstore == "second"


def test_the_environment_overrides_both_files(load_text: Load) -> None:
    environ = {"SLS_ENDPOINT": "http://127.0.0.1:1234", "SLS_PROJECT": "p", "SLS_LOGSTORE": "l", "SLS_CG": "g"}

    config = load_text(SLS + HEC, override='[sls]\nlogstore = "other"', environ=environ)

    assert config.sls.endpoint == "http://127.0.0.1:1234"
    assert (config.sls.project, config.sls.logstore, config.sls.consumer_group) == ("p", "l", "g")
    assert config.sls.region is None


def test_an_empty_variable_counts_as_unset(load_text: Load) -> None:
    config = load_text(SLS + HEC, environ={"SLS_PROJECT": ""})

    assert config.sls.project == "my-project"


def test_the_environment_alone_gives_the_sls_side(load_text: Load) -> None:
    environ = {"SLS_ENDPOINT": "cn-beijing.log.aliyuncs.com", "SLS_PROJECT": "p", "SLS_LOGSTORE": "l", "SLS_CG": "g"}

    config = load_text(HEC, environ=environ)

    assert config.sls.endpoint == "https://cn-beijing.log.aliyuncs.com"
    assert config.sls.region == "cn-beijing"


def test_a_problem_from_the_environment_names_the_variable(problems_of: Problems) -> None:
    problems = problems_of(SLS + HEC, environ={"SLS_CG": "my group"})

    assert problems == [
        'environment: SLS_CG: is not possible, "my group", give its name: letters, digits, - and _, at most 128'
    ]


def test_a_problem_names_the_file_that_the_value_is_from(problems_of: Problems) -> None:
    problems = problems_of(SLS + HEC + "[log]\nlevel = 'debug'", override="[log]\nlevel = 'loud'")

    assert problems == [
        'instances/1.toml: log.level: is not known, "loud", give one of debug, info, warning, error',
    ]


def test_all_problems_come_at_once(problems_of: Problems) -> None:
    problems = problems_of(
        """
        [sls]
        endpiont = "https://cn-hangzhou.log.aliyuncs.com"
        logstore = 7
        consumer_group = "g"
        heartbeat_s = 90
        [siem]
        output = "splunk"
        [tls]
        verify = false
        """
    )

    assert problems == [
        'agent.toml: sls.endpiont: is not a known key, "https://cn-hangzhou.log.aliyuncs.com", did you mean endpoint?',
        "agent.toml: sls.endpoint: is missing, nothing given, set endpoint in [sls] or SLS_ENDPOINT in the environment",
        "agent.toml: sls.project: is missing, nothing given, set project in [sls] or SLS_PROJECT in the environment",
        "agent.toml: sls.logstore: is not a text, 7, give its name: letters, digits, - and _, at most 128 in quotes",
        "agent.toml: sls.heartbeat_s: is out of range, 90, give a number of seconds from 1 to 60",
        'agent.toml: siem.output: is not known, "splunk", give one of hec, syslog',
        "agent.toml: tls.verify: would trust any peer, false, set ca_file to the CA that signed the SIEM's "
        "certificate, or write insecure = true beside it",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("endpoint = 1", "endpoint: is not a known key, 1, did you mean sls.endpoint?"),
        ("[siem]\nurl = 'x'", 'siem.url: is not a known key, "x", did you mean syslog.url?'),
        ("[sls]\nproxi = 1", "sls.proxi: is not a known key, 1, did you mean proxy?"),
        ("[hecc]\na = 1", "hecc: is not a known table, a table, did you mean hec?"),
        ("[sls.credential]\na = 1", "sls.credential: is not a known table, a table, did you mean credentials?"),
        ("sls = 3", "sls: must be a table, 3, write [sls] above its keys"),
        ("[[hec]]\na = 1", "hec: must be a table, [a table], write [hec] above its keys"),
        ("[log]\nzzzzzz = 1", "log.zzzzzz: is not a known key, 1, known here: level"),
        ('s3cret = "x"', "s3cret: is not a known key, (value not shown), did you mean tls.insecure?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(problems_of: Problems, text: str, line: str) -> None:
    problem = problems_of(text)[0].replace(" (a secret has no place in this file: see the *_file keys)", "")

    assert problem == f"agent.toml: {line}"


def test_a_hostile_key_stays_on_one_line(problems_of: Problems) -> None:
    problem = problems_of('"a\\n\\u001b[31mb" = 1')[0]

    assert problem.startswith(
        r'agent.toml: "a\n\u001b[31mb": is not a known key, 1, known here: cef, delivery, fields, '
    )


def test_a_key_that_looks_like_a_secret_is_not_shown(problems_of: Problems) -> None:
    text = """
    [sls]
    access_key_secret = "hunter2"
    [hec]
    token = "hunter2"
    tokn = "hunter2"
    token_file = "hunter2"
    [sls.credentials]
    access_key_id_file = "hunter2"
    id = "hunter2"
    [siem]
    output = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"
    format = "LTAI5tAbCdEfGh123456"
    """

    problems = problems_of(text)

    assert len([line for line in problems if "(value not shown)" in line]) == 8
    assert not [line for line in problems if "hunter2" in line or "B5A79AAD" in line or "LTAI5t" in line]


def test_a_password_in_an_address_is_not_shown(problems_of: Problems) -> None:
    text = SLS.replace("https://", "https://me:hunter2@") + HEC.replace("https://", "https://me:hunter2@")

    problems = problems_of(text + '[tls]\nserver_name = "https://me:hunter2@x"')

    assert len(problems) == 3
    assert not [line for line in problems if "hunter2" in line]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[sls]\nendpoint = \n", "agent.toml:2:12: is not TOML: Invalid value"),
        (b"[sls]\n\xff", "agent.toml:2:1: is not UTF-8"),
        (b"\xef\xbb\xbf[sls]\n", "agent.toml: starts with a byte order mark (BOM), save the file as UTF-8 without"),
        (b"[hec]\ngzip = true\n\ngzip = false\n[tls]\n", "agent.toml:4: gzip is given twice, keep one of them"),
        (b"[hec]\ngzip = true\ngzip = false", "agent.toml:3: gzip is given twice, keep one of them"),
        (b"hec = 1\n[hec]\n[tls]", "agent.toml:2: hec is given twice, keep one of them"),
        (b'[hec]\nindex = "a"\n"index" = """hunter2\nhunter2=x"""\n', "agent.toml:4: a key is given twice, keep one"),
        (b"[sls", "agent.toml: is not TOML"),
        (b"a = " + b"[" * 5000, "agent.toml: is not TOML: it is nested too deeply"),
        (b"a = " + b"9" * 5000, "agent.toml"),
        (b"#" * (1 << 20) + b"\n", "agent.toml: is longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_is_one_clear_line(folder: Path, content: bytes, expected: str) -> None:
    (folder / "agent.toml").write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load(folder / "agent.toml", 1, {})

    assert caught.value.problems[0].startswith(f"{folder}/{expected}")
    assert "\n" not in caught.value.problems[0]


def test_both_broken_files_are_named(problems_of: Problems) -> None:
    problems = problems_of("[", override="]")

    assert [line.partition(":")[0] for line in problems] == ["agent.toml", "instances/1.toml"]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "agent.toml", 1, {})

    assert str(caught.value) == f"{tmp_path}/agent.toml: does not exist, create it or name another with --config"


def test_an_unreadable_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, 1, {})

    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory), make it readable for the agent's user"


def test_a_file_that_the_user_may_not_read_says_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "agent.toml", 1, {})

    assert caught.value.problems[0] == (
        f"{tmp_path}/agent.toml: cannot be read (Permission denied), run as root, or join group sls-siem, "
        "which should be the file's"
    )


@pytest.mark.parametrize("instance", [0, 100, -1])
def test_an_instance_is_1_to_99(tmp_path: Path, instance: int) -> None:
    with pytest.raises(ConfigError, match=f"instance: is out of range, {instance}"):
        load(tmp_path / "agent.toml", instance, {})


def test_the_consumer_is_named_after_host_and_instance(load_text: Load) -> None:
    assert load_text(SLS + HEC).sls.consumer_name == f"{socket.gethostname()}-1"


def test_the_consumer_may_be_named_after_the_machine(folder: Path) -> None:
    (folder / "agent.toml").write_text(SLS + "consumer_name = 'a.{machine_id}_{instance}'" + HEC)
    (folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")

    config = load(folder / "agent.toml", 7, {}, machine_id_file=folder / "machine-id")

    assert config.sls.consumer_name == "a.0123456789abcdef0123456789abcdef_7"


@pytest.mark.parametrize("content", [None, b"", b"uninitialized\n", b"\xff"])
def test_a_machine_without_an_id_is_a_problem(folder: Path, content: bytes) -> None:
    (folder / "agent.toml").write_text(SLS + "consumer_name = '{machine_id}'" + HEC)
    if content is not None:
        (folder / "machine-id").write_bytes(content)

    with pytest.raises(ConfigError, match=r"sls\.consumer_name: needs a machine id, and this machine tells none"):
        load(folder / "agent.toml", 1, {}, machine_id_file=folder / "machine-id")


@pytest.mark.parametrize(
    ("syslog", "framing", "max_bytes"),
    [
        ("tls://h", "octet-counting", 8192),
        ("tcp://h", "lf", 8192),
        ("udp://h", "none", 1024),
    ],
)
def test_framing_and_size_follow_the_transport(load_text: Load, syslog: str, framing: str, max_bytes: int) -> None:
    config = load_text(SLS + SYSLOG.replace("tls://siem.example.com:6514", syslog))

    assert config.syslog.urls == (syslog,)
    assert (config.syslog.framing, config.syslog.max_bytes) == (framing, max_bytes)
    assert config.syslog.app_name == "my-logstore"


@pytest.mark.parametrize(("form", "oversize"), [("json", "truncate"), ("kv", "split"), ("raw", "split")])
def test_what_becomes_of_an_oversized_event_follows_the_format(load_text: Load, form: str, oversize: str) -> None:
    config = load_text(SLS + SYSLOG.replace("[syslog]", f'format = "{form}"\n[syslog]'))

    assert config.syslog.oversize == oversize


def test_what_is_set_is_kept(load_text: Load) -> None:
    text = SLS + 'region = "eu-central-1"' + SYSLOG.replace("tls://", "udp://")
    text += 'oversize = "dead-letter"\nmax_bytes = 2048\napp_name = "{app}"\n[hec]\nsource = "s"'

    config = load_text(text)

    assert config.sls.region == "eu-central-1"
    assert (config.syslog.oversize, config.syslog.max_bytes, config.syslog.app_name) == ("dead-letter", 2048, "{app}")
    assert config.hec.source == "s"


def test_a_shown_configuration_holds_no_secret(load_text: Load) -> None:
    config = load_text(SLS + 'proxy = "http://me:hunter2@proxy:3128"' + HEC)

    assert config.sls.proxy == "http://me:hunter2@proxy:3128"
    assert "hunter2" not in repr(config)
