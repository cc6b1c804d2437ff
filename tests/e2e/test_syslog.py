"""The pipe to syslog receivers end to end: every frame compared, connections broken on purpose."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.store import Comparison
from sls_siem.emulator.syslog import SyslogEmulator
from tests.e2e.harness import AgentProcess, Oracle, Trickle, syslog_tables, until

pytestmark = pytest.mark.e2e


def start(agents, tmp_path: Path, sls, url: str, /, *, instance: int = 1, **changes) -> AgentProcess:
    agent = AgentProcess(tmp_path, syslog_tables(sls, url, **changes), instance=instance)
    agents.append(agent)
    return agent.start()


def fill(sls: SlsEmulator, groups: int, *, first: int = 0) -> None:
    for number in range(first, first + groups):
        contents = [{"seq": f"{number}-{index}", "message": "y" * 150} for index in range(10)]
        sls.store.append(None, [make_group(contents, time=1700000000 + number, topic="t", source="10.0.0.1")])


def all_saved(sls: SlsEmulator) -> bool:
    group = sls.store.group("siem-group")
    return all(group.checkpoint(shard).position == sls.store.shard(shard).end for shard in range(2))


@pytest.mark.parametrize(("framing", "rfc"), [("lf", 5424), ("octet-counting", 5424), ("octet-counting", 3164)])
def test_every_log_arrives_once_over_tcp(sls, tmp_path, agents, framing, rfc) -> None:
    for profile in ("nginx", "hostile"):
        sls.feed(sls.store, profile=profile, logs=1500, mb_per_s=None).join(30)
    with SyslogEmulator(framing=framing, rfc=str(rfc)) as siem:
        changes = {"syslog": {"framing": framing, "rfc": rfc, "max_bytes": 1_000_000}}
        agent = start(agents, tmp_path, sls, siem.url, **changes)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 60)
        until(lambda: all_saved(sls), 20, "the checkpoints at the end")

        assert 0 == agent.stop()
        assert not siem.malformed()
        assert Comparison() == siem.store.compare(expected)


def test_every_log_arrives_once_over_tls_with_a_client_certificate(sls, tmp_path, agents) -> None:
    made = Certificates(tmp_path / "pki")
    fill(sls, 40)
    context = server_context(made.server, client_ca=made.ca_file, client="required")
    with SyslogEmulator(framing="octet-counting", rfc="5424", tls=context) as siem:
        tls = {
            "ca_file": str(made.ca_file),
            "cert_file": str(made.client.cert_file),
            "key_file": str(made.client.key_file),
            "server_name": "localhost",
        }
        agent = start(agents, tmp_path, sls, siem.url, tls=tls)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 30)
        until(lambda: all_saved(sls), 20)

        assert 0 == agent.stop()
        assert Comparison() == siem.store.compare(expected)


def test_datagrams_carry_one_frame_each(sls, tmp_path, agents) -> None:
    fill(sls, 10)
    with SyslogEmulator(transport="udp", rfc="5424") as siem:
        agent = start(agents, tmp_path, sls, siem.url)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 30)

        assert 0 == agent.stop()
        assert not siem.store.compare(expected).altered


@pytest.mark.parametrize("kind", ["fin", "rst", "half_open"])
def test_a_connection_that_breaks_under_load_loses_nothing(sls, tmp_path, agents, kind) -> None:
    """`settle_s` is longer than the receiver goes without reading: what it never read is sent again."""
    with SyslogEmulator(framing="lf", rfc="5424") as siem:
        agent = start(agents, tmp_path, sls, siem.url, syslog={"settle_s": 6})
        until(lambda: sorted(agent.shards()) == [0, 1])
        for after in (40, 90):
            siem.inject(kind, after_frames=after, count=1)
        with Trickle(lambda number: fill(sls, 2, first=2 * number), 0.01):
            time.sleep(2.5)
        if kind == "half_open":
            siem.drop_connections()
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 90)
        until(lambda: all_saved(sls), 30)

        assert siem.strikes()
        assert 0 == agent.stop()
        found = siem.store.compare(expected)
        assert not found.missing
        assert not found.unknown
        assert not found.altered


def test_a_restarted_receiver_gets_what_lay_unread_in_its_kernel_again(sls, tmp_path, agents) -> None:
    with SyslogEmulator(framing="lf", rfc="5424") as siem:
        agent = start(agents, tmp_path, sls, siem.url, syslog={"settle_s": 3})
        until(lambda: sorted(agent.shards()) == [0, 1])
        with Trickle(lambda number: fill(sls, 2, first=2 * number), 0.01):
            time.sleep(1)
            siem.inject("slow", bytes_per_s=2000, delay_s=0, count=2)
            siem.drop_connections()
            time.sleep(1.5)
            siem.restart()
            time.sleep(1)
        siem.clear_faults()
        siem.restart()
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 60)

        assert 0 == agent.stop()
        found = siem.store.compare(expected)
        assert not found.missing
        assert not found.unknown


def test_a_stopped_agents_successor_repeats_nothing(sls, tmp_path, agents) -> None:
    """The half-closed connection is read to its end: the peer's FIN settles what was sent."""
    with SyslogEmulator(framing="octet-counting", rfc="5424") as siem:
        changes = {"syslog": {"framing": "octet-counting", "settle_s": 5}}
        agent = start(agents, tmp_path, sls, siem.url, **changes)
        until(lambda: sorted(agent.shards()) == [0, 1])
        with Trickle(lambda number: fill(sls, 2, first=2 * number), 0.01):
            time.sleep(1)
            assert 0 == agent.stop()
            successor = start(agents, tmp_path, sls, siem.url, instance=2, **changes)
            time.sleep(1)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 60)

        assert 0 == successor.stop()
        assert Comparison() == siem.store.compare(expected)


def test_a_receiver_that_stands_still_holds_the_shards_and_memory(sls, tmp_path, agents) -> None:
    sls.feed(sls.store, profile="nginx", logs=40_000, mb_per_s=None).join(60)
    with SyslogEmulator(framing="lf", rfc="5424") as siem:
        number = siem.inject("slow", bytes_per_s=1, delay_s=0)
        agent = start(agents, tmp_path, sls, siem.url, delivery={"window_bytes": 16 * 1024 * 1024})
        until(lambda: sorted(agent.shards()) == [0, 1])
        peak, until_at = 0, time.monotonic() + 8
        while time.monotonic() < until_at:
            peak = max(peak, agent.resident_bytes())
            time.sleep(0.2)

        assert peak < 16 * 1024 * 1024 + 80 * 1024 * 1024
        assert agent.running()
        siem.clear_faults(number)
        siem.drop_connections()
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: len(siem.store) >= len(expected), 90)
        assert 0 == agent.stop()
        assert not siem.store.compare(expected).missing
