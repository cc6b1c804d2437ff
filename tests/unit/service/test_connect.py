"""What `check --connect` finds on both sides, in every state that an installation can be in."""

from __future__ import annotations

import dataclasses

import pytest

from sls_siem.config import Config, CredentialsConfig, HecConfig, SiemConfig, SlsConfig, SyslogConfig
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.sls.faults import Fault
from sls_siem.service.connect import Findings, ask_everybody, guarantee
from sls_siem.siem import probe
from sls_siem.siem.output import ProbeResult
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source

KEY, SECRET = "check-id", "check-secret"
GROUP = "siem-group"


@pytest.fixture
def sls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLS_AK_ID", KEY)
    monkeypatch.setenv("SLS_AK_KEY", SECRET)
    with SlsEmulator(project="p", logstore="ls", shards=2, ttl_days=7) as emulator:
        emulator.add_key(KEY, SECRET)
        yield emulator


@pytest.fixture
def config(sls, tmp_path, monkeypatch: pytest.MonkeyPatch):
    # Only a receiver with TLS 1.3 says something after the handshake, and there is none here.
    monkeypatch.setattr(probe, "LISTEN_S", 0.05)
    with HecEmulator() as hec:
        token = tmp_path / "token"
        token.write_text(hec.token)
        yield Config(
            instance=1,
            sls=SlsConfig(
                endpoint=sls.url,
                project="p",
                logstore="ls",
                consumer_group=GROUP,
                consumer_name="c",
                region="cn-test",
                group_timeout_s=60,
                credentials=CredentialsConfig(source="access-key"),
            ),
            siem=SiemConfig(output="hec"),
            hec=HecConfig(urls=(hec.url,), token_file=str(token)),
        )


def about(findings: Findings, subject: str) -> ProbeResult:
    return next(result for result in findings.results if result.subject == subject)


def deny(sls: SlsEmulator, *actions: str) -> None:
    sls.add_key(KEY, SECRET, denied=frozenset(actions))


def test_a_right_installation_is_described_and_left_as_it_was(sls, config) -> None:
    findings = ask_everybody(config)

    assert findings.ok, findings.results
    assert (2, 2, 0, False, 7) == tuple(
        findings.facts[name]
        for name in ("shards", "writable_shards", "consumer_groups", "consumer_group_exists", "retention_days")
    )
    assert about(findings, "SLS, consumer group").text == (
        f"{GROUP} will be made at the first start, at `end`: what is in the logstore until then is not shipped "
        "(0 of 30 groups exist)"
    )
    assert {} == sls.store.consumer_groups


def test_read_only_shards_are_not_counted_as_writable(sls, config) -> None:
    sls.store.split(0)
    findings = ask_everybody(config)

    assert (4, 3) == (findings.facts["shards"], findings.facts["writable_shards"])
    assert "4 shards, 3 of them writable" in about(findings, "SLS").text


@pytest.mark.parametrize(("timeout_s", "kept"), [(60, False), (300, True)])
def test_a_group_that_exists_keeps_its_timeout_and_its_checkpoints_are_read(sls, config, timeout_s, kept) -> None:
    sls.store.create_group(GROUP, timeout_s=timeout_s, in_order=False, quota=30)
    findings = ask_everybody(config)
    text = about(findings, "SLS, consumer group").text

    assert findings.ok
    assert findings.facts["consumer_group_exists"] is True
    assert f"{GROUP} exists, timeout {timeout_s} s" in text
    assert kept == ("the configuration has 60 s" in text)
    assert about(findings, "SLS, reading").ok
    # The group was looked at, not used.
    assert [] == list(sls.history.saves)


def with_sls(config: Config, **values: object) -> Config:
    return dataclasses.replace(config, sls=dataclasses.replace(config.sls, **values))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("begin", "at `begin`: all that the logstore still holds is shipped"),
        ("1767225600", "at 2026-01-01T00:00:00Z: what was received before is not shipped"),
    ],
)
def test_it_is_said_where_a_new_group_starts(sls, config, start, words) -> None:
    text = about(ask_everybody(with_sls(config, start=start)), "SLS, consumer group").text

    assert f"will be made at the first start, {words}" in text


def test_a_group_in_use_starts_nowhere_else(sls, config) -> None:
    sls.store.create_group(GROUP, timeout_s=60, in_order=False, quota=30)
    new = about(ask_everybody(config), "SLS, consumer group").text
    session = SlsClient(config.sls, credential_source(config.sls.credentials)).session()
    session.save_checkpoint(0, session.cursor(0, "begin"), force=True)
    session.close()
    used = about(ask_everybody(config), "SLS, consumer group").text

    assert "it has no saved positions and starts at `end`: what is in the logstore" in new
    assert used.endswith("it goes on at its saved positions, sls.start is not used")


@pytest.mark.parametrize(
    ("key", "good", "bad"), [("query", "* | where a = 'b'", "* | where a"), ("processor", "mine", "nobodys")]
)
def test_a_query_or_processor_is_tried(sls, config, key, good, bad) -> None:
    sls.store.processors["mine"] = "*"
    sls.store.append(0, [make_group([{"a": "b"}], time=1700000000)])
    taken = about(ask_everybody(with_sls(config, **{key: good})), f"SLS, sls.{key}")
    refused = about(ask_everybody(with_sls(config, **{key: bad})), f"SLS, sls.{key}")

    assert (taken.ok, taken.text) == (True, "SLS takes it")
    assert not refused.ok
    assert bad in refused.text
    assert refused.text.endswith(f"; correct sls.{key}")
    assert [] == list(sls.history.saves)


def test_without_query_and_processor_nothing_is_pulled(sls, config) -> None:
    assert not [result for result in ask_everybody(config).results if result.subject.startswith("SLS, sls.")]


@pytest.mark.parametrize(("code", "status"), [("ServerBusy", 500), ("SignatureNotMatch", 401)])
def test_a_query_that_could_not_be_tried_is_not_blamed(sls, config, code, status) -> None:
    sls.faults.add(Fault("status", call="pull", status=status, code=code))
    result = about(ask_everybody(with_sls(config, query="*")), "SLS, sls.query")

    assert not result.ok
    assert result.text.startswith("sls.query could not be tried: ")
    assert "correct" not in result.text


def test_a_denied_listing_of_shards_is_named_and_the_rest_still_asked(sls, config) -> None:
    deny(sls, "log:ListShards")
    findings = ask_everybody(config)

    assert not findings.ok
    assert "log:ListShards" in about(findings, "SLS, permission log:ListShards").text
    # The listing is needed for a cursor too, and the retention is asked for all the same.
    assert not about(findings, "SLS, reading").ok
    assert 7 == findings.facts["retention_days"]


def test_groups_that_may_not_be_listed_are_no_failure_since_the_agent_does_not_list_them(sls, config) -> None:
    deny(sls, "log:ListConsumerGroup")
    findings = ask_everybody(config)

    assert findings.ok, findings.results
    assert "log:ListConsumerGroup" in about(findings, "SLS, consumer groups").text
    assert "consumer_group_exists" not in findings.facts


def test_groups_that_cannot_be_listed_for_another_reason_are_a_failure(sls, config) -> None:
    sls.faults.add(Fault("status", call="list_groups", status=500))
    findings = ask_everybody(config)

    assert not findings.ok
    assert not about(findings, "SLS, consumer groups").ok


@pytest.mark.parametrize("action", ["log:GetCursorOrData", "log:GetConsumerGroupCheckPoint"])
def test_a_permission_that_reading_needs_is_named(sls, config, action) -> None:
    sls.store.create_group(GROUP, timeout_s=60, in_order=False, quota=30)
    deny(sls, action)
    result = about(ask_everybody(config), "SLS, reading")

    assert not result.ok
    assert action in result.text


def test_a_shard_that_has_just_gone_is_no_finding(sls, config) -> None:
    """It was listed and then removed, as the service does with old read-only ones."""
    sls.faults.add(Fault("status", call="cursor", status=404, code="ShardNotExist"))
    findings = ask_everybody(config)

    assert findings.ok, findings.results
    assert not [result for result in findings.results if result.subject == "SLS, reading"]


def test_the_retention_is_optional_and_says_which_permission_would_tell(sls, config) -> None:
    deny(sls, "log:GetLogStore")
    findings = ask_everybody(config)

    assert findings.ok
    assert "log:GetLogStore" in about(findings, "SLS, retention").text
    assert "retention_days" not in findings.facts


def test_an_unknown_logstore_is_asked_nothing_more_but_the_siem_is(sls, config) -> None:
    config = dataclasses.replace(config, sls=dataclasses.replace(config.sls, logstore="nowhere"))
    findings = ask_everybody(config)

    assert ["SLS", "clock"] == [result.subject for result in findings.results][:2]
    assert "nowhere" in about(findings, "SLS").text
    assert [False, True, True, True, True, True] == [result.ok for result in findings.results]


@pytest.mark.parametrize(
    ("name", "fix"),
    [("project", "that sls.endpoint belongs to the region that the project is in"), ("logstore", "Check sls.logstore")],
)
def test_a_name_that_the_region_does_not_know_comes_with_what_to_check(sls, config, name, fix) -> None:
    config = dataclasses.replace(config, sls=dataclasses.replace(config.sls, **{name: "elsewhere"}))
    found = about(ask_everybody(config), "SLS")

    assert not found.ok
    assert "elsewhere" in found.text
    assert fix in found.text


def test_a_service_that_does_not_answer_says_nothing_about_the_clock(sls, config) -> None:
    sls.stop_listening()
    findings = ask_everybody(config)

    assert not about(findings, "SLS").ok
    assert "clock" not in [result.subject for result in findings.results]
    assert "clock_skew_s" not in findings.facts


@pytest.mark.parametrize(("skew_s", "word"), [(300, "behind"), (-300, "ahead of")])
def test_a_clock_that_is_off_is_a_failure_before_the_service_refuses_it(sls, config, skew_s, word) -> None:
    sls.settings.skew_s = skew_s
    findings = ask_everybody(config)
    result = about(findings, "clock")

    assert not result.ok
    assert f"s {word} the service" in result.text
    assert "chrony" in result.text
    assert about(findings, "SLS").ok
    assert abs(skew_s - findings.facts["clock_skew_s"]) < 10


def test_a_small_skew_is_told_without_alarm(sls, config) -> None:
    result = about(ask_everybody(config), "clock")

    assert result.ok
    assert "chrony" not in result.text


def test_a_logstore_that_has_30_groups_names_them_all(sls, config) -> None:
    for number in range(30):
        sls.store.create_group(f"g{number}", timeout_s=60, in_order=False, quota=30)
    result = about(ask_everybody(config), "SLS, consumer group")

    assert not result.ok
    assert "g0, g1, g10" in result.text
    assert "Delete one" in result.text


def syslog(config: Config, url: str) -> Config:
    return dataclasses.replace(config, siem=SiemConfig(output="syslog"), syslog=SyslogConfig(urls=(url,), settle_s=3.0))


def test_the_guarantee_is_that_of_the_output(config) -> None:
    acknowledged = dataclasses.replace(config, hec=dataclasses.replace(config.hec, acknowledge=True))

    assert "until the indexer acknowledged" in guarantee(acknowledged)
    assert "up to the collector" in guarantee(config)
    for url in ("relp://siem:2514", "relp+tls://siem:2514"):
        assert "RELP" in guarantee(syslog(config, url))
    assert "none: UDP" in guarantee(syslog(config, "udp://siem:514"))
    for url in ("tcp://siem:514", "tls://siem:6514"):
        assert "receiving host: a checkpoint waits until the bytes left, 3 s passed" in guarantee(syslog(config, url))
