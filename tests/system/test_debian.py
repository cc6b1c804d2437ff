"""What an operator does with the package on a Debian host, in the order of its life: install, run, upgrade, remove.

The tests of one host follow each other: a later one finds what the earlier ones left.
"""

from __future__ import annotations

import os
import re
import threading

from tests.system.conftest import OLD_VERSION
from tests.system.world import INSTANCES, SHARDS, UNITS, World

LOGS = int(os.environ.get("SLS_SIEM_TEST_LOGS", "1000000"))
WATCHDOG_S = 60
HUNG = "sls-siem@50"


def main_pid(world: World, instance: int) -> str:
    return world.host.show(f"sls-siem@{instance}", "MainPID")


def restarts(world: World) -> list[str]:
    return [world.host.show(f"sls-siem@{instance}", "NRestarts") for instance in INSTANCES]


def test_three_lines_install_it_without_starting_anything(world: World) -> None:
    world.install_from("old")

    assert f"sls-siem {OLD_VERSION} " in world.host.run("sls-siem", "version")
    assert 0 == world.active()
    assert "enabled" == world.host.run("systemctl", "is-enabled", "sls-siem.target").strip()
    assert "credentials\ninstances\n" == world.host.run("ls", "/etc/sls-siem")
    assert "" == world.host.run("systemd-analyze", "verify", "--man=no", "sls-siem@1.service", "sls-siem.target")


def test_a_wrong_configuration_ends_with_78_and_its_reason_and_no_loop(world: World) -> None:
    world.host.write("/etc/sls-siem/agent.toml", '[siem]\noutput = "carrier pigeon"\n', mode=0o640, group="sls-siem")
    world.host.run("systemctl", "start", "sls-siem@1", check=False)
    status = world.host.run("systemctl", "status", "--no-pager", "sls-siem@1", check=False)

    assert "78" == world.host.show("sls-siem@1", "ExecMainStatus")
    assert "failed" == world.host.show("sls-siem@1", "ActiveState")
    assert "0" == world.host.show("sls-siem@1", "NRestarts")
    assert "carrier pigeon" in status


def test_without_any_secret_one_clear_line_says_what_is_missing(world: World) -> None:
    world.configure(secrets=False)
    world.host.run("systemctl", "start", "sls-siem@2", check=False)
    world.host.until(lambda: "sls-access-key-id" in world.host.journal("-u", "sls-siem@2"), 20, "a line on the key")
    lines = [line for line in world.host.journal("-u", "sls-siem@2").splitlines() if "sls-access-key-id" in line]

    assert 1 == len(lines), lines
    assert "/etc/sls-siem/credentials" in lines[0]
    assert "243" != world.host.show("sls-siem@2", "ExecMainStatus")
    world.host.run("systemctl", "stop", "sls-siem@2")
    world.host.run("systemctl", "reset-failed", "sls-siem@*")


def test_one_command_starts_ten_instances_that_share_the_shards(world: World) -> None:
    world.configure()
    world.start_all()
    world.host.until(world.all_shards_held, 60, "every shard to have one owner")
    world.host.until(lambda: all(len(shards) == 1 for shards in world.held().values()), 60, "a shard for each instance")

    assert 10 == world.active() == SHARDS
    status = world.host.run("systemctl", "status", "--no-pager", "sls-siem@7")
    assert re.search(r'Status: "running: 1 shards, [\d.]+ MB/s, lag \d+ s', status), status


def test_an_upgrade_under_load_takes_one_instance_at_a_time(world: World) -> None:
    world.host.run("systemctl", "stop", "sls-siem@10")
    lowest, over = [9], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            lowest.append(world.active())

    watcher = threading.Thread(target=watch)
    with world.load():
        watcher.start()
        before = {instance: main_pid(world, instance) for instance in range(1, 10)}
        world.install_from("new")
        over.set()
        watcher.join()
        after = {instance: main_pid(world, instance) for instance in range(1, 10)}
    world.wait_for_all()

    assert 8 <= min(lowest)
    assert all(after[instance] not in {"0", before[instance]} for instance in before)
    assert "0" == main_pid(world, 10)
    assert OLD_VERSION not in world.host.run("sls-siem", "version")
    assert {world.status(instance)["version"] for instance in before} == {world.status(1)["version"]} != {OLD_VERSION}
    world.assert_complete(repeated=False)


def hang_one(world: World) -> None:
    """Start an instance whose heartbeat thread will hang, on a group of its own; the next tests give it time."""
    program = """#!/usr/bin/python3 -I
import sys, threading
sys.path[:0] = ["/usr/lib/sls-siem-agent/vendor", "/usr/lib/sls-siem-agent/app"]
from sls_siem.membership import member
def hang_for_the_test(*_arguments, **_named):
    threading.Event().wait()
member.Member._beat = hang_for_the_test
from sls_siem.cli import main
sys.exit(main())
"""
    world.host.write("/opt/hang.py", program, mode=0o755)
    world.host.write(
        f"/etc/systemd/system/{HUNG}.service.d/hang.conf",
        "[Service]\nExecStart=\nExecStart=/opt/hang.py run --instance 50\n",
    )
    world.host.write(
        "/etc/sls-siem/instances/50.toml", '[sls]\nconsumer_group = "other"\n', mode=0o640, group="sls-siem"
    )
    world.host.run("systemctl", "daemon-reload")
    world.host.run("systemctl", "start", HUNG)


def test_the_sandbox_holds(world: World) -> None:
    hang_one(world)
    world.start_all()
    score = world.host.run("systemd-analyze", "security", "sls-siem@1").splitlines()[-1]
    pid = main_pid(world, 1)

    inside = ("nsenter", "-t", pid, "-m", "runuser", "-u", "sls-siem", "--")
    exposure = re.search(r"([\d.]+) OK", score)
    assert exposure is not None, score
    assert float(exposure[1]) <= 1.1
    assert "sls-siem" == world.host.run("ps", "-o", "user=", "-p", pid).strip()
    for place in ("/etc", "/usr", "/var/lib", "/run", "/home", "/sls", "/var/lib/sls-siem", "/run/sls-siem"):
        tried = world.host.run(*inside, "touch", f"{place}/x", check=False)
        assert re.search(r"Read-only file system|Permission denied|No such file", tried), (place, tried)
    world.host.run(*inside, "touch", "/var/lib/sls-siem/1/x", "/run/sls-siem/1/x")


def test_secrets_are_shown_to_nobody(world: World) -> None:
    world.host.run("systemctl", "reload", "sls-siem@1")
    everything = "".join(world.host.run("systemctl", "show", f"sls-siem@{instance}") for instance in (1, 2))
    everything += world.host.journal("-u", "sls-siem@*") + world.host.sh("cat /run/sls-siem/*/status.json")

    for secret in (world.key[1], world.hec.token):
        assert secret not in everything
    for folder in ("/run/credentials/sls-siem@1.service", "/run/sls-siem/1/credentials", "/etc/sls-siem/credentials"):
        path = f"{folder}/hec-token"
        assert world.hec.token in world.host.run("cat", path)
        tried = world.host.run("runuser", "-u", "nobody", "--", "cat", path, check=False)
        assert "Permission denied" in tried
    modes = world.host.run("stat", "-c", "%a %U", "/run/sls-siem/1/credentials/hec-token")
    assert "400 sls-siem" == modes.strip()


def test_rotated_secrets_are_taken_over_under_load_without_a_restart(world: World) -> None:
    world.host.until(world.all_shards_held, 60, "every shard to have one owner")
    pids = [main_pid(world, instance) for instance in INSTANCES]
    old_key, old_token = world.key[0], world.hec.token
    with world.load():
        world.rotate_key("key-two", "secret-of-key-two-91bc")
        world.hec.set_token(type(world.hec.settings.tokens[0])("11111111-2222-3333-4444-555555555555"))
        world.write_secret("hec-token", "11111111-2222-3333-4444-555555555555")
        world.host.run("systemctl", "reload", "sls-siem@*")
        world.host.until(
            lambda: world.host.journal("-u", "sls-siem@*").count("reloaded: ") >= 10, 30, "every instance to reload"
        )
        world.sls.remove_key(old_key)
        world.hec.remove_token(old_token)
        for instance in INSTANCES:
            delivered = world.status(instance)["totals"]["delivered"]
            world.host.until(
                lambda n=instance, d=delivered: world.status(n)["totals"]["delivered"] > d, 30, "more to be delivered"
            )
    world.wait_for_all()

    assert pids == [main_pid(world, instance) for instance in INSTANCES]
    world.assert_complete(repeated=False)


def test_a_killed_instance_comes_back_and_nothing_is_lost(world: World) -> None:
    before = restarts(world)
    with world.load():
        world.host.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", "sls-siem@3")
        world.host.until(lambda: world.host.show("sls-siem@3", "NRestarts") != before[2], 30, "a restart")
        world.host.until(lambda: world.host.show("sls-siem@3", "ActiveState") == "active", 30, "a restart")
        world.host.until(world.all_shards_held, 60, "its shards to be back")
        world.host.until(lambda: len(world.held()[3]) == 1, 60, "its shards to be back")
    world.wait_for_all()

    world.assert_complete(repeated=True)


def test_a_million_logs_pass_and_a_stop_loses_and_repeats_nothing(world: World) -> None:
    repeated = world.hec.store.duplicates()
    half = len(world.hec.store) + LOGS // 2
    world.store(LOGS)
    world.host.until(lambda: len(world.hec.store) > half, 240, "half of the logs to arrive")
    with world.load():
        world.stop_all()

    assert {"success"} == {world.host.show(f"sls-siem@{instance}", "Result") for instance in INSTANCES}
    world.start_all()
    world.wait_for_all(240)
    world.assert_complete(repeated=True)
    assert repeated == world.hec.store.duplicates()


def test_lines_in_the_journal_carry_priority_instance_and_shard(world: World) -> None:
    world.host.until(lambda: world.held()[4], 60, "a shard of instance 4")
    shard = world.held()[4][0]
    fields = world.host.journal("-u", "sls-siem@4", f"SLS_SHARD={shard}", "-o", "verbose", "-n", "1")

    assert "SLS_INSTANCE=4" in fields
    assert "SYSLOG_IDENTIFIER=sls-siem-4" in fields
    assert re.search(r"PRIORITY=[3-7]", fields)


def test_a_hung_thread_ends_in_an_abort_with_stacks_and_a_restart(world: World) -> None:
    world.host.until(lambda: world.host.show(HUNG, "NRestarts") != "0", 2 * WATCHDOG_S, "a restart by the watchdog")
    journal = world.host.journal("-u", HUNG, "-o", "short-unix")

    assert "in hang_for_the_test" in journal
    assert re.search(r"Watchdog (timeout|request)", journal), journal[-2000:]
    assert re.search(r"code=(killed|dumped), status=6/ABRT", journal)
    world.host.run("systemctl", "stop", HUNG)


def test_ten_crashes_do_not_silence_an_instance(world: World) -> None:
    world.host.write("/etc/systemd/system/sls-siem@9.service.d/fast.conf", "[Service]\nRestartSec=0\n")
    world.host.run("systemctl", "daemon-reload")
    for _ in range(12):
        pid = main_pid(world, 9)
        world.host.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", "sls-siem@9")
        world.host.until(lambda old=pid: main_pid(world, 9) not in {"0", old}, 20, "a restart")

    world.host.until(lambda: world.host.show("sls-siem@9", "ActiveState") == "active", 30, "the thirteenth start")


def test_removal_keeps_what_is_the_operators_and_purge_leaves_nothing(world: World) -> None:
    world.host.sh(f"systemctl enable {UNITS}")
    world.host.run("apt-get", "-y", "remove", "sls-siem-agent")

    assert 0 == world.active()
    assert "agent.toml" in world.host.run("ls", "/etc/sls-siem")
    assert "1\n" in world.host.run("ls", "/var/lib/sls-siem")
    world.host.run("rm", "-rf", "/opt/hang.py", f"/etc/systemd/system/{HUNG}.service.d")
    world.host.run("rm", "-rf", "/etc/systemd/system/sls-siem@9.service.d")
    world.host.run("apt-get", "-y", "purge", "sls-siem-agent")
    left = world.host.sh("find / -xdev -name '*sls*siem*' -not -path '/proc/*' -not -path '/srv/*' -not -path '/run/*'")

    assert set(left.split()) <= {
        "/usr/share/keyrings/sls-siem-agent.gpg",
        "/etc/apt/sources.list.d/sls-siem-agent.sources",
    } | {line for line in left.split() if line.startswith(("/var/lib/apt/", "/var/cache/apt/", "/var/log/"))}
