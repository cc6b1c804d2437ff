"""Faults of syslog and RELP receivers: closes, resets, silence, slow readers, restarts, certificates.

Of plain syslog nothing can be asked for bytes that a receiver's kernel took and its process did not read within
`settle_s`. So every fault here that throws unread bytes away breaks the connection sooner than that, and no two of
them overlap (`World.in_turn`).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sls_siem.emulator.certificates import server_context
from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.syslog import SyslogEmulator
from tests.faults.schedule import PLAIN, RELP, SIEM, STREAM, TLS, Course, Happening, kind

if TYPE_CHECKING:
    from tests.faults.world import World

SHORT_S = 0.7
"""Half of `settle_s`, about: bytes that wait so long in a receiver's kernel are still the agent's to send again."""


def receiver(world: World) -> SyslogEmulator | RelpEmulator:
    assert isinstance(world.siem, (SyslogEmulator, RelpEmulator))
    return world.siem


def inject(world: World, happening: Happening, seconds: float, fault: str, **fields: Any) -> Course:
    """Arm a fault, in turn, until it struck and, from then on, for so long."""
    yield from world.in_turn()
    siem = receiver(world)
    number = happening.injected = siem.inject(fault, **fields)
    try:
        while not (struck := [strike for strike in siem.strikes() if strike.fault == number]):
            yield 0.03
        world.struck(happening, struck[0].at_s)
        yield seconds
    finally:
        siem.clear_faults(number)
        world.receiver_busy = False


def _when(random: Random) -> dict[str, Any]:
    count = random.randint(1, 3)
    return random.choice(({"after_frames": random.randint(1, 60)}, {"after_bytes": random.randint(1, 40_000)})) | {
        "count": count
    }


@kind("fin", SIEM, outputs=STREAM, repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, SHORT_S, "fin", delay_s=SHORT_S, **_when(random))


@kind("close", SIEM, outputs=STREAM, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.2, "close", **_when(random))


@kind("rst", SIEM, outputs=STREAM, repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.2, "rst", **_when(random))


@kind("half-open", SIEM, outputs=STREAM, repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """No reading, no packet, no FIN; then RST."""
    yield from inject(world, happening, SHORT_S + 0.3, "half_open", delay_s=SHORT_S, **_when(random))


@kind("unread-bytes-lost", SIEM, outputs=STREAM, repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(
        world, happening, SHORT_S + 0.3, "kill_unread", delay_s=random.uniform(0.1, SHORT_S), **_when(random)
    )


@kind("closed-at-accept", SIEM, outputs=STREAM, repeats=True, weight=0.7)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Connections are dropped, and the new ones are closed at once."""
    yield from _at_accept(world, happening, random.uniform(0.2, 1.0), "close_at_accept")


def _at_accept(world: World, happening: Happening, seconds: float, fault: str, **fields: Any) -> Course:
    yield from world.in_turn()
    siem = receiver(world)
    number = happening.injected = siem.inject(fault, **fields)
    siem.drop_connections()
    try:
        while not (struck := [strike for strike in siem.strikes() if strike.fault == number]):
            yield 0.03
        world.struck(happening, struck[0].at_s)
        yield seconds
    finally:
        siem.clear_faults(number)
        world.receiver_busy = False


@kind("stalled-at-accept", SIEM, outputs=STREAM, repeats=True, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Accepted and left alone, no handshake, nothing read; then RST."""
    yield from _at_accept(world, happening, SHORT_S + 0.3, "stall_at_accept", delay_s=SHORT_S, count=2)


@kind("slow-reader", SIEM, outputs=PLAIN, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Reads little for a while, then everything; nothing is thrown away meanwhile."""
    delay_s = random.choice((0.5, 1.5, 3.0))
    speed = random.choice((1_000.0, 20_000.0))
    fields = {"after_frames": random.randint(1, 40), "count": random.randint(1, 2)}
    yield from inject(world, happening, delay_s + 1.0, "slow", delay_s=delay_s, bytes_per_s=speed, **fields)


@kind("restart", SIEM, outputs=STREAM, repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from world.in_turn()
    siem = receiver(world)
    world.struck(happening)
    for _ in range(random.choice((1, 1, 2, 4))):
        siem.restart()
        yield random.uniform(0.05, 0.6)
    world.receiver_busy = False


@kind("away", SIEM, outputs=STREAM, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from world.in_turn()
    siem = receiver(world)
    siem.stop_listening(random.choice(("rst", "fin")))
    world.struck(happening)
    yield random.choice((0.2, 1.0, 2.5))
    siem.listen_again()
    world.receiver_busy = False
    yield 0.1


@kind("connections-dropped", SIEM, outputs=STREAM, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from world.in_turn()
    world.struck(happening)
    for _ in range(random.randint(1, 4)):
        receiver(world).drop_connections(reset=random.random() < 0.5)
        yield random.uniform(0.02, 0.4)
    world.receiver_busy = False


@kind("certificate-rotated", SIEM, outputs=(TLS,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """To one that nobody trusts, that is expired or another host's, and then to a good new one."""
    yield from world.in_turn()
    siem, made = receiver(world), world.certificates
    wrong = random.choice((made.untrusted, made.expired, made.wrong_host, None))
    if wrong is not None:
        siem.set_tls(server_context(wrong))
        siem.drop_connections(reset=False)
        world.struck(happening)
        yield random.uniform(0.3, 1.5)
    siem.set_tls(server_context(made.authority.issue(f"server-{happening.number}")))
    siem.drop_connections(reset=False)
    if happening.struck_s is None:
        world.struck(happening)
    world.receiver_busy = False
    yield 0.1


@kind("relp-answers-late", SIEM, outputs=(RELP,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    happening.lasting = True
    yield from inject(world, happening, 0.5, "ack_delay", delay_s=random.choice((0.3, 1.0)), **_when(random))


@kind("relp-answers-lost", SIEM, outputs=(RELP,), repeats=True, weight=2)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Stored and never answered; some time later the connection breaks, also when the course is cut off."""
    try:
        yield from inject(world, happening, 0.5, "ack_lost", frames=random.randint(1, 5), **_when(random))
    finally:
        receiver(world).drop_connections(reset=random.random() < 0.5)
    yield 0.1


@kind("relp-refused", SIEM, outputs=(RELP,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """500 for a message: not stored."""
    yield from inject(world, happening, 0.3, "ack_error", frames=random.randint(1, 3), **_when(random))


@kind("relp-serverclose", SIEM, outputs=(RELP,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.3, "serverclose", **_when(random))


@kind("relp-unanswered-reset", SIEM, outputs=(RELP,), repeats=True, weight=2)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Stored, and the connection breaks before the answers."""
    yield from inject(world, happening, 0.2, random.choice(("rst", "close")), answered=False, **_when(random))
