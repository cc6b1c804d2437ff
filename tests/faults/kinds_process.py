"""Faults of the agent's own process and host: killed, stopped, terminated, cloned, joined, its disk full."""

from __future__ import annotations

import contextlib
import shutil
import signal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from sls_siem.dead_letter import FILE_NAME
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.store import now_s
from tests.faults.oracle import ASIDE
from tests.faults.schedule import ANY_HEC, PROCESS, TLS, Course, Happening, kind

if TYPE_CHECKING:
    from tests.faults.world import World


@kind("sigkill", PROCESS, repeats=True, weight=2)
def _(world: World, random: Random, happening: Happening) -> Course:
    while (instance := world.an_agent(random)) is None:
        yield 0.05
    world.agents.kill(instance)
    world.struck(happening)
    yield random.choice((0.0, 0.1, 1.5))
    if not world.agents.all[instance].running():
        world.agents.start(instance)
    yield 0.1


@kind("sigkill-all", PROCESS, repeats=True, weight=0.7)
def _(world: World, random: Random, happening: Happening) -> Course:
    killed = world.agents.running()
    for instance in killed:
        world.agents.kill(instance)
    world.struck(happening)
    yield random.choice((0.0, 0.5, 5.0))
    for instance in killed:
        if not world.agents.all[instance].running():
            world.agents.start(instance)
    yield 0.1


@kind("sigstop", PROCESS, repeats=True, weight=2, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Up to beyond the lease, so that its shards are somebody else's by the time it goes on."""
    while (instance := world.an_agent(random)) is None:
        yield 0.05
    agent = world.agents.all[instance]
    agent.signal(signal.SIGSTOP)
    world.struck(happening)
    yield random.choice((1.0, 3.3, 4.2, 5.5))
    world.continued_s.append(now_s())
    with contextlib.suppress(ProcessLookupError):
        agent.signal(signal.SIGCONT)
    yield 0.1


@kind("sigterm", PROCESS, repeats=False, weight=2)
def _(world: World, random: Random, happening: Happening) -> Course:
    while (instance := world.an_agent(random)) is None:
        yield 0.05
    yield from _stop_and_start(world, random, happening, instance)


def _stop_and_start(world: World, random: Random, happening: Happening, instance: int) -> Course:
    agent = world.agents.all[instance]
    process = agent.process
    world.agents.terminate(instance)
    world.struck(happening)
    while agent.process is process and agent.running():
        yield 0.05
    yield random.choice((0.0, 0.3, 1.0))
    if not agent.running():
        world.agents.start(instance)
    yield 0.1


@kind("sigterm-all", PROCESS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    stopped = world.agents.running()
    for instance in stopped:
        world.agents.terminate(instance)
    world.struck(happening)
    while any(instance in stopped for instance in world.agents.running()):
        yield 0.05
    for instance in stopped:
        if not world.agents.all[instance].running():
            world.agents.start(instance)
    yield 0.1


@kind("sigterm-early", PROCESS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Killed, started, and told to end while it starts."""
    while (instance := world.an_agent(random)) is None:
        yield 0.05
    world.agents.kill(instance)
    world.struck(happening)
    agent = world.agents.start(instance)
    process = agent.process
    yield random.uniform(0.0, 2.0)
    if agent.process is process and agent.running():
        world.agents.terminate(instance)
    while agent.process is process and agent.running():
        yield 0.05
    if not agent.running():
        world.agents.start(instance)
    yield 0.1


@kind("reload", PROCESS, repeats=False, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """SIGHUP, a few times."""
    while not world.agents.settled():
        yield 0.05
    world.struck(happening)
    for _ in range(random.randint(1, 4)):
        for instance in world.agents.settled():
            world.agents.all[instance].signal(signal.SIGHUP)
        yield 0.2


@kind("clone", PROCESS, repeats=True, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """A second process under the consumer name of the first, for a while."""
    from tests.faults.world import CLONE

    world.agents.clones_allowed = True
    world.agents.start(CLONE, consumer=1)
    world.struck(happening)
    yield 1.0
    yield random.uniform(1.0, 5.0)
    world.agents.kill(CLONE)
    yield 0.1


@kind("clock-stepped", PROCESS, repeats=True, weight=0.7, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """The wall clock of the agents' host jumps, once or back and forth, and is right again in the end."""
    # Beyond a day the certificates would rightly be refused.
    furthest = 80_000 if world.output == TLS else 400 * 86_400
    world.struck(happening)
    for _ in range(random.choice((1, 1, 2, 4))):
        world.clock.step(random.choice((-1, 1)) * random.choice((2.0, 301.0, 3600.0, furthest)))
        yield random.uniform(0.3, 2.0)
    world.clock.step(0.0)
    yield 0.1


@kind("disk-full", PROCESS, outputs=ANY_HEC, repeats=False, weight=0.7, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Events are refused while dead letters cannot be written: `/dev/full` stands in for their file."""
    yield from _without_disk(world, random, happening, _fill, _make_room)


@kind("state-directory-unusable", PROCESS, outputs=ANY_HEC, repeats=False, weight=0.7, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """As with a read-only file system; root is never told EACCES, so a file takes the directory's place."""
    yield from _without_disk(world, random, happening, _hide, _show)


def _without_disk(world: World, random: Random, happening: Happening, spoil, mend) -> Course:  # type: ignore[no-untyped-def]
    assert isinstance(world.siem, HecEmulator)
    while world.disk_spoiled:
        yield 0.05
    world.disk_spoiled = True
    folders = [agent.folder for agent in world.agents.all.values()]
    for folder in folders:
        spoil(folder / "state")
    number = world.siem.inject(
        "answer", code=random.choice((6, 12, 13)), at_fraction=random.random(), sticky=True, count=2
    )
    try:
        while not (struck := [strike for strike in world.siem.strikes() if strike.fault == number]):
            yield 0.05
        world.struck(happening, struck[0].at_s)
        yield random.uniform(0.5, 2.0)
    finally:
        world.siem.clear_faults(number)
        for folder in folders:
            mend(folder / "state")
        world.disk_spoiled = False
    yield 0.1


def _fill(state: Path) -> None:
    state.mkdir(exist_ok=True)
    letters = state / FILE_NAME
    if letters.exists():
        letters.rename(state / ASIDE)
    letters.symlink_to("/dev/full")


def _make_room(state: Path) -> None:
    (state / FILE_NAME).unlink()
    if (state / ASIDE).exists():
        (state / ASIDE).rename(state / FILE_NAME)


def _hide(state: Path) -> None:
    if state.exists():
        state.rename(state.with_name(f"state-{ASIDE}"))
    state.write_text("")


def _show(state: Path) -> None:
    state.unlink()
    if state.with_name(f"state-{ASIDE}").exists():
        shutil.move(state.with_name(f"state-{ASIDE}"), state)
