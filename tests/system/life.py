"""What an operator does with the package on a Debian host, in the order of its life: install, run, upgrade, remove.

`test_<release>.py` runs it on one release. The tests of a host follow each other: a later one finds what the earlier
ones left. The older version that an upgrade starts from has no compiled codec, so that both codecs run here.
"""

from __future__ import annotations

import re

from tests.system.conftest import CODEC, OLD_VERSION, logs_for
from tests.system.world import INSTANCES, LOGS_A_GROUP, SHARDS, World

WATCHDOG_S = 60
STOPPED = 11
HUNG = "sls-siem@50"
ALLOW_LIST = "/usr/share/doc/sls-siem-agent/examples/allow-list.conf"


def main_pid(world: World, instance: int) -> str:
    return world.host.show(f"sls-siem@{instance}", "MainPID")


def restarts(world: World) -> list[str]:
    return [world.host.show(f"sls-siem@{instance}", "NRestarts") for instance in INSTANCES]


def test_three_lines_install_it_without_starting_anything(world: World) -> None:
    world.install_as_in_the_readme("old")

    assert re.match(rf"sls-siem {OLD_VERSION} .*reference", world.host.run("sls-siem", "version"))
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
    world.host.until(lambda: "sls-access-key-id" in world.host.journal("-u", "sls-siem@2"), 90, "a line on the key")
    lines = [line for line in world.host.journal("-u", "sls-siem@2").splitlines() if "sls-access-key-id" in line]

    assert 1 == len(lines), lines
    assert "/etc/sls-siem/credentials" in lines[0]
    assert "243" != world.host.show("sls-siem@2", "ExecMainStatus")
    world.host.run("systemctl", "stop", "sls-siem@2")
    world.host.run("systemctl", "reset-failed", "sls-siem@*")


def test_one_command_starts_ten_instances_that_share_the_shards(world: World) -> None:
    world.configure()
    world.start_all()
    world.host.until(world.all_shards_held, 150, "every shard to have one owner")
    world.host.until(
        lambda: all(len(shards) == 1 for shards in world.held().values()), 150, "a shard for each instance"
    )

    assert 10 == world.active() == SHARDS
    status = world.host.run("systemctl", "status", "--no-pager", "sls-siem@7")
    assert re.search(r'Status: "running: 1 shards, [\d.]+ MB/s, lag \d+ s', status), status


def test_an_upgrade_under_load_takes_one_instance_at_a_time(world: World) -> None:
    world.host.run("systemctl", "enable", "--now", f"sls-siem@{STOPPED}")
    world.host.run("systemctl", "stop", f"sls-siem@{STOPPED}")
    world.host.until(world.all_shards_held, 150, "every shard to have one owner")
    before = {instance: main_pid(world, instance) for instance in INSTANCES}
    cursor = world.host.journal_cursor()
    with world.load():
        world.upgrade_to("new")
    after = {instance: main_pid(world, instance) for instance in INSTANCES}
    world.wait_for_all()

    assert all(after[instance] not in {"0", before[instance]} for instance in INSTANCES)
    assert "0" == main_pid(world, STOPPED)
    assert re.match(rf"sls-siem (?!{OLD_VERSION} ).*{CODEC}", world.host.run("sls-siem", "version"))
    world.host.until(lambda: OLD_VERSION not in versions(world), 90, "the new version's status everywhere")
    assert 1 == len(versions(world))
    world.assert_complete(repeated=False)
    # From the first word of a stop to READY, as systemd itself wrote it down: each instance once, none beside another.
    down = world.host.downtimes(cursor)
    assert [f"sls-siem@{instance}.service" for instance in INSTANCES] == sorted(
        (time.unit for time in down), key=lambda unit: int(re.sub(r"\D", "", unit))
    )
    assert all(one.end_s <= other.start_s for one, other in zip(down, down[1:])), down


def versions(world: World) -> set[str]:
    return {world.status(instance)["version"] for instance in INSTANCES}


def hang_one(world: World) -> None:
    """Start an instance whose heartbeat thread will hang, on a group of its own; the next tests give it time."""
    program = """#!/usr/bin/python3 -I
import sys, threading
sys.path[:0] = ["/usr/lib/sls-siem-agent/vendor", "/usr/lib/sls-siem-agent/app"]
from sls_siem.membership import member
def hang_for_the_test(*_arguments, **_named):
    print("hangs from now on", file=sys.stderr, flush=True)
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
    exposure = re.search(r": ([\d.]+) (OK|SAFE)", score)
    assert exposure is not None, score
    assert float(exposure[1]) <= 1.1
    assert "sls-siem" == world.host.run("ps", "-o", "user=", "-p", pid).strip()
    for place in ("/etc", "/usr", "/var/lib", "/run", "/home", "/sls", "/var/lib/sls-siem", "/run/sls-siem"):
        tried = world.host.run(*inside, "touch", f"{place}/x", check=False)
        assert re.search(r"Read-only file system|Permission denied|No such file", tried), (place, tried)
    world.host.run(*inside, "touch", "/var/lib/sls-siem/1/x", "/run/sls-siem/1/x")


def test_an_allow_list_closes_it_further(world: World) -> None:
    folder = "/etc/systemd/system/sls-siem@2.service.d"
    world.host.sh(f"mkdir {folder} && cp {ALLOW_LIST} {folder} && systemctl daemon-reload")
    score = world.host.run("systemd-analyze", "security", "sls-siem@2").splitlines()[-1]
    world.host.sh(f"rm -r {folder} && systemctl daemon-reload")

    exposure = re.search(r": ([\d.]+) (OK|SAFE)", score)
    assert exposure is not None, score
    assert float(exposure[1]) <= 1.0


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


def test_key_token_and_certificate_are_rotated_under_load_without_a_restart(world: World) -> None:
    world.host.until(world.all_shards_held, 150, "every shard to have one owner")
    pids = [main_pid(world, instance) for instance in INSTANCES]
    old_key, old_token = world.key[0], world.hec.token
    after = f"--after-cursor={world.host.journal_cursor()}"
    with world.load():
        world.rotate_key("key-two", "secret-of-key-two-91bc")
        world.rotate_token("11111111-2222-3333-4444-555555555555")
        world.rotate_certificate()
        accepted = world.hec.summary()["accepted_connections"]
        world.host.run("systemctl", "reload", "sls-siem@*")
        for instance in INSTANCES:
            unit = f"sls-siem@{instance}"
            world.host.until(
                lambda unit=unit: "reloaded: " in world.host.journal("-u", unit, after), 90, f"{unit} to reload"
            )
        world.sls.remove_key(old_key)
        world.hec.remove_token(old_token)
        world.forget_old_certificate()
        refused = world.hec.summary()["handshake_failures"]
        for instance in INSTANCES:
            delivered = world.status(instance)["totals"]["delivered"]
            world.host.until(
                lambda n=instance, d=delivered: world.status(n)["totals"]["delivered"] > d, 150, "more to be delivered"
            )
    world.wait_for_all()

    assert pids == [main_pid(world, instance) for instance in INSTANCES]
    assert refused == world.hec.summary()["handshake_failures"]
    assert accepted + len(pids) <= world.hec.summary()["accepted_connections"]
    world.assert_complete(repeated=False)
    # Whoever still had a connection of before needs a new one now; an answer that was on its way may be missed.
    world.hec.drop_connections(reset=False)
    world.store(SHARDS * LOGS_A_GROUP)
    world.wait_for_all()
    world.assert_complete(repeated=True)


def test_a_killed_instance_comes_back_and_nothing_is_lost(world: World) -> None:
    before = restarts(world)
    with world.load():
        world.host.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", "sls-siem@3")
        world.host.until(lambda: world.host.show("sls-siem@3", "NRestarts") != before[2], 90, "a restart")
        world.host.until(lambda: world.host.show("sls-siem@3", "ActiveState") == "active", 90, "a restart")
        world.host.until(world.all_shards_held, 150, "its shards to be back")
        world.host.until(lambda: len(world.held()[3]) == 1, 150, "its shards to be back")
    world.wait_for_all()

    world.assert_complete(repeated=True)


def test_a_million_logs_pass_and_a_stop_loses_and_repeats_nothing(world: World) -> None:
    repeated = world.hec.store.duplicates()
    logs = logs_for(world.host.release)
    half = len(world.hec.store) + logs // 2
    world.store(logs)
    world.host.until(lambda: len(world.hec.store) > half, 500, "half of the logs to arrive")
    peak, limit = max(map(world.peak_memory, INSTANCES)), int(world.host.show("sls-siem@1", "MemoryMax"))
    print(f"peak memory of an instance with its backlog: {peak >> 20} MiB")
    with world.load():
        world.stop_all()

    assert {"success"} == {world.host.show(f"sls-siem@{instance}", "Result") for instance in INSTANCES}
    world.start_all()
    world.wait_for_all(500)
    world.assert_complete(repeated=True)
    assert repeated == world.hec.store.duplicates()
    # A full window of 64 MiB, what is sent of it, the interpreter: half of the limit is left.
    assert peak <= limit // 2


def test_lines_in_the_journal_carry_priority_instance_and_shard(world: World) -> None:
    world.host.until(lambda: world.held()[4], 150, "a shard of instance 4")
    shard = world.held()[4][0]
    fields = world.host.journal("-u", "sls-siem@4", f"SLS_SHARD={shard}", "-o", "verbose", "-n", "1")

    assert "SLS_INSTANCE=4" in fields
    assert "SYSLOG_IDENTIFIER=sls-siem-4" in fields
    assert re.search(r"PRIORITY=[3-7]", fields)


def test_a_hung_thread_ends_in_an_abort_with_stacks_and_a_restart(world: World) -> None:
    world.host.until(lambda: world.host.show(HUNG, "NRestarts") != "0", 2 * WATCHDOG_S, "a restart by the watchdog")
    journal = world.host.journal("-u", HUNG, "-o", "short-unix")

    assert "in hang_for_the_test" in journal
    hung = re.search(r"^([\d.]+) .*hangs from now on", journal, re.MULTILINE)
    abort = re.search(r"^([\d.]+) .*Watchdog (timeout|request)", journal, re.MULTILINE)
    assert hung is not None, journal[-2000:]
    assert abort is not None, journal[-2000:]
    took_s = float(abort[1]) - float(hung[1])
    print(f"from the hang to the abort: {took_s:.1f} s")
    assert 0 < took_s <= WATCHDOG_S
    assert re.search(r"code=(killed|dumped), status=6/ABRT", journal)
    world.host.run("systemctl", "stop", HUNG)


def test_a_dozen_crashes_do_not_silence_an_instance(world: World) -> None:
    """systemd gives a unit up after five starts within ten seconds, unless it is told otherwise."""
    world.host.write("/etc/systemd/system/sls-siem@9.service.d/fast.conf", "[Service]\nRestartSec=0\n")
    world.host.run("systemctl", "daemon-reload")
    before = int(world.host.show("sls-siem@9", "NRestarts"))
    for _ in range(12):
        pid = main_pid(world, 9)
        world.host.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", "sls-siem@9")
        world.host.until(lambda old=pid: main_pid(world, 9) not in {"0", old}, 90, "a restart")

    world.host.until(lambda: world.host.show("sls-siem@9", "ActiveState") == "active", 90, "the thirteenth start")
    assert before + 12 == int(world.host.show("sls-siem@9", "NRestarts"))
    assert "success" == world.host.show("sls-siem@9", "Result")


def installed_again(world: World) -> str:
    """Install the present version once more, which is an upgrade to dpkg; returns what was said."""
    return world.host.sh("apt-get -y --reinstall install sls-siem-agent", timeout=300)


def test_an_upgrade_leaves_alone_what_its_new_version_would_refuse(world: World) -> None:
    world.host.sh("systemctl stop 'sls-siem@*' && systemctl enable --now sls-siem@{1..3}")
    before = [main_pid(world, instance) for instance in (1, 2, 3)]
    # What the configuration lacks is in the environment of the unit; instance 2 has a value that no version takes.
    world.host.sh("sed -i '/^project = /d' /etc/sls-siem/agent.toml; echo SLS_PROJECT=p >/etc/default/sls-siem-agent")
    world.host.write("/etc/sls-siem/instances/2.toml", '[siem]\noutput = "pigeon"\n', mode=0o640, group="sls-siem")
    said = installed_again(world)
    after = [main_pid(world, instance) for instance in (1, 2, 3)]

    assert ["0" != new != old for old, new in zip(before, after)] == [True, False, True], said
    assert after[1] == before[1]
    assert "pigeon" in said
    assert "sls-siem@2.service was not restarted" in said
    world.host.run("rm", "/etc/sls-siem/instances/2.toml")
    world.host.run("touch", "/run/sls-siem-agent.no-restart")
    assert "no instance was restarted" in world.host.run("/usr/lib/sls-siem-agent/restart-instances")
    assert after == [main_pid(world, instance) for instance in (1, 2, 3)]
    world.host.run("rm", "/run/sls-siem-agent.no-restart")


def test_what_was_stopped_stays_stopped_until_the_package_is_installed_anew(world: World) -> None:
    world.host.run("systemctl", "stop", "sls-siem.target")
    installed_again(world)

    assert 0 == world.active()
    assert "inactive" == world.host.show("sls-siem.target", "ActiveState")
    world.host.run("apt-get", "-y", "remove", "sls-siem-agent")
    cursor = world.host.journal_cursor()
    world.host.run("apt-get", "-y", "install", "sls-siem-agent", timeout=300)
    world.host.until(lambda: world.active() >= 3, 90, "what is enabled to run")
    assert [] == world.host.downtimes(cursor)


def test_removal_keeps_what_is_the_operators_and_purge_leaves_nothing(world: World) -> None:
    world.host.run("apt-get", "-y", "remove", "sls-siem-agent")

    assert 0 == world.active()
    assert "agent.toml" in world.host.run("ls", "/etc/sls-siem")
    assert "1\n" in world.host.run("ls", "/var/lib/sls-siem")
    world.host.run("rm", "-rf", "/opt/hang.py", f"/etc/systemd/system/{HUNG}.service.d")
    world.host.run("rm", "-rf", "/etc/systemd/system/sls-siem@9.service.d")
    state = "/var/lib/sls-siem"
    world.host.run("mount", "--bind", state, state)
    said = world.host.run("apt-get", "-y", "purge", "sls-siem-agent")
    assert "unmount it and remove it by hand" in said
    # Only an empty folder is left, so that it can be removed.
    world.host.sh(f"umount {state} && rmdir {state}")
    left = world.host.sh("find / -xdev -name '*sls*siem*' -not -path '/proc/*' -not -path '/srv/*' -not -path '/run/*'")

    assert set(left.split()) <= {
        "/usr/share/keyrings/sls-siem-agent.gpg",
        "/etc/apt/sources.list.d/sls-siem-agent.sources",
    } | {line for line in left.split() if line.startswith(("/var/lib/apt/", "/var/cache/apt/", "/var/log/"))}
