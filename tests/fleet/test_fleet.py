"""What an operator does with a fleet, in the order of its life; a later test finds what the earlier ones left.

`make fleet` runs all of it with ten instances a host and a heavy load; SLS_SIEM_TEST_FLEET=part a part of it with two.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path

import pytest

from tests.fleet.conftest import BROKEN, NEW, OLD
from tests.fleet.fleet import (
    FULL,
    GROUP_TIMEOUT_S,
    HEARTBEAT_S,
    INSTANCES,
    NAMES,
    SHARDS,
    SIEM,
    SLS,
    Arrivals,
    Fleet,
    boottime,
)
from tests.system.nspawn import ROOT

TAKEOVER_S = GROUP_TIMEOUT_S + HEARTBEAT_S + 2
SETTLED_S = 90
full_only = pytest.mark.skipif(not FULL, reason="part of `make fleet`")


def report(what: str, **figures: object) -> None:
    """Keep a figure for docs/evidence/fleet.md, where somebody asked for it."""
    line = json.dumps({"what": what, **figures})
    print(line)
    if path := os.environ.get("SLS_SIEM_TEST_REPORT"):
        with Path(path).open("a") as stream:
            stream.write(line + "\n")


def no_secret_in(fleet: Fleet, text: str) -> None:
    for name, secret in fleet.secrets.items():
        assert secret not in text, name


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest, fleet: Fleet) -> None:
    """Bring the fleet up for a test that runs without those before it, as one that failed and is run again does."""
    bare = (
        test_check_mode_on_bare_hosts_ends_well_and_touches_nothing,
        test_one_command_brings_three_bare_hosts_up_and_shows_no_secret,
    )
    if request.function not in bare and not any(fleet.active(name) for name in NAMES):
        run = fleet.play("site")
        assert 0 == run.status, run.output[-8000:]


def test_check_mode_on_bare_hosts_ends_well_and_touches_nothing(fleet: Fleet) -> None:
    run = fleet.play("site", "--check", "--diff")

    assert 0 == run.status, run.output[-6000:]
    assert "consumer_group" in run.output
    for host in fleet.hosts.values():
        assert "No such file" in host.run("ls", "/etc/sls-siem", check=False)
        assert "No such file" in host.run("ls", "/etc/apt/sources.list.d/sls-siem-agent.sources", check=False)


def test_one_command_brings_three_bare_hosts_up_and_shows_no_secret(fleet: Fleet) -> None:
    run = fleet.play("site", "-vvv", "--diff")
    report("converge", seconds=round(run.seconds), instances=INSTANCES, hosts=len(NAMES))

    assert 0 == run.status, run.output[-8000:]
    no_secret_in(fleet, run.output)
    assert [INSTANCES] * len(NAMES) == [fleet.active(name) for name in NAMES]
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    assert {OLD} == set().union(*fleet.versions().values())


@pytest.mark.parametrize("playbook", ["site", "restart", "drain", "upgrade", "rollback", "remove"])
def test_check_mode_on_a_running_fleet_ends_well_and_changes_nothing(fleet: Fleet, playbook: str) -> None:
    pids = {name: fleet.pids(name) for name in NAMES}
    version = {"upgrade": NEW, "rollback": NEW}.get(playbook, OLD)
    limit = ["--limit", "gamma"] if playbook in {"drain", "remove"} else []
    run = fleet.play(playbook, "--check", "--diff", "-e", f"sls_siem_version={version}", *limit)

    assert 0 == run.status, run.output[-6000:]
    assert pids == {name: fleet.pids(name) for name in NAMES}
    assert {OLD} == set().union(*fleet.versions().values())
    assert [INSTANCES] * len(NAMES) == [fleet.active(name) for name in NAMES]


def test_the_second_run_word_for_word_as_the_page_has_it_changes_nothing(fleet: Fleet) -> None:
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?ms)^```\n(cd ansible\n.*?)^```$", page)
    run = fleet.follow(block)
    report("second run", seconds=round(run.seconds), changed=run.changed())

    assert 0 == run.status, run.output[-6000:]
    assert 2 == run.output.count("PLAY RECAP")
    assert dict.fromkeys(NAMES, 0) == run.changed()
    no_secret_in(fleet, run.output)


def test_secrets_are_where_they_belong_and_nowhere_else(fleet: Fleet) -> None:
    for name, host in fleet.hosts.items():
        root = Path(f"/proc/{host.leader}/root/etc/sls-siem")
        modes = {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
        owners = host.sh("stat -c '%U:%G' /etc/sls-siem/agent.toml /etc/sls-siem/credentials/*").split()

        assert [] == [path for path, mode in modes.items() if mode & 0o027 and not path.endswith("instances")], modes
        assert 0o640 == modes["agent.toml"]
        assert {0o600} == {modes[f"credentials/{secret}"] for secret in fleet.secrets}
        assert ["root:sls-siem", *["root:root"] * len(fleet.secrets)] == owners
        no_secret_in(fleet, host.journal())
        no_secret_in(fleet, host.sh("cat /run/sls-siem/*/status.json"))
        for secret in fleet.secrets.values():
            found = host.run("grep", "-rlF", "--", secret, "/etc", "/var/log", check=False).split()
            assert found == [path for path in found if path.startswith("/etc/sls-siem/credentials/")]
        assert name == host.run("hostname").strip()


@full_only
def test_a_configuration_that_the_agent_refuses_replaces_nothing(fleet: Fleet) -> None:
    files = "cat /etc/sls-siem/agent.toml; ls --full-time /etc/sls-siem"
    before = fleet.hosts["alpha"].sh(files)
    right = fleet.config["sls"]["heartbeat_s"]
    fleet.config["sls"]["heartbeat_s"] = 600
    run = fleet.play("site")
    fleet.config["sls"]["heartbeat_s"] = right

    assert 2 == run.status
    assert "sls.heartbeat_s: " in run.output
    assert before == fleet.hosts["alpha"].sh(files)
    assert {"alpha"} == {host for host, (_, _, failed) in run.recap.items() if failed}
    assert dict.fromkeys(NAMES, INSTANCES) == {name: fleet.active(name) for name in NAMES}


@full_only
def test_two_hosts_of_one_name_are_refused_before_anything_changes(fleet: Fleet) -> None:
    fleet.config["sls"]["consumer_name"] = "same-{instance}"
    run = fleet.play("site")
    del fleet.config["sls"]["consumer_name"]

    assert 2 == run.status
    assert "Used by more than one instance: same-1" in run.output
    assert {0} == set(run.changed().values())


@full_only
def test_a_fleet_that_would_not_survive_is_refused(fleet: Fleet) -> None:
    lone = fleet.play("site", "-e", json.dumps({"sls_siem_instances": 0}))
    site = fleet.play("site", "-e", "@" + str(_only_site_a(fleet)))

    assert 2 == site.status
    assert "No consumer would remain after the loss of site a" in site.output
    assert 2 == lone.status


def _only_site_a(fleet: Fleet) -> Path:
    path = fleet.folder / "only-a.json"
    path.write_text(json.dumps({"sls_siem_instances": "{{ 0 if sls_siem_site == 'b' else 2 }}"}))
    return path


@full_only
def test_rotated_secrets_and_reloadable_keys_need_no_restart(fleet: Fleet) -> None:
    repeated, pids = fleet.repeated(), {name: fleet.pids(name) for name in NAMES}
    old = dict(fleet.secrets)
    fleet.secrets |= {
        "sls-access-key-id": "key-id-two-8821",
        "sls-access-key-secret": "key-secret-two-0c77",
        "hec-token": "bbbbbbbb-1111-4222-8333-555555555555",
    }
    fleet.config["log"] = {"level": "debug"}
    fleet.change_sls("key", key_id=fleet.secrets["sls-access-key-id"], secret=fleet.secrets["sls-access-key-secret"])
    fleet.change_siem("set_token", value=fleet.secrets["hec-token"])
    with fleet.load():
        run = fleet.play("site", "--diff", "-vvv", "--tags", "sls_siem_configure,sls_siem_run")
        fleet.change_sls("remove-key", key_id=old["sls-access-key-id"])
        fleet.change_siem("remove_token", value=old["hec-token"])
        time.sleep(5)
    fleet.wait_for_all()

    assert 0 == run.status, run.output[-6000:]
    no_secret_in(fleet, run.output)
    assert '+level = "debug"' in run.output
    assert pids == {name: fleet.pids(name) for name in NAMES}
    assert [] == fleet.lost()
    assert repeated == fleet.repeated()


@full_only
def test_a_key_that_needs_it_restarts_one_instance_after_the_other(fleet: Fleet) -> None:
    repeated, pids = fleet.repeated(), {name: fleet.pids(name) for name in NAMES}
    fleet.config["delivery"]["drain_s"] = 20
    with fleet.load():
        run = fleet.play("site", "--diff")
    fleet.wait_for_all()
    again = fleet.play("site")

    assert 0 == run.status, run.output[-6000:]
    assert all(old != new for name in NAMES for old, new in zip(pids[name], fleet.pids(name)))
    assert {20} == {_config_of(fleet, name)["delivery"]["drain_s"] for name in NAMES}
    assert dict.fromkeys(NAMES, 0) == again.changed()
    assert [] == fleet.lost()
    assert repeated == fleet.repeated()


def _config_of(fleet: Fleet, name: str) -> dict[str, dict[str, object]]:
    import tomllib

    return tomllib.loads(fleet.hosts[name].run("cat", "/etc/sls-siem/agent.toml"))


def test_a_failing_canary_stops_the_rollout_and_rollback_mends_it(fleet: Fleet) -> None:
    repeated, pids = fleet.repeated(), {name: fleet.pids(name) for name in ("beta", "gamma")}
    with fleet.load():
        run = fleet.play("upgrade", "-e", f"sls_siem_version={BROKEN}", "-e", "sls_siem_gate_s=16")
        between = fleet.versions()
        back = fleet.play("rollback")
    fleet.wait_for_all()
    report("failing canary", seconds=round(run.seconds), rollback_seconds=round(back.seconds))

    assert 2 == run.status
    assert "instance 1: no heartbeat was answered yet" in run.output
    assert "draining" in run.output.split("The last lines of the journal:")[1]
    assert BROKEN in between["alpha"]
    assert {OLD} == between["beta"] == between["gamma"]
    assert 0 == back.status, back.output[-6000:]
    assert {OLD} == set().union(*fleet.versions().values())
    assert INSTANCES == fleet.active("alpha")
    assert pids == {name: fleet.pids(name) for name in ("beta", "gamma")}
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    assert [] == fleet.lost()
    assert repeated == fleet.repeated()


def test_a_rollback_that_was_cut_short_is_finished_by_the_next_one(fleet: Fleet) -> None:
    (deb,) = fleet.repository.parent.glob(f"debs/*_{NEW}_*.deb")
    source = json.dumps({"sls_siem_package_source": "file", "sls_siem_package_file": str(deb)})
    up = fleet.play("upgrade", "-e", f"sls_siem_version={NEW}", "-e", source)
    noted = {name: host.run("cat", "/var/lib/sls-siem-agent/previous-version") for name, host in fleet.hosts.items()}
    cut_short = fleet.play("rollback", "--limit", "alpha")
    between = fleet.versions()
    back = fleet.play("rollback")
    again = fleet.play("rollback")

    assert 0 == up.status, up.output[-6000:]
    assert [f"{OLD} {NEW}"] * len(NAMES) == [text.rsplit(" ", 1)[0] for text in noted.values()]
    assert 0 == cut_short.status, cut_short.output[-6000:]
    assert {"alpha": {OLD}, "beta": {NEW}, "gamma": {NEW}} == between
    assert 0 == back.status, back.output[-6000:]
    assert {name: {OLD} for name in NAMES} == fleet.versions()
    assert 0 == again.status
    assert dict.fromkeys(NAMES, 0) == again.changed()
    assert "sls-siem-agent" not in fleet.hosts["alpha"].run("ls", "-A", "/tmp", "/var/tmp")
    assert "root 755" == fleet.hosts["alpha"].sh("stat -c '%U %a' /var/lib/sls-siem-agent").strip()


def test_a_version_that_cannot_be_installed_leaves_everything_as_it_was(fleet: Fleet) -> None:
    pids = {name: fleet.pids(name) for name in NAMES}
    run = fleet.play("upgrade", "-e", "sls_siem_version=9.9.9")
    left = fleet.hosts["alpha"].run("ls", "/run", "/var/tmp")
    back = fleet.play("rollback")

    assert 2 == run.status
    assert {"alpha"} == {host for host, (_, _, failed) in run.recap.items() if failed}
    assert "sls-siem-agent" not in left
    assert 0 == back.status, back.output[-6000:]
    assert dict.fromkeys(NAMES, 0) == back.changed()
    assert pids == {name: fleet.pids(name) for name in NAMES}


@full_only
def test_a_rolling_upgrade_under_load_loses_and_repeats_nothing(fleet: Fleet) -> None:
    before = fleet.repeated()
    with fleet.load() as measured:
        run = fleet.play("upgrade", "-e", f"sls_siem_version={NEW}")
    fleet.variables["sls_siem_version"] = NEW
    fleet.wait_for_all(300)
    lost, repeated = fleet.lost(), fleet.repeated() - before
    report(
        "rolling upgrade",
        seconds=round(run.seconds),
        load_mb_per_s=round(measured["mb_per_s"], 1),
        logs=fleet.stored(),
        lost=len(lost),
        repeated=repeated,
    )

    assert 0 == run.status, run.output[-6000:]
    assert {NEW} == set().union(*fleet.versions().values())
    assert [] == lost
    assert 0 == repeated


def test_a_lost_host_is_replaced_in_time_and_takes_its_share_when_it_is_back(fleet: Fleet) -> None:
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    gone = fleet.busiest()
    shards = set(fleet.owners()[gone])
    others = set(NAMES) - {gone}
    repeated = fleet.repeated_ids()
    with fleet.load():
        time.sleep(5)
        at = fleet.power_off(gone)
        fleet.until(
            lambda: shards <= set(fleet.taken_over(shards, {gone}, at)),
            TAKEOVER_S + 20,
            "the shards to be taken over",
        )
        taken = fleet.taken_over(shards, {gone}, at)
        fleet.until(lambda: fleet.balanced(others), SETTLED_S, "the others to have everything")
        fleet.power_on(gone)
        back_at = boottime()
        fleet.until(fleet.balanced, SETTLED_S, "the load to be balanced again")
        balanced_s = boottime() - back_at
    fleet.wait_for_all()
    worst = max(taken.values()) - at
    report(
        "host lost",
        takeover_s=round(worst, 1),
        allowed_s=TAKEOVER_S,
        balanced_after_boot_s=round(balanced_s, 1),
        repeated=len(fleet.repeated_ids() - repeated),
    )

    assert worst <= TAKEOVER_S
    assert [] == fleet.lost()
    assert [] == fleet.not_in_flight(fleet.repeated_ids() - repeated, {gone}, at)


def test_a_host_cut_off_from_sls_stops_sending_before_others_take_over(fleet: Fleet) -> None:
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    cut = fleet.busiest()
    shards = set(fleet.owners()[cut])
    repeated = fleet.repeated_ids()
    with fleet.load():
        time.sleep(5)
        # Refused for a while, so that the host has something in hand to send when it is on its own.
        fleet.change_siem("inject", kind="answer", code=9, for_s=3)
        time.sleep(1)
        at = boottime()
        fleet.network.cut(cut, SLS)
        fleet.until(
            lambda: shards <= set(fleet.taken_over(shards, {cut}, at)),
            TAKEOVER_S + 20,
            "the shards to be taken over",
        )
        taken = fleet.taken_over(shards, {cut}, at)
        time.sleep(2 * HEARTBEAT_S)
        sent = fleet.arrivals(cut)
        healed_at = boottime()
        fleet.network.heal(cut, SLS)
        fleet.until(fleet.balanced, SETTLED_S, "the load to be balanced again")
        balanced_s = boottime() - healed_at
    fleet.wait_for_all()
    last = max((at_s for at_s in sent.times if at_s < healed_at), default=at)
    report(
        "cut off from SLS",
        last_request_s=round(last - at, 1),
        first_takeover_s=round(min(taken.values()) - at, 1),
        last_takeover_s=round(max(taken.values()) - at, 1),
        balanced_after_healing_s=round(balanced_s, 1),
        repeated=len(fleet.repeated_ids() - repeated),
    )

    assert at < last < min(taken.values())
    assert balanced_s <= 3 * HEARTBEAT_S + 2
    assert max(taken.values()) - at <= TAKEOVER_S
    assert [] == fleet.lost()


@full_only
def test_a_host_cut_off_from_the_siem_keeps_its_shards_and_catches_up(fleet: Fleet) -> None:
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    cut = fleet.busiest()
    shards = sorted(fleet.owners()[cut])
    with fleet.load():
        time.sleep(5)
        at = boottime()
        fleet.network.cut(cut, SIEM)
        time.sleep(2 * GROUP_TIMEOUT_S)
        # A connection that swallows everything is given up after `hec.timeout_s`, 30 s.
        fleet.until(lambda: {"holding"} == _states(fleet, cut), 60, "its instances to say that they wait")
        during = sorted(fleet.owners()[cut])
        healed_at = boottime()
        fleet.network.heal(cut, SIEM)
        fleet.until(lambda: _after(fleet.arrivals(cut), healed_at), 120, "it to send again")
        again_s = _after(fleet.arrivals(cut), healed_at)[0] - healed_at
    fleet.wait_for_all(300)
    report("cut off from the SIEM", seconds=round(healed_at - at), sends_again_s=round(again_s, 1))

    assert shards == during
    assert [] == fleet.lost()


def _states(fleet: Fleet, host: str) -> set[str]:
    return {status["state"] for status in fleet.status(host).values() if status["shards"]}


def _after(arrivals: Arrivals, at: float) -> list[float]:
    return arrivals.between(at, float("inf"))


@full_only
def test_a_lost_site_is_replaced_by_the_other(fleet: Fleet) -> None:
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    shards = set(range(SHARDS)) - set(fleet.owners()["gamma"])
    repeated = fleet.repeated_ids()
    with fleet.load():
        time.sleep(5)
        at = fleet.power_off("alpha")
        fleet.power_off("beta")
        fleet.until(
            lambda: shards <= set(fleet.taken_over(shards, {"alpha", "beta"}, at)),
            TAKEOVER_S + 20,
            "the shards to be taken over",
        )
        taken = fleet.taken_over(shards, {"alpha", "beta"}, at)
        fleet.until(lambda: fleet.balanced({"gamma"}), SETTLED_S, "the other site to have everything")
        fleet.power_on("alpha")
        fleet.power_on("beta")
        back_at = boottime()
        fleet.until(fleet.balanced, SETTLED_S, "the load to be balanced again")
        balanced_s = boottime() - back_at
    fleet.wait_for_all(300)
    worst = max(taken.values()) - at
    report(
        "site lost",
        takeover_s=round(worst, 1),
        balanced_after_boot_s=round(balanced_s, 1),
        repeated=len(fleet.repeated_ids() - repeated),
    )

    assert worst <= TAKEOVER_S
    assert [] == fleet.lost()
    assert [] == fleet.not_in_flight(fleet.repeated_ids() - repeated, {"alpha", "beta"}, at)


def test_a_drained_host_repeats_nothing_and_status_shows_the_fleet(fleet: Fleet) -> None:
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    repeated = fleet.repeated()
    with fleet.load():
        drained = fleet.play("drain", "--limit", "gamma")
        fleet.until(lambda: fleet.balanced({"alpha", "beta"}), TAKEOVER_S, "the others to have its shards")
        fleet.until(lambda: len(fleet.shown({"alpha", "beta"})) == SHARDS, 10, "their status files to show them")
        table = fleet.play("status")
    fleet.wait_for_all()

    assert 0 == drained.status, drained.output[-6000:]
    assert 0 == fleet.active("gamma")
    assert repeated == fleet.repeated()
    assert [] == fleet.lost()
    assert dict.fromkeys(NAMES, 0) == table.changed()
    assert re.search(r"gamma +- +none runs", table.output)
    assert re.search(
        rf"alpha +1 +running +\d+ +[\d.]+ +\d+ s +\d+ s ago +{fleet.variables['sls_siem_version']}", table.output
    ), table.output
    assert f"{2 * INSTANCES} instances hold {SHARDS} shards" in table.output


@full_only
def test_a_restart_of_the_fleet_under_load_loses_and_repeats_nothing(fleet: Fleet) -> None:
    back = fleet.play("site")
    fleet.until(fleet.balanced, SETTLED_S, "the shards to be shared out")
    repeated, pids = fleet.repeated(), {name: fleet.pids(name) for name in NAMES}
    with fleet.load() as measured:
        run = fleet.play("restart")
    fleet.wait_for_all(300)
    report("rolling restart", seconds=round(run.seconds), load_mb_per_s=round(measured["mb_per_s"], 1))

    assert 0 == back.status, back.output[-6000:]
    assert 0 == run.status, run.output[-6000:]
    assert all(old != new for name in NAMES for old, new in zip(pids[name], fleet.pids(name)))
    assert repeated == fleet.repeated()
    assert [] == fleet.lost()


@full_only
def test_with_the_default_times_a_lost_host_is_replaced_within_47_s(fleet: Fleet) -> None:
    script = r"""set -e
    sed -i -e '/^heartbeat_s/d; /^group_timeout_s/d; s/^consumer_group.*/consumer_group = "defaults"/' \
        -e 's/^start.*/start = "end"/' /etc/sls-siem/agent.toml
    systemctl restart 'sls-siem@*'"""
    fleet.group = "defaults"
    for host in fleet.hosts.values():
        host.sh(f"systemctl start sls-siem@{{1..{INSTANCES}}}")
        host.sh(script)
    fleet.until(fleet.balanced, 180, "the shards to be shared out")
    gone = fleet.busiest()
    shards = set(fleet.owners()[gone])
    with fleet.load():
        time.sleep(5)
        at = fleet.power_off(gone)
        fleet.until(lambda: shards <= set(fleet.taken_over(shards, {gone}, at)), 80, "the shards to be taken over")
        worst = max(fleet.taken_over(shards, {gone}, at).values()) - at
        fleet.power_on(gone)
        back_at = boottime()
        fleet.until(fleet.balanced, 120, "the load to be balanced again")
    report("host lost, default times", takeover_s=round(worst, 1), balanced_after_boot_s=round(boottime() - back_at, 1))

    assert worst <= 47


@full_only
def test_removal_takes_a_host_out_and_keeps_what_is_the_operators(fleet: Fleet) -> None:
    refused = fleet.play("remove")
    run = fleet.play("remove", "--limit", "gamma")

    assert 2 == refused.status
    assert "Nobody would be left" in refused.output
    assert 0 == run.status, run.output[-6000:]
    assert 0 == fleet.active("gamma")
    assert "not found" in fleet.hosts["gamma"].sh("sls-siem version", check=False)
    assert "agent.toml" in fleet.hosts["gamma"].run("ls", "/etc/sls-siem")
    assert INSTANCES == fleet.active("alpha") == fleet.active("beta")
