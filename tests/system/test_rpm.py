"""The rpm where systemd runs: its scriptlets install, upgrade instances one by one, and remove.

No system with rpm as its package manager is at hand, so Debian 12 with Debian's rpm stands in for EL 9: the scriptlets
and systemd are real, the dependencies (`--nodeps`) and SELinux are not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import CODEC, OLD_VERSION, TOOLBOX, Packages
from tests.system.nspawn import Host
from tests.system.world import World

RUNNING = (1, 2, 3)
STOPPED = 4
TREE = "/usr/lib/sls-siem-agent"


@pytest.fixture(scope="module")
def world(packages: Packages) -> Iterator[World]:
    with Host("bookworm", extra=TOOLBOX) as host, World(host) as made:
        for path in packages.rpms.glob("*.rpm"):
            shutil.copyfile(path, host.root / "srv" / path.name)
        yield made


def rpm_of(world: World, *, old: bool) -> str:
    found: list[Path] = sorted((world.host.root / "srv").glob("*.rpm"))
    (path,) = (path for path in found if (f"-{OLD_VERSION}-" in path.name) == old)
    return f"/srv/{path.name}"


def pids(world: World) -> dict[int, str]:
    return {number: world.host.show(f"sls-siem@{number}", "MainPID") for number in (*RUNNING, STOPPED)}


def test_it_installs_user_folders_and_units_and_starts_nothing(world: World) -> None:
    said = world.host.run("rpm", "--install", "--nodeps", rpm_of(world, old=True))

    # Debian's rpm says that alien would be better, and nothing else is said.
    assert [] == [line for line in said.splitlines() if not line.startswith("rpm: ")]
    assert re.match(rf"sls-siem {OLD_VERSION} .*reference", world.host.run("sls-siem", "version"))
    assert 0 == world.active()
    assert "enabled" == world.host.run("systemctl", "is-enabled", "sls-siem.target").strip()
    folders = world.host.run("stat", "-c", "%a %U %G", "/etc/sls-siem", "/etc/sls-siem/credentials")
    assert ["750 root sls-siem", "700 root root"] == folders.splitlines()
    assert "/var/lib/sls-siem:/sbin/nologin" in world.host.run("getent", "passwd", "sls-siem")
    assert "there" == world.host.sh(f"ls {TREE}/app/sls_siem/__pycache__/*.pyc >/dev/null && echo there").strip()
    assert "" == world.host.run("systemd-analyze", "verify", "--man=no", "sls-siem@1.service", "sls-siem.target")
    assert "" == world.host.run("rpm", "--verify", "--nodeps", "sls-siem-agent")


def test_an_upgrade_under_load_takes_one_instance_at_a_time(world: World) -> None:
    world.configure()
    world.host.sh("systemctl start sls-siem@{1..4} && systemctl stop sls-siem@4")
    world.host.until(world.all_shards_held, 90, "every shard to have one owner")
    before, cursor = pids(world), world.host.journal_cursor()
    with world.load():
        world.host.run("rpm", "--upgrade", "--nodeps", rpm_of(world, old=False), timeout=300)
    after = pids(world)
    world.wait_for_all()

    assert re.match(rf"sls-siem (?!{OLD_VERSION} ).*{CODEC}", world.host.run("sls-siem", "version"))
    assert all(after[number] not in {"0", before[number]} for number in RUNNING)
    assert "0" == after[STOPPED]
    world.assert_complete(repeated=False)
    down = world.host.downtimes(cursor)
    assert [f"sls-siem@{number}.service" for number in RUNNING] == sorted(time.unit for time in down)
    assert all(one.end_s <= other.start_s for one, other in zip(down, down[1:])), down
    assert "" == world.host.run("rpm", "--verify", "--nodeps", "sls-siem-agent")


def test_a_removal_drains_and_keeps_what_is_the_operators(world: World) -> None:
    repeated = world.hec.store.duplicates()
    with world.load():
        world.host.run("rpm", "--erase", "sls-siem-agent", timeout=300)

    assert 0 == world.active()
    assert "agent.toml" in world.host.run("ls", "/etc/sls-siem")
    assert "hec-token" in world.host.run("ls", "/etc/sls-siem/credentials")
    assert {"1", "2", "3"} <= set(world.host.run("ls", "/var/lib/sls-siem").split())
    assert "gone" == world.host.sh(f"test -e {TREE} || echo gone").strip()
    assert repeated == world.hec.store.duplicates()
    left = world.host.sh("find /usr /etc /var/lib -xdev -name '*sls?siem*' -not -path '*/rpm/*'").split()
    assert {"/etc/sls-siem", "/var/lib/sls-siem"} == set(left)
